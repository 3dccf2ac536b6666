//! `process` with a known id: the record is scored once more, as it stands, and the new score goes where scores go.

use leadline_operators::leads::{LeadChanged, LeadFeedback, Leads, LeadsIn, LeadsOut, PROCESSING};
use leadline_operators::score;
use leadline_schemas::Millis;
use leadline_schemas::call::CallRecord;
use leadline_schemas::contact::{Contact, Score, Transcript};
use leadline_schemas::event::{Event, Speaker, Turn};
use leadline_schemas::inbound::EventKind;
use leadline_schemas::lead::Lead;
use leadline_schemas::reply::FailureKind;
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::settings::Tenant;

use crate::driver::{Done, Driver, answered, failed};
use crate::inputs::{NOON, call_contact, call_event, contact, event_id, form_event, tenant, text_event};

const WORDS: &str =
    "We own our home and want a new kitchen next month, our budget is sixty thousand dollars.";

/// A call with words, scored long ago by somebody who thought little of it.
fn scored_call() -> Contact {
    let mut call = call_event("CAL1");
    call.answered = Some(true);
    call.duration_s = Some(300);
    let mut contact = call_contact(1, call);
    let turns = vec![Turn { speaker: Speaker::Caller, text: WORDS.to_owned() }];
    contact.transcript = Some(Transcript { turns, provider: "callrail".to_owned(), cost_micros: 7 });
    contact.score = Some(old_score());
    contact.content = 1;
    contact
}

fn old_score() -> Score {
    Score {
        score: 1,
        band: "cold".to_owned(),
        class: "lead".to_owned(),
        detail: "{}".to_owned(),
        provider: "old".to_owned(),
        model: None,
        prompt_version: "0".to_owned(),
        cost_micros: 5,
        fallback: None,
    }
}

fn asking_a_provider() -> Tenant {
    let mut tenant = tenant();
    tenant.policy.score_provider = "http".to_owned();
    tenant
}

fn process(driver: &mut Driver<Leads>, number: u64, id: &str) -> Done<LeadsOut> {
    driver.now = driver.now.plus(Millis::MINUTE);
    driver.record(event_id(number), LeadsIn::Process(id.to_owned())).unwrap()
}

fn requests(done: &Done<LeadsOut>) -> Vec<&Request> {
    done.out.iter().filter_map(|out| if let LeadsOut::Request(of) = out { Some(of) } else { None }).collect()
}

fn calls(done: &Done<LeadsOut>) -> Vec<&CallRecord> {
    done.out.iter().filter_map(|out| if let LeadsOut::Call(of) = out { Some(of) } else { None }).collect()
}

fn changes(done: &Done<LeadsOut>) -> Vec<&LeadChanged> {
    done.out.iter().filter_map(|out| if let LeadsOut::Changed(of) = out { Some(of) } else { None }).collect()
}

/// The record but for what a new score may change.
fn rest(call: &CallRecord) -> CallRecord {
    CallRecord {
        score: None,
        cost_micros: 0,
        revision: 0,
        event_id: event_id(0),
        updated_at: NOON,
        ..call.clone()
    }
}

#[test]
fn a_known_call_gets_a_new_score_and_nothing_else_of_it_changes() {
    let mut driver = Driver::<Leads>::new(tenant(), NOON);
    let contact = scored_call();
    let input = score::input_of(&contact, Some(&tenant()));
    let first = driver.record(event_id(1), contact.into()).unwrap();
    let done = process(&mut driver, 2, "CAL1");

    let (before, after) = (calls(&first)[0], calls(&done)[0]);
    assert_eq!(rest(before), rest(after));
    let fresh = leadline_operators::rules::score(&input);
    let score = after.score.as_ref().unwrap();
    assert_eq!((score.score, score.provider.as_str()), (i32::from(fresh.score), score::RULES));
    assert_eq!(
        (after.revision, after.cost_micros),
        (before.revision + 1, before.cost_micros),
        "rules cost nothing"
    );

    let request = requests(&done)[0];
    assert_eq!((request.request_id, request.status), (event_id(2), RequestStatus::Done));
    assert_eq!(request.call_id.as_deref(), Some("CAL1"));
    let changed = changes(&done);
    assert_eq!(changed.len(), 1, "the lead takes the score over");
    assert_eq!((changed[0].lead.score, changed[0].lead.revision), (score.score, 2));
}

