//! What is large, long, many, or not ASCII comes back as it was written.

use std::slice::from_ref;

use leadline_schemas::delivery::DeliveryStatus;
use leadline_schemas::request::RequestStatus;
use leadline_schemas::{CommitNumber, Millis};

use super::rows::*;
use super::{P0, Part, StoreUnderTest, a_call, batch, whole, write};
use crate::contract::store::Page;

pub(super) const PARTS: &[Part] = &[
    texts_of_any_script_are_kept_found_and_paged_by,
    long_ids_are_kept_and_found,
    a_record_of_nine_megabytes_comes_back_whole,
    a_commit_of_thousands_of_rows_comes_whole_and_its_replay_changes_nothing,
    a_page_goes_on_behind_a_row_that_has_moved,
];

const SUMMIT: &str = "summit";

/// Scripts, signs of four bytes, marks that combine, and what means something to SQL or CQL.
const TEXTS: &[&str] = &[
    "Zoë O'Neill; DROP TABLE leads --",
    "厨房のリフォーム",
    "🏠🔨👩\u{200d}🔧",
    "e\u{301}cole",
    "שלום עולם",
    "\"quoted\" \\ $1 @tenant %s ?",
    "line\nbreak\ttab",
    "\u{10ffff}",
];

fn texts_of_any_script_are_kept_found_and_paged_by(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let (mut rows, mut calls, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for (number, text) in (0_u64..).zip(TEXTS) {
        let mut call = call(SUMMIT, number, Some(*text));
        (call.call_id, call.aliases) = ((*text).to_owned(), vec![format!("alias of {text}")]);
        let line = delivery(SUMMIT, text, DeliveryStatus::Done);
        rows.extend([call_row(&call), delivery_row(&line)]);
        calls.push(call);
        lines.push(line);
    }
    write(&mut *writer, 0, rows);
    for ((call, line), text) in calls.iter().zip(&lines).zip(TEXTS) {
        assert_eq!(reader.delivery(&owner, &line.integration, text).unwrap().as_ref(), Some(line));
        assert_eq!(reader.call(&owner, text).unwrap().as_ref(), Some(call));
        assert_eq!(reader.call(&owner, &format!("alias of {text}")).unwrap().as_ref(), Some(call));
        let banded = Page { band: Some((*text).to_owned()), ..whole() };
        assert_eq!(reader.calls(&owner, &banded).unwrap().items, from_ref(call));
    }
    // All were queued at the same time, so their keys alone are what pages go by.
    let (mut seen, mut page) = (Vec::new(), Page { limit: 1, ..Page::default() });
    for _ in 0..=TEXTS.len() {
        let listed = reader.deliveries(&owner, &page).unwrap();
        seen.extend(listed.items);
        let Some(next) = listed.next_cursor else { break };
        page.cursor = Some(next);
    }
    let subjects = |lines: &[leadline_schemas::delivery::Delivery]| {
        let mut subjects: Vec<String> = lines.iter().map(|line| line.subject.clone()).collect();
        subjects.sort();
        subjects
    };
    assert_eq!(subjects(&seen), subjects(&lines));
}

fn long_ids_are_kept_and_found(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let long = |end: &str| format!("{}{end}", "id-☎-".repeat(2_500));
    let mut calls = [call(SUMMIT, 1, Some("hot")), call(SUMMIT, 2, Some("hot"))];
    for (call, end) in calls.iter_mut().zip(["a", "b"]) {
        (call.call_id, call.aliases) = (long(end), vec![long(&format!("alias {end}"))]);
    }
    write(&mut *writer, 0, calls.iter().map(call_row).collect());
    for (call, end) in calls.iter().zip(["a", "b"]) {
        assert!(reader.call(&owner, &long(end)).unwrap().as_ref() == Some(call), "its id finds {end}");
        assert!(reader.call(&owner, &long(&format!("alias {end}"))).unwrap().as_ref() == Some(call));
    }
    let first = reader.calls(&owner, &Page { limit: 1, ..Page::default() }).unwrap();
    let second = Page { limit: 1, cursor: first.next_cursor, ..Page::default() };
    assert_ne!(first.items[0].call_id, reader.calls(&owner, &second).unwrap().items[0].call_id);
}

fn a_record_of_nine_megabytes_comes_back_whole(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let sizes = [10, 9 << 20, 20];
    let rows = (0..).zip(sizes).map(|(number, bytes)| a_call(SUMMIT, number, &[], bytes));
    write(&mut *writer, 0, rows.collect());
    let notes = |calls: Vec<leadline_schemas::call::CallRecord>| {
        let mut sizes: Vec<usize> = calls.iter().map(|call| call.note.as_ref().unwrap().len()).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(notes(reader.calls(&tenant(SUMMIT), &whole()).unwrap().items), [10, 20, 9 << 20]);
    let one = reader.call(&tenant(SUMMIT), "CAL1").unwrap().unwrap();
    assert!(one.note.unwrap().bytes().all(|byte| byte == b'n'));
}

fn a_commit_of_thousands_of_rows_comes_whole_and_its_replay_changes_nothing(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let rows = |status| (0..3_000).map(|n| request_row(&request(SUMMIT, n, status))).collect::<Vec<_>>();
    writer.write(&[batch(0, vec![rows(RequestStatus::Done), vec![]])]).unwrap();
    writer.write(&[batch(0, vec![rows(RequestStatus::Failed), rows(RequestStatus::Failed)])]).unwrap();
    assert_eq!(writer.progress(1, P0).unwrap(), CommitNumber(2));
    let (mut count, mut page) = (0, whole());
    loop {
        let listed = reader.requests(&tenant(SUMMIT), &page).unwrap();
        assert!(listed.items.iter().all(|request| request.status == RequestStatus::Done));
        count += listed.items.len();
        match listed.next_cursor {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(count, 3_000);
}

fn a_page_goes_on_behind_a_row_that_has_moved(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let leads: Vec<_> = (0..9).map(|number| lead(SUMMIT, number, "hot", "open")).collect();
    write(&mut *writer, 0, leads.iter().map(lead_row).collect());
    let first = reader.leads(&owner, &Page { limit: 3, ..Page::default() }).unwrap();
    let seen: Vec<_> = first.items.iter().map(|lead| lead.lead_id).collect();
    // The last one seen, at which the page ended, is contacted again and becomes the newest.
    let mut moved = first.items[2].clone();
    moved.last_contact_at = Millis(9_000);
    write(&mut *writer, 1, vec![lead_row(&moved)]);
    let rest = Page { limit: 200, cursor: first.next_cursor, ..Page::default() };
    let rest = reader.leads(&owner, &rest).unwrap().items;
    let mut all: Vec<_> = seen.into_iter().chain(rest.iter().map(|lead| lead.lead_id)).collect();
    all.sort();
    let mut expected: Vec<_> = leads.iter().map(|lead| lead.lead_id).collect();
    expected.sort();
    assert_eq!(all, expected, "each once: those behind the place, whatever became of the row that made it");
}
