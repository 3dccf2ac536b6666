//! Our own API: `POST /v1/tenants/{tenant}/events` and `/process`.
//!
//! These bodies are written for us, so they are read strictly: a field that is not known, or not what it should be,
//! is refused with its name.
//!
//! # Events
//! ```json
//! {
//!   "type": "call",
//!   "id": "crm-4711",
//!   "caller": {"phone": "+13035550142", "name": "Ana Ruiz", "email": "ana@example.com", "city": "Denver", "state": "CO"},
//!   "occurred_at": "2026-03-04T09:12:33.236-07:00",
//!   "direction": "inbound",
//!   "answered": true,
//!   "voicemail": false,
//!   "duration_s": 412,
//!   "first_call": true,
//!   "tracking_number": "+13035550100",
//!   "recording_url": "https://example.com/4711.mp3",
//!   "transcript": [{"speaker": "caller", "text": "We need a new roof."}],
//!   "agent_email": "sam@example.com",
//!   "tags": ["roof"],
//!   "note": "Called twice.",
//!   "attribution": {"source": "Google Ads", "medium": "cpc", "campaign": "Roofs", "keywords": "new roof", "gclid": "Cj0",
//!     "landing_page_url": "https://example.com/roofs"}
//! }
//! ```
//! Only `type` is required. `id` names the call, text or form at your side; the same id is the same one. `transcript`
//! may be one text, with `Agent:` and `Caller:` before what they say. Times are ISO 8601 with an offset.
//!
//! - `"type": "text"`: `id`, `caller`, `occurred_at`, `direction`, `content` (required), `company_number`, `agent`,
//!   `media_urls`.
//! - `"type": "form"`: `id`, `caller`, `occurred_at`, `fields` (an object of texts), `message`, `form_url`,
//!   `attribution`; `fields` or `message` is required.
//!
//! # Processing
//! `{"call_id": "CAL019fb93fce197a38a2788269bcf71b70"}` scores a known call again; `{"transcript": ..., "caller"?: ...}`
//! or `{"recording_url": ..., "caller"?: ...}` with the fields of a call scores that call.

mod object;

use std::collections::BTreeMap;

use object::Object;

use crate::callrail::turns_of_text;
use crate::event::{Attribution, CallEvent, Direction, Event, FormEvent, Speaker, TextEvent, Turn};
use crate::forms::{Found, email_address};
use crate::inbound::EventKind;
use crate::{CallId, phone};

/// The longest id that is taken; ids stand in keys.
const ID_BYTES_MAX: usize = 256;

/// What is wrong with a body, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct DirectError {
    /// The field, as `caller.phone` or `transcript[2].speaker`; `body` for all of it.
    pub field: String,
    /// What was wrong with it, and what would be right.
    pub why: String,
}

