//! Reading and listening.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use leadline_schemas::{Offset, Partition, Topic};

use super::bench::{Bench, P0, P1, epoch};
use crate::contract::log::{Commit, CommitAnswer, Log, ReadError};

pub(super) fn a_chunk_has_whole_records_without_gaps_up_to_its_limit(bench: &mut Bench<'_>) {
    let value = |n: u64| format!("{n}:{}", "v".repeat((n * 37 % 500) as usize));
    for n in 0..200 {
        bench.put(Topic::Inbound, P0, value(n));
        bench.put(Topic::Inbound, P1, "other");
    }
    for round in 0..2 {
        for (from, limit) in [(0, 0), (0, 1), (3, 100), (17, 2_000), (150, 100_000), (199, 1), (60, 9_999)] {
            let chunk = bench.log().fetch(Topic::Inbound, P0, Offset(from), limit).unwrap();
            let count = chunk.records.len() as u64;
            assert!(count > 0, "at least one record whatever the limit");
            assert_eq!(chunk.next, Offset(from + count));
            assert_eq!(chunk.end, Offset(200));
            let bytes: usize = chunk.records.iter().map(|record| record.value.len()).sum();
            assert!(count == 1 || bytes <= limit, "{bytes} bytes for a limit of {limit}");
            for (n, record) in (from..).zip(&chunk.records) {
                let content = bench.content(Topic::Inbound, record);
                assert_eq!((record.offset, content), (Offset(n), Bytes::from(value(n))));
            }
        }
        if round == 0 {
            bench.restart();
        }
    }
}

pub(super) fn a_reader_at_the_end_gets_an_empty_chunk(bench: &mut Bench<'_>) {
    let look = |bench: &Bench<'_>, from: u64| {
        let chunk = bench.log().fetch(Topic::Replies, P0, Offset(from), 1_000).unwrap();
        assert!(chunk.records.is_empty());
        assert_eq!(chunk.next, Offset(from), "it reads on where it stands");
        chunk.end
    };
    assert_eq!(look(bench, 0), Offset(0));
    bench.put(Topic::Replies, P0, "one");
    assert_eq!(look(bench, 1), Offset(1));
    assert_eq!(look(bench, 9), Offset(1), "nor does it wait for what may never come");
}

pub(super) fn what_is_not_there_is_unavailable(bench: &mut Bench<'_>) {
    let beyond = Partition(bench.log().partitions());
    for (topic, partition) in
        [(Topic::Inbound, beyond), (Topic::State, Partition(u16::MAX)), (Topic::Settings, P1)]
    {
        let read = bench.log().read(topic, partition, Offset(0), 100);
        assert!(matches!(read, Err(ReadError::Unavailable(_))), "{topic}/{partition}: {read:?}");
        assert!(matches!(bench.log().range(topic, partition), Err(ReadError::Unavailable(_))));
        bench.log().listen(topic, partition, Arc::new(|| {}));
        bench.log().set_floor(topic, partition, Offset(1));
    }
    assert!(matches!(bench.log().range_so_far(beyond), Err(ReadError::Unavailable(_))));
}

/// Counts calls, and reads on in each; remembers the end that it saw in the newest one.
struct Ear {
    log: Weak<dyn Log>,
    place: (Topic, Partition),
    calls: AtomicU64,
    next: Mutex<Offset>,
    end: AtomicU64,
    thread: std::thread::Thread,
}

impl Ear {
    fn at(bench: &Bench<'_>, topic: Topic, partition: Partition) -> Arc<Self> {
        let ear = Arc::new(Self {
            log: Arc::downgrade(bench.log.as_ref().unwrap()),
            place: (topic, partition),
            calls: AtomicU64::new(0),
            next: Mutex::new(Offset(0)),
            end: AtomicU64::new(0),
            thread: std::thread::current(),
        });
        let listener = Arc::clone(&ear);
        bench.log().listen(topic, partition, Arc::new(move || listener.hear()));
        ear
    }

    fn hear(&self) {
        let Some(log) = self.log.upgrade() else { return };
        self.calls.fetch_add(1, SeqCst); // First: whoever waits for the end then counts the calls.
        let mut next = self.next.lock().unwrap();
        let chunk = log.read(self.place.0, self.place.1, *next, 1 << 20).unwrap();
        *next = chunk.next;
        self.end.store(chunk.end.0, SeqCst);
        self.thread.unpark();
    }
}

