//! Appending.

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use super::bench::{Bench, P0, P1, block_on};
use crate::contract::log::{Append, AppendError, RECORD_BYTES_MAX};

pub(super) fn offsets_are_contiguous_in_each_topic_and_partition(bench: &mut Bench<'_>) {
    let places = [(Topic::Inbound, P0), (Topic::Inbound, P1), (Topic::Replies, P1), (Topic::Settings, P0)];
    for round in 0..30_u64 {
        let twice: Vec<Append> = places
            .iter()
            .flat_map(|&(topic, partition)| {
                [0, 1]
                    .map(|n| bench.record(topic, partition, format!("{topic}/{partition}/{}", round * 2 + n)))
            })
            .collect();
        let offsets = bench.append(twice).unwrap();
        let expected: Vec<Offset> =
            places.iter().flat_map(|_| [Offset(round * 2), Offset(round * 2 + 1)]).collect();
        assert_eq!(offsets, expected, "one offset for each record, in the order of the call");
    }
    for (topic, partition) in places {
        for (n, value) in bench.all(topic, partition).iter().enumerate() {
            assert_eq!(value, format!("{topic}/{partition}/{n}").as_bytes());
        }
        assert_eq!(bench.range(topic, partition), (0, 60));
    }
    assert_eq!(bench.range(Topic::Replies, P0), (0, 0));
    assert_eq!(bench.append(Vec::new()).unwrap(), Vec::new(), "no records, no offsets");
}

pub(super) fn a_record_is_readable_exactly_when_it_is_acknowledged(bench: &mut Bench<'_>) {
    for n in 0..20 {
        let records =
            vec![bench.record(Topic::Inbound, P0, format!("{n}")), bench.record(Topic::Replies, P1, "r")];
        let appending = bench.log().append(records);
        if bench.test.holds_still() {
            assert_eq!(bench.range(Topic::Inbound, P0), (0, n), "not before");
            let chunk = bench.log().read(Topic::Inbound, P0, Offset(n), 100).unwrap();
            assert!(chunk.records.is_empty() && chunk.end == Offset(n));
            assert!(bench.log().health().queued_bytes > 0);
        }
        bench.answer(appending).unwrap();
        for (topic, partition) in [(Topic::Inbound, P0), (Topic::Replies, P1)] {
            let chunk = bench.log().fetch(topic, partition, Offset(n), 100).unwrap();
            assert_eq!(chunk.records.len(), 1, "at once when it is acknowledged");
            assert_eq!(chunk.end, Offset(n + 1));
        }
        assert_eq!(bench.log().health().queued_bytes, 0);
    }
}

pub(super) fn a_future_dropped_before_its_answer_takes_nothing_back(bench: &mut Bench<'_>) {
    let given_up = bench.record(Topic::Inbound, P0, "given up");
    drop(bench.log().append(vec![given_up]));
    assert_eq!(bench.put(Topic::Inbound, P0, "waited for"), Offset(1));
    assert_eq!(bench.all(Topic::Inbound, P0), ["given up", "waited for"]);
}

pub(super) fn a_record_too_large_is_refused_with_all_of_its_call(bench: &mut Bench<'_>) {
    let largest = bench.largest();
    let content = bench.values.content(Topic::Inbound, &largest.value);
    let too_large = bench.record(Topic::Inbound, P0, [&content[..], &[7]].concat());
    assert_eq!((largest.value.len(), too_large.value.len()), (RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1));
    let small = bench.record(Topic::Inbound, P0, "small");
    let refused = bench.append(vec![small, too_large]);
    assert_eq!(refused, Err(AppendError::TooLarge { bytes: RECORD_BYTES_MAX + 1 }));
    assert_eq!(bench.range(Topic::Inbound, P0), (0, 0), "nothing of the call was written");
    assert_eq!(bench.append(vec![largest]), Ok(vec![Offset(0)]));
    assert_eq!(bench.all(Topic::Inbound, P0), [content]);
}

