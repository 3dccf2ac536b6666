//! What kind of event a payload is: the path says so, and the shape where the path does not.
//!
//! CallRail's payloads carry no event type (v3 reference, "Webhooks"), hence one path per kind; on the common path,
//! and where a customer entered the wrong one, the shape decides.

use super::fields::{Field, Fields};
use crate::inbound::EventKind;

/// What kinds have in common: which of the three events they become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Call,
    Text,
    Form,
}

pub(super) fn family(kind: EventKind) -> Family {
    match kind {
        EventKind::TextReceived | EventKind::TextSent => Family::Text,
        EventKind::FormSubmission => Family::Form,
        _ => Family::Call,
    }
}

/// The kind of a payload that came under `path`. A path of another family than the payload's unmistakable shape is
/// a mistake in the customer's list of addresses, and the shape counts.
pub(super) fn settle(path: Option<EventKind>, fields: &Fields<'_>) -> EventKind {
    match path {
        Some(kind) if family_of_shape(fields).is_none_or(|shape| shape == family(kind)) => kind,
        _ => of_shape(fields),
    }
}

fn family_of_shape(fields: &Fields<'_>) -> Option<Family> {
    let any = |marks: &[Field]| marks.iter().any(|mark| fields.has(*mark));
    if any(&[Field::FormData, Field::FormUrl]) {
        Some(Family::Form)
    } else if any(&[Field::MessageType, Field::ConversationId, Field::SourceNumber, Field::DestinationNumber])
    {
        Some(Family::Text)
    } else if any(&[Field::CallType, Field::TrackingPhoneNumber, Field::StartTime, Field::Duration]) {
        Some(Family::Call)
    } else {
        None
    }
}

fn of_shape(fields: &Fields<'_>) -> EventKind {
    match family_of_shape(fields) {
        Some(Family::Form) => EventKind::FormSubmission,
        Some(Family::Text) if fields.has(Field::Agent) => EventKind::TextSent,
        Some(Family::Text) => EventKind::TextReceived,
        Some(Family::Call) | None => call_kind(fields),
    }
}

fn call_kind(fields: &Fields<'_>) -> EventKind {
    let is = |field, word: &str| fields.get(field).text().is_some_and(|text| text.eq_ignore_ascii_case(word));
    let outbound = is(Field::Direction, "outbound") || is(Field::CallType, "outbound");
    if fields.has(Field::Changes) {
        if outbound { EventKind::OutboundCallModified } else { EventKind::CallModified }
    } else if fields.has(Field::Answers) {
        EventKind::ConvertAssistComplete
    } else if outbound {
        EventKind::OutboundPostCall
    } else if is(Field::CallType, "missed") && looks_like_ringing(fields) {
        EventKind::PreCall
    } else {
        EventKind::PostCall
    }
}

/// A pre-call fires while the phone rings and says `answered=false, duration=0, voicemail=false` of every call. A
/// post-call of a call that was given up at once says the same; taken as a pre-call it starts the timer of missed
/// calls, which asks CallRail.
fn looks_like_ringing(fields: &Fields<'_>) -> bool {
    fields.get(Field::Answered).boolean() == Some(false)
        && fields.get(Field::Duration).seconds().is_none_or(|seconds| seconds == 0)
        && fields.get(Field::Voicemail).boolean() != Some(true)
        && !fields.has(Field::Recording)
}
