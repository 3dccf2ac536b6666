//! dedupe: each content of a call goes on once, under one id, whatever ids its payloads carry.

use std::collections::BTreeMap;

use leadline_operators::decode::Decoded;
use leadline_operators::dedupe::{ContactOut, Dedupe, DedupeIn};
use leadline_schemas::command::Command;
use leadline_schemas::contact::Contact;
use leadline_schemas::event::{CallEvent, Event};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::request::RequestStatus;
use leadline_schemas::settings::{Company, Sealed};
use leadline_schemas::{CallId, Millis};
use proptest::prelude::*;

use crate::driver::{Driver, cases};
use crate::inputs::{NOON, call_contact, call_event, contact, event_id, form_event, tenant, text_event};

/// Which ids a payload carries.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ids {
    /// A row of the API, and a webhook of the newer generation.
    Modern,
    /// A webhook of the time between.
    Both,
    /// The older generation: nothing but a number.
    Numeric,
}

#[derive(Clone, Debug)]
struct Payload {
    call: u8,
    ids: Ids,
    /// Whether it says when who called which number.
    circumstances: bool,
    note: u8,
    replay: bool,
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let ids = prop::sample::select(vec![Ids::Modern, Ids::Both, Ids::Numeric]);
    (0..3_u8, ids, prop::bool::weighted(0.8), 0..4_u8, prop::bool::weighted(0.1)).prop_map(
        |(call, ids, circumstances, note, replay)| Payload { call, ids, circumstances, note, replay },
    )
}

fn modern_id(call: u8) -> String {
    format!("CAL{call:032x}")
}

fn numeric_id(call: u8) -> String {
    format!("76697053{call}")
}

fn event_of(payload: &Payload) -> CallEvent {
    let mut call = call_event(&modern_id(payload.call));
    call.numeric_id = (payload.ids != Ids::Modern).then(|| numeric_id(payload.call));
    call.company_id = Some("COM1".to_owned());
    if payload.ids == Ids::Numeric {
        call.call_id = CallId(numeric_id(payload.call));
        call.company_id = Some("155920786".to_owned());
    }
    call.started_at = payload.circumstances.then(|| NOON.plus(i64::from(payload.call) * 1_000));
    call.note = Some(format!("note {}", payload.note));
    call
}

/// A company whose webhooks are of either generation.
fn driver() -> Driver<Dedupe> {
    let mut tenant = tenant();
    tenant.companies = vec![Company::new(vec!["155920786".to_owned(), "COM1".to_owned()], Sealed::default())];
    Driver::new(tenant, NOON)
}

/// What a payload's one output is: the contact that goes on, or the request that ends.
fn one(driver: &mut Driver<Dedupe>, contact: Contact) -> Result<Contact, RequestStatus> {
    let done = driver.record(contact.event_id, Box::new(contact).into()).unwrap();
    let [out] = done.out.as_slice() else { panic!("one payload, one output: {:?}", done.out) };
    match out {
        ContactOut::Contact(contact) => Ok((**contact).clone()),
        ContactOut::Request(request) => Err(request.status),
        ContactOut::Untold(line) => panic!("no payload is one that was missed: {line:?}"),
        ContactOut::Notice(notice) => panic!("no contact is a notice: {notice:?}"),
    }
}

#[derive(Default)]
struct Model {
    /// What a call is known by, to the id it goes by.
    names: BTreeMap<String, String>,
    /// Contents that have gone on, by the id their call goes by.
    seen: BTreeMap<String, Vec<(u8, bool)>>,
}

