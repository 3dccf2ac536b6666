//! Payloads of calls, at any stage.

use super::fields::{Field, Fields};
use super::{DecodeError, ids, transcript};
use crate::CallId;
use crate::event::{Attribution, CallEvent, Direction, Turn};
use crate::inbound::EventKind;

/// The call that a payload tells of.
pub(super) fn event(kind: EventKind, fields: &mut Fields<'_>) -> Result<Box<CallEvent>, DecodeError> {
    let call_id = ids::subject(fields, kind)?.into_owned();
    let company_id = ids::company(fields).map(|id| id.into_owned());
    let numeric_id = take_ids(fields, &call_id);
    let (customer, company) = ids::number_fields(kind);
    Ok(Box::new(CallEvent {
        kind,
        call_id: CallId(call_id),
        numeric_id,
        company_id,
        caller_number: take_number(fields, customer),
        caller_name: fields.take_text_of(Field::CustomerName, Field::Callername),
        caller_city: fields.take_text_of(Field::CustomerCity, Field::Callercity),
        caller_state: fields.take_text_of(Field::CustomerState, Field::Callerstate),
        tracking_number: take_number(fields, company),
        direction: fields.take(Field::Direction, |raw| direction(&raw.text()?)),
        answered: fields.take(Field::Answered, |raw| raw.boolean()),
        voicemail: fields.take(Field::Voicemail, |raw| raw.boolean()),
        call_type: fields.take_text(Field::CallType).map(call_type),
        duration_s: fields.take(Field::Duration, |raw| raw.seconds()),
        first_call: fields.take(Field::FirstCall, |raw| raw.boolean()),
        started_at: take_time(
            fields,
            &[Field::StartTime, Field::Datetime, Field::Timestamp, Field::CreatedAt],
        ),
        recording_url: fields.take_text(Field::Recording),
        recording_duration_s: fields.take(Field::RecordingDuration, |raw| raw.seconds()),
        transcript: take_transcript(fields),
        agent_email: fields.take_text(Field::AgentEmail),
        tags: take_list(fields, &[Field::Tags, Field::Tag]),
        note: fields.take_text(Field::Note),
        value: fields.take_text(Field::Value),
        lead_status: fields.take_text(Field::LeadStatus),
        attribution: take_attribution(fields),
        changes: take_list(fields, &[Field::Changes]),
        extra: fields.extra(),
    }))
}

/// Takes the ids, so that `extra` does not repeat them, and returns the older number.
fn take_ids(fields: &mut Fields<'_>, subject: &str) -> Option<String> {
    take_company(fields);
    take_subject(fields, subject);
    if ids::is_decimal(subject) {
        return Some(subject.to_owned());
    }
    fields.take(Field::Id, |raw| ids::id(raw).filter(|id| ids::is_decimal(id)).map(|id| id.into_owned()))
}

/// Takes the field that holds the subject's id.
pub(super) fn take_subject(fields: &mut Fields<'_>, subject: &str) {
    for field in [Field::ResourceId, Field::Id, Field::MaskedId, Field::CallResourceId, Field::CallId] {
        fields.take(field, |raw| ids::id(raw).filter(|id| *id == subject));
    }
}

/// Takes the company's ids; the older one beside the newer is known from the tenant's settings.
pub(super) fn take_company(fields: &mut Fields<'_>) {
    fields.take(Field::CompanyResourceId, ids::id);
    fields.take(Field::CompanyId, ids::id);
}

/// The first of two numbers that can be called back.
pub(super) fn take_number(fields: &mut Fields<'_>, [first, second]: [Field; 2]) -> Option<String> {
    let mut take = |field| fields.take(field, |raw| ids::number(raw).map(|number| number.into_owned()));
    take(first).or_else(|| take(second))
}

/// The first of some fields that is a time.
pub(super) fn take_time(fields: &mut Fields<'_>, best_first: &[Field]) -> Option<crate::Millis> {
    best_first.iter().find_map(|field| fields.take(*field, |raw| raw.time()))
}

fn take_list(fields: &mut Fields<'_>, best_first: &[Field]) -> Vec<String> {
    best_first.iter().find_map(|field| fields.take(*field, |raw| raw.list())).unwrap_or_default()
}

pub(super) fn take_attribution(fields: &mut Fields<'_>) -> Attribution {
    Attribution {
        source: fields.take_text_of(Field::SourceName, Field::Source),
        medium: fields.take_text_of(Field::Medium, Field::UtmMedium),
        campaign: fields.take_text_of(Field::Campaign, Field::UtmCampaign),
        keywords: fields.take_text(Field::Keywords),
        gclid: fields.take_text(Field::Gclid),
        landing_page_url: fields.take_text_of(Field::LandingPageUrl, Field::Landingpage),
    }
}

/// The transcript by turns, else the one in a single text.
fn take_transcript(fields: &mut Fields<'_>) -> Vec<Turn> {
    let by_turns = fields.take(Field::ConversationalTranscript, transcript::of_phrases);
    let in_one_text = fields.take(Field::Transcription, |raw| Some(transcript::of_text(&raw.text()?)));
    by_turns.or(in_one_text).unwrap_or_default()
}

fn direction(text: &str) -> Option<Direction> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("inbound") {
        return Some(Direction::Inbound);
    }
    is("outbound").then_some(Direction::Outbound)
}

/// In lower case, and `abandoned` for what the documentation spells `abandonded`.
fn call_type(mut text: String) -> String {
    text.make_ascii_lowercase();
    if text == "abandonded" { "abandoned".to_owned() } else { text }
}
