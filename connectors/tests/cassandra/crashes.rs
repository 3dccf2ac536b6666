//! Writers and servers that stop in the middle: what was sent before may take effect much later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use leadline_connectors::contract::store::{Batch, Page, RecordReader, RecordWriter, StoreError};
use leadline_connectors::store_cassandra::{CassandraConfig, CassandraReader, CassandraWriter, Cluster};
use leadline_connectors::store_memory::MemoryStore;
use leadline_schemas::call::Channel;
use leadline_schemas::event::Attribution;
use leadline_schemas::frame::Output;
use leadline_schemas::lead::Lead;
use leadline_schemas::{CommitNumber, LeadId, Millis, Partition, TenantId, Topic, avro};
use leadline_tests::cassandra::Cassandra;
use leadline_tests::until;

use crate::conformance::Emptier;
use crate::{fresh, with_tables};

const COMMITS: usize = 600;
const LEADS: usize = 40;
const BANDS: [&str; 4] = ["hot", "warm", "nurture", "cold"];
const STATES: [&str; 3] = ["open", "won", "lost"];
const WAIT: Duration = Duration::from_secs(60);

/// Leads that move between days, bands and states; what a number makes of them is arbitrary and always the same.
fn commit(number: usize) -> Arc<Vec<Output>> {
    let leads = (0..5).map(|index| {
        let mixed = (number * 5 + index).wrapping_mul(0x9E37_79B9) >> 7;
        let lead = lead(mixed % LEADS, Millis((mixed / 64 % 5) as i64 * Millis::DAY), mixed / 512, number);
        let key = Bytes::from(format!("{} {}", lead.tenant, lead.lead_id));
        Output { topic: Topic::Leads, key, value: Bytes::from(avro::encode(&lead).unwrap()) }
    });
    Arc::new(leads.collect())
}

fn lead(number: usize, last_contact_at: Millis, choice: usize, revision: usize) -> Lead {
    Lead {
        tenant: TenantId::new("summit").unwrap(),
        lead_id: LeadId::of(&[&number.to_be_bytes()]),
        caller: "+13035550142".to_owned(),
        name: None,
        phone: None,
        email: None,
        city: None,
        status: STATES[choice % 3].to_owned(),
        score: 1,
        band: BANDS[choice / 3 % 4].to_owned(),
        class: "lead".to_owned(),
        project_type: None,
        detail: "{}".to_owned(),
        scored_by: None,
        first_channel: Channel::Call,
        attribution: Attribution::default(),
        contact_ids: vec![],
        contacted: false,
        opened_at: Millis(1),
        last_contact_at,
        contacted_at: None,
        updated_at: Millis(3),
        feedback: None,
        revision: revision as i64,
    }
}

fn batch(from: usize, to: usize) -> Batch {
    let number = |number: usize| CommitNumber(number as u64);
    let commits = (from + 1..=to).map(|at| (number(at), commit(at))).collect();
    Batch { generation: 1, partition: Partition(0), from: number(from), to: number(to), commits }
}

/// A writer of a process of its own; it gives up after half a second.
fn writer(config: &CassandraConfig) -> CassandraWriter {
    let config = CassandraConfig { timeout: Duration::from_millis(500), ..config.clone() };
    let mut cluster = None;
    until("a connection", WAIT, || {
        cluster = Cluster::connect(config.clone()).ok();
        cluster.is_some()
    });
    CassandraWriter::new(cluster.unwrap())
}

/// Writes on from the store's progress until it fails or all is there; `at` follows it. Answers whether all is there.
fn write_on(mut writer: CassandraWriter, at: &AtomicUsize) -> bool {
    let Ok(CommitNumber(done)) = writer.progress(1, Partition(0)) else { return false };
    let mut done = done as usize;
    while done < COMMITS {
        let to = (done + 1 + done % 7).min(COMMITS);
        if writer.write(&[batch(done, to)]).is_err() {
            return false;
        }
        done = to;
        at.store(done, Ordering::SeqCst);
    }
    true
}

/// Everything that lists of leads show.
fn lists(reader: &dyn RecordReader) -> BTreeMap<String, Vec<Lead>> {
    let mut all = BTreeMap::new();
    let owned = |text: &str| Some(text.to_owned());
    for band in BANDS.iter().map(|band| owned(band)).chain([None]) {
        for status in STATES.iter().map(|status| owned(status)).chain([None]) {
            let name = format!("{band:?} {status:?}");
            let page = Page { limit: 200, band: band.clone(), status, ..Page::default() };
            let mut leads = reader.leads(&TenantId::new("summit").unwrap(), &page).unwrap().items;
            leads.sort_by_key(|lead| (lead.last_contact_at, lead.lead_id));
            all.insert(name, leads);
        }
    }
    all
}

