use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::frame::Output;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::{CommitNumber, EventId, Millis, Partition, TenantId, Topic, avro};

use super::*;
use crate::contract::store::{Batch, Page, RecordReader, RecordWriter, StoreError};

fn request(tenant: &str, n: u64, status: RequestStatus) -> Output {
    let request = Request {
        tenant: TenantId::new(tenant).unwrap(),
        request_id: EventId::of(&[&n.to_be_bytes()]),
        origin: Origin::Direct,
        kind: EventKind::PostCall,
        status,
        reason: None,
        call_id: None,
        lead_id: None,
        received_at: Millis(1_000 + (n / 3) as i64),
        updated_at: Millis(5_000),
    };
    let key = Bytes::from(format!("{tenant}-{n}"));
    Output { topic: Topic::Requests, key, value: Bytes::from(avro::encode(&request).unwrap()) }
}

fn batch(from: u64, commits: Vec<Vec<Output>>) -> Batch {
    let to = from + commits.len() as u64;
    let numbered = (from + 1..).zip(commits).map(|(n, outputs)| (CommitNumber(n), Arc::new(outputs)));
    let (from, to) = (CommitNumber(from), CommitNumber(to));
    Batch { generation: 1, partition: Partition(0), from, to, commits: numbered.collect() }
}

fn open() -> (tempfile::TempDir, SqliteWriter, SqliteReader) {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("records.db"));
    let writer = SqliteWriter::open(config.clone()).unwrap();
    let reader = SqliteReader::open(config).unwrap();
    (folder, writer, reader)
}

#[test]
fn replayed_and_overlapping_batches_change_nothing_and_gaps_are_refused() {
    let (_folder, mut writer, reader) = open();
    let tenant = TenantId::new("summit").unwrap();
    let commits = |status| vec![vec![request("summit", 1, status)], vec![request("summit", 2, status)]];
    writer.write(&[batch(0, commits(RequestStatus::Done))]).unwrap();
    // A zombie writes the same commits with something else in them.
    writer.write(&[batch(0, commits(RequestStatus::Failed))]).unwrap();
    let page = Page { limit: 10, status: Some("done".to_owned()), ..Page::default() };
    assert_eq!(reader.requests(&tenant, &page).unwrap().items.len(), 2);
    let gap = writer.write(&[batch(3, vec![vec![request("summit", 9, RequestStatus::Done)]])]);
    assert!(matches!(gap, Err(StoreError::Behind { progress: CommitNumber(2), .. })), "{gap:?}");
    assert_eq!(writer.progress(1, Partition(0)).unwrap(), CommitNumber(2));
}

#[test]
fn pages_are_whole_and_stable_while_rows_are_inserted_and_tenants_are_apart() {
    let (_folder, mut writer, reader) = open();
    let rows = (0..100)
        .map(|n| vec![request("summit", n, RequestStatus::Done), request("other", n, RequestStatus::Done)]);
    writer.write(&[batch(0, rows.collect())]).unwrap();
    let tenant = TenantId::new("summit").unwrap();
    let (mut seen, mut page) = (Vec::new(), Page { limit: 7, ..Page::default() });
    for inserted in 1_000.. {
        let listed = reader.requests(&tenant, &page).unwrap();
        seen.extend(listed.items.iter().map(|request| request.request_id));
        writer
            .write(&[batch(inserted - 900, vec![vec![request("summit", inserted, RequestStatus::Done)]])])
            .unwrap();
        let Some(next) = listed.next_cursor else { break };
        page.cursor = Some(next);
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(
        (seen.len(), unique.len()),
        (100, 100),
        "each of the first hundred once, the inserted ones not"
    );
    let nobody = TenantId::new("nobody").unwrap();
    assert!(reader.requests(&nobody, &Page { limit: 5, ..Page::default() }).unwrap().items.is_empty());
}