impl DirectError {
    fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

/// What a `process` body asks for.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once per request and taken apart at once")]
pub enum Process {
    /// Score a known call again.
    Known(CallId),
    /// Score this call.
    New(Event),
}

/// The event in a body. `event_id` stands in for an `id` that the body does not have.
pub fn decode(body: &[u8], event_id: &str) -> Result<Event, DirectError> {
    let mut body = Object::parse(body)?;
    match body.text("type")?.as_deref() {
        Some("call") => call(body, event_id).map(|call| Event::CallEvent(Box::new(call))),
        Some("text") => text(body, event_id).map(Event::TextEvent),
        Some("form") => form(body, event_id).map(Event::FormEvent),
        Some(other) => {
            Err(DirectError::new("type", format!("{other:?} is none of \"call\", \"text\", \"form\"")))
        }
        None => Err(DirectError::new("type", "is missing; use \"call\", \"text\" or \"form\"")),
    }
}

/// What a `process` body asks for. `event_id` stands in for the id of a new call.
pub fn process(body: &[u8], event_id: &str) -> Result<Process, DirectError> {
    let mut body = Object::parse(body)?;
    let has_words = body.has("transcript");
    match (body.id("call_id")?, has_words || body.has("recording_url")) {
        (Some(call_id), false) => {
            body.finish()?;
            Ok(Process::Known(CallId(call_id)))
        }
        (None, true) => {
            let call = call(body, event_id)?;
            if has_words && call.transcript.is_empty() {
                return Err(DirectError::new("transcript", "says nothing"));
            }
            Ok(Process::New(Event::CallEvent(Box::new(call))))
        }
        (Some(_), true) => Err(DirectError::new(
            "call_id",
            "and what was said or recorded exclude each other; send one of them",
        )),
        (None, false) => {
            Err(DirectError::new("call_id", "is missing; send it, or a `transcript`, or a `recording_url`"))
        }
    }
}

/// Who called, wrote or filled in.
#[derive(Default)]
struct Caller {
    phone: Option<String>,
    name: Option<String>,
    email: Option<String>,
    city: Option<String>,
    state: Option<String>,
}

fn caller(body: &mut Object) -> Result<Caller, DirectError> {
    let Some(mut caller) = body.object("caller")? else { return Ok(Caller::default()) };
    let phone = number(&mut caller, "phone")?;
    let email = match caller.text("email")? {
        Some(text) => Some(email_address(&text).ok_or_else(|| {
            DirectError::new(caller.path("email"), format!("{text:?} is not an email address"))
        })?),
        None => None,
    };
    let who = Caller {
        phone,
        email,
        name: caller.text("name")?,
        city: caller.text("city")?,
        state: caller.text("state")?,
    };
    caller.finish()?;
    Ok(who)
}

fn number(object: &mut Object, name: &str) -> Result<Option<String>, DirectError> {
    let Some(text) = object.text(name)? else { return Ok(None) };
    match phone::normalise(&text) {
        Some(number) => Ok(Some(number.into_owned())),
        None => Err(DirectError::new(
            object.path(name),
            format!("{text:?} is not a phone number; use E.164, as +13035550142"),
        )),
    }
}

fn call(mut body: Object, event_id: &str) -> Result<CallEvent, DirectError> {
    let id = body.id("id")?;
    let caller = caller(&mut body)?;
    let direction = direction(&mut body)?;
    let (answered, voicemail) = (body.boolean("answered")?, body.boolean("voicemail")?);
    let call = CallEvent {
        kind: match direction {
            Direction::Inbound => EventKind::PostCall,
            Direction::Outbound => EventKind::OutboundPostCall,
        },
        call_id: CallId(id.unwrap_or_else(|| event_id.to_owned())),
        numeric_id: None,
        company_id: None,
        caller_number: caller.phone,
        caller_name: caller.name,
        caller_city: caller.city,
        caller_state: caller.state,
        tracking_number: number(&mut body, "tracking_number")?,
        direction: Some(direction),
        answered,
        voicemail,
        call_type: call_type(answered, voicemail).map(str::to_owned),
        duration_s: body.seconds("duration_s")?,
        first_call: body.boolean("first_call")?,
        started_at: body.time("occurred_at")?,
        recording_url: body.text("recording_url")?,
        recording_duration_s: None,
        transcript: transcript(&mut body)?,
        agent_email: body.text("agent_email")?,
        tags: body.texts("tags")?,
        note: body.text("note")?,
        value: None,
        lead_status: None,
        attribution: attribution(&mut body)?,
        changes: Vec::new(),
        extra: extra(caller.email),
    };
    body.finish()?;
    Ok(call)
}

/// What CallRail would call it; nothing when the body does not say.
fn call_type(answered: Option<bool>, voicemail: Option<bool>) -> Option<&'static str> {
    match (answered, voicemail) {
        (_, Some(true)) => Some("voicemail"),
        (Some(true), _) => Some("answered"),
        (Some(false), _) => Some("missed"),
        (None, _) => None,
    }
}

