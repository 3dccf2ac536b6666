//! The layout of a running cluster changes under load: each accepted call has its effect once, whoever is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use leadline_schemas::Topic;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_tests::kafka::Cluster;
use leadline_tests::{COMPANY, Receiver, until, within};

use crate::company::{Company, Senders, counts};
use crate::oracle::{scored, window_calls};
use crate::redeploy::{replace, started};

/// Tenants beside the first, so that most partitions have something to hand over.
const TENANTS: usize = 5;
/// What was accepted before a change and is sent once more behind it: it is known there.
const SENT_AGAIN: usize = 40;
/// How long a change may take, with rebalances after kills in it.
const CHANGE_MAX: Duration = Duration::from_secs(120);

#[test]
fn eight_partitions_become_sixteen_under_load() {
    let Some(cluster) = Cluster::start(1) else { return };
    let receiver = Receiver::start(false);
    let mut company = Company::start(&cluster, 8, 1, &["--integration", &receiver.address]);
    let senders = send_for_all(&company);
    some_come_out(&company, &senders);
    let before = senders.accepted();

    let (fine, planned) = said(&mut company.layout("plan", &["--partitions", "16"]));
    assert!(fine && planned.contains("partitions: 8 -> 16"), "{planned}");
    assert!(planned.contains("leadline.g2.inbound: 16 partitions"), "{planned}");
    let (fine, refused) = said(&mut company.layout("plan", &["--partitions", "2000"]));
    assert!(!fine && refused.contains("use 1 to 1024"), "{refused}");
    company.expect_layout(2, 16);
    let (fine, applied) = said(&mut company.layout("apply", &["--partitions", "16"]));
    assert!(fine && applied.contains("layout 2 is in use"), "{applied}\n{}", company.said());
    let (fine, again) = said(&mut company.layout("apply", &["--partitions", "16"]));
    assert!(fine && again.contains("as it should be"), "{again}");

    send_again(&company, &before);
    // To a number that does not divide, as soon as the rows lie in snapshots of the layout that they are in.
    company.expect_layout(3, 12);
    let elsewhere = tempfile::tempdir().unwrap();
    let blobs = format!("[blobs]\nfolder = {:?}\n", elsewhere.path());
    std::fs::write(elsewhere.path().join("leadline.toml"), blobs).unwrap();
    let config = elsewhere.path().join("leadline.toml");
    let mut command = Command::new(leadline_tests::binary());
    command
        .args(["layout", "apply", "--brokers", &company.brokers, "--partitions", "12", "--config"])
        .arg(config);
    let (fine, why) = said(&mut command);
    assert!(!fine && why.contains("has no snapshot in") && why.contains("blobs.folder"), "{why}");
    let mut refusals = 0;
    until("there are snapshots of the new layout", CHANGE_MAX, || {
        let (fine, why) = said(&mut company.layout("apply", &["--partitions", "12"]));
        assert!(fine || why.contains("no snapshot"), "{why}\n{}", company.said());
        refusals += usize::from(!fine);
        fine
    });
    println!("refused {refusals} times for want of snapshots");
    send_again(&company, &before);
    let (accepted, gap_ms) = each_accepted_call_has_its_effect_once(&company, senders);
    println!("{accepted} calls accepted, at most {gap_ms} ms without a lead");
    let leads: Vec<Lead> = company.records(Topic::Leads);
    let of_summit = leads.iter().filter(|lead| lead.tenant.as_str() == "summit").map(|lead| lead.lead_id);
    let count = of_summit.collect::<BTreeSet<_>>().len();
    until("every lead is delivered", CHANGE_MAX, || {
        let seen = receiver.seen.lock().unwrap();
        counts(seen.iter().map(|(key, _)| key.clone())).len() >= count
    });
    let seen = receiver.seen.lock().unwrap().clone();
    assert_eq!(
        counts(seen.into_iter().map(|(key, _)| key)).len(),
        count,
        "one idempotency key for each lead"
    );
}

