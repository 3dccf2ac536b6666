//! CallRail's webhooks and API rows: a raw body becomes the canonical event.
//!
//! Ten kinds of event, two generations of payloads (numeric `id`; `resource_id`), loose types. What is known of them
//! is in the v3 reference, "Webhooks", and the support article "Webhooks Integration Updates". A payload is never
//! refused for one odd field: a value that cannot be read goes to `extra` like an unknown one. It is refused only
//! when it is not a JSON object or names no call, text or form.
//!
//! [`peek`] is for the webhook source: it finds tenant, caller and subject in one light pass. [`decode`] is for the
//! dataflow. Both read a field by the same function and so agree.
//!
//! ```
//! use leadline_schemas::callrail;
//! use leadline_schemas::inbound::EventKind;
//! let body = br#"{"id":766970532,"company_id":155920786,"call_type":"voicemail","answered":false,
//!     "customer_phone_number":"214-865-4559","duration":"13"}"#;
//! let peek = callrail::peek(None, body)?;
//! assert_eq!(peek.caller.as_deref(), Some("+12148654559"));
//! assert_eq!(peek.subject_id, "766970532");
//! let (kind, event) = callrail::decode(None, body)?;
//! assert_eq!(kind, EventKind::PostCall);
//! assert_eq!(event.caller(), Some("+12148654559"));
//! # Ok::<(), callrail::DecodeError>(())
//! ```

mod call;
mod extra;
mod fields;
mod form;
mod ids;
mod kind;
mod peek;
mod raw;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod transcript;

pub use peek::{Peek, peek};
pub(crate) use transcript::of_text as turns_of_text;

use std::borrow::Cow;

use fields::Fields;
use kind::Family;

use crate::event::Event;
use crate::inbound::EventKind;

/// Why a body is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON at all.
    #[error("the body is not JSON: {why}")]
    NotJson {
        /// What was wrong, and where.
        why: String,
    },
    /// JSON, but not an object.
    #[error("the body is not a JSON object but starts with {start:?}")]
    NotAnObject {
        /// Its first character.
        start: char,
    },
    /// Nothing says which call, text or form it is about.
    #[error("the body names no {kind}: neither `resource_id` nor `id` holds an id")]
    NoId {
        /// The kind of event that it was taken for.
        kind: &'static str,
    },
}

impl DecodeError {
    /// Of a body in which no object was found.
    fn of_no_object(body: &str) -> Self {
        match serde_json::from_str::<serde::de::IgnoredAny>(body) {
            Err(why) => Self::NotJson { why: why.to_string() },
            Ok(_) => Self::NotAnObject { start: body.trim_start().chars().next().unwrap_or_default() },
        }
    }
}

/// The event that a body tells of. `kind` is what the path says; where it says nothing, or something that the body
/// plainly is not, the shape of the body decides.
pub fn decode(kind: Option<EventKind>, body: &[u8]) -> Result<(EventKind, Event), DecodeError> {
    let body = text_of(body);
    let mut fields = Fields::none();
    fields.read(&body)?;
    let kind = kind::settle(kind, &fields);
    let event = match kind::family(kind) {
        Family::Call => Event::CallEvent(call::event(kind, &mut fields)?),
        Family::Text => Event::TextEvent(text::event(kind, &mut fields)?),
        Family::Form => Event::FormEvent(form::event(&mut fields)?),
    };
    Ok((kind, event))
}

/// JSON is UTF-8; but a note with a broken character is no reason to lose a call.
fn text_of(body: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    }
}
