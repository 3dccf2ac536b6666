//! A real schema registry, and a client that knows nothing but its ids.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use leadline_schemas::Topic;
use leadline_schemas::call::CallRecord;
use leadline_tests::kafka::{Cluster, foreign};
use leadline_tests::registry::SchemaRegistry;
use leadline_tests::{COMPANY, Instance, call, until};

use crate::company::Company;

const PATIENCE: Duration = Duration::from_secs(120);

fn with_registry(instance: &Instance, url: &str) {
    let path = instance.data.path().join("leadline.toml");
    let mut config = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    writeln!(config, "[schema_registry]\nurl = {url:?}").unwrap();
}

#[test]
fn with_a_registry_any_client_reads_by_its_ids_and_topics_change_over_while_they_are_used() {
    let Some(cluster) = Cluster::start(1) else { return };
    let Some(registry) = SchemaRegistry::start() else { return };
    let mut company = Company::start(&cluster, 2, 1, &[]);
    let hook = |company: &Company, n| assert_eq!(company.webhook.hook(&call(COMPANY, n)), Some(200), "{n}");
    (1..=5).for_each(|n| hook(&company, n));
    let scored = |company: &Company| {
        let calls: Vec<CallRecord> = company.records(Topic::Calls);
        calls
            .into_iter()
            .filter(|call| call.lead_id.is_some())
            .map(|call| call.call_id)
            .collect::<BTreeSet<_>>()
    };
    until("the first calls are scored", PATIENCE, || scored(&company).len() == 5);

    // What was written before is read behind the change.
    company.workers[0].terminate();
    (6..=8).for_each(|n| hook(&company, n));
    company.webhook.terminate();
    for instance in [&company.webhook, &company.workers[0]] {
        with_registry(instance, &registry.url());
    }
    company.webhook.start();
    company.workers[0].start();
    (9..=12).for_each(|n| hook(&company, n));
    let jars = SchemaRegistry::client_jars();
    let read = |topic: &str| -> Vec<String> {
        let printed = foreign("Registered.java", &jars, &[&company.brokers, topic, &registry.url()]);
        printed.lines().map(str::to_owned).collect()
    };
    let ids = |printed: &[String], record: &str| -> BTreeSet<String> {
        let known = printed.iter().filter_map(|line| Some(line.strip_prefix(record)?.trim().to_owned()));
        known.collect()
    };
    let expected: BTreeSet<String> = (6..=12).map(|n| format!("CAL{n:032x}")).collect();
    until("all calls are told by ids", PATIENCE, || {
        ids(&read("leadline.calls"), "CallRecord\t").is_superset(&expected)
    });
    assert_eq!(ids(&read("leadline.leads"), "Lead\t").len(), 7);
    let inbound = read("leadline.inbound");
    assert_eq!(inbound.iter().filter(|line| *line == "another format").count(), 8, "{inbound:?}");
    assert_eq!(ids(&inbound, "Inbound\t").len(), 4, "{inbound:?}");
    let subjects = registry.get("subjects");
    for topic in Topic::ALL {
        let there = subjects.contains(&format!("\"leadline.{topic}-value\""));
        assert_eq!(there, topic != Topic::State, "{topic} in {subjects}");
    }

    // What is known needs no registry.
    registry.freeze(true);
    hook(&company, 13);
    until("a call is scored while the registry hangs", PATIENCE, || {
        let leads = foreign("Foreign.java", &[], &["read", &company.brokers, "leadline.leads"]);
        leads.lines().count() >= 13
    });
    registry.freeze(false);
}
