//! deliveries: what one digest is, step by step.

use std::collections::BTreeSet;

use leadline_operators::deliveries::LATER_MS;
use leadline_operators::deliveries::digest::{DIGEST_LEADS_MAX, MESSAGE_LEADS_MAX};
use leadline_schemas::Millis;
use leadline_schemas::delivery::{DeliveryStatus, escalated};
use leadline_schemas::reply::FailureKind;
use serde_json::json;

use crate::digests::{Scene, gathering, work_of};
use crate::driver::{answered, failed};
use crate::inputs::NOON;

#[test]
fn a_digest_is_one_message_the_best_first_and_the_ledger_has_a_line_for_each_lead() {
    let mut scene = Scene::new(gathering("hourly", &[]));
    scene.queue(1, 40);
    scene.queue(2, 92);
    scene.queue(1, 65);
    scene.alert(3);
    scene.request(1, &escalated("lead-1"), "lead", 1, &json!({"type": "missed_call"}));
    assert_eq!(scene.alerts, 2, "what nobody has reacted to never waits in a digest");
    assert_eq!(scene.line(1), (DeliveryStatus::Queued, "in the digest of 06:00".to_owned()));
    scene.advance(NOON.plus(Millis::HOUR).since(scene.driver.now));
    let job = scene.driver.pending().into_iter().find(|job| work_of(job).1["type"] == "digest").unwrap();
    let (work, payload) = work_of(&job);
    assert_eq!(scene.messages, [("digest:2026-03-04T13:00:00.000Z:1".to_owned(), vec![2, 1])]);
    assert_eq!(
        (work.subject.as_str(), &payload["clock"]),
        ("digest:2026-03-04T13:00:00.000Z:1", &json!("06:00"))
    );
    assert_eq!(payload["leads"][0]["reasons"], json!(["Budget.", "Soon.", "Near."]), "not all that is known");
    scene.reply(job.id, answered("{}"));
    scene.advance(10 * Millis::SECOND);
    for lead in [1, 2] {
        assert_eq!(scene.line(lead), (DeliveryStatus::Done, "in the digest of 06:00".to_owned()));
    }
    scene.advance(5 * Millis::HOUR);
    assert_eq!(scene.messages.len(), 1, "where nothing is new, nothing is sent");
    // The next one tells that it was told before; a lead that is skipped is in none.
    scene.queue(1, 70);
    scene.queue(2, 10);
    scene.by_hand(2, true);
    scene.advance(Millis::HOUR);
    let job = scene.driver.pending().into_iter().find(|job| work_of(job).1["type"] == "digest").unwrap();
    let payload = work_of(&job).1;
    assert_eq!(
        (payload["leads"].as_array().unwrap().len(), &payload["leads"][0]["told_before"]),
        (1, &json!(true))
    );
}

#[test]
fn a_message_has_50_leads_at_most_and_the_rest_is_in_the_next() {
    let mut scene = Scene::new(gathering("hourly", &[]));
    let leads = u16::try_from(DIGEST_LEADS_MAX).unwrap() + 1;
    for lead in 0..leads {
        scene.queue(lead, i64::from(lead % 101));
    }
    scene.advance(Millis::HOUR);
    let sizes: Vec<usize> = scene.messages.iter().map(|(_, leads)| leads.len()).collect();
    assert_eq!(sizes, [vec![MESSAGE_LEADS_MAX; 10], vec![1]].concat());
    let subjects: BTreeSet<&String> = scene.messages.iter().map(|(subject, _)| subject).collect();
    assert_eq!(subjects.len(), 11, "each has an id of its own");
    let firsts: Vec<u16> = scene.messages[..10].iter().map(|(_, leads)| leads[0] % 101).collect();
    assert!(firsts.is_sorted_by(|one, other| one >= other), "the best are in the first: {firsts:?}");
}