/// A caller's email has no field in calls and texts.
fn extra(email: Option<String>) -> String {
    match email {
        Some(email) => serde_json::json!({ "caller_email": email }).to_string(),
        None => "{}".to_owned(),
    }
}

fn text(mut body: Object, event_id: &str) -> Result<TextEvent, DirectError> {
    let id = body.id("id")?;
    let caller = caller(&mut body)?;
    let text = TextEvent {
        kind: match direction(&mut body)? {
            Direction::Inbound => EventKind::TextReceived,
            Direction::Outbound => EventKind::TextSent,
        },
        text_id: id.unwrap_or_else(|| event_id.to_owned()),
        company_id: None,
        customer_number: caller.phone,
        company_number: number(&mut body, "company_number")?,
        content: body.text("content")?.ok_or_else(|| DirectError::new("content", "is missing"))?,
        agent: body.text("agent")?,
        conversation_id: None,
        media_urls: body.texts("media_urls")?,
        at: body.time("occurred_at")?,
        extra: extra(caller.email),
    };
    body.finish()?;
    Ok(text)
}

fn form(mut body: Object, event_id: &str) -> Result<FormEvent, DirectError> {
    let id = body.id("id")?;
    let caller = caller(&mut body)?;
    let fields = body.fields("fields")?;
    let message = body.text("message")?;
    if fields.is_empty() && message.is_none() {
        return Err(DirectError::new("fields", "is missing; send it, or a `message`"));
    }
    let found = Found::in_fields(&fields, &BTreeMap::new());
    let form = FormEvent {
        form_id: id.unwrap_or_else(|| event_id.to_owned()),
        company_id: None,
        fields,
        name: caller.name.or(found.name),
        email: caller.email.or(found.email),
        phone: caller.phone.or(found.phone),
        message: message.or(found.message),
        form_url: body.text("form_url")?,
        attribution: attribution(&mut body)?,
        at: body.time("occurred_at")?,
        extra: "{}".to_owned(),
    };
    body.finish()?;
    Ok(form)
}

fn direction(body: &mut Object) -> Result<Direction, DirectError> {
    match body.text("direction")?.as_deref() {
        None | Some("inbound") => Ok(Direction::Inbound),
        Some("outbound") => Ok(Direction::Outbound),
        Some(other) => {
            Err(DirectError::new("direction", format!("{other:?} is neither \"inbound\" nor \"outbound\"")))
        }
    }
}

/// An array of turns, or one text with the speakers' names in it.
fn transcript(body: &mut Object) -> Result<Vec<Turn>, DirectError> {
    if let Some(text) = body.text_if_text("transcript") {
        return Ok(turns_of_text(&text));
    }
    let turn = |mut turn: Object| {
        let speaker = match turn.text("speaker")?.as_deref() {
            Some("agent") => Speaker::Agent,
            Some("caller") => Speaker::Caller,
            None | Some("unknown") => Speaker::Unknown,
            Some(other) => {
                let why = format!("{other:?} is none of \"agent\", \"caller\", \"unknown\"");
                return Err(DirectError::new(turn.path("speaker"), why));
            }
        };
        let missing = DirectError::new(turn.path("text"), "is missing");
        let text = turn.text("text")?.ok_or(missing)?;
        turn.finish()?;
        Ok(Turn { speaker, text })
    };
    body.objects("transcript")?.into_iter().map(turn).collect()
}

fn attribution(body: &mut Object) -> Result<Attribution, DirectError> {
    let Some(mut from) = body.object("attribution")? else { return Ok(Attribution::default()) };
    let attribution = Attribution {
        source: from.text("source")?,
        medium: from.text("medium")?,
        campaign: from.text("campaign")?,
        keywords: from.text("keywords")?,
        gclid: from.text("gclid")?,
        landing_page_url: from.text("landing_page_url")?,
    };
    from.finish()?;
    Ok(attribution)
}
