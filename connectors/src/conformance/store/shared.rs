//! What a store promises that is reached over a network, and that several processes write: answers are lost, writes
//! are refused half-way, and nobody is alone.

use leadline_schemas::frame::Output;
use leadline_schemas::request::RequestStatus;
use leadline_schemas::{CommitNumber, Partition};

use super::rows::{request, request_row, tenant};
use super::{P0, StoreUnderTest, batch, batch_of, whole};
use crate::contract::store::{RecordReader, RecordWriter};

/// What goes wrong with the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is written, and the answer never comes.
    LostAnswer,
    /// It is refused, and nothing of it written.
    Refused,
    /// A first part of it is written, the rest refused; where a write is one request it is [`Fault::Refused`].
    RefusedInTheMiddle,
}

/// One store, started by the suite, that others write too.
pub trait SharedStoreUnderTest: StoreUnderTest {
    /// A writer of another process.
    fn other_writer(&mut self) -> Box<dyn RecordWriter>;
    /// Makes the next write of anybody go wrong.
    fn fail_next(&mut self, fault: Fault);
}

/// A promise, as a function that panics when it is broken.
type Part = fn(&mut dyn SharedStoreUnderTest);

const PARTS: &[Part] = &[
    a_write_that_went_wrong_is_tried_again_and_takes_effect_once,
    a_zombie_of_the_same_commits_changes_nothing,
    partitions_that_are_written_at_the_same_time_lose_nothing,
];

/// Runs the suite; each part gets an empty store of its own.
pub fn suite(fresh: &dyn Fn() -> Box<dyn SharedStoreUnderTest>) {
    for part in PARTS {
        part(fresh().as_mut());
    }
}

const SUMMIT: &str = "summit";

fn rows(numbers: std::ops::Range<u64>, status: RequestStatus) -> Vec<Output> {
    numbers.map(|number| request_row(&request(SUMMIT, number, status))).collect()
}

/// How many requests are there, all of one status.
fn count(reader: &dyn RecordReader, status: RequestStatus) -> usize {
    let (mut count, mut page) = (0, whole());
    loop {
        let listed = reader.requests(&tenant(SUMMIT), &page).unwrap();
        assert!(listed.items.iter().all(|request| request.status == status), "{:?}", listed.items);
        count += listed.items.len();
        match listed.next_cursor {
            Some(next) => page.cursor = Some(next),
            None => return count,
        }
    }
}

fn a_write_that_went_wrong_is_tried_again_and_takes_effect_once(store: &mut dyn SharedStoreUnderTest) {
    let (mut writer, reader) = store.start();
    let mut from = 0;
    for fault in [Fault::LostAnswer, Fault::Refused, Fault::RefusedInTheMiddle] {
        let ids = 10_000 * from..10_000 * from + 1_500;
        let commits = |status| {
            vec![rows(ids.start..ids.start + 1_200, status), rows(ids.start + 1_200..ids.end, status)]
        };
        store.fail_next(fault);
        // As the engine does it: the same batch, until it is taken. A client may have done that by itself.
        let mut tries = 1;
        while writer.write(&[batch(from, commits(RequestStatus::Done))]).is_err() {
            tries += 1;
            assert!(tries < 10, "{fault:?}: it is never taken");
        }
        assert!(tries > 1 || fault == Fault::LostAnswer, "{fault:?} did not happen");
        from += 2;
        assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(from), "{fault:?}");
        writer.write(&[batch(from - 2, commits(RequestStatus::Failed))]).unwrap();
        let expected = 1_500 * usize::try_from(from / 2).unwrap();
        assert_eq!(count(&*reader, RequestStatus::Done), expected, "{fault:?}");
    }
}

fn a_zombie_of_the_same_commits_changes_nothing(store: &mut dyn SharedStoreUnderTest) {
    let (mut owner, reader) = store.start();
    let mut zombie = store.other_writer();
    assert_eq!(zombie.progress(1, P0).unwrap(), CommitNumber(0));
    owner
        .write(&[batch(0, vec![rows(0..10, RequestStatus::Done), rows(10..20, RequestStatus::Done)])])
        .unwrap();
    // What it knows of the store is old.
    zombie.write(&[batch(0, vec![rows(0..10, RequestStatus::Done)])]).unwrap();
    zombie.write(&[batch(1, vec![rows(10..20, RequestStatus::Done)])]).unwrap();
    assert_eq!(zombie.progress(1, P0).unwrap(), CommitNumber(2));
    owner.write(&[batch(2, vec![rows(20..30, RequestStatus::Done)])]).unwrap();
    assert_eq!(count(&*reader, RequestStatus::Done), 30);
    super::refused_as_behind(zombie.write(&[batch(7, vec![rows(30..31, RequestStatus::Done)])]), (P0, 3, 7));
}

fn partitions_that_are_written_at_the_same_time_lose_nothing(store: &mut dyn SharedStoreUnderTest) {
    let (first, reader) = store.start();
    let mut writers = vec![first];
    writers.extend((0..3).map(|_| store.other_writer()));
    std::thread::scope(|scope| {
        for (partition, writer) in (0_u16..).zip(&mut writers) {
            scope.spawn(move || {
                for commit in 0..20_u64 {
                    let start = u64::from(partition) * 1_000 + commit * 5;
                    let rows = rows(start..start + 5, RequestStatus::Done);
                    // The tenant is the same for all.
                    writer.write(&[batch_of(Partition(partition), commit, vec![rows])]).unwrap();
                }
            });
        }
    });
    for (partition, writer) in (0..).zip(&mut writers) {
        assert_eq!(writer.progress(1, Partition(partition)).unwrap(), CommitNumber(20));
    }
    assert_eq!(count(&*reader, RequestStatus::Done), 400);
}
