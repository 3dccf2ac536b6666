//! leads: one record per call, text and form; one lead per caller.
//!
//! Every caller whom somebody should ring back has a lead: who asks for work, and who was missed before they could.
//! Who sells, spams, looks for a job or had the wrong number has none; neither have service calls of customers.

mod contacts;
mod feedback;
mod merge;
mod process;

use leadline_schemas::audit::Audit;
use leadline_schemas::avro::AvroError;
use leadline_schemas::call::{CallRecord, CallStage, Channel};
use leadline_schemas::command::Command;
use leadline_schemas::contact::Contact;
use leadline_schemas::event::Direction;
use leadline_schemas::frame::Output;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::reply::{Answered, JobFailed};
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::state::Asked;
use leadline_schemas::{EventId, JobId, LeadId, Millis};

pub use self::feedback::LeadFeedback;
pub use self::process::contact_of;
use crate::contract::{Context, Operator, OperatorId, OperatorResult, Table, TableSpec};
use crate::dedupe::request_of;
use crate::publish::Publish;
use crate::stage::WAIT_TTL_MS;

/// CallRail's own limit; a call is not changed after it.
const CALL_TTL_MS: i64 = 25 * 31 * Millis::DAY;
/// Contacts that a lead's score is made of; older ones stay in its history.
const CONTACTS_MAX: usize = 50;

/// Calls, texts and forms as last known.
pub const CALLS: Table<CallRecord> = Table::new(1, "calls", Some(CALL_TTL_MS));
/// Leads: each caller's newest under the caller, older ones under their ids, for calls that change late.
pub const LEADS: Table<Lead> = Table::new(2, "leads", Some(CALL_TTL_MS));
/// Known contacts whose new score is being asked for, by job.
pub const PROCESSING: Table<Contact> = Table::new(3, "processing", Some(WAIT_TTL_MS));
/// Who is asked about them.
pub const PROCESSING_ASKED: Table<Asked> = Table::new(4, "processing_asked", Some(WAIT_TTL_MS));
const TABLES: &[TableSpec] = &[CALLS.spec, LEADS.spec, PROCESSING.spec, PROCESSING_ASKED.spec];

/// Merges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Leads;

/// What comes in.
#[derive(Clone, Debug)]
pub enum LeadsIn {
    /// A contact with all that was found out about it.
    Contact(Box<Contact>),
    /// The id of a known call, text or form that is to be scored once more, as it stands.
    Process(String),
    /// What the company says of a lead.
    Feedback(LeadFeedback),
}

impl From<Contact> for LeadsIn {
    fn from(contact: Contact) -> Self {
        Self::Contact(Box::new(contact))
    }
}

impl LeadsIn {
    /// What a command asks of this operator, if it is for it.
    pub fn command(command: Command) -> Option<Self> {
        match command {
            Command::ProcessCall { call_id } => Some(Self::Process(call_id)),
            Command::Feedback { caller, lead_id, good, sold_micros, note } => {
                Some(Self::Feedback(LeadFeedback { caller, lead_id, good, sold_micros, note }))
            }
            _ => None,
        }
    }
}

/// What leads emits.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "emitted once, behind a shared pointer")]
pub enum LeadsOut {
    /// A call, text or form has changed.
    Call(CallRecord),
    /// A line of a lead's history.
    LeadEvent(LeadEvent),
    /// What became of a request.
    Request(Request),
    /// A decision that must be auditable.
    Audit(Audit),
    /// A lead has changed.
    Changed(LeadChanged),
    /// What the windows count.
    Facts(ContactFacts),
}

/// A lead that has changed.
#[derive(Clone, Debug)]
pub struct LeadChanged {
    /// The lead.
    pub lead: Lead,
    /// One sentence for a person.
    pub why: String,
    /// The contact was old when it came: nobody is notified.
    pub backfill: bool,
    /// ... but CRMs are told.
    pub deliver_backfill: bool,
}

/// What one contact adds to its windows: the difference to what was counted of it before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContactFacts {
    /// Event time.
    pub at: Millis,
    /// Counts to add.
    pub counts: Counts,
    /// Time to first contact, when it has just become known.
    pub first_contact_ms: Option<i64>,
    /// Receipt to score, for a contact that was scored for the first time.
    pub score_latency_ms: Option<i64>,
}

/// What windows add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in WindowMetrics")]
pub struct Counts {
    pub calls: i64,
    pub answered: i64,
    pub missed: i64,
    pub texts: i64,
    pub forms: i64,
    pub leads: i64,
    pub hot_or_warm: i64,
    pub scored: i64,
    pub score_sum: i64,
    pub cost_micros: i64,
}

