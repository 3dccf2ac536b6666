//! Histories: many commits of several partitions, written in pieces, again, and after restarts, against a model; rows that
//! move between days and filters; rows as large and as strange as callers send them.

use std::collections::BTreeMap;
use std::sync::Arc;

use leadline_schemas::delivery::DeliveryStatus;
use leadline_schemas::event::{Speaker, Turn};
use leadline_schemas::frame::Output;
use leadline_schemas::request::RequestStatus;
use leadline_schemas::window::WindowKind;
use leadline_schemas::{CommitNumber, Millis, Partition};

use super::rows::*;
use super::{OpenStore, Part, StoreUnderTest, whole, write};
use crate::conformance::Seeded;
use crate::contract::store::{Batch, Page, RecordReader, RecordWriter};
use crate::store_memory::MemoryStore;

pub(super) const PARTS: &[Part] = &[
    pieces_replays_and_restarts_come_to_what_the_commits_say,
    a_record_that_moves_is_in_each_list_once,
    pages_over_quiet_years_are_whole_while_rows_come_and_move,
    rows_of_megabytes_and_of_any_script_come_back_whole,
    an_alias_and_a_line_of_another_tenant_are_not_found,
];

const TENANTS: [&str; 2] = ["summit", "summit-2"];
const PARTITIONS: u64 = 3;
const COMMITS: usize = 24;

/// What a partition commits: the same few records again and again, with new times, bands and states.
fn commits(seeded: &mut Seeded, partition: u64) -> Vec<Arc<Vec<Output>>> {
    let bands = ["hot", "warm", "cold"];
    let day = |seeded: &mut Seeded| Millis(seeded.below(4) as i64 * Millis::DAY + seeded.below(3) as i64);
    let mut commits = Vec::new();
    for revision in 1..=COMMITS as i64 {
        let mut outputs = Vec::new();
        for _ in 0..=seeded.below(5) {
            let owner = TENANTS[seeded.below(2) as usize];
            // Of each record one partition alone writes.
            let number = seeded.below(4) * PARTITIONS + partition;
            let band = bands[seeded.below(3) as usize];
            outputs.push(match seeded.below(7) {
                0 => {
                    let status = [RequestStatus::Done, RequestStatus::Failed][seeded.below(2) as usize];
                    request_row(&request(owner, number, status))
                }
                1 => {
                    let mut call = call(owner, number, Some(band).filter(|_| seeded.below(2) == 0));
                    (call.revision, call.started_at) = (revision, day(seeded));
                    call.aliases = (0..seeded.below(2)).map(|_| format!("{number}{number}")).collect();
                    call_row(&call)
                }
                2 | 3 => {
                    let mut lead = lead(owner, number, band, ["open", "won"][seeded.below(2) as usize]);
                    (lead.revision, lead.last_contact_at) = (revision, day(seeded));
                    lead_row(&lead)
                }
                4 => lead_event_row(&lead_event(owner, number, revision)),
                5 => {
                    let mut line = delivery(owner, &format!("lead-{number}"), DeliveryStatus::Done);
                    (line.revision, line.status) =
                        (revision, [DeliveryStatus::Parked, DeliveryStatus::Done][seeded.below(2) as usize]);
                    delivery_row(&line)
                }
                _ => {
                    let mut row =
                        window(owner, WindowKind::Minute, day(seeded).0, i32::try_from(number).unwrap());
                    row.revision = revision;
                    window_row(&row)
                }
            });
        }
        commits.push(Arc::new(outputs));
    }
    commits
}

/// The commits (from, to] of a history.
fn piece(partition: u64, commits: &[Arc<Vec<Output>>], from: usize, to: usize) -> Batch {
    let numbered = commits[from..to].iter().enumerate();
    let numbered =
        numbered.map(|(index, outputs)| (CommitNumber((from + index + 1) as u64), Arc::clone(outputs)));
    Batch {
        generation: 1,
        partition: Partition(partition as u16),
        from: CommitNumber(from as u64),
        to: CommitNumber(to as u64),
        commits: numbered.collect(),
    }
}

