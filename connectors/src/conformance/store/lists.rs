//! Lists: pages, filters, cursors, against a sorted model.

use leadline_schemas::Millis;
use leadline_schemas::audit::Audit;
use leadline_schemas::call::CallRecord;
use leadline_schemas::delivery::DeliveryStatus;
use leadline_schemas::lead::Lead;
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::window::WindowKind;

use super::rows::*;
use super::{Part, StoreUnderTest, batch, whole, write};
use crate::conformance::Seeded;
use crate::contract::store::{Listed, Page, RecordReader, StoreError};

pub(super) const PARTS: &[Part] = &[
    pages_are_whole_and_stable_while_rows_are_inserted,
    a_list_shows_what_its_filters_say_newest_first,
    a_page_has_1_to_200_rows,
    a_cursor_is_good_for_its_own_list_only,
    a_changed_row_shows_under_its_new_filters,
    a_history_is_oldest_first_and_at_most_1000_lines,
    windows_come_per_slot_oldest_first_within_their_bounds,
    the_audit_log_is_newest_first_by_kind_and_at_most_1000_lines,
];

const SUMMIT: &str = "summit";

fn pages_are_whole_and_stable_while_rows_are_inserted(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let rows = (0..100).map(|number| {
        ["summit", "other"].map(|owner| request_row(&request(owner, number, RequestStatus::Done))).to_vec()
    });
    writer.write(&[batch(0, rows.collect())]).unwrap();
    let (mut seen, mut page) = (Vec::new(), Page { limit: 7, ..Page::default() });
    for inserted in 0..1_000 {
        let listed = reader.requests(&tenant(SUMMIT), &page).unwrap();
        seen.extend(listed.items.iter().map(|request| request.request_id));
        let newer = request(SUMMIT, 1_000 + inserted, RequestStatus::Done);
        write(&mut *writer, 100 + inserted, vec![request_row(&newer)]);
        let Some(next) = listed.next_cursor else { break };
        page.cursor = Some(next);
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((seen.len(), unique.len()), (100, 100), "each of the first hundred once, no inserted one");
}

/// All pages of a list, `limit` rows each.
fn all<T>(limit: usize, page: &Page, list: impl Fn(&Page) -> Result<Listed<T>, StoreError>) -> Vec<T> {
    let (mut rows, mut page) = (Vec::new(), Page { limit, ..page.clone() });
    loop {
        let listed = list(&page).unwrap();
        assert!(listed.items.len() <= limit);
        assert!(listed.next_cursor.is_none() || listed.items.len() == limit, "a short page with a next one");
        rows.extend(listed.items);
        match listed.next_cursor {
            Some(next) => page.cursor = Some(next),
            None => return rows,
        }
    }
}

/// Two lists with the same rows, newest first; rows of the same time may stand in any order, but always the same.
fn same_rows<T: Clone + std::fmt::Debug>(mut found: Vec<T>, mut wanted: Vec<T>, time: impl Fn(&T) -> Millis) {
    assert!(found.is_sorted_by_key(|row| std::cmp::Reverse(time(row))), "newest first: {found:?}");
    let texts = |rows: &mut Vec<T>| {
        let mut texts: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(&mut found), texts(&mut wanted));
}

fn a_list_shows_what_its_filters_say_newest_first(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let mut seeded = Seeded::new(7);
    let bands = ["hot", "warm", "nurture", "cold"];
    let (mut requests, mut calls, mut leads) = (Vec::new(), Vec::new(), Vec::new());
    let mut rows = Vec::new();
    for number in 0..60 {
        let status = [RequestStatus::Done, RequestStatus::Failed, RequestStatus::Processing];
        requests.push(request(SUMMIT, number, status[seeded.below(3) as usize]));
        calls.push(call(SUMMIT, number, bands.get(seeded.below(5) as usize).copied()));
        let status = ["open", "won"][seeded.below(2) as usize];
        leads.push(lead(SUMMIT, number, bands[seeded.below(4) as usize], status));
    }
    rows.extend(requests.iter().map(request_row));
    rows.extend(calls.iter().map(call_row));
    rows.extend(leads.iter().map(lead_row));
    // In any order: a list is sorted by time, not by when a row came.
    for at in (1..rows.len()).rev() {
        rows.swap(at, seeded.below(at as u64 + 1) as usize);
    }
    writer.write(&[batch(0, rows.into_iter().map(|row| vec![row]).collect())]).unwrap();

    for _ in 0..60 {
        let mut maybe = |value: Option<String>| value.filter(|_| seeded.below(2) == 0);
        let band = maybe(Some("hot".to_owned()));
        let status = maybe(Some("open".to_owned()));
        let page = Page { band, status, ..Page::default() };
        let from = (seeded.below(2) == 0).then(|| Millis(1_990 + seeded.below(30) as i64));
        let to = (seeded.below(2) == 0).then(|| Millis(2_000 + seeded.below(30) as i64));
        check_lists(&*reader, 1 + seeded.below(9) as usize, &Page { from, to, ..page }, (&calls, &leads));
        let status = ["done", "failed", "processing", "never"][seeded.below(4) as usize].to_owned();
        let page = Page { status: Some(status), ..Page::default() };
        check_requests(&*reader, &page, &requests);
    }
}

fn check_requests(reader: &dyn RecordReader, page: &Page, requests: &[Request]) {
    let wanted = |row: &&Request| page.status.as_deref() == Some(row.status.name());
    let wanted = requests.iter().filter(wanted).cloned().collect();
    let found = all(4, page, |page| reader.requests(&tenant(SUMMIT), page));
    same_rows(found, wanted, |row| row.received_at);
}

fn check_lists(
    reader: &dyn RecordReader,
    limit: usize,
    page: &Page,
    (calls, leads): (&[CallRecord], &[Lead]),
) {
    let owner = tenant(SUMMIT);
    let in_time = |at: Millis| page.from.is_none_or(|from| at >= from) && page.to.is_none_or(|to| at < to);
    let band_of = |row: &CallRecord| row.score.as_ref().map(|score| score.band.clone());
    let wanted = calls
        .iter()
        .filter(|row| in_time(row.started_at) && (page.band.is_none() || band_of(row) == page.band));
    let found = all(limit, page, |page| reader.calls(&owner, page));
    same_rows(found, wanted.cloned().collect(), |row| row.started_at);
    let wanted = leads.iter().filter(|row| {
        in_time(row.last_contact_at)
            && page.band.as_ref().is_none_or(|band| *band == row.band)
            && page.status.as_ref().is_none_or(|status| *status == row.status)
    });
    let found = all(limit, page, |page| reader.leads(&owner, page));
    same_rows(found, wanted.cloned().collect(), |row| row.last_contact_at);
}

fn a_page_has_1_to_200_rows(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let rows = (0..201).map(|number| request_row(&request(SUMMIT, number, RequestStatus::Done)));
    write(&mut *writer, 0, rows.collect());
    for (limit, shown) in [(0, 1), (1, 1), (200, 200), (201, 200), (usize::MAX, 200)] {
        let listed = reader.requests(&tenant(SUMMIT), &Page { limit, ..Page::default() }).unwrap();
        assert_eq!(listed.items.len(), shown, "limit {limit}");
        assert!(listed.next_cursor.is_some());
    }
    let rows = all(67, &Page::default(), |page| reader.requests(&tenant(SUMMIT), page));
    assert_eq!(rows.len(), 201, "the last page ends with the last row, and has no next");
}

fn a_cursor_is_good_for_its_own_list_only(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let rows = (0..9).flat_map(|number| {
        let lead = lead(SUMMIT, number, "hot", "open");
        [request_row(&request(SUMMIT, number, RequestStatus::Done)), lead_row(&lead)]
    });
    write(&mut *writer, 0, rows.collect());
    let owner = tenant(SUMMIT);
    let page = Page { limit: 2, ..Page::default() };
    let cursor = reader.requests(&owner, &page).unwrap().next_cursor.unwrap();
    let with = |cursor: &str| Page { cursor: Some(cursor.to_owned()), ..page.clone() };
    let refused = |result: Result<Listed<Request>, StoreError>, why: &str| {
        assert!(matches!(result, Err(StoreError::Cursor(_))), "{why}: {result:?}");
    };
    assert_eq!(reader.requests(&owner, &with(&cursor)).unwrap().items.len(), 2);
    refused(reader.requests(&tenant("other"), &with(&cursor)), "another tenant");
    let filtered = Page { status: Some("done".to_owned()), ..with(&cursor) };
    refused(reader.requests(&owner, &filtered), "other filters");
    assert!(matches!(reader.leads(&owner, &with(&cursor)), Err(StoreError::Cursor(_))), "another list");
    for made_up in ["", "x", "☎", &cursor[1..], &format!("{cursor}A"), &"A".repeat(100_000)] {
        refused(reader.requests(&owner, &with(made_up)), "made up");
    }
}

fn a_changed_row_shows_under_its_new_filters(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let old = lead(SUMMIT, 1, "cold", "open");
    let mut new = lead(SUMMIT, 1, "hot", "won");
    new.last_contact_at = Millis(9_000);
    let lines =
        [DeliveryStatus::Sending, DeliveryStatus::Parked].map(|status| delivery(SUMMIT, "lead-1", status));
    write(&mut *writer, 0, vec![lead_row(&old), delivery_row(&lines[0])]);
    write(&mut *writer, 1, vec![lead_row(&new), delivery_row(&lines[1])]);
    let banded = |band: &str| Page { band: Some(band.to_owned()), ..whole() };
    let with = |status: &str| Page { status: Some(status.to_owned()), ..whole() };
    assert!(reader.leads(&owner, &banded("cold")).unwrap().items.is_empty());
    assert!(reader.leads(&owner, &with("open")).unwrap().items.is_empty());
    assert_eq!(
        reader.leads(&owner, &Page { from: Some(Millis(9_000)), ..banded("hot") }).unwrap().items,
        [new]
    );
    assert!(reader.deliveries(&owner, &with("sending")).unwrap().items.is_empty());
    assert_eq!(reader.deliveries(&owner, &with("parked")).unwrap().items, lines[1..]);
    assert_eq!(reader.delivery(&owner, "crm", "lead-1").unwrap().as_ref(), Some(&lines[1]));
}

fn a_history_is_oldest_first_and_at_most_1000_lines(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let lines: Vec<_> = (1..=1_005).map(|revision| lead_event(SUMMIT, 1, revision)).collect();
    let mut rows: Vec<_> = lines.iter().rev().map(lead_event_row).collect();
    rows.push(lead_event_row(&lead_event(SUMMIT, 2, 1)));
    write(&mut *writer, 0, rows);
    assert_eq!(reader.lead_events(&owner, &lead_id(1).to_string()).unwrap(), lines[..1_000]);
    assert_eq!(reader.lead_events(&owner, &lead_id(2).to_string()).unwrap().len(), 1);
    assert!(reader.lead_events(&tenant("other"), &lead_id(1).to_string()).unwrap().is_empty());
}

fn windows_come_per_slot_oldest_first_within_their_bounds(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let mut minutes = Vec::new();
    for start in [-60_000, 0, 60_000, 120_000] {
        minutes.extend([0, 3, 200].map(|slot| window(SUMMIT, WindowKind::Minute, start, slot)));
    }
    let hour = window(SUMMIT, WindowKind::Hour, 0, 0);
    let mut rows: Vec<_> = minutes.iter().rev().map(window_row).collect();
    rows.push(window_row(&hour));
    write(&mut *writer, 0, rows);
    let between = |from, to| reader.windows(&owner, WindowKind::Minute, Millis(from), Millis(to)).unwrap();
    assert_eq!(between(i64::MIN, i64::MAX), minutes);
    assert_eq!(between(0, 120_000), minutes[3..9], "from is in, to is not");
    assert!(between(1, 60_000).is_empty());
    assert!(between(60_000, 0).is_empty(), "bounds the wrong way round hold nothing");
    assert_eq!(reader.windows(&owner, WindowKind::Hour, Millis(0), Millis(1)).unwrap(), [hour]);
    assert!(reader.windows(&owner, WindowKind::Sliding2h, Millis(0), Millis(1)).unwrap().is_empty());
}

fn the_audit_log_is_newest_first_by_kind_and_at_most_1000_lines(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant(SUMMIT);
    let lines: Vec<_> = (0..1_010).map(|number| audit_line(SUMMIT, number)).collect();
    let mut rows: Vec<_> = lines.iter().map(audit_row).collect();
    rows.push(audit_row(&audit_line("other", 3)));
    write(&mut *writer, 0, rows);
    let between = |kind, from, to| reader.audit(&owner, kind, Millis(from), Millis(to)).unwrap();
    let newest = |lines: &[Audit]| lines.iter().rev().take(1_000).cloned().collect::<Vec<_>>();
    assert_eq!(between(None, i64::MIN, i64::MAX), newest(&lines));
    assert_eq!(between(None, lines[3].at.0, lines[5].at.0), newest(&lines[3..5]), "from is in, to is not");
    let of_kind: Vec<_> = lines.iter().filter(|line| line.kind == lines[0].kind).cloned().collect();
    assert!(of_kind.len() < 1_000, "not all are of one kind");
    assert_eq!(between(Some(&lines[0].kind), i64::MIN, i64::MAX), newest(&of_kind));
    assert!(between(Some("of no line"), i64::MIN, i64::MAX).is_empty());
}