impl Model {
    /// The id that the payload's call goes by.
    fn goes_by(&mut self, payload: &Payload) -> String {
        let mut names = Vec::new();
        if payload.ids != Ids::Modern {
            names.push(numeric_id(payload.call));
        }
        if payload.circumstances {
            names.push(format!("circumstances {}", payload.call));
        }
        if payload.ids != Ids::Numeric {
            names.push(modern_id(payload.call));
        }
        let own = if payload.ids == Ids::Numeric { numeric_id } else { modern_id }(payload.call);
        let known = names.iter().find_map(|name| self.names.get(name)).cloned();
        let first_called = known.unwrap_or(own);
        // Two calls that turned out to be one: the id leads to the one that was found.
        let goes_by = self.names.get(&first_called).cloned().unwrap_or(first_called);
        for name in names {
            let known = self.names.entry(name.clone()).or_insert_with(|| goes_by.clone());
            if name.starts_with("CAL") {
                known.clone_from(&goes_by);
            }
        }
        goes_by
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn each_content_of_a_call_goes_on_once_under_one_id(payloads in prop::collection::vec(any_payload(), 1..40)) {
        let (mut driver, mut model) = (driver(), Model::default());
        for (number, payload) in (0..).zip(&payloads) {
            let goes_by = model.goes_by(payload);
            let seen = model.seen.entry(goes_by.clone()).or_default();
            let content = (payload.note, payload.circumstances);
            let is_new = !seen.contains(&content);
            if is_new {
                seen.push(content);
            }
            let contents = i64::try_from(seen.len()).unwrap();
            let mut contact = call_contact(number, event_of(payload));
            contact.update = payload.replay;
            let out = one(&mut driver, contact);
            if is_new || payload.replay {
                let out = out.expect("new content goes on");
                prop_assert_eq!(out.event.subject_id(), &goes_by);
                prop_assert_eq!((out.update, out.content), (contents > 1, contents));
                // All its ids stay findable: what it does not go by is kept as its other id.
                let Event::CallEvent(call) = &out.event else { panic!("a call") };
                let own = event_of(payload).call_id.0;
                prop_assert!(own == goes_by || call.numeric_id.as_ref() == Some(&own), "{:?} is lost", own);
            } else {
                prop_assert_eq!(out, Err(RequestStatus::Duplicate));
            }
        }
    }

    /// Whatever comes first: the reconciler's pull or the older webhook.
    #[test]
    fn a_call_is_one_call_in_any_order_of_its_payloads(mut payloads in prop::collection::vec(any_payload(), 1..12)) {
        let mut driver = driver();
        let mut ids = BTreeMap::new();
        for (number, payload) in (0..).zip(&mut payloads) {
            payload.circumstances = true;
            payload.replay = true;
            let out = one(&mut driver, call_contact(number, event_of(payload)));
            let Ok(out) = out else { continue };
            let id = out.event.subject_id().to_owned();
            let first = ids.entry(payload.call).or_insert_with(|| id.clone()).clone();
            prop_assert_eq!(first, id, "one call under two ids");
        }
    }
}

/// An append whose answer was lost is done again under the same id: the second record must not make the first one's
/// request a duplicate of itself.
#[test]
fn an_event_that_is_in_the_log_twice_takes_effect_once_and_stays_what_it_was() {
    let mut driver = driver();
    let noted = |number, note: &str| {
        let mut call = call_event("CAL1");
        call.note = Some(note.to_owned());
        call_contact(number, call)
    };
    let mut all = |contact: Contact| driver.record(contact.event_id, Box::new(contact).into()).unwrap().out;
    let is_contact = |out: &[ContactOut]| matches!(out, [ContactOut::Contact(_)]);
    assert!(is_contact(&all(noted(1, "kitchen"))));
    assert!(all(noted(1, "kitchen")).is_empty(), "at once");
    assert!(is_contact(&all(noted(2, "bath"))));
    assert!(all(noted(1, "kitchen")).is_empty(), "behind another content of the call");
    let out = all(noted(3, "kitchen"));
    let [ContactOut::Request(other)] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(
        (other.request_id, other.status),
        (event_id(3), RequestStatus::Duplicate),
        "another event is one"
    );
    let mut form = contact(4, Event::FormEvent(form_event("FRM1", &[("name", "Ana")])));
    form.origin = Origin::Form;
    assert!(is_contact(&all(form.clone())));
    assert!(all(form).is_empty());
}

#[test]
fn texts_and_forms_go_on_once_each_and_an_edit_is_an_update() {
    let mut driver = driver();
    let text = |number, content: &str| contact(number, Event::TextEvent(text_event("SCI1", content)));
    let form = |number, name: &str| contact(number, Event::FormEvent(form_event("FRM1", &[("name", name)])));
    assert!(!one(&mut driver, text(1, "Hello")).unwrap().update);
    assert_eq!(one(&mut driver, text(2, "Hello")), Err(RequestStatus::Duplicate));
    assert!(one(&mut driver, text(3, "Hello!")).unwrap().update);
    assert!(!one(&mut driver, form(4, "Ana")).unwrap().update);
    assert_eq!(one(&mut driver, form(5, "Ana")), Err(RequestStatus::Duplicate));
    assert!(one(&mut driver, form(6, "Bea")).unwrap().update);
}

#[test]
fn what_leadline_wrote_itself_comes_back_without_effect_and_other_edits_do_not() {
    let mut driver = driver();
    let modified = |changes: &[&str]| {
        let mut call = call_event("CAL1");
        call.kind = EventKind::CallModified;
        call.changes = changes.iter().map(|field| (*field).to_owned()).collect();
        call.note = Some(format!("{changes:?}"));
        call
    };
    let fields = vec!["tags".to_owned(), "note".to_owned()];
    let written = Command::WroteBack { call_id: "CAL1".to_owned(), fields };
    let written = DedupeIn::of(Decoded::Command(written)).unwrap();
    assert!(driver.record(event_id(99), written).unwrap().out.is_empty());
    for (number, echo) in [&["tags"][..], &["note", "tags"]].into_iter().enumerate() {
        let contact = call_contact(number as u64, modified(echo));
        assert_eq!(one(&mut driver, contact), Err(RequestStatus::Duplicate), "{echo:?} is ours");
    }
    for (number, theirs) in [&["tags", "value"][..], &["value"], &[]].into_iter().enumerate() {
        assert!(one(&mut driver, call_contact(10 + number as u64, modified(theirs))).is_ok(), "{theirs:?}");
    }
    let mut post = modified(&["tags"]);
    post.kind = EventKind::PostCall;
    assert!(one(&mut driver, call_contact(20, post)).is_ok(), "only an edit can be an echo");
    driver.advance(Millis::DAY);
    let late = call_contact(30, modified(&["note"]));
    assert!(one(&mut driver, late).is_ok(), "a day later it is somebody else's edit");
}

/// Twelve contents are told apart; then the oldest may come again. So the rows of a call that is edited for ever
/// stay small.
#[test]
fn the_contents_of_a_call_are_bounded() {
    let mut driver = driver();
    let mut event = 0;
    let mut noted = |note: u64| {
        let mut call = call_event("CAL1");
        call.note = Some(note.to_string());
        event += 1;
        call_contact(event, call)
    };
    for note in 0..12 {
        assert!(one(&mut driver, noted(note)).is_ok());
    }
    for note in 0..12 {
        assert_eq!(one(&mut driver, noted(note)), Err(RequestStatus::Duplicate));
    }
    assert!(one(&mut driver, noted(12)).is_ok());
    assert!(one(&mut driver, noted(0)).is_ok(), "the oldest was forgotten");
}

#[test]
fn an_event_of_our_own_api_is_taken_once_and_its_request_keeps_what_became_of_it() {
    let mut driver = Driver::<Dedupe>::new(tenant(), NOON);
    let mut direct = call_contact(1, call_event("CAL1"));
    direct.origin = Origin::Direct;
    let passed = |done: &[ContactOut]| done.iter().any(|out| matches!(out, ContactOut::Contact(_)));
    assert!(passed(&driver.record(event_id(1), Box::new(direct.clone()).into()).unwrap().out));
    // The client tries again under the same key: silence, or the first request would be told to be a duplicate.
    assert!(driver.record(event_id(1), Box::new(direct.clone()).into()).unwrap().out.is_empty());
    let mut changed = direct.clone();
    if let Event::CallEvent(call) = &mut changed.event {
        call.note = Some("another body under the same key".to_owned());
    }
    assert!(driver.record(event_id(1), Box::new(changed).into()).unwrap().out.is_empty());
    // A dead letter that is fed once more is another matter.
    direct.update = true;
    assert!(passed(&driver.record(event_id(1), Box::new(direct).into()).unwrap().out));
}

/// A listing has it first: by then a webhook is late, and 25 minutes after its end it does not come any more.
#[test]
fn what_only_the_listing_tells_is_told_of_once_when_its_webhook_is_overdue() {
    const MINUTE: i64 = Millis::MINUTE;
    let listed = |number, id: &str| {
        let mut call = call_event(id);
        call.started_at = Some(NOON.plus(-2 * MINUTE)); // It lasted two minutes, so it has just ended.
        Contact { origin: Origin::CallrailPull, ..call_contact(number, call) }
    };
    let untold = |done: &[crate::driver::Done<ContactOut>]| {
        let lines = done.iter().flat_map(|done| &done.out).filter_map(|out| match out {
            ContactOut::Untold(line) => Some((line.kind.clone(), line.subject.clone())),
            _ => None,
        });
        lines.collect::<Vec<_>>()
    };
    let missed = |id: &str| ("missed_by_webhooks".to_owned(), id.to_owned());

    let mut driver = Driver::new(tenant(), NOON);
    assert!(one(&mut driver, listed(1, "CAL1")).is_ok());
    assert!(one(&mut driver, listed(2, "CAL2")).is_ok());
    driver.advance(24 * MINUTE);
    let told = Contact { origin: Origin::CallrailWebhook, ..listed(3, "CAL2") };
    assert_eq!(one(&mut driver, told), Err(RequestStatus::Duplicate), "the webhook came, late");
    assert_eq!(untold(&driver.advance(2 * MINUTE)), [missed("CAL1")]);
    // Listed again with other content, it is not told of again.
    let mut again = listed(4, "CAL1");
    if let Event::CallEvent(call) = &mut again.event {
        call.note = Some("edited".to_owned());
    }
    assert!(one(&mut driver, again).is_ok());
    assert_eq!(untold(&driver.advance(60 * MINUTE)), []);

    // A pre-call says nothing of how it ended.
    let mut rings = call_contact(5, call_event("CAL3"));
    if let Event::CallEvent(call) = &mut rings.event {
        call.kind = EventKind::PreCall;
    }
    assert!(one(&mut driver, rings).is_ok());
    assert!(one(&mut driver, listed(6, "CAL3")).is_ok());
    assert_eq!(untold(&driver.advance(0)), [missed("CAL3")], "it is overdue already");

    let old = Contact { backfill: true, ..listed(7, "CAL4") };
    assert!(one(&mut driver, old).is_ok());
    assert_eq!(untold(&driver.advance(60 * MINUTE)), [], "a backfill is no webhook that was missed");
}

/// CallRail's list has no ids of texts.
#[test]
fn a_text_is_one_text_whether_the_listing_or_its_webhook_comes_first() {
    for listing_first in [true, false] {
        let mut driver = driver();
        let text = |number, id: &str, origin| Contact {
            origin,
            ..contact(number, Event::TextEvent(text_event(id, "Is Friday still good?")))
        };
        let listed = text(1, "conversation-1", Origin::CallrailPull);
        let told = text(2, "SCI1", Origin::CallrailWebhook);
        let (first, second) = if listing_first { (listed, told) } else { (told, listed) };
        let id = one(&mut driver, first).unwrap().event.subject_id().to_owned();
        assert_eq!(one(&mut driver, second), Err(RequestStatus::Duplicate), "{id} came first");
    }
    // Two webhooks are two texts, however alike.
    let mut driver = driver();
    for (number, id) in [(1, "SCI1"), (2, "SCI2")] {
        assert!(one(&mut driver, contact(number, Event::TextEvent(text_event(id, "ok")))).is_ok());
    }
}