fn pieces_replays_and_restarts_come_to_what_the_commits_say(store: &mut dyn StoreUnderTest) {
    let mut seeded = Seeded::new(11);
    let histories: Vec<_> = (0..PARTITIONS).map(|partition| commits(&mut seeded, partition)).collect();
    let (mut writer, mut reader): OpenStore = store.start();
    let mut done = [0_usize; PARTITIONS as usize];
    while done.iter().any(|done| *done < COMMITS) {
        let mut batches = Vec::new();
        for (partition, history) in (0..PARTITIONS).zip(&histories) {
            let at = done[partition as usize];
            // Begun up to three commits before what is written, as after a crash; or nothing at all.
            let from = at - (seeded.below(4) as usize).min(at);
            let to = (from + seeded.below(7) as usize).min(COMMITS);
            batches.push(piece(partition, history, from, to));
            done[partition as usize] = at.max(to);
        }
        writer.write(&batches).unwrap();
        if seeded.below(4) == 0 {
            drop((writer, reader));
            (writer, reader) = store.start();
        }
    }
    let mut model = MemoryStore::new();
    for (partition, history) in (0..PARTITIONS).zip(&histories) {
        assert_eq!(writer.progress(1, Partition(partition as u16)).unwrap(), CommitNumber(COMMITS as u64));
        model.write(&[piece(partition, history, 0, COMMITS)]).unwrap();
    }
    same(&*reader, &model);
}

/// Both show the same, whatever is asked.
fn same(found: &dyn RecordReader, wanted: &dyn RecordReader) {
    let texts = |reader: &dyn RecordReader| -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::new();
        for owner in TENANTS.map(tenant) {
            let mut note = |what: String, mut rows: Vec<String>| {
                rows.sort();
                all.insert(format!("{owner} {what}"), rows);
            };
            for band in [None, Some("hot"), Some("warm"), Some("cold")] {
                let page = Page { band: band.map(str::to_owned), ..whole() };
                note(format!("calls {band:?}"), debug(reader.calls(&owner, &page).unwrap().items));
                for status in [None, Some("open"), Some("won")] {
                    let page = Page { status: status.map(str::to_owned), ..page.clone() };
                    note(
                        format!("leads {band:?} {status:?}"),
                        debug(reader.leads(&owner, &page).unwrap().items),
                    );
                }
            }
            for status in [None, Some("done"), Some("failed"), Some("parked")] {
                let page = Page { status: status.map(str::to_owned), ..whole() };
                note(format!("requests {status:?}"), debug(reader.requests(&owner, &page).unwrap().items));
                note(
                    format!("deliveries {status:?}"),
                    debug(reader.deliveries(&owner, &page).unwrap().items),
                );
            }
            for number in 0..4 * PARTITIONS {
                let id = lead_id(number).to_string();
                note(format!("history {number}"), debug(reader.lead_events(&owner, &id).unwrap()));
                note(format!("lead {number}"), debug(reader.lead(&owner, &id).unwrap()));
                for call_id in [format!("CAL{number}"), format!("{number}{number}")] {
                    note(call_id.clone(), debug(reader.call(&owner, &call_id).unwrap()));
                }
            }
            let windows = reader.windows(&owner, WindowKind::Minute, Millis(0), Millis(i64::MAX)).unwrap();
            note("windows".to_owned(), debug(windows));
        }
        all
    };
    let (found, wanted) = (texts(found), texts(wanted));
    for (what, rows) in &wanted {
        assert_eq!(found.get(what), Some(rows), "{what}");
    }
}

fn debug<T: std::fmt::Debug>(rows: impl IntoIterator<Item = T>) -> Vec<String> {
    rows.into_iter().map(|row| format!("{row:?}")).collect()
}

fn a_record_that_moves_is_in_each_list_once(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant("summit");
    let moves = [
        (0, "cold", "open"),
        (3, "hot", "open"),
        (3, "hot", "won"),
        (0, "cold", "open"),
        (400, "warm", "won"),
    ];
    for (number, (days, band, status)) in moves.into_iter().enumerate() {
        let mut lead = lead("summit", 1, band, status);
        lead.last_contact_at = Millis(days * Millis::DAY);
        lead.revision = number as i64 + 1;
        // Once in a batch of its own, once with the version before in one commit, which nobody ever sees.
        let mut unseen = lead.clone();
        (unseen.last_contact_at, unseen.band) = (Millis(77 * Millis::DAY), "nurture".to_owned());
        write(&mut *writer, number as u64, vec![lead_row(&unseen), lead_row(&lead)]);
        let listed = reader.leads(&owner, &whole()).unwrap().items;
        assert_eq!(listed, [lead.clone()], "once, and newly");
        for other in ["hot", "warm", "nurture", "cold"] {
            let page = Page { band: Some(other.to_owned()), status: Some(status.to_owned()), ..whole() };
            assert_eq!(
                reader.leads(&owner, &page).unwrap().items.len(),
                usize::from(other == band),
                "{other}"
            );
        }
    }
}