#[test]
fn whatever_stops_in_the_middle_lists_come_to_what_the_commits_say() {
    // One of its own: it is stopped and killed.
    let Some(mut server) = Cassandra::start() else { return };
    let config = fresh(&server);
    with_tables(&config);
    let at = AtomicUsize::new(0);
    for round in 0..6 {
        let first = writer(&config);
        std::thread::scope(|scope| {
            let goal = at.load(Ordering::SeqCst) + 20 + round;
            let writing = scope.spawn(|| write_on(first, &at));
            until("a writer in the middle", WAIT, || at.load(Ordering::SeqCst) >= goal.min(COMMITS));
            if round % 3 == 2 {
                server.kill();
                writing.join().unwrap();
                server.restart();
            } else {
                // It stands still with requests that it will find when it goes on; the writer gives them up.
                server.pause();
                writing.join().unwrap();
                server.resume();
            }
        });
        // Another process goes on from the progress that it finds, beside what the server still does for the first.
        let progress = writer(&config).progress(1, Partition(0)).unwrap().0;
        assert!(progress as usize <= COMMITS);
        at.store(progress as usize, Ordering::SeqCst);
    }
    until("all commits", WAIT, || write_on(writer(&config), &at));
    let mut model = MemoryStore::new();
    model.write(&[batch(0, COMMITS)]).unwrap();
    let reader = CassandraReader::new(Cluster::connect(config).unwrap());
    let (found, wanted) = (lists(&reader), lists(&model));
    for (name, leads) in &wanted {
        assert_eq!(found.get(name), Some(leads), "{name}");
    }
}

#[test]
fn two_owners_at_once_come_to_the_same() {
    let Some(server) = crate::shared() else { return };
    let config = fresh(server);
    with_tables(&config);
    let writers = [0, 1].map(|_| CassandraWriter::new(Cluster::connect(config.clone()).unwrap()));
    std::thread::scope(|scope| {
        for (pace, mut writer) in [3, 11].into_iter().zip(writers) {
            scope.spawn(move || {
                let mut done = 0;
                while done < COMMITS {
                    let to = (done + pace).min(COMMITS);
                    // Each writes all of it, in pieces of its own, however far the other is.
                    writer.write(&[batch(done, to)]).unwrap();
                    done = to;
                }
            });
        }
    });
    let mut model = MemoryStore::new();
    model.write(&[batch(0, COMMITS)]).unwrap();
    let mut writer = CassandraWriter::new(Cluster::connect(config.clone()).unwrap());
    assert_eq!(writer.progress(1, Partition(0)), Ok(CommitNumber(COMMITS as u64)));
    assert_eq!(lists(&CassandraReader::new(Cluster::connect(config).unwrap())), lists(&model));
}

/// Servers warn of each request that brings more of several partitions than they are set to take.
#[test]
fn what_shares_a_request_is_no_more_than_the_server_takes_without_a_word() {
    let Some(server) = crate::shared() else { return };
    let config = fresh(server);
    with_tables(&config);
    let mut writer = CassandraWriter::new(Cluster::connect(config.clone()).unwrap());
    let leads = |from: usize, count: usize| {
        let leads = (from..from + count).map(|number| lead(number, Millis(number as i64), number, 1));
        let output = |lead: Lead| Output {
            topic: Topic::Leads,
            key: Bytes::from(format!("{} {}", lead.tenant, lead.lead_id)),
            value: Bytes::from(avro::encode(&lead).unwrap()),
        };
        Arc::new(leads.map(output).collect::<Vec<_>>())
    };
    let number = |number: u64| CommitNumber(number);
    for (at, count) in [(0, 1), (1, 9), (2, 400)] {
        let commits = vec![(number(at + 1), leads(at as usize * 1_000, count))];
        let (from, to) = (number(at), number(at + 1));
        writer.write(&[Batch { generation: 1, partition: Partition(0), from, to, commits }]).unwrap();
    }
    let page = Page { limit: 200, ..Page::default() };
    let reader = CassandraReader::new(Cluster::connect(config.clone()).unwrap());
    assert_eq!(reader.leads(&TenantId::new("summit").unwrap(), &page).unwrap().items.len(), 200);
    // Of this keyspace: others' tests write too.
    let table = format!("{}.", config.keyspace);
    let said = server.complaints();
    let of_ours = said.lines().filter(|line| line.contains(&table) && line.contains("atch"));
    assert_eq!(of_ours.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_store_that_was_put_back_is_filled_anew_by_the_writer_that_had_filled_it() {
    let Some(server) = crate::shared() else { return };
    let config = fresh(server);
    with_tables(&config);
    let mut writer = CassandraWriter::new(Cluster::connect(config.clone()).unwrap());
    writer.write(&[batch(0, 20)]).unwrap();
    Emptier::new(&config).empty();

    let behind =
        StoreError::Behind { partition: Partition(0), progress: CommitNumber(0), from: CommitNumber(20) };
    assert_eq!(writer.write(&[batch(20, 21)]), Err(behind));
    writer.write(&[batch(0, 20)]).unwrap();
    writer.write(&[batch(20, 21)]).unwrap();
    let mut model = MemoryStore::new();
    model.write(&[batch(0, 21)]).unwrap();
    assert_eq!(lists(&CassandraReader::new(Cluster::connect(config).unwrap())), lists(&model));
}
