//! The spool: webhooks are accepted while brokers are away, and each has its effect once when they are back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use leadline_schemas::call::CallRecord;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::{Topic, callrail};
use leadline_tests::kafka::Cluster;
use leadline_tests::{COMPANY, call, get, until, within};

use crate::company::{Company, Senders};

const PARTITIONS: u16 = 4;
/// What a webhook may wait for its answer: a broker that hangs is given up after 5 s.
const ANSWER_MAX: Duration = Duration::from_secs(8);
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn webhooks_are_accepted_while_the_broker_is_frozen_and_each_counts_once() {
    let Some(cluster) = Cluster::start(1) else { return };
    let mut company = Company::spooling(&cluster, PARTITIONS, 1, 256 << 20);
    let senders = Senders::start(company.webhook.port, 4, Duration::from_millis(50));
    until("calls come out", PATIENCE, || !company.records::<CallRecord>(Topic::Calls).is_empty());

    // It hangs: connections stay open, and what is under way has no answer, now or ever.
    cluster.pause(0);
    let spooled = |company: &Company| company.webhook.metric("leadline_spool_records");
    until("events are spooled", PATIENCE, || spooled(&company) > 50.0);
    let (status, health) = get(company.webhook.port, "/health", "").unwrap();
    assert!(status == 503 && health.contains("spooled"), "{status} {health}");
    assert!(company.webhook.metric("leadline_spool_bytes") > 10_000.0);
    let asked = Instant::now();
    assert_eq!(company.webhook.hook(&call(COMPANY, 900_001)), Some(200));
    assert!(asked.elapsed() < ANSWER_MAX, "{:?}", asked.elapsed());

    // The process is killed while it spools, and starts without anybody who answers.
    company.webhook.kill();
    company.webhook.start();
    assert_eq!(company.webhook.hook(&call(COMPANY, 900_002)), Some(200), "{}", company.said());
    until("what was accepted before waits still", PATIENCE, || spooled(&company) > 50.0);
    until("the oldest has an age", PATIENCE, || company.webhook.metric("leadline_spool_oldest_ms") > 0.0);
    cluster.resume(0);
    // Killed while it forwards, too: what it does not remember to have forwarded goes twice.
    until("it forwards", PATIENCE, || company.webhook.metric("leadline_spool_forwarded_total") > 0.0);
    company.webhook.kill();
    company.webhook.start();
    until("all is forwarded", PATIENCE, || spooled(&company) == 0.0);
    let mut accepted = senders.finish();
    accepted.extend([900_001, 900_002].map(|n| format!("CAL{n:032x}")));
    println!("{}", company.counts_each_once(&accepted));
    company.webhook.terminate();
}

#[test]
fn what_is_accepted_while_the_broker_is_dead_is_forwarded_when_it_is_back() {
    let Some(mut cluster) = Cluster::start(1) else { return };
    let company = Company::spooling(&cluster, PARTITIONS, 0, 256 << 20);
    let senders = Senders::start(company.webhook.port, 4, Duration::from_millis(50));
    let spooled = || company.webhook.metric("leadline_spool_records");
    cluster.kill(0);
    until("events are spooled", PATIENCE, || spooled() > 50.0);
    cluster.restart(0);
    until("all is forwarded", PATIENCE, || spooled() == 0.0);
    let accepted = senders.finish();
    let events: Vec<Inbound> = company.records(Topic::Inbound);
    let ids =
        events.iter().map(|event| callrail::decode(None, &event.body).unwrap().1.subject_id().to_owned());
    let ids: BTreeSet<String> = ids.collect();
    assert!(accepted.is_subset(&ids), "{} of {} are there\n{}", ids.len(), accepted.len(), company.said());
}

#[test]
fn what_is_spooled_after_a_hand_over_is_forwarded_before_the_old_process_ends() {
    let Some(cluster) = Cluster::start(1) else { return };
    let mut company = Company::spooling(&cluster, PARTITIONS, 0, 256 << 20);
    let mut standby = company.standby_of_webhook();
    standby.start();
    let mut old = std::mem::replace(&mut company.webhook, standby);
    // It listens for a few seconds more, and the brokers go away meanwhile.
    cluster.pause(0);
    assert_eq!(old.hook(&call(COMPANY, 1)), Some(200), "{}", old.log_text());
    until("the old process says why it stays", PATIENCE, || old.log_text().contains("since the hand-over"));
    assert!(old.process.as_mut().unwrap().try_wait().unwrap().is_none(), "{}", old.log_text());
    cluster.resume(0);
    assert!(old.wait_end(PATIENCE), "{}", old.log_text());
    let events: Vec<Inbound> = company.records(Topic::Inbound);
    assert_eq!(events.len(), 1, "{}", old.log_text());
}

#[test]
fn a_spool_that_is_full_answers_503_and_one_that_holds_events_is_not_switched_off() {
    let Some(cluster) = Cluster::start(1) else { return };
    let mut company = Company::spooling(&cluster, PARTITIONS, 0, 5 << 20);
    cluster.pause(0);
    let large = |n: u64| call(COMPANY, n).replace("Caller: Hi", &"x".repeat(900_000));
    let refused = within(PATIENCE, || company.webhook.hook(&large(1)) == Some(503));
    assert!(refused, "a spool of 5 MiB takes no end of events\n{}", company.said());
    assert!(company.webhook.metric("leadline_spool_records") >= 1.0);
    company.webhook.kill();
    let path = company.webhook.data.path().join("leadline.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace("spool = true", "spool = false")).unwrap();
    let ended = company.webhook.command().status().unwrap();
    let said = company.webhook.log_text();
    assert!(!ended.success() && said.contains("wait in") && said.contains("kafka.spool = true"), "{said}");

    std::fs::write(&path, config).unwrap();
    cluster.resume(0);
    company.webhook.start();
    until("all is forwarded", PATIENCE, || company.webhook.metric("leadline_spool_records") == 0.0);
    assert!(!company.records::<Inbound>(Topic::Inbound).is_empty());
    assert_eq!(company.webhook.hook(&call(COMPANY, 2)), Some(200), "and there is room again");
}
