//! Progress, replays, and what a row becomes.

use std::slice::from_ref;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use leadline_schemas::delivery::DeliveryStatus;
use leadline_schemas::frame::Output;
use leadline_schemas::request::RequestStatus;
use leadline_schemas::window::WindowKind;
use leadline_schemas::{CommitNumber, Millis, Partition, Topic};

use super::rows::*;
use super::{P0, Part, StoreUnderTest, batch, batch_of, refused_as_behind, whole, write};
use crate::contract::store::{RecordReader, StoreError};

pub(super) const PARTS: &[Part] = &[
    an_empty_store_has_nothing_and_no_progress,
    every_record_comes_back_as_it_was_written_after_a_restart_too,
    what_was_written_before_changes_nothing,
    a_batch_that_overlaps_adds_only_what_is_new,
    a_gap_is_refused_and_nothing_of_any_batch_written,
    partitions_and_generations_progress_by_themselves,
    several_batches_of_one_partition_follow_each_other,
    commits_without_rows_move_progress,
    the_newest_row_of_a_key_wins,
    a_row_that_cannot_be_read_is_refused_with_all_that_came_with_it,
    an_alias_leads_to_the_call_and_a_moved_alias_to_the_newer,
    a_tombstone_ends_a_dead_letter_and_nothing_else,
    tenants_never_see_each_other,
    readers_see_whole_transactions,
];

const SUMMIT: &str = "summit";

fn an_empty_store_has_nothing_and_no_progress(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let nobody = tenant("nobody");
    assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(0));
    assert!(reader.requests(&nobody, &whole()).unwrap().items.is_empty());
    assert!(reader.calls(&nobody, &whole()).unwrap().items.is_empty());
    assert!(reader.leads(&nobody, &whole()).unwrap().items.is_empty());
    assert!(reader.deliveries(&nobody, &whole()).unwrap().items.is_empty());
    assert!(reader.dead_letters(None, &whole()).unwrap().items.is_empty());
    assert!(reader.dead_letters(Some(&nobody), &whole()).unwrap().items.is_empty());
    assert!(reader.windows(&nobody, WindowKind::Day, Millis(i64::MIN), Millis(i64::MAX)).unwrap().is_empty());
    for id in ["", "CAL1", "00000000-0000-0000-0000-000000000000", "☎", "' OR 1=1 --"] {
        assert_eq!(reader.request(&nobody, id).unwrap(), None);
        assert_eq!(reader.call(&nobody, id).unwrap(), None);
        assert_eq!(reader.lead(&nobody, id).unwrap(), None);
        assert!(reader.lead_events(&nobody, id).unwrap().is_empty());
    }
    reader.ping().unwrap();
    writer.write(&[]).unwrap();
}

fn every_record_comes_back_as_it_was_written_after_a_restart_too(store: &mut dyn StoreUnderTest) {
    let (request, call) = (request(SUMMIT, 1, RequestStatus::Processing), call(SUMMIT, 1, Some("hot")));
    let (lead, line) = (lead(SUMMIT, 1, "hot", "open"), lead_event(SUMMIT, 1, 1));
    let windows = [window(SUMMIT, WindowKind::Hour, 0, 0), window(SUMMIT, WindowKind::Hour, 0, 1)];
    let delivery = delivery(SUMMIT, "lead-1", DeliveryStatus::Sending);
    let (letter, of_nobody) = (dead_letter(Some(SUMMIT), 1), dead_letter(None, 2));
    let (mut writer, reader) = store.start();
    let mut outputs = vec![request_row(&request), call_row(&call), lead_row(&lead), lead_event_row(&line)];
    outputs.extend(windows.iter().map(window_row));
    outputs.extend([delivery_row(&delivery), audit_row(&audit_line(SUMMIT, 1))]);
    outputs.extend([dead_letter_row(&letter), dead_letter_row(&of_nobody)]);
    // The engine's own topics are no rows here, whatever they hold.
    outputs.push(Output {
        topic: Topic::State,
        key: Bytes::from_static(b"k"),
        value: Bytes::from_static(b"v"),
    });
    write(&mut *writer, 0, outputs);

    let check = |reader: &dyn RecordReader| {
        let owner = tenant(SUMMIT);
        assert_eq!(reader.request(&owner, &request.request_id.to_string()).unwrap().as_ref(), Some(&request));
        assert_eq!(reader.requests(&owner, &whole()).unwrap().items, from_ref(&request));
        assert_eq!(reader.call(&owner, "CAL1").unwrap().as_ref(), Some(&call));
        assert_eq!(reader.calls(&owner, &whole()).unwrap().items, from_ref(&call));
        assert_eq!(reader.lead(&owner, &lead.lead_id.to_string()).unwrap().as_ref(), Some(&lead));
        assert_eq!(reader.leads(&owner, &whole()).unwrap().items, from_ref(&lead));
        assert_eq!(reader.lead_events(&owner, &lead.lead_id.to_string()).unwrap(), from_ref(&line));
        assert_eq!(reader.windows(&owner, WindowKind::Hour, Millis(0), Millis(1)).unwrap(), windows);
        assert_eq!(reader.deliveries(&owner, &whole()).unwrap().items, from_ref(&delivery));
        assert_eq!(reader.delivery(&owner, "crm", "lead-1").unwrap().as_ref(), Some(&delivery));
        assert_eq!(reader.delivery(&owner, "lead-1", "crm").unwrap(), None);
        assert_eq!(reader.dead_letters(Some(&owner), &whole()).unwrap().items, from_ref(&letter));
        assert_eq!(reader.dead_letters(None, &whole()).unwrap().items, from_ref(&of_nobody));
        reader.ping().unwrap();
    };
    check(&*reader);
    drop((writer, reader));
    let (mut writer, reader) = store.start();
    check(&*reader);
    assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(1), "progress is kept with the rows");
}