fn pages_over_quiet_years_are_whole_while_rows_come_and_move(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant("summit");
    // Two or three on a day, and then nothing for up to 100 days: twenty years of a quiet tenant.
    let mut seeded = Seeded::new(3);
    let mut day = -2_000;
    let mut rows = Vec::new();
    for number in 0..120 {
        if seeded.below(3) == 0 {
            day += seeded.below(100) as i64;
        }
        let mut call = call("summit", number, Some(["hot", "cold"][(number % 2) as usize]));
        call.started_at = Millis(day * Millis::DAY + seeded.below(2) as i64);
        rows.push(call);
    }
    write(&mut *writer, 0, rows.iter().map(call_row).collect());
    for (number, limit) in [1, 7, 50, 119, 120].into_iter().enumerate() {
        for band in [None, Some("hot")] {
            let mut page = Page { limit, band: band.map(str::to_owned), ..Page::default() };
            let mut seen = Vec::new();
            loop {
                let listed = reader.calls(&owner, &page).unwrap();
                assert!(!listed.items.is_empty(), "an empty page that is not the only one");
                seen.extend(listed.items);
                let Some(next) = listed.next_cursor else { break };
                page.cursor = Some(next);
            }
            let wanted =
                rows.iter().filter(|call| band.is_none_or(|band| call.score.as_ref().unwrap().band == band));
            assert!(seen.is_sorted_by_key(|call| std::cmp::Reverse(call.started_at)));
            let ids = |calls: Vec<&leadline_schemas::call::CallRecord>| {
                let mut ids: Vec<String> = calls.iter().map(|call| call.call_id.clone()).collect();
                ids.sort();
                ids
            };
            assert_eq!(ids(seen.iter().collect()), ids(wanted.collect()), "limit {limit}, {band:?}");
        }
        // What comes between two lists is in the next.
        let mut newer = call("summit", 1_000 + number as u64, Some("hot"));
        newer.started_at = Millis((day + 5) * Millis::DAY);
        write(&mut *writer, 1 + number as u64, vec![call_row(&newer)]);
        rows.push(newer);
    }
    let between = Page { from: Some(rows[40].started_at), to: Some(rows[80].started_at), ..whole() };
    let wanted =
        rows.iter().filter(|call| (rows[40].started_at..rows[80].started_at).contains(&call.started_at));
    assert_eq!(reader.calls(&owner, &between).unwrap().items.len(), wanted.count(), "from is in, to is not");
}

fn rows_of_megabytes_and_of_any_script_come_back_whole(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let owner = tenant("summit");
    let mut large = call("summit", 1, Some("hot"));
    let text = "«Küche» 厨房 مطبخ 👩🏽‍🔧\u{0}\u{202e}\u{fffd} ".repeat(400);
    large.transcript = vec![Turn { speaker: Speaker::Caller, text }; 190];
    let mut strange = call("summit", 2, None);
    strange.call_id = "CAL 'x' \u{0}\u{1F4DE} %_\\".to_owned();
    strange.aliases = vec!["ali\u{0}as 'y' 🏠".to_owned()];
    strange.caller_name = Some("\u{feff}زوي\u{0}\n\t\"".to_owned());
    let row = call_row(&large);
    assert!(row.value.len() > 3 << 20, "{} bytes", row.value.len());
    // Two of them at once are more than one request of many servers takes.
    let mut second = large.clone();
    second.call_id = "CAL3".to_owned();
    write(&mut *writer, 0, vec![row, call_row(&second), call_row(&strange)]);
    assert_eq!(reader.call(&owner, &large.call_id).unwrap().as_ref(), Some(&large));
    assert_eq!(reader.call(&owner, &strange.call_id).unwrap().as_ref(), Some(&strange));
    assert_eq!(reader.call(&owner, &strange.aliases[0]).unwrap().as_ref(), Some(&strange));
    assert_eq!(reader.calls(&owner, &whole()).unwrap().items.len(), 3);
}

fn an_alias_and_a_line_of_another_tenant_are_not_found(store: &mut dyn StoreUnderTest) {
    let (mut writer, reader) = store.start();
    let mut theirs = call("other", 1, Some("hot"));
    theirs.aliases = vec!["766970532".to_owned()];
    let outputs = vec![
        call_row(&theirs),
        audit_row(&audit_line("other", 1)),
        lead_event_row(&lead_event("other", 1, 1)),
    ];
    write(&mut *writer, 0, outputs);
    for name in ["summit", "othe", "other-", "othe%"] {
        let Some(owner) = leadline_schemas::TenantId::new(name).ok() else { continue };
        assert_eq!(reader.call(&owner, "766970532").unwrap(), None);
        assert!(reader.audit(&owner, None, Millis(i64::MIN), Millis(i64::MAX)).unwrap().is_empty());
        assert!(reader.lead_events(&owner, &lead_id(1).to_string()).unwrap().is_empty());
    }
    let owner = tenant("other");
    assert_eq!(reader.audit(&owner, None, Millis(i64::MIN), Millis(i64::MAX)).unwrap().len(), 1);
    assert!(reader.call(&owner, "766970532").unwrap().is_some());
}