#[test]
fn a_provider_is_asked_and_its_failure_is_an_answer_too() {
    for answer in [answered("{}"), failed(FailureKind::Exhausted)] {
        let mut driver = Driver::<Leads>::new(asking_a_provider(), NOON);
        driver.record(event_id(1), scored_call().into()).unwrap();
        let done = process(&mut driver, 2, "CAL1");
        assert_eq!(requests(&done)[0].status, RequestStatus::Processing);
        assert!(calls(&done).is_empty(), "nothing changes before the answer");
        assert_eq!(done.jobs.len(), 1);
        assert_eq!(
            (done.jobs[0].request.kind.as_str(), done.jobs[0].request.target.as_str()),
            ("score", "http")
        );

        let done = driver.reply(done.jobs[0].id, answer).unwrap().unwrap();
        let request = requests(&done)[0];
        assert_eq!((request.request_id, request.status), (event_id(2), RequestStatus::Done));
        let score = calls(&done)[0].score.as_ref().unwrap();
        assert!(score.fallback.is_some() && score.score > 50, "the rules stand in: {score:?}");
        assert_eq!(driver.rows(&PROCESSING), 0);
    }
}

#[test]
fn texts_and_forms_are_scored_again_like_calls() {
    let text = Event::TextEvent(text_event("SCI1", WORDS));
    let form = Event::FormEvent(form_event("FRM1", &[("message", WORDS)]));
    for (event, id) in [(text, "SCI1"), (form, "FRM1")] {
        let mut driver = Driver::<Leads>::new(tenant(), NOON);
        let mut contact = contact(1, event);
        let input = score::input_of(&contact, Some(&tenant()));
        contact.score = Some(old_score());
        let first = driver.record(event_id(1), contact.into()).unwrap();
        let done = process(&mut driver, 2, id);
        let (before, after) = (calls(&first)[0], calls(&done)[0]);
        assert_eq!(rest(before), rest(after));
        let fresh = leadline_operators::rules::score(&input);
        assert_eq!(after.score.as_ref().unwrap().score, i32::from(fresh.score), "{id}");
        assert!(fresh.score > 1, "{id}");
    }
}

#[test]
fn who_asks_is_always_answered() {
    let mut driver = Driver::<Leads>::new(tenant(), NOON);
    let unknown = process(&mut driver, 1, "CAL9");
    assert_eq!(requests(&unknown)[0].status, RequestStatus::Failed);
    let mut ringing = call_event("CAL2");
    ringing.kind = EventKind::PreCall;
    driver.record(event_id(2), call_contact(2, ringing).into()).unwrap();
    let mut outbound = call_event("CAL3");
    outbound.kind = EventKind::OutboundPostCall;
    driver.record(event_id(3), call_contact(3, outbound).into()).unwrap();
    for (number, id) in [(4, "CAL2"), (5, "CAL3")] {
        let done = process(&mut driver, number, id);
        assert_eq!(done.out.len(), 1, "{id}: nothing changes");
        let request = requests(&done)[0];
        assert_eq!(request.status, RequestStatus::Done);
        assert!(request.reason.is_some(), "{id}: it is said why");
    }
}

#[test]
fn an_old_call_changes_its_lead_and_wakes_nobody() {
    let mut driver = Driver::<Leads>::new(tenant(), NOON);
    driver.record(event_id(1), scored_call().into()).unwrap();
    driver.now = driver.now.plus(3 * Millis::DAY);
    let done = process(&mut driver, 2, "CAL1");
    assert!(changes(&done)[0].backfill, "nobody is notified of a call of three days ago");
}

fn feedback(lead: &LeadChanged, good: bool, sold_micros: Option<i64>) -> LeadsIn {
    LeadsIn::Feedback(LeadFeedback {
        caller: lead.lead.caller.clone(),
        lead_id: lead.lead.lead_id.to_string(),
        good,
        sold_micros,
        note: None,
    })
}