fn statuses(reader: &dyn RecordReader, numbers: &[u64]) -> Vec<Option<RequestStatus>> {
    let of = |number: &u64| {
        let id = request(SUMMIT, *number, RequestStatus::Done).request_id.to_string();
        reader.request(&tenant(SUMMIT), &id).unwrap().map(|request| request.status)
    };
    numbers.iter().map(of).collect()
}

fn row(number: u64, status: RequestStatus) -> Vec<Output> {
    vec![request_row(&request(SUMMIT, number, status))]
}

use RequestStatus::{Done, Duplicate, Failed};

fn what_was_written_before_changes_nothing(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    writer.write(&[batch(0, vec![row(1, Done), row(2, Done)])]).unwrap();
    // A zombie writes the same commits with something else in them.
    writer.write(&[batch(0, vec![row(1, Failed), row(2, Failed)])]).unwrap();
    writer.write(&[batch(0, vec![row(1, Failed)])]).unwrap();
    writer.write(&[batch(1, vec![row(2, Failed)])]).unwrap();
    assert_eq!(statuses(&*reader, &[1, 2]), [Some(Done), Some(Done)]);
    assert_eq!(
        writer.progress(1, P0).unwrap(),
        CommitNumber(2),
        "a shorter replay does not move progress back"
    );
}

fn a_batch_that_overlaps_adds_only_what_is_new(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    writer.write(&[batch(0, vec![row(1, Done), row(2, Done)])]).unwrap();
    writer.write(&[batch(1, vec![row(2, Failed), row(3, Failed)])]).unwrap();
    assert_eq!(statuses(&*reader, &[1, 2, 3]), [Some(Done), Some(Done), Some(Failed)]);
    assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(3));
}

fn a_gap_is_refused_and_nothing_of_any_batch_written(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    write(&mut *writer, 0, row(1, Done));
    refused_as_behind(writer.write(&[batch(2, vec![row(2, Done)])]), (P0, 1, 2));
    let good = batch_of(Partition(1), 0, vec![row(3, Done)]);
    let gap = batch_of(Partition(2), 5, vec![row(4, Done)]);
    for batches in [[good.clone(), gap.clone()], [gap, good]] {
        refused_as_behind(writer.write(&batches), (Partition(2), 0, 5));
        assert_eq!(statuses(&*reader, &[2, 3, 4]), [None; 3], "nothing of any batch");
        assert_eq!(writer.progress(1, Partition(1)).unwrap(), CommitNumber(0));
    }
    write(&mut *writer, 1, row(2, Done));
    assert_eq!(statuses(&*reader, &[2]), [Some(Done)], "and it goes on from its progress");
}

