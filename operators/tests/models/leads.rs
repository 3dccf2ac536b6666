//! leads: one lead per caller and merge window, each call in one lead for good, and every change told of once.

use std::collections::BTreeMap;

use leadline_operators::leads::{Counts, LeadChanged, Leads, LeadsOut};
use leadline_schemas::call::{CallRecord, CallStage, Channel};
use leadline_schemas::contact::{Contact, Score};
use leadline_schemas::event::{Direction, Event};
use leadline_schemas::inbound::EventKind;
use leadline_schemas::lead::LeadEvent;
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::{LeadId, Millis};
use proptest::prelude::*;

use crate::driver::{Driver, cases};
use crate::inputs::{NOON, call_contact, call_event, contact, event_id, form_event, tenant, text_event};

/// When each of a caller's contacts happened, in days: some within 30 days of each other, some not.
const DAYS: [i64; 6] = [0, 2, 29, 50, 90, 200];
const CALLERS: [&str; 2] = ["+13035550142", "ana@example.com"];
const CLASSES: [&str; 4] = ["lead", "no_conversation", "spam", "existing_customer"];

#[derive(Clone, Debug)]
struct Step {
    caller: usize,
    /// Which contact of the caller; what kind of contact it is depends on it.
    which: usize,
    stage: CallStage,
    /// Its number among the payloads of this contact; a smaller one that comes later is an answer that came late.
    content: i64,
    answered: Option<bool>,
    score: Option<(usize, i32)>,
    note: u8,
}

fn any_step() -> impl Strategy<Value = Step> {
    let stage = prop::sample::select(vec![
        CallStage::Ringing,
        CallStage::Completed,
        CallStage::Completed,
        CallStage::Completed,
    ]);
    let score = prop::option::weighted(0.8, (0..CLASSES.len(), 0..101_i32));
    (0..2_usize, 0..DAYS.len(), stage, 1..5_i64, prop::option::of(any::<bool>()), score, 0..3_u8).prop_map(
        |(caller, which, stage, content, answered, score, note)| Step {
            caller,
            which,
            stage,
            content,
            answered,
            score,
            note,
        },
    )
}

fn id_of(step: &Step) -> String {
    format!("C{}-{}", step.caller, step.which)
}

/// Texts and forms have but one stage.
fn stage_of(step: &Step) -> CallStage {
    if step.which < 4 { step.stage } else { CallStage::Completed }
}

fn at_of(step: &Step) -> Millis {
    NOON.plus(DAYS[step.which] * Millis::DAY)
}

fn score_of((class, score): (usize, i32)) -> Score {
    Score {
        score,
        band: if score >= 80 { "hot" } else { "cold" }.to_owned(),
        class: CLASSES[class].to_owned(),
        detail: "{}".to_owned(),
        provider: "rules".to_owned(),
        model: None,
        prompt_version: "1".to_owned(),
        cost_micros: 3,
        fallback: None,
    }
}

fn contact_of(number: u64, step: &Step) -> Contact {
    let id = id_of(step);
    let event = match step.which {
        4 => {
            let mut form = form_event(&id, &[("name", "Ana")]);
            form.at = Some(at_of(step));
            Event::FormEvent(form)
        }
        5 => {
            let mut text = text_event(&id, &format!("text {}", step.note));
            text.at = Some(at_of(step));
            Event::TextEvent(text)
        }
        which => {
            let mut call = call_event(&id);
            call.started_at = Some(at_of(step));
            call.kind =
                if step.stage == CallStage::Ringing { EventKind::PreCall } else { EventKind::PostCall };
            call.answered = step.answered;
            call.note = Some(format!("note {}", step.note));
            // The company rang.
            call.direction = Some(if which == 3 { Direction::Outbound } else { Direction::Inbound });
            Event::CallEvent(Box::new(call))
        }
    };
    let mut contact = contact(number, event);
    contact.caller = CALLERS[step.caller].to_owned();
    contact.content = step.content;
    contact.score = step.score.filter(|_| step.stage == CallStage::Completed).map(score_of);
    contact
}

/// What one contact did, taken apart.
struct Told {
    request: Request,
    call: CallRecord,
    changed: Option<(LeadChanged, LeadEvent)>,
    facts: Option<leadline_operators::leads::ContactFacts>,
}