#[test]
fn what_the_company_says_of_a_lead_is_in_its_record_and_history_and_wakes_nobody() {
    let mut driver = Driver::<Leads>::new(tenant(), NOON);
    let first = driver.record(event_id(1), scored_call().into()).unwrap();
    let lead = changes(&first)[0].clone();
    for (number, (good, sold, status)) in (2..).zip([
        (true, None, "open"),
        (false, None, "not_a_lead"),
        (true, Some(12_500_000_000), "won"),
        (true, Some(0), "open"),
    ]) {
        driver.now = driver.now.plus(Millis::MINUTE);
        let done = driver.record(event_id(number), feedback(&lead, good, sold)).unwrap();
        let changed = changes(&done)[0];
        assert_eq!((changed.lead.status.as_str(), changed.lead.revision), (status, number as i64));
        let kept = changed.lead.feedback.as_ref().unwrap();
        assert_eq!((kept.good, kept.sold_micros), (good, sold));
        assert!(changed.backfill && !changed.deliver_backfill, "nobody is told what they said themselves");
        let request = requests(&done)[0];
        assert_eq!((request.status, request.lead_id), (RequestStatus::Done, Some(lead.lead.lead_id)));
        let lines: Vec<_> = done
            .out
            .iter()
            .filter_map(|out| if let LeadsOut::LeadEvent(line) = out { Some(line) } else { None })
            .collect();
        assert_eq!((lines.len(), lines[0].kind.as_str(), lines[0].revision), (1, "feedback", number as i64));
        assert_eq!(lines[0].text.contains("12500.00"), status == "won");
        // All but that is as it was.
        let bare = |lead: &Lead| Lead {
            status: String::new(),
            feedback: None,
            revision: 0,
            updated_at: NOON,
            ..lead.clone()
        };
        assert_eq!(bare(&changed.lead), bare(&lead.lead));
    }
    // A later contact keeps it.
    driver.now = driver.now.plus(Millis::MINUTE);
    let mut again = scored_call();
    again.event_id = event_id(9);
    again.content = 2;
    if let Event::CallEvent(call) = &mut again.event {
        call.note = Some("rang again".to_owned());
    }
    again.score = Some(Score { score: 2, ..old_score() });
    let done = driver.record(event_id(9), again.into()).unwrap();
    assert!(changes(&done)[0].lead.feedback.is_some());
}

#[test]
fn a_word_about_a_lead_that_is_not_there_is_answered() {
    let mut driver = Driver::<Leads>::new(tenant(), NOON);
    let first = driver.record(event_id(1), scored_call().into()).unwrap();
    let mut lead = changes(&first)[0].clone();
    lead.lead.lead_id = leadline_schemas::LeadId::of(&[b"another"]);
    let mut odd = feedback(&lead, true, None);
    for number in 2..4 {
        let done = driver.record(event_id(number), odd).unwrap();
        assert_eq!(requests(&done)[0].status, RequestStatus::Failed);
        assert!(changes(&done).is_empty());
        odd = LeadsIn::Feedback(LeadFeedback {
            caller: String::new(),
            lead_id: "no id".to_owned(),
            good: true,
            sold_micros: None,
            note: None,
        });
    }
}

#[test]
fn an_older_lead_of_the_caller_is_found_too() {
    let mut driver = Driver::<Leads>::new(tenant(), NOON);
    let first = driver.record(event_id(1), scored_call().into()).unwrap();
    let old = changes(&first)[0].clone();
    driver.now = driver.now.plus(60 * Millis::DAY);
    let mut later = scored_call();
    later.event_id = event_id(2);
    if let Event::CallEvent(call) = &mut later.event {
        call.call_id = leadline_schemas::CallId("CAL2".to_owned());
        call.started_at = Some(driver.now);
    }
    later.event_time = driver.now;
    let second = driver.record(event_id(2), later.into()).unwrap();
    assert_ne!(changes(&second)[0].lead.lead_id, old.lead.lead_id);
    let done = driver.record(event_id(3), feedback(&old, false, None)).unwrap();
    assert_eq!(changes(&done)[0].lead.lead_id, old.lead.lead_id);
}
