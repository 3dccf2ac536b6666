//! What every log promises.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use crate::contract::log::{
    Append, AppendError, Commit, CommitAnswer, Log, RECORD_BYTES_MAX, ReadError, Record,
};

/// How long a log may take to call a listener or an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the whole suite. `make` gives a new, empty log of 4 partitions each time.
pub async fn run<L: Log>(mut make: impl FnMut() -> Arc<L>) {
    appends_are_readable_in_order_once_acknowledged(&*make()).await;
    one_call_keeps_its_order_across_places(&*make()).await;
    concurrent_appends_leave_no_gap(make()).await;
    reads_are_bounded_and_never_empty_before_the_end(&*make()).await;
    commits_are_whole_and_contiguous(&*make()).await;
    large_records_and_commits_come_back(&*make()).await;
    what_cannot_be_is_refused(&*make()).await;
    listeners_hear_of_a_moved_end(&*make()).await;
    a_floor_alone_drops_nothing_above_it(&*make()).await;
    a_dropped_future_takes_nothing_back(&*make()).await;
}

/// An append of one record.
pub fn record(topic: Topic, partition: u16, value: impl Into<Bytes>) -> Append {
    Append { topic, partition: Partition(partition), value: value.into() }
}

/// Commits and waits for the answer.
pub async fn commit(log: &dyn Log, partition: u16, number: u64, frame: impl Into<Bytes>) -> CommitAnswer {
    let (sender, answered) = tokio::sync::oneshot::channel();
    let commit = Commit {
        partition: Partition(partition),
        number: CommitNumber(number),
        inbound_next: Offset(0),
        replies_next: Offset(0),
        outputs: Arc::default(),
        frame: frame.into(),
    };
    log.commit(commit, Box::new(move |answer| drop(sender.send(answer))));
    tokio::time::timeout(PATIENCE, answered).await.expect("every commit is answered").expect("once")
}

/// Reads everything from `from` on, in pieces of `limit_bytes`.
pub fn read_all(
    log: &dyn Log,
    topic: Topic,
    partition: u16,
    from: u64,
    limit_bytes: usize,
) -> Result<Vec<Record>, ReadError> {
    let (mut all, mut next) = (Vec::new(), Offset(from));
    loop {
        let chunk = log.read(topic, Partition(partition), next, limit_bytes)?;
        if chunk.records.is_empty() {
            assert_eq!(chunk.next, next, "an empty chunk moves nobody");
            return Ok(all);
        }
        for record in chunk.records {
            assert_eq!(record.offset, next, "records come without gaps");
            next = next.next();
            all.push(record);
        }
        assert_eq!(chunk.next, next, "a chunk says where to read on");
        assert!(chunk.end >= next, "the end is not before what was read");
    }
}

async fn appends_are_readable_in_order_once_acknowledged(log: &dyn Log) {
    assert_eq!(log.partitions(), 4, "the suite asks for 4 partitions");
    for (topic, partition) in [(Topic::Inbound, 0), (Topic::Replies, 3), (Topic::Settings, 0)] {
        for n in 0..20_u64 {
            let value = format!("{topic}-{n}");
            let offsets = log.append(vec![record(topic, partition, value.clone())]).await.unwrap();
            assert_eq!(offsets, [Offset(n)], "offsets are contiguous from 0");
            let chunk = log.read(topic, Partition(partition), Offset(n), 1 << 20).unwrap();
            assert_eq!(chunk.records.len(), 1, "what was acknowledged is readable");
            assert_eq!(chunk.records[0].value, value, "as it was written");
        }
        assert_eq!(log.range(topic, Partition(partition)).unwrap(), (Offset(0), Offset(20)));
        assert_eq!(read_all(log, topic, partition, 0, 7).unwrap().len(), 20);
    }
    assert_eq!(log.range(Topic::Inbound, Partition(1)).unwrap(), (Offset(0), Offset(0)));
    assert_eq!(log.append(Vec::new()).await.unwrap(), [], "no records are no work");
}