impl Counts {
    /// What a record as it stands counts for.
    pub fn of(call: &CallRecord) -> Self {
        let one = |yes: bool| i64::from(yes);
        let is_call = matches!(call.channel, Channel::Call | Channel::Voicemail);
        let inbound = call.direction == Direction::Inbound;
        let over = call.stage == CallStage::Completed;
        let score = call.score.as_ref();
        Self {
            calls: one(is_call && inbound && over),
            answered: one(is_call && inbound && call.answered == Some(true)),
            missed: one(is_call && inbound && call.missed == Some(true)),
            texts: one(call.channel == Channel::Text && inbound),
            forms: one(call.channel == Channel::Form),
            leads: one(score.is_some_and(|score| score.class == "lead")),
            hot_or_warm: one(score.is_some_and(|score| score.band == "hot" || score.band == "warm")),
            scored: one(score.is_some()),
            score_sum: score.map_or(0, |score| i64::from(score.score)),
            cost_micros: call.cost_micros,
        }
    }

    /// `self` less what was counted before.
    #[must_use]
    pub fn less(self, before: Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            answered: self.answered - before.answered,
            missed: self.missed - before.missed,
            texts: self.texts - before.texts,
            forms: self.forms - before.forms,
            leads: self.leads - before.leads,
            hot_or_warm: self.hot_or_warm - before.hot_or_warm,
            scored: self.scored - before.scored,
            score_sum: self.score_sum - before.score_sum,
            cost_micros: self.cost_micros - before.cost_micros,
        }
    }
}

impl LeadsOut {
    /// The changed lead, if it is one.
    pub fn changed(self) -> Option<LeadChanged> {
        match self {
            Self::Changed(changed) => Some(changed),
            _ => None,
        }
    }

    /// The facts, if it is them.
    pub fn facts(&self) -> Option<ContactFacts> {
        match self {
            Self::Facts(facts) => Some(*facts),
            _ => None,
        }
    }
}

impl Publish for LeadsOut {
    fn publish(&self) -> Option<Result<Output, AvroError>> {
        match self {
            Self::Call(call) => call.publish(),
            Self::LeadEvent(line) => line.publish(),
            Self::Request(request) => request.publish(),
            Self::Audit(audit) => audit.publish(),
            Self::Changed(changed) => changed.lead.publish(),
            Self::Facts(_) => None,
        }
    }
}

impl Operator for Leads {
    const ID: OperatorId = OperatorId { number: 6, name: "leads" };
    type In = LeadsIn;
    type Out = LeadsOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, LeadsOut>, record: LeadsIn) -> OperatorResult {
        match record {
            LeadsIn::Contact(contact) => self.settle(cx, *contact),
            LeadsIn::Process(call_id) => self.process(cx, &call_id),
            LeadsIn::Feedback(said) => self.take_feedback(cx, said),
        }
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, LeadsOut>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        self.processed(cx, job_id, answer)
    }
}

impl Leads {
    /// Takes a contact into its record and its caller's lead.
    fn settle(&mut self, cx: &mut Context<'_, LeadsOut>, contact: Contact) -> OperatorResult {
        let subject_id = contact.event.subject_id().to_owned();
        let before = cx.get(&CALLS, subject_id.as_bytes())?.cloned();
        let mut call = contacts::merged(before.as_ref(), &contact, cx.now);
        let lead = self.lead_of(cx, &contact, &mut call)?;
        cx.put(&CALLS, subject_id.as_bytes(), call.clone());

        let mut request = request_of(cx, &contact, RequestStatus::Done, None);
        request.lead_id = call.lead_id;
        cx.emit(LeadsOut::Request(request));
        audit(cx, &contact);
        emit_facts(cx, before.as_ref(), &call, lead.as_ref());
        cx.emit(LeadsOut::Call(call));
        if let Some(changed) = lead {
            cx.emit(LeadsOut::LeadEvent(history_line(&changed, &contact, cx.now)));
            cx.emit(LeadsOut::Changed(changed));
        }
        Ok(())
    }

    /// The lead that the contact opens or joins, changed by it; none when it concerns no lead.
    fn lead_of(
        &mut self,
        cx: &mut Context<'_, LeadsOut>,
        contact: &Contact,
        call: &mut CallRecord,
    ) -> OperatorResult<Option<LeadChanged>> {
        let Some((mut lead, place)) = self.current(cx, contact, call)? else { return Ok(None) };
        let (is_new, before) = (lead.revision == 0, lead.clone());
        call.lead_id = Some(lead.lead_id);
        let mut calls = vec![call.clone()];
        for id in lead.contact_ids.iter().filter(|id| **id != call.call_id) {
            calls.extend(cx.get(&CALLS, id.as_bytes())?.cloned());
        }
        calls.sort_by(|one, other| (one.started_at, &one.call_id).cmp(&(other.started_at, &other.call_id)));
        let too_many = calls.len().saturating_sub(CONTACTS_MAX);
        calls.drain(..too_many);
        lead.contact_ids = calls.iter().map(|call| call.call_id.clone()).collect();
        merge::rebuild(&mut lead, &calls);
        if !is_new && lead == before {
            return Ok(None);
        }
        lead.revision += 1;
        lead.updated_at = cx.now;
        cx.put(&LEADS, &place, lead.clone());
        let why = merge::why(is_new, &before, &lead, call);
        let (backfill, deliver_backfill) = (contact.backfill, contact.deliver_backfill);
        Ok(Some(LeadChanged { lead, why, backfill, deliver_backfill }))
    }