/// The most that one digest can come twice by itself, and then under the same id.
#[test]
fn a_digest_that_may_have_arrived_is_sent_once_more_as_the_same_message_where_the_tenant_wants_it() {
    for (options, sent) in [(&[][..], 1), (&[("unclear", "again")][..], 2)] {
        let mut scene = Scene::new(gathering("hourly", options));
        scene.queue(1, 40);
        scene.queue(2, 50);
        scene.advance(Millis::HOUR);
        let mut works = Vec::new();
        while let Some(job) = scene.driver.pending().pop() {
            works.push((work_of(&job).0.subject, work_of(&job).1));
            scene.reply(job.id, failed(FailureKind::Unclear));
            scene.advance(Millis::HOUR);
        }
        assert_eq!(works.len(), sent);
        assert!(works.windows(2).all(|two| two[0] == two[1]), "{works:?}");
        assert_eq!((scene.line(1).0, scene.line(2).0), (DeliveryStatus::Unclear, DeliveryStatus::Unclear));
    }
}

#[test]
fn a_digest_that_did_not_arrive_is_tried_again_as_one_message_and_who_asks_by_hand_waits_for_none() {
    let mut scene = Scene::new(gathering("daily 07:30", &[]));
    scene.queue(1, 40);
    scene.queue(2, 50);
    scene.queue(3, 60);
    scene.by_hand(3, false);
    assert_eq!(scene.line(3).0, DeliveryStatus::Sending, "a person who asks for one does not wait");
    let due = NOON.plus(2 * Millis::HOUR + 30 * Millis::MINUTE);
    assert_eq!(scene.ledger["lead-1"].held_until, due, "07:30 in Denver");
    scene.overdue = (1..=2).collect();
    scene.advance(due.since(scene.driver.now));
    let digest =
        |scene: &Scene| scene.driver.pending().into_iter().find(|job| work_of(job).1["type"] == "digest");
    for pause_ms in LATER_MS.iter().take(3) {
        scene.reply(digest(&scene).unwrap().id, failed(FailureKind::Exhausted));
        // At most as long as a line takes to look again.
        let looks = (0..60).take_while(|_| {
            scene.advance(5 * Millis::SECOND);
            scene.line(1).0 == DeliveryStatus::Sending
        });
        assert!(looks.count() < 60 && scene.line(1).0 == DeliveryStatus::Queued);
        scene.advance(pause_ms + Millis::MINUTE);
        assert!(digest(&scene).is_some(), "gathered for a minute and sent");
    }
    let leads: Vec<&[u16]> = scene.messages.iter().map(|(_, leads)| leads.as_slice()).collect();
    assert_eq!(leads, [[2, 1]; 4], "together again, each time");
}

#[test]
fn a_digest_keeps_the_tenants_clock_its_quiet_hours_and_what_becomes_of_its_integration() {
    // Saturday 22:00 in Denver; on Sunday clocks go forward.
    let saturday = Millis(1_772_960_400_000 - 4 * Millis::HOUR);
    let mut quiet = gathering("daily 07:30", &[]);
    (quiet.integrations[0].quiet_from_min, quiet.integrations[0].quiet_to_min) =
        (Some(21 * 60), Some(8 * 60));
    for (tenant, hours, clock) in [
        (gathering("daily 07:30", &[]), 17, "07:30"),
        (quiet, 18, "08:00"),
        (gathering("daily 22:00", &[]), 46, "22:00"),
    ] {
        let mut scene = Scene::new(tenant);
        scene.driver.now = saturday;
        scene.queue(1, 40);
        let line = &scene.ledger["lead-1"];
        assert_eq!(line.held_until.since(saturday), hours * 30 * Millis::MINUTE, "{clock}");
        assert_eq!(line.reason.clone().unwrap(), format!("in the digest of {clock}"));
    }
    // Whoever wants each lead at once from now on gets what was gathered as it was; who wants none, none.
    for (switched_off, status) in [(false, DeliveryStatus::Sending), (true, DeliveryStatus::Skipped)] {
        let mut scene = Scene::new(gathering("hourly", &[]));
        (1..=3).for_each(|lead| scene.queue(lead, 40));
        let mut tenant = gathering("hourly", &[]);
        tenant.integrations[0].options.clear();
        tenant.integrations[0].disabled = switched_off;
        scene.driver.set_tenant(tenant);
        scene.advance(Millis::HOUR);
        assert!((1..=3).all(|lead| scene.line(lead).0 == status));
        assert_eq!(scene.messages.len(), usize::from(!switched_off));
        scene.queue(4, 50);
        assert_eq!(scene.line(4).0, status, "the next is not gathered");
    }
}