#[test]
fn a_live_tenant_is_spread_over_eight_slots_while_a_worker_and_the_command_are_killed() {
    let Some(cluster) = Cluster::start(1) else { return };
    let mut company = Company::start(&cluster, 8, 3, &[]);
    let senders = send_for_all(&company);
    some_come_out(&company, &senders);
    let before = senders.accepted();

    company.expect_layout(2, 8);
    let mut command = company.layout("apply", &["--spread", "summit=8"]);
    let mut killed = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the fence is written", CHANGE_MAX, || {
        company.webhook.log_text().contains("events go to the new layout")
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    company.workers[0].kill();
    let (fine, refused) = said(&mut company.layout("apply", &["--partitions", "32"]));
    assert!(!fine && refused.contains("not at its end"), "{refused}");
    let (fine, planned) = said(&mut company.layout("plan", &[]));
    assert!(fine && planned.contains("on its way"), "{planned}");
    company.workers[0].start();
    let mut command = company.layout("apply", &[]);
    let applying = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("a partition has handed its rows over", CHANGE_MAX, || {
        company.workers.iter().any(|worker| worker.log_text().contains("rows are handed over"))
    });
    company.workers[2].kill();
    company.workers[2].start();
    let done = applying.wait_with_output().unwrap();
    let applied = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    assert!(applied.contains("layout 2 is in use"), "{applied}\n{}", company.said());

    send_again(&company, &before);
    // A restart finds the layout that it is in.
    company.workers[1].kill();
    company.workers[1].start();
    // A standby takes over in the layout that its worker is in by now.
    let standby = started(&company, 0);
    replace(&mut company, vec![standby]);
    let (accepted, gap_ms) = each_accepted_call_has_its_effect_once(&company, senders);
    println!("{accepted} calls accepted, at most {gap_ms} ms without a lead");
}

/// Output and errors of a command, and whether it was fine.
fn said(command: &mut Command) -> (bool, String) {
    let done = command.output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(text).unwrap())
}

/// Adds tenants and sends calls of all of them.
fn send_for_all(company: &Company) -> Senders {
    let mut companies = vec![COMPANY.to_owned()];
    for number in 0..TENANTS {
        let id = format!("COM{number:032x}");
        company.webhook.tenant(&format!("tenant-{number}"), &id, &[]);
        companies.push(id);
    }
    Senders::start_for(company.webhook.port, 4, Duration::from_millis(20), &companies)
}

fn some_come_out(company: &Company, senders: &Senders) {
    until("calls come out", Duration::from_secs(60), || {
        scored(company).len() > 100 && senders.accepted().len() > 2 * SENT_AGAIN
    });
}

/// Sends once more what was accepted before the change.
fn send_again(company: &Company, bodies: &[String]) {
    for body in &bodies[..SENT_AGAIN] {
        assert_eq!(company.webhook.hook(body), Some(200));
    }
}

/// Answers how many were accepted, and the longest time without a lead.
fn each_accepted_call_has_its_effect_once(company: &Company, senders: Senders) -> (usize, i64) {
    // Some calls are of the new layout alone.
    let so_far = senders.accepted().len();
    until("calls are accepted in the new layout", CHANGE_MAX, || senders.accepted().len() > so_far + 50);
    let accepted = senders.finish();
    let all_there = within(CHANGE_MAX, || {
        let known: BTreeSet<String> = scored(company).into_keys().collect();
        accepted.is_subset(&known)
    });
    let known = scored(company);
    let missing: Vec<&String> = accepted.iter().filter(|id| !known.contains_key(*id)).take(5).collect();
    assert!(all_there, "of {} calls {missing:?} are missing\n{}", accepted.len(), company.said());
    // The topics of the newest layout alone have everything, once they were told what those before have.
    let told = || {
        let lead_events: Vec<LeadEvent> = company.records(Topic::LeadEvents);
        lead_events.into_iter().map(|line| line.lead_id).collect::<BTreeSet<_>>().len()
    };
    let leads = || company.records::<Lead>(Topic::Leads).into_iter().map(|lead| (lead.lead_id, lead));
    let whole = || {
        let leads: BTreeMap<_, _> = leads().collect();
        leads.len() == known.len() && told() == known.len() && window_calls(company) == known.len() as i64
    };
    if !within(Duration::from_secs(60), whole) {
        let (leads, told, calls) = (leads().count(), told(), window_calls(company));
        panic!(
            "of {} calls there are {leads} leads, {told} have a history, windows have {calls}",
            known.len()
        );
    }
    let lead_events: Vec<LeadEvent> = company.records(Topic::LeadEvents);
    let mut times: Vec<i64> = lead_events.iter().map(|line| line.at.0).collect();
    times.sort_unstable();
    let longest_gap_ms = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    // What changed while it was told again may be there twice, word for word.
    let mut lines: BTreeMap<_, LeadEvent> = BTreeMap::new();
    for line in lead_events {
        let known = lines.entry((line.lead_id, line.revision)).or_insert_with(|| line.clone());
        assert_eq!(*known, line, "each change of a lead is told in one way");
    }
    let leads: BTreeMap<_, _> = leads().collect();
    assert!(leads.values().all(|lead| lead.revision == 1), "each call had its effect once");
    (accepted.len(), longest_gap_ms)
}