fn partitions_and_generations_progress_by_themselves(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    writer.write(&[batch_of(Partition(7), 0, vec![row(1, Done)]), batch(0, vec![row(2, Done)])]).unwrap();
    let mut next = batch(0, vec![row(2, Failed), row(3, Failed)]);
    next.generation = 2;
    writer.write(&[next]).unwrap();
    let progress = [(1, 7), (1, 0), (2, 0), (2, 7), (3, 0)]
        .map(|(generation, partition)| writer.progress(generation, Partition(partition)).unwrap().0);
    assert_eq!(progress, [1, 1, 2, 0, 0]);
    assert_eq!(statuses(&*reader, &[1, 2, 3]), [Some(Done), Some(Failed), Some(Failed)]);
}

fn several_batches_of_one_partition_follow_each_other(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    writer.write(&[batch(0, vec![row(1, Done)]), batch(1, vec![row(1, Duplicate), row(2, Done)])]).unwrap();
    assert_eq!(statuses(&*reader, &[1, 2]), [Some(Duplicate), Some(Done)]);
    assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(3));
}

fn commits_without_rows_move_progress(store: &mut dyn StoreUnderTest) {
    let (mut writer, _reader) = store.start();
    writer.write(&[batch(0, vec![vec![], vec![], vec![]])]).unwrap();
    assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(3));
    // What a catch-up from the state store looks like: commits 4 to 9 as one.
    let mut whole_state = batch(3, vec![row(1, Done)]);
    whole_state.to = CommitNumber(9);
    whole_state.commits[0].0 = CommitNumber(9);
    writer.write(&[whole_state]).unwrap();
    assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(9));
}

fn the_newest_row_of_a_key_wins(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let mut lead = lead(SUMMIT, 1, "cold", "open");
    let mut revised = window(SUMMIT, WindowKind::Day, 0, 0);
    let mut delivery = delivery(SUMMIT, "lead-1", DeliveryStatus::Sending);
    for round in 0..3 {
        let mut commits = Vec::new();
        // Once within a commit, once over the commits of a batch, once over batches.
        for _ in 0..2 {
            let mut outputs = Vec::new();
            for _ in 0..2 {
                (lead.revision, revised.revision, delivery.revision) =
                    (lead.revision + 1, revised.revision + 1, delivery.revision + 1);
                outputs.extend([lead_row(&lead), window_row(&revised), delivery_row(&delivery)]);
            }
            commits.push(outputs);
        }
        writer.write(&[batch(2 * round, commits)]).unwrap();
        assert_eq!(reader.leads(&owner, &whole()).unwrap().items, from_ref(&lead));
        assert_eq!(reader.deliveries(&owner, &whole()).unwrap().items, from_ref(&delivery));
        let windows = reader.windows(&owner, WindowKind::Day, Millis(0), Millis(1)).unwrap();
        assert_eq!(windows, from_ref(&revised));
    }
}

fn a_row_that_cannot_be_read_is_refused_with_all_that_came_with_it(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let whole_row = call_row(&call(SUMMIT, 9, None));
    for bad in [&b"\xc3"[..], b"no Avro at all", &whole_row.value[..whole_row.value.len() - 1]] {
        let bad = Output { value: Bytes::copy_from_slice(bad), ..whole_row.clone() };
        let refused = writer.write(&[batch(0, vec![row(1, Done), vec![bad]])]);
        assert!(matches!(refused, Err(StoreError::Damaged(_) | StoreError::Unavailable(_))), "{refused:?}");
        assert_eq!(statuses(&*reader, &[1]), [None]);
        assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(0));
    }
}

fn an_alias_leads_to_the_call_and_a_moved_alias_to_the_newer(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let (mut old, mut new) = (call(SUMMIT, 1, None), call(SUMMIT, 2, None));
    old.aliases = vec!["766970532".to_owned()];
    new.aliases = vec!["766970532".to_owned(), "99999999999999999999999".to_owned()];
    write(&mut *writer, 0, vec![call_row(&old)]);
    assert_eq!(reader.call(&owner, "766970532").unwrap(), Some(old.clone()));
    write(&mut *writer, 1, vec![call_row(&new)]);
    for alias in ["766970532", "99999999999999999999999", "CAL2"] {
        assert_eq!(reader.call(&owner, alias).unwrap().as_ref(), Some(&new), "{alias}");
    }
    assert_eq!(reader.call(&owner, "CAL1").unwrap(), Some(old));
    assert_eq!(reader.call(&tenant("other"), "766970532").unwrap(), None);
}

