//! `leadline topics`, and what is refused in words.

use std::process::Command;

use leadline_tests::kafka::Cluster;
use leadline_tests::{Instance, binary};

#[test]
fn topics_are_planned_applied_and_then_as_they_should_be() {
    let Some(cluster) = Cluster::start(1) else { return };
    let brokers = cluster.bootstrap();
    let topics = |what: &str, partitions: &str| {
        let args = ["topics", what, "--brokers", &brokers, "--partitions", partitions, "--replication", "1"];
        let done = Command::new(binary()).args(args).output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(text).unwrap())
    };
    let mut early = Instance::configured(&format!(
        "[log]\nkind = \"kafka\"\n[kafka]\nbrokers = {brokers:?}\ninstance = \"early\"\n"
    ));
    let done = early.command().stderr(std::process::Stdio::piped()).output().unwrap();
    let why = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success() && why.contains("topics apply"), "{why}");
    early.kill();

    let (fine, planned) = topics("plan", "4");
    assert!(fine && planned.contains("leadline.inbound") && planned.contains("12 changes"), "{planned}");
    let (fine, applied) = topics("apply", "4");
    assert!(fine && applied.contains("12 changes were made"), "{applied}");
    let (fine, again) = topics("plan", "4");
    assert!(fine && again.contains("12 topics are as they should be"), "{again}");
    let (fine, refused) = topics("apply", "8");
    assert!(!fine && refused.contains("never change in place"), "{refused}");
}