fn told(out: Vec<LeadsOut>) -> Told {
    let (mut request, mut call, mut changed, mut line, mut facts) = (None, None, None, None, None);
    for out in out {
        let twice = match out {
            LeadsOut::Request(of) => request.replace(of).is_some(),
            LeadsOut::Call(of) => call.replace(of).is_some(),
            LeadsOut::Changed(of) => changed.replace(of).is_some(),
            LeadsOut::LeadEvent(of) => line.replace(of).is_some(),
            LeadsOut::Facts(of) => facts.replace(of).is_some(),
            LeadsOut::Audit(_) => false,
        };
        assert!(!twice, "told twice of one thing");
    }
    assert_eq!(changed.is_some(), line.is_some(), "every change of a lead has a line in its history");
    Told {
        request: request.expect("every contact ends its request"),
        call: call.expect("every contact has a record"),
        changed: changed.zip(line),
        facts,
    }
}

#[derive(Default)]
struct Lead {
    id: Option<LeadId>,
    last_contact_at: Option<Millis>,
    contacts: Vec<String>,
    revision: i64,
}

#[derive(Default)]
struct Model {
    leads: BTreeMap<usize, Vec<Lead>>,
    lead_of: BTreeMap<String, usize>,
    calls: BTreeMap<String, CallRecord>,
    counted: BTreeMap<String, Counts>,
}

impl Model {
    /// Takes a contact in and says which of its caller's leads it belongs to.
    fn place(&mut self, step: &Step, call: &CallRecord) -> Option<usize> {
        let id = id_of(step);
        let leads = self.leads.entry(step.caller).or_default();
        let at = at_of(step);
        let joins =
            |lead: &Lead| lead.last_contact_at.is_some_and(|last| at.since(last).abs() <= 30 * Millis::DAY);
        // A contact that comes late may open a lead that is not the newest.
        let newest = (0..leads.len()).max_by_key(|index| leads[*index].last_contact_at);
        let index = match (self.lead_of.get(&id), newest) {
            (Some(index), _) => *index,
            (None, Some(newest)) if joins(&leads[newest]) => newest,
            (None, _) if opens(call) => {
                leads.push(Lead::default());
                leads.len() - 1
            }
            (None, _) => return None,
        };
        self.lead_of.insert(id.clone(), index);
        let lead = &mut leads[index];
        lead.last_contact_at = lead.last_contact_at.max(Some(at));
        if !lead.contacts.contains(&id) {
            lead.contacts.push(id);
            lead.contacts.sort(); // By time: that is how contacts are numbered here.
        }
        Some(index)
    }

    fn take(&mut self, step: &Step, told: Told) {
        let id = id_of(step);
        self.check_call(step, &told.call);
        self.check_counts(&id, &told);
        let index = self.place(step, &told.call);
        self.calls.insert(id, told.call.clone());
        assert_eq!(told.request.status, RequestStatus::Done);
        assert_eq!(told.request.lead_id, told.call.lead_id);
        let Some(index) = index else {
            assert_eq!(told.call.lead_id, None, "nobody asks for work here");
            assert!(told.changed.is_none());
            return;
        };
        let known: Vec<LeadId> = self.leads.values().flatten().filter_map(|lead| lead.id).collect();
        let lead = &mut self.leads.get_mut(&step.caller).unwrap()[index];
        let lead_id = told.call.lead_id.expect("it belongs to a lead");
        if *lead.id.get_or_insert(lead_id) != lead_id || lead.revision == 0 && known.contains(&lead_id) {
            panic!("{} is in {lead_id}, and its lead is {:?}", told.call.call_id, lead.id);
        }
        let Some((changed, line)) = told.changed else { return };
        assert_eq!(changed.lead.lead_id, lead_id);
        lead.revision += 1;
        assert_eq!(
            (changed.lead.revision, line.revision),
            (lead.revision, lead.revision),
            "no revision twice"
        );
        assert_eq!(changed.lead.contact_ids, lead.contacts);
        self.check_lead(step.caller, index, &changed.lead);
    }

    /// A record grows by one revision, keeps its place in time, and takes the newest content.
    fn check_call(&self, step: &Step, call: &CallRecord) {
        let before = self.calls.get(&call.call_id);
        assert_eq!(call.call_id, id_of(step));
        assert_eq!(call.revision, before.map_or(1, |before| before.revision + 1));
        assert_eq!(call.started_at, at_of(step));
        let Some(before) = before else { return };
        assert!(call.stage >= before.stage, "a call goes back in its life");
        let is_older = (stage_of(step), step.content) < (before.stage, before.content);
        assert_eq!(call.content, if is_older { before.content } else { step.content });
        if is_older && before.note.is_some() && step.which < 4 {
            assert_eq!(call.note, before.note, "older content fills gaps and changes nothing");
            assert_eq!(call.missed, before.missed);
        }
    }

