//! A known call, text or form that is scored once more, as it stands: what `process` with a call's id asks for.
//!
//! The record is made a contact again, so that its new score goes the way of every other: into the record, the lead,
//! the windows and the deliveries.

use leadline_schemas::call::{CallRecord, CallStage, Channel};
use leadline_schemas::contact::{Contact, Transcript};
use leadline_schemas::event::{CallEvent, Direction, Event, FormEvent, TextEvent};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::reply::{Answered, JobFailed, JobRequest};
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::state::Asked;
use leadline_schemas::{CallId, EventId, JobId, Millis};

use super::{CALLS, Leads, LeadsOut, PROCESSING, PROCESSING_ASKED};
use crate::contract::{Context, Fault, OperatorResult};
use crate::decode::BACKFILL_AGE_MS;
use crate::score::{self, Verdict};

impl Leads {
    /// Scores the record of this id once more, or asks for its score.
    pub(super) fn process(&mut self, cx: &mut Context<'_, LeadsOut>, call_id: &str) -> OperatorResult {
        let Some(record) = cx.get(&CALLS, call_id.as_bytes())?.cloned() else {
            let why = "no call, text or form of this id is known any more";
            tell(cx, call_id, RequestStatus::Failed, why);
            return Ok(());
        };
        if record.stage != CallStage::Completed {
            tell(cx, call_id, RequestStatus::Done, "the call is not over: there is nothing to score yet");
            return Ok(());
        }
        let mut contact = contact_of(&record, cx.cause.event_id(), cx.event_time);
        match score::judge(cx, &contact)? {
            Verdict::NotScored => {
                tell(cx, call_id, RequestStatus::Done, "what the company did itself has no score");
            }
            Verdict::Scored(score) => {
                contact.score = Some(*score);
                self.settle(cx, contact)?;
            }
            Verdict::Ask { payload, asked } => {
                tell(cx, call_id, RequestStatus::Processing, "waiting for score");
                ask(cx, contact, payload, asked);
            }
        }
        Ok(())
    }

    /// A provider has answered, or was given up.
    pub(super) fn processed(
        &mut self,
        cx: &mut Context<'_, LeadsOut>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let asked = score::take_asked(cx, &PROCESSING_ASKED, job_id)?;
        let waiting = cx.get(&PROCESSING, job_id.as_bytes())?.cloned();
        cx.delete(&PROCESSING, job_id.as_bytes());
        let mut contact = waiting
            .ok_or_else(|| Fault::poison(format!("job {job_id} was answered, but nothing waits for it")))?;
        match score::heard(cx, &contact, asked, answer)? {
            Verdict::NotScored => {}
            Verdict::Scored(score) => contact.score = Some(*score),
            Verdict::Ask { payload, asked } => {
                ask(cx, contact, payload, asked);
                return Ok(());
            }
        }
        self.settle(cx, contact)
    }
}

/// Asks a provider, and keeps the contact until it answers.
fn ask(cx: &mut Context<'_, LeadsOut>, contact: Contact, payload: Vec<u8>, asked: Asked) {
    let job_id = cx.job(JobRequest {
        kind: score::JOB.to_owned(),
        target: asked.provider.clone(),
        payload: payload.into(),
        not_before: Millis(0),
        revision: contact.received_at.0,
    });
    cx.put(&PROCESSING_ASKED, job_id.as_bytes(), asked);
    cx.put(&PROCESSING, job_id.as_bytes(), contact);
}

/// What became of the request, when no contact settles it.
fn tell(cx: &mut Context<'_, LeadsOut>, call_id: &str, status: RequestStatus, reason: &str) {
    let request = Request {
        tenant: cx.key.tenant.clone(),
        request_id: cx.cause.event_id(),
        origin: Origin::Process,
        kind: EventKind::Command,
        status,
        reason: Some(reason.to_owned()),
        call_id: (status != RequestStatus::Failed).then(|| call_id.to_owned()),
        lead_id: None,
        received_at: cx.event_time,
        updated_at: cx.now,
    };
    cx.emit(LeadsOut::Request(request));
}

/// The record as a contact that says what is known already; asked for by an event of this id, at this time.
pub fn contact_of(record: &CallRecord, event_id: EventId, received_at: Millis) -> Contact {
    let has_words =
        matches!(record.channel, Channel::Call | Channel::Voicemail) && !record.transcript.is_empty();
    Contact {
        event_id,
        tenant: record.tenant.clone(),
        caller: record.caller.clone(),
        received_at,
        event_time: record.started_at,
        backfill: received_at.since(record.started_at) > BACKFILL_AGE_MS,
        deliver_backfill: false,
        event: match record.channel {
            Channel::Call | Channel::Voicemail => Event::CallEvent(Box::new(call_of(record))),
            Channel::Text => Event::TextEvent(text_of(record)),
            Channel::Form => Event::FormEvent(form_of(record)),
        },
        update: true,
        recording: record.recording.clone(),
        transcript: has_words.then(|| Transcript {
            turns: record.transcript.clone(),
            provider: record.transcript_provider.clone().unwrap_or_default(),
            cost_micros: 0, // It was paid for when it was made.
        }),
        transcript_skip: record.transcript_skip.clone(),
        score: None,
        content: record.content,
        origin: Origin::Process,
    }
}

fn call_of(record: &CallRecord) -> CallEvent {
    let outbound = record.direction == Direction::Outbound;
    CallEvent {
        kind: if outbound { EventKind::OutboundPostCall } else { EventKind::PostCall },
        call_id: CallId(record.call_id.clone()),
        numeric_id: None,
        company_id: None,
        caller_number: record.caller_number.clone(),
        caller_name: record.caller_name.clone(),
        caller_city: record.caller_city.clone(),
        caller_state: record.caller_state.clone(),
        tracking_number: record.tracking_number.clone(),
        direction: Some(record.direction),
        answered: record.answered,
        voicemail: Some(record.channel == Channel::Voicemail),
        call_type: None,
        duration_s: record.duration_s,
        first_call: record.first_call,
        started_at: Some(record.started_at),
        recording_url: None,
        recording_duration_s: None,
        transcript: record.transcript.clone(),
        agent_email: record.agent_email.clone(),
        tags: record.tags.clone(),
        note: record.note.clone(),
        value: record.value.clone(),
        lead_status: record.lead_status.clone(),
        attribution: record.attribution.clone(),
        changes: Vec::new(),
        extra: record.extra.clone(),
    }
}

fn text_of(record: &CallRecord) -> TextEvent {
    let sent = record.direction == Direction::Outbound;
    TextEvent {
        kind: if sent { EventKind::TextSent } else { EventKind::TextReceived },
        text_id: record.call_id.clone(),
        company_id: None,
        customer_number: record.caller_number.clone(),
        company_number: record.tracking_number.clone(),
        content: record.transcript.first().map(|turn| turn.text.clone()).unwrap_or_default(),
        agent: record.agent_email.clone(),
        conversation_id: None,
        media_urls: Vec::new(),
        at: Some(record.started_at),
        extra: record.extra.clone(),
    }
}

fn form_of(record: &CallRecord) -> FormEvent {
    FormEvent {
        form_id: record.call_id.clone(),
        company_id: None,
        fields: record.form_fields.clone(),
        name: record.caller_name.clone(),
        email: None,
        phone: record.caller_number.clone(),
        message: None,
        form_url: None,
        attribution: record.attribution.clone(),
        at: Some(record.started_at),
        extra: record.extra.clone(),
    }
}
