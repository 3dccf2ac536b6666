//! A client that knows nothing of leadline: plain Java on Kafka's own library.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadline_schemas::avro;
use leadline_schemas::call::CallRecord;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::{Topic, callrail};
use leadline_tests::kafka::{Cluster, foreign};
use leadline_tests::{COMPANY, call, until};

use crate::company::{Company, Senders};

const PATIENCE: Duration = Duration::from_secs(120);

/// A record as the client printed it: partition, offset, key, value.
type Line = (u16, u64, String, Vec<u8>);

fn read(company: &Company, topic: Topic) -> Vec<Line> {
    let printed = foreign("Foreign.java", &[], &["read", &company.brokers, &format!("leadline.{topic}")]);
    let line = |line: &str| {
        let parts: Vec<&str> = line.split('\t').collect();
        let bytes = (0..parts[3].len()).step_by(2).map(|at| u8::from_str_radix(&parts[3][at..at + 2], 16));
        let value = bytes.collect::<Result<Vec<u8>, _>>().unwrap();
        (parts[0].parse().unwrap(), parts[1].parse().unwrap(), parts[2].to_owned(), value)
    };
    printed.lines().map(line).collect()
}

/// How far the group is behind, by topic.
fn lag(company: &Company) -> BTreeMap<String, i64> {
    let mut lag = BTreeMap::new();
    for line in foreign("Foreign.java", &[], &["lag", &company.brokers, "leadline"]).lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let (committed, end): (i64, i64) = (parts[2].parse().unwrap(), parts[3].parse().unwrap());
        assert!(committed <= end, "{line}");
        *lag.entry(parts[0].to_owned()).or_default() += end - committed;
    }
    lag
}

#[test]
fn a_plain_java_client_reads_what_is_committed_and_sees_how_far_the_group_is_behind() {
    let Some(cluster) = Cluster::start(1) else { return };
    let company = Company::start(&cluster, 2, 1, &[]);
    let senders = Senders::start(company.webhook.port, 2, Duration::from_millis(20));
    until("calls come out", PATIENCE, || company.records::<CallRecord>(Topic::Calls).len() > 50);
    let accepted = senders.finish();
    println!("{}", company.counts_each_once(&accepted));

    let inbound = read(&company, Topic::Inbound);
    let calls_of = |value: &[u8]| {
        let event = Inbound::decode(&value.to_vec().into()).unwrap();
        assert_eq!(event.tenant.as_str(), "summit");
        callrail::decode(Some(event.kind), &event.body).unwrap().1.subject_id().to_owned()
    };
    let ids: BTreeSet<String> = inbound.iter().map(|(_, _, _, value)| calls_of(value)).collect();
    assert!(accepted.is_subset(&ids) && inbound.iter().all(|(_, _, key, _)| key == "summit"));
    let mut next = BTreeMap::new();
    for (partition, offset, ..) in &inbound {
        assert_eq!(*offset, *next.get(partition).unwrap_or(&0), "offsets of events have no gaps");
        next.insert(*partition, offset + 1);
    }
    let calls: Vec<CallRecord> =
        read(&company, Topic::Calls).iter().map(|(.., value)| avro::decode(value).unwrap()).collect();
    let last: BTreeMap<&str, &CallRecord> = calls.iter().map(|call| (&*call.call_id, call)).collect();
    assert_eq!(last.len(), ids.len());
    assert!(last.values().all(|call| call.score.is_some()), "the last word on each call has its score");

    let behind = |inbound, replies| {
        BTreeMap::from([("leadline.inbound".to_owned(), inbound), ("leadline.replies".to_owned(), replies)])
    };
    until("nothing is behind at rest", PATIENCE, || lag(&company) == behind(0, 0));
    let worker = &company.workers[0];
    worker.signal("-STOP");
    for n in 0..7 {
        assert_eq!(company.webhook.hook(&call(COMPANY, 700_000 + n)), Some(200));
    }
    assert_eq!(lag(&company), behind(7, 0), "while nobody works what came is behind");
    worker.signal("-CONT");
    until("nothing is behind again", PATIENCE, || lag(&company) == behind(0, 0));
}