pub(super) fn an_empty_record_is_a_record(bench: &mut Bench<'_>) {
    let something = bench.record(Topic::Inbound, P0, "something");
    let nothing = Append { value: Bytes::new(), ..something.clone() };
    assert_eq!(bench.append(vec![nothing, something]), Ok(vec![Offset(0), Offset(1)]));
    assert_eq!(bench.all(Topic::Inbound, P0), ["", "something"]);
}

pub(super) fn what_cannot_be_appended_to_is_refused(bench: &mut Bench<'_>) {
    let beyond = Partition(bench.log().partitions());
    for (topic, partition) in [(Topic::Inbound, beyond), (Topic::Settings, P1), (Topic::State, P0)] {
        let call = vec![bench.record(Topic::Inbound, P0, "good"), bench.record(topic, partition, "bad")];
        let refused = bench.append(call);
        assert!(matches!(refused, Err(AppendError::Failed(_))), "{topic}/{partition}: {refused:?}");
    }
    assert_eq!(bench.range(Topic::Inbound, P0), (0, 0), "nothing of such a call was written");
    assert_eq!(bench.log().health().failed, None, "and the log goes on");
    assert_eq!(bench.put(Topic::Inbound, P0, "good"), Offset(0));
}

pub(super) fn a_full_queue_answers_busy_and_nothing_of_it_is_written(bench: &mut Bench<'_>) {
    if !bench.test.holds_still() {
        return; // A log that is drained while it is filled has no moment at which its queue is surely full.
    }
    let mebibyte = bench.record(Topic::Inbound, P0, vec![1; 1 << 20]);
    let mebibyte = || vec![mebibyte.clone()];
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for _ in 0..600 {
        let mut appending = bench.log().append(mebibyte());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match appending.as_mut().poll(&mut context) {
            std::task::Poll::Pending if refused == 0 => accepted.push(appending),
            std::task::Poll::Ready(Err(AppendError::Busy { .. })) => refused += 1,
            other => panic!("a full queue says so at once: {other:?}"),
        }
        if refused > 2 {
            break;
        }
    }
    assert!(refused > 2 && !accepted.is_empty(), "a queue has a bound");
    let committed = bench.commit(P0, 1, Bytes::from_static(b"a commit has room of its own"));
    assert_eq!(committed, crate::contract::log::CommitAnswer::Committed);
    let count = accepted.len() as u64;
    for (n, appending) in accepted.into_iter().enumerate() {
        assert_eq!(bench.answer(appending), Ok(vec![Offset(n as u64)]));
    }
    assert_eq!(bench.append(mebibyte()), Ok(vec![Offset(count)]), "then there is room again");
}

pub(super) fn many_appenders_at_once_keep_their_own_order(bench: &mut Bench<'_>) {
    const EACH: u64 = 100;
    let log = bench.log.clone().unwrap();
    std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..4)
            .map(|appender| {
                let text = |n| format!("{appender}:{n}");
                let records = (0..EACH).map(|n| bench.record(Topic::Inbound, P0, text(n)));
                let (log, records) = (&*log, records.collect::<Vec<_>>());
                scope.spawn(move || {
                    let append = |record| block_on(log.append(vec![record])).unwrap()[0];
                    records.into_iter().map(append).collect::<Vec<_>>()
                })
            })
            .collect();
        while !appenders.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            if !bench.test.work() {
                std::thread::yield_now();
            }
        }
        let found = bench.all(Topic::Inbound, P0);
        assert_eq!(found.len() as u64, 4 * EACH);
        for (appender, offsets) in appenders.into_iter().enumerate() {
            for (n, offset) in offsets.join().unwrap().into_iter().enumerate() {
                assert_eq!(found[offset.0 as usize], format!("{appender}:{n}"), "each at its offset");
            }
            let own = found.iter().filter(|value| value.starts_with(format!("{appender}:").as_bytes()));
            assert!(own.enumerate().all(|(n, value)| value == &format!("{appender}:{n}")), "in order");
        }
    });
}