async fn one_call_keeps_its_order_across_places(log: &dyn Log) {
    let records = (0..30_u16).map(|n| record(Topic::Inbound, n % 3, n.to_string())).collect();
    let offsets = log.append(records).await.unwrap();
    let expected: Vec<Offset> = (0..30).map(|n| Offset(n / 3)).collect();
    assert_eq!(offsets, expected, "one offset per record, in the order of the call");
    for partition in 0..3_u16 {
        let found = read_all(log, Topic::Inbound, partition, 0, 1 << 20).unwrap();
        let values: Vec<_> = found.iter().map(|record| record.value.clone()).collect();
        let expected: Vec<_> = (0..10_u16).map(|n| Bytes::from((n * 3 + partition).to_string())).collect();
        assert_eq!(values, expected, "order within a partition is the order of the call");
    }
}

async fn concurrent_appends_leave_no_gap<L: Log>(log: Arc<L>) {
    let tasks = (0..16_u16).map(|task| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for n in 0..25 {
                let value = format!("{task}-{n}");
                let offsets =
                    log.append(vec![record(Topic::Inbound, task % 2, value.clone())]).await.unwrap();
                mine.push((task % 2, offsets[0], value));
            }
            mine
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut told = Vec::new();
    for task in tasks {
        told.extend(task.await.unwrap());
    }
    for partition in 0..2 {
        let found = read_all(&*log, Topic::Inbound, partition, 0, 300).unwrap();
        assert_eq!(found.len(), 200, "every acknowledged record is there once");
    }
    for (partition, offset, value) in told {
        let chunk = log.read(Topic::Inbound, Partition(partition), offset, 1).unwrap();
        assert_eq!(chunk.records[0].value, value, "at the offset its caller was told");
    }
}

async fn reads_are_bounded_and_never_empty_before_the_end(log: &dyn Log) {
    let records = (0..10).map(|_| record(Topic::Replies, 1, vec![7; 1_000])).collect();
    log.append(records).await.unwrap();
    let read = |from, limit| log.read(Topic::Replies, Partition(1), Offset(from), limit).unwrap();
    assert_eq!(read(0, 0).records.len(), 1, "at least one record, whatever the limit");
    assert_eq!(read(0, 3_500).records.len(), 3, "whole records up to the limit");
    assert_eq!(read(8, 1 << 20).records.len(), 2);
    let chunk = read(10, 1 << 20);
    assert!(chunk.records.is_empty() && chunk.next == Offset(10), "an empty chunk at the end");
    assert!(read(99, 1).records.is_empty(), "and beyond it");
}

async fn commits_are_whole_and_contiguous(log: &dyn Log) {
    for number in 1..=5_u64 {
        let answer = commit(log, 2, number, format!("frame {number}")).await;
        assert_eq!(answer, CommitAnswer::Committed);
    }
    for wrong in [0, 5, 7] {
        let answer = commit(log, 2, wrong, "wrong").await;
        assert!(matches!(answer, CommitAnswer::Aborted(_)), "commit {wrong} after 5 is aborted: {answer:?}");
    }
    assert_eq!(commit(log, 2, 6, "").await, CommitAnswer::Committed, "an empty commit counts");
    assert_eq!(commit(log, 1, 1, "other").await, CommitAnswer::Committed, "partitions count on their own");
    let frames = read_all(log, Topic::State, 2, 0, 10).unwrap();
    assert_eq!(frames.len(), 6, "frame number n lies at offset n - 1, refused ones nowhere");
    assert_eq!(frames[3].value, "frame 4");
    assert_eq!(frames[5].value, "");
    assert_eq!(log.range(Topic::State, Partition(2)).unwrap(), (Offset(0), Offset(6)));
}

async fn large_records_and_commits_come_back(log: &dyn Log) {
    let pattern = |bytes: usize, salt: usize| -> Bytes {
        (0..bytes).map(|at| ((at * 31 + at / 4_096 + salt) % 251) as u8).collect::<Vec<_>>().into()
    };
    let record_bytes = pattern(RECORD_BYTES_MAX, 1);
    log.append(vec![record(Topic::Inbound, 0, record_bytes.clone())]).await.unwrap();
    for (number, bytes) in [(1, 1 << 20), (2, (1 << 20) + 1), (3, 9 << 20)] {
        let frame = pattern(bytes, bytes);
        assert_eq!(commit(log, 0, number, frame.clone()).await, CommitAnswer::Committed);
        let chunk = log.read(Topic::State, Partition(0), Offset(number - 1), 1).unwrap();
        assert!(chunk.records[0].value == frame, "a commit of {bytes} bytes comes back whole");
    }
    let chunk = log.read(Topic::Inbound, Partition(0), Offset(0), 1).unwrap();
    assert!(chunk.records[0].value == record_bytes, "the largest record comes back");
}

async fn what_cannot_be_is_refused(log: &dyn Log) {
    let large = record(Topic::Inbound, 0, vec![0; RECORD_BYTES_MAX + 1]);
    let refused = log.append(vec![record(Topic::Inbound, 0, "a"), large]).await;
    assert_eq!(refused, Err(AppendError::TooLarge { bytes: RECORD_BYTES_MAX + 1 }));
    assert!(log.append(vec![record(Topic::Inbound, 4, "x")]).await.is_err(), "no such partition");
    assert!(log.append(vec![record(Topic::Settings, 1, "x")]).await.is_err(), "settings has one partition");
    assert!(log.append(vec![record(Topic::State, 0, "x")]).await.is_err(), "only commits write state");
    assert_eq!(log.range(Topic::Inbound, Partition(0)).unwrap().1, Offset(0), "nothing of them was written");
    assert!(matches!(commit(log, 4, 1, "x").await, CommitAnswer::Aborted(_)));
    let unread = log.read(Topic::Inbound, Partition(4), Offset(0), 1);
    assert!(matches!(unread, Err(ReadError::Unavailable(_))), "no such partition: {unread:?}");
    assert_eq!(log.health().failed, None, "a caller's mistake does not end the log");
}

async fn listeners_hear_of_a_moved_end(log: &dyn Log) {
    let heard = Arc::new(tokio::sync::Notify::new());
    let replaced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&replaced);
    log.listen(Topic::Inbound, Partition(1), Arc::new(move || count.store(1, Ordering::Relaxed)));
    for (topic, partition) in [(Topic::Inbound, 1_u16), (Topic::State, 2)] {
        let heard = Arc::clone(&heard);
        log.listen(topic, Partition(partition), Arc::new(move || heard.notify_one()));
    }
    log.append(vec![record(Topic::Inbound, 1, "a")]).await.unwrap();
    tokio::time::timeout(PATIENCE, heard.notified()).await.expect("an append is heard of");
    commit(log, 2, 1, "frame").await;
    tokio::time::timeout(PATIENCE, heard.notified()).await.expect("a commit is heard of");
    assert_eq!(replaced.load(Ordering::Relaxed), 0, "a new listener replaces the old one");
}

async fn a_floor_alone_drops_nothing_above_it(log: &dyn Log) {
    let records = (0..10).map(|n| record(Topic::Inbound, 0, n.to_string())).collect();
    log.append(records).await.unwrap();
    log.set_floor(Topic::Inbound, Partition(0), Offset(6));
    let (first, next) = log.range(Topic::Inbound, Partition(0)).unwrap();
    assert!(first <= Offset(6) && next == Offset(10), "{first}..{next}");
    assert_eq!(read_all(log, Topic::Inbound, 0, 6, 1 << 20).unwrap().len(), 4);
}

async fn a_dropped_future_takes_nothing_back(log: &dyn Log) {
    drop(log.append(vec![record(Topic::Replies, 0, "kept")]));
    let offsets = log.append(vec![record(Topic::Replies, 0, "next")]).await.unwrap();
    assert_eq!(offsets, [Offset(1)], "the record of the dropped future is there, before later ones");
    assert_eq!(read_all(log, Topic::Replies, 0, 0, 1 << 20).unwrap()[0].value, "kept");
}