    /// The lead that a contact belongs to, as it was before or new, and the key of its row.
    fn current(
        &mut self,
        cx: &mut Context<'_, LeadsOut>,
        contact: &Contact,
        call: &CallRecord,
    ) -> OperatorResult<Option<(Lead, Vec<u8>)>> {
        let caller = contact.caller.as_bytes().to_vec();
        let newest = cx.get(&LEADS, &caller)?.cloned();
        if let Some(lead_id) = call.lead_id {
            // A call stays with its lead, whatever leads the caller has opened since.
            return match newest.filter(|lead| lead.lead_id == lead_id) {
                Some(lead) => Ok(Some((lead, caller))),
                None => {
                    let place = older(lead_id);
                    Ok(cx.get(&LEADS, &place)?.cloned().map(|lead| (lead, place)))
                }
            };
        }
        let window_days = cx.tenant().map_or(30, |tenant| i64::from(tenant.policy.lead_window_days));
        let since = newest.as_ref().map(|lead| call.started_at.since(lead.last_contact_at));
        let joins = since.is_some_and(|since_ms| since_ms.abs() <= window_days * Millis::DAY);
        if let Some(lead) = newest.clone().filter(|_| joins) {
            return Ok(Some((lead, caller)));
        }
        if !merge::opens_lead(call) {
            return Ok(None);
        }
        let parts = [contact.tenant.as_str().as_bytes(), &caller, call.call_id.as_bytes()];
        let lead = merge::new_lead(LeadId::of(&parts), contact, call);
        if since.is_some_and(|since_ms| since_ms < 0) {
            let place = older(lead.lead_id); // It came late: the newest lead stays the newest.
            return Ok(Some((lead, place)));
        }
        if let Some(newest) = newest {
            cx.put(&LEADS, &older(newest.lead_id), newest);
        }
        Ok(Some((lead, caller)))
    }
}

/// Where a lead lies that is not its caller's newest. No caller's text starts with this byte.
fn older(lead_id: LeadId) -> Vec<u8> {
    let mut key = vec![0xFF];
    key.extend_from_slice(lead_id.as_bytes());
    key
}

fn history_line(changed: &LeadChanged, contact: &Contact, now: Millis) -> LeadEvent {
    let lead = &changed.lead;
    LeadEvent {
        tenant: lead.tenant.clone(),
        lead_id: lead.lead_id,
        revision: lead.revision,
        kind: if lead.revision == 1 { "opened" } else { "changed" }.to_owned(),
        contact_id: Some(contact.event.subject_id().to_owned()),
        event_id: contact.event_id,
        text: changed.why.clone(),
        at: now,
    }
}

/// What the windows have to add: the difference to what this record counted for before.
fn emit_facts(
    cx: &mut Context<'_, LeadsOut>,
    before: Option<&CallRecord>,
    call: &CallRecord,
    changed: Option<&LeadChanged>,
) {
    let counts = Counts::of(call).less(before.map(Counts::of).unwrap_or_default());
    let first_score = call.score.is_some() && before.is_none_or(|before| before.score.is_none());
    let first_contact = changed.filter(|changed| changed.lead.contacted_at == Some(call.started_at));
    let first_contact =
        first_contact.filter(|_| before.is_none_or(|before| before.answered != call.answered));
    let facts = ContactFacts {
        at: call.started_at,
        counts,
        first_contact_ms: first_contact.map(|changed| call.started_at.since(changed.lead.opened_at).max(0)),
        score_latency_ms: first_score.then(|| cx.now.since(call.received_at).max(0)),
    };
    if facts != (ContactFacts { at: facts.at, ..ContactFacts::default() }) {
        cx.emit(LeadsOut::Facts(facts));
    }
}

/// Skips and stand-ins leave a line that somebody can find later.
fn audit(cx: &mut Context<'_, LeadsOut>, contact: &Contact) {
    let skip = contact.transcript_skip.as_ref().map(|why| ("transcription_skipped", why));
    let fallback = contact.score.as_ref().and_then(|score| score.fallback.as_ref());
    for (kind, why) in skip.into_iter().chain(fallback.map(|why| ("scored_by_fallback", why))) {
        let line = Audit {
            tenant: contact.tenant.clone(),
            id: EventId::of(&[contact.event_id.as_bytes(), kind.as_bytes()]),
            kind: kind.to_owned(),
            subject: contact.event.subject_id().to_owned(),
            text: why.clone(),
            event_id: contact.event_id,
            at: cx.now,
        };
        cx.emit(LeadsOut::Audit(line));
    }
}
