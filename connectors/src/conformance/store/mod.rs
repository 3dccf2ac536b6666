//! What every record store promises: [`RecordWriter`] and [`RecordReader`] of the same store.

mod histories;
mod lists;
mod rows;
pub mod shared;
mod sizes;
pub mod tenants;
mod writes;

use std::sync::Arc;

use leadline_schemas::delivery::DeliveryStatus;
use leadline_schemas::frame::Output;
use leadline_schemas::request::RequestStatus;
use leadline_schemas::window::WindowKind;
use leadline_schemas::{CommitNumber, Partition, Topic};

use crate::contract::store::{Batch, Page, RecordReader, RecordWriter, StoreError};

/// Both sides of an open store.
pub type OpenStore = (Box<dyn RecordWriter>, Arc<dyn RecordReader>);

/// One store, started and restarted by the suite.
pub trait StoreUnderTest {
    /// Opens the store. Called again after everything of the one before was dropped, as after a stop of the process:
    /// all that was written must be there then.
    fn start(&mut self) -> OpenStore;
}

/// A promise, as a function that panics when it is broken.
type Part = fn(&mut dyn StoreUnderTest);

/// Runs the suite; each part gets an empty store of its own.
pub fn suite(fresh: &dyn Fn() -> Box<dyn StoreUnderTest>) {
    let parts = writes::PARTS.iter().chain(lists::PARTS).chain(histories::PARTS).chain(sizes::PARTS);
    for part in parts {
        part(fresh().as_mut());
    }
}

const P0: Partition = Partition(0);

/// A call as the dataflow emits it, with a note of so many bytes.
pub fn a_call(owner: &str, number: u64, aliases: &[String], bytes: usize) -> Output {
    let mut call = rows::call(owner, number, Some("warm"));
    call.aliases = aliases.to_vec();
    call.note = Some("n".repeat(bytes));
    rows::call_row(&call)
}

/// A record of every topic that a store keeps, and a dead letter that has ended again.
pub fn one_of_each(owner: &str, number: u64) -> Vec<Output> {
    let (subject, letter) = (format!("CAL{number}"), rows::dead_letter(Some(owner), number + 500));
    vec![
        rows::request_row(&rows::request(owner, number, RequestStatus::Done)),
        a_call(owner, number, &[format!("alias-{number}")], 100),
        rows::lead_row(&rows::lead(owner, number, "warm", "open")),
        rows::lead_event_row(&rows::lead_event(owner, number, 1)),
        rows::lead_event_row(&rows::lead_event(owner, number, 2)),
        rows::delivery_row(&rows::delivery(owner, &subject, DeliveryStatus::Done)),
        rows::window_row(&rows::window(owner, WindowKind::Hour, 3_600_000 * number as i64, 0)),
        rows::audit_row(&rows::audit_line(owner, number)),
        rows::dead_letter_row(&rows::dead_letter(None, number)),
        rows::dead_letter_row(&letter),
        rows::tombstone(Topic::DeadLetters, letter.id.to_string()),
    ]
}

/// The commits behind `from` of a partition, one for each list of outputs.
fn batch_of(partition: Partition, from: u64, commits: Vec<Vec<Output>>) -> Batch {
    let to = from + commits.len() as u64;
    let numbered =
        (from + 1..).zip(commits).map(|(number, outputs)| (CommitNumber(number), Arc::new(outputs)));
    let commits = numbered.collect();
    Batch { generation: 1, partition, from: CommitNumber(from), to: CommitNumber(to), commits }
}

fn batch(from: u64, commits: Vec<Vec<Output>>) -> Batch {
    batch_of(P0, from, commits)
}

/// Writes one commit behind `from`.
fn write(writer: &mut dyn RecordWriter, from: u64, outputs: Vec<Output>) {
    writer.write(&[batch(from, vec![outputs])]).unwrap();
}

fn whole() -> Page {
    Page { limit: 200, ..Page::default() }
}

fn refused_as_behind(result: Result<(), StoreError>, at: (Partition, u64, u64)) {
    let (partition, progress, from) = at;
    let behind = StoreError::Behind { partition, progress: CommitNumber(progress), from: CommitNumber(from) };
    assert_eq!(result, Err(behind), "a gap is refused, with the place from which to read again");
}