pub(super) fn listeners_hear_every_move_of_their_end(bench: &mut Bench<'_>) {
    let inbound = Ear::at(bench, Topic::Inbound, P0);
    let state = Ear::at(bench, Topic::State, P1);
    let other = Ear::at(bench, Topic::Inbound, P1);
    for n in 1..=20 {
        bench.put(Topic::Inbound, P0, "moves");
        bench.wait("a call of the listener", |_| (inbound.end.load(SeqCst) == n).then_some(()));
        assert!(inbound.calls.load(SeqCst) >= n, "once for each move that was waited for");
        assert_eq!(bench.commit(P1, n, Bytes::from_static(b"frame")), CommitAnswer::Committed);
        bench.wait("a call of the listener", |_| (state.end.load(SeqCst) == n).then_some(()));
    }
    assert_eq!(other.calls.load(SeqCst), 0, "and only for its own place");

    let heard = inbound.calls.load(SeqCst);
    let second = Ear::at(bench, Topic::Inbound, P0);
    let both = ["a", "b"].map(|text| bench.record(Topic::Inbound, P0, text));
    bench.append(both.to_vec()).unwrap();
    bench.wait("a call of the listener", |_| (second.end.load(SeqCst) == 22).then_some(()));
    assert_eq!(inbound.calls.load(SeqCst), heard, "a new listener replaces the old");
}

/// Reads as the engine does: never waits in `read`, but for the listener.
fn follow(bench: &mut Bench<'_>, topic: Topic, partition: Partition, from: u64, to: u64) -> Vec<Bytes> {
    let log = bench.log.clone().unwrap();
    let (mut next, mut found) = (Offset(from), Vec::new());
    while next.0 < to {
        let chunk = bench.wait("a record for whoever follows", |_| {
            let chunk = log.read(topic, partition, next, 10_000).unwrap();
            (!chunk.records.is_empty()).then_some(chunk)
        });
        for record in chunk.records {
            assert_eq!(record.offset, next, "in order, without gaps, each once");
            next.0 += 1;
            found.push(bench.content(topic, &record));
        }
        assert!(chunk.next == next && chunk.end >= next);
    }
    found
}

pub(super) fn whoever_follows_sees_every_record_and_may_go_back(bench: &mut Bench<'_>) {
    const EACH: u64 = 30;
    let value = |n: u64| format!("{n}:{}", "f".repeat(2_000));
    for place in [(Topic::Inbound, P1), (Topic::Settings, P0), (Topic::State, P1)] {
        let thread = std::thread::current();
        bench.log().listen(place.0, place.1, Arc::new(move || thread.unpark()));
        for round in 0..3 {
            for n in round * EACH..(round + 1) * EACH {
                if place.0 == Topic::State {
                    let committed = bench.commit(place.1, n + 1, Bytes::from(value(n)));
                    assert_eq!(committed, CommitAnswer::Committed);
                } else {
                    bench.put(place.0, place.1, value(n));
                }
            }
            // From the start, from the middle, and what is new.
            for from in [0, round * EACH / 2, round * EACH] {
                let end = (round + 1) * EACH;
                let found = follow(bench, place.0, place.1, from, end);
                assert!((from..end).zip(&found).all(|(n, found)| *found == value(n)));
            }
        }
    }
}

pub(super) fn inputs_that_are_not_committed_are_read_again_at_once(bench: &mut Bench<'_>) {
    for n in 0..40 {
        bench.put(Topic::Inbound, P0, format!("{n}"));
        bench.put(Topic::Replies, P0, format!("{n}"));
    }
    for (number, (read, committed)) in (1..).zip([(12, 0), (30, 8), (40, 30), (40, 40)]) {
        for topic in [Topic::Inbound, Topic::Replies] {
            let thread = std::thread::current();
            bench.log().listen(topic, P0, Arc::new(move || thread.unpark()));
            follow(bench, topic, P0, committed, read);
        }
        let commit = Commit {
            inbound_next: Offset(committed),
            replies_next: Offset(committed),
            ..epoch(P0, number, Bytes::from_static(b"frame"))
        };
        let answers = bench.send(commit);
        assert_eq!(bench.committed(&answers), CommitAnswer::Committed);
        for topic in [Topic::Inbound, Topic::Replies] {
            for from in [committed, committed.midpoint(read), committed] {
                let chunk = bench.log().read(topic, P0, Offset(from), 100).unwrap();
                assert_eq!(chunk.records.is_empty(), from == 40, "{topic} {from} of {committed}..{read}");
            }
        }
    }
}