fn a_tombstone_ends_a_dead_letter_and_nothing_else(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let letters = [dead_letter(Some(SUMMIT), 1), dead_letter(None, 2), dead_letter(Some(SUMMIT), 3)];
    let call = call(SUMMIT, 1, None);
    let mut outputs: Vec<Output> = letters.iter().map(dead_letter_row).collect();
    outputs.push(call_row(&call));
    write(&mut *writer, 0, outputs);
    let ended = vec![
        tombstone(Topic::DeadLetters, letters[0].id.to_string()),
        tombstone(Topic::DeadLetters, letters[1].id.to_string()),
        tombstone(Topic::DeadLetters, "no id".to_owned()),
        tombstone(Topic::Calls, format!("{SUMMIT} CAL1")),
    ];
    write(&mut *writer, 1, ended);
    assert_eq!(reader.dead_letters(Some(&tenant(SUMMIT)), &whole()).unwrap().items, from_ref(&letters[2]));
    assert!(reader.dead_letters(None, &whole()).unwrap().items.is_empty());
    assert_eq!(reader.call(&tenant(SUMMIT), "CAL1").unwrap(), Some(call));
    write(&mut *writer, 2, vec![dead_letter_row(&letters[0])]);
    let listed = reader.dead_letters(Some(&tenant(SUMMIT)), &whole()).unwrap().items;
    assert_eq!(listed.len(), 2, "what fails again has a letter again");
}

fn tenants_never_see_each_other(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    // Names that begin alike, so that a range that is too wide shows.
    let names = ["a", "a-", "a-b", "ab", "b"];
    let mut outputs = Vec::new();
    for name in names {
        outputs.extend([
            request_row(&request(name, 1, Done)),
            call_row(&call(name, 1, Some("hot"))),
            lead_row(&lead(name, 1, "hot", "open")),
            lead_event_row(&lead_event(name, 1, 1)),
            window_row(&window(name, WindowKind::Minute, 0, 0)),
            delivery_row(&delivery(name, "lead-1", DeliveryStatus::Done)),
            dead_letter_row(&dead_letter(Some(name), name.len() as u64 + u64::from(name.as_bytes()[0]))),
        ]);
    }
    write(&mut *writer, 0, outputs);
    for name in names {
        let owner = tenant(name);
        let id = lead_id(1).to_string();
        let owners = [
            reader.requests(&owner, &whole()).unwrap().items.into_iter().map(|row| row.tenant).collect(),
            reader.calls(&owner, &whole()).unwrap().items.into_iter().map(|row| row.tenant).collect(),
            reader.call(&owner, "CAL1").unwrap().into_iter().map(|row| row.tenant).collect(),
            reader.leads(&owner, &whole()).unwrap().items.into_iter().map(|row| row.tenant).collect(),
            reader.lead(&owner, &id).unwrap().into_iter().map(|row| row.tenant).collect(),
            reader.lead_events(&owner, &id).unwrap().into_iter().map(|row| row.tenant).collect(),
            reader.deliveries(&owner, &whole()).unwrap().items.into_iter().map(|row| row.tenant).collect(),
            reader.delivery(&owner, "crm", "lead-1").unwrap().into_iter().map(|row| row.tenant).collect(),
            reader
                .windows(&owner, WindowKind::Minute, Millis(0), Millis(1))
                .unwrap()
                .into_iter()
                .map(|row| row.tenant)
                .collect::<Vec<_>>(),
        ];
        assert_eq!(owners, [const { Vec::new() }; 9].map(|_: Vec<()>| vec![owner.clone()]), "{name}");
        let letters = reader.dead_letters(Some(&owner), &whole()).unwrap().items;
        assert!(letters.iter().all(|letter| letter.tenant.as_ref() == Some(&owner)), "{name}");
    }
}

fn readers_see_whole_transactions(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let (owner, done) = (tenant(SUMMIT), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..100_u64 {
                let revision = number as i64 + 1;
                let mut rows = Vec::new();
                for subject in 0..20 {
                    let mut line = delivery(SUMMIT, &subject.to_string(), DeliveryStatus::Done);
                    line.revision = revision;
                    rows.push(delivery_row(&line));
                }
                write(&mut *writer, number, rows);
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let seen = reader.deliveries(&owner, &whole()).unwrap().items;
            assert!(seen.is_empty() || seen.len() == 20, "half a transaction: {} rows", seen.len());
            assert!(seen.iter().all(|line| line.revision == seen[0].revision), "a torn list");
        }
    });
}