    /// The windows add up what each contact adds: in the end, what the record as it stands counts for.
    fn check_counts(&mut self, id: &str, told: &Told) {
        let counted = self.counted.entry(id.to_owned()).or_default();
        if let Some(facts) = &told.facts {
            assert_eq!(facts.at, told.call.started_at, "always in the same windows");
            *counted = facts.counts.less(Counts::default().less(*counted));
        }
        assert_eq!(*counted, Counts::of(&told.call), "the windows lost count of {id}");
    }

    fn check_lead(&self, caller: usize, index: usize, lead: &leadline_schemas::lead::Lead) {
        let contacts: Vec<&CallRecord> =
            self.leads[&caller][index].contacts.iter().map(|id| &self.calls[id]).collect();
        let scored = contacts.iter().filter_map(|call| call.score.as_ref());
        let best = scored.map(|score| (score.class == "lead", score.score)).max();
        assert_eq!(best.map(|(_, score)| score), (lead.scored_by.is_some()).then_some(lead.score));
        let talks =
            contacts.iter().filter(|call| call.channel == Channel::Call && call.answered == Some(true));
        let first = talks.map(|call| call.started_at).min();
        assert!(first.is_none() || lead.contacted, "somebody talked to them");
        assert!(first.is_none_or(|first| lead.contacted_at <= Some(first)));
        assert_eq!(lead.opened_at, contacts.iter().map(|call| call.started_at).min().unwrap());
        assert_eq!(lead.last_contact_at, contacts.iter().map(|call| call.started_at).max().unwrap());
        assert_eq!(lead.caller, CALLERS[caller]);
    }
}

/// Who asks for work opens a lead, and who was missed before they could.
fn opens(call: &CallRecord) -> bool {
    let class = call.score.as_ref().map(|score| score.class.as_str());
    call.stage == CallStage::Completed
        && call.direction == Direction::Inbound
        && matches!(class, None | Some("lead" | "no_conversation"))
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn each_call_has_one_lead_for_good_and_each_change_one_revision(
        steps in prop::collection::vec(any_step(), 1..40)
    ) {
        let (mut driver, mut model) = (Driver::<Leads>::new(tenant(), NOON), Model::default());
        for (number, step) in (0..).zip(&steps) {
            driver.advance(1_000);
            let done = driver.record(event_id(number), contact_of(number, step).into()).unwrap();
            prop_assert!(done.jobs.is_empty());
            model.take(step, told(done.out));
        }
    }
}

/// A lead is made of its last 50 contacts; a caller who rings every hour does not make its row grow.
#[test]
fn a_lead_is_made_of_at_most_50_contacts() {
    let mut driver = Driver::<Leads>::new(tenant(), NOON);
    let mut last = None;
    for number in 0..60 {
        let mut call = call_event(&format!("CAL{number}"));
        call.started_at = Some(NOON.plus(number * Millis::HOUR));
        let mut contact = call_contact(number as u64, call);
        contact.score = Some(score_of((0, i32::try_from(number).unwrap())));
        last = told(driver.record(contact.event_id, contact.into()).unwrap().out).changed;
    }
    let (changed, line) = last.unwrap();
    assert_eq!(changed.lead.contact_ids.len(), 50);
    assert_eq!(changed.lead.contact_ids.first().map(String::as_str), Some("CAL10"));
    assert_eq!((changed.lead.score, changed.lead.opened_at), (59, NOON));
    assert_eq!((changed.lead.revision, line.revision), (60, 60));
    let mut call = call_event("CAL3");
    call.started_at = Some(NOON.plus(3 * Millis::HOUR));
    let edited = told(driver.record(event_id(99), call_contact(99, call).into()).unwrap().out);
    assert_eq!(edited.call.lead_id, Some(changed.lead.lead_id), "an older one stays in its lead");
    assert!(edited.changed.is_none(), "and is none of the 50");
}

/// What was skipped, and who stood in, can be found later.
#[test]
fn skips_and_stand_ins_leave_an_audit_line() {
    let mut driver = Driver::<Leads>::new(tenant(), NOON);
    let mut contact = call_contact(1, call_event("CAL1"));
    contact.transcript_skip = Some("no consent".to_owned());
    contact.score = Some(Score { fallback: Some("it was slow".to_owned()), ..score_of((0, 50)) });
    let done = driver.record(contact.event_id, contact.into()).unwrap();
    let audits: Vec<_> = done
        .out
        .iter()
        .filter_map(|out| match out {
            LeadsOut::Audit(line) => Some((line.kind.as_str(), line.text.as_str(), line.subject.as_str())),
            _ => None,
        })
        .collect();
    let wanted =
        [("transcription_skipped", "no consent", "CAL1"), ("scored_by_fallback", "it was slow", "CAL1")];
    assert_eq!(audits, wanted);
}
