//! What Pipedrive's answers mean. Bodies are JSON, or a page of the network before it.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::contract::provider::CallError;
use crate::contract::wire::WireAnswer;
use crate::crm::quoted;
use crate::http_client::{one_line, retry_after};

/// Why a request did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no such thing (404), or it was deleted (410).
    Gone(String),
    /// The token is not valid, or not any more.
    Denied(String),
    /// Asked too often; all of the account waits.
    Limited(Duration, String),
    /// Whatever else.
    Call(CallError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl Failure {
    /// For the delivery.
    pub(super) fn into_call(self) -> CallError {
        match self {
            Self::Gone(why) | Self::Denied(why) => CallError::Reject { why },
            Self::Limited(after, why) => CallError::Retry { after: Some(after), why },
            Self::Call(error) => error,
        }
    }
}

/// Until the next window of a burst.
const BURST: Duration = Duration::from_secs(2);
/// The day's tokens are used up; when the server's day ends it does not say.
const NEXT_DAY: Duration = Duration::from_secs(3_600);
/// The network before Pipedrive shuts out who goes on after 429.
const SHUT_OUT: Duration = Duration::from_secs(300);

/// Codes, and what they say to a person.
const WORDS: &[(&str, &str)] = &[
    (
        "feature_capping_deals_limit",
        "its plan has no room for more open deals and leads: close some, or take a larger plan",
    ),
    (
        "feature_capping_custom_fields_limit",
        "its plan has no room for more custom fields: remove some, or take a larger plan",
    ),
    ("feature_capping", "its plan has no room for more: take a larger plan"),
    ("ERR_SCHEMA_VALIDATION_FAILED", "a value is not what a field takes"),
    ("ERR_LEAD_LABEL_NOT_FOUND", "a label of the lead does not exist"),
];

/// The answer's `data` when it is a good one; null where it cannot be read.
pub(super) fn judged(answer: &WireAnswer, sent: &Map<String, Value>) -> Result<Value, Failure> {
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let refused = body.get("success").and_then(Value::as_bool) == Some(false);
    if (200..300).contains(&answer.status) && !refused {
        return Ok(body.get_mut("data").map(Value::take).unwrap_or_default());
    }
    let why = format!("Pipedrive answered {}: {}", answer.status, words(&body, answer, sent));
    Err(match answer.status {
        429 => Failure::Limited(pause(answer), why),
        // JSON is Pipedrive's own word; a page is the network's.
        403 if body.is_null() => Failure::Limited(SHUT_OUT, why),
        401 => Failure::Denied(format!("{why}: its token is not valid any more, enter or connect it again")),
        402 => reject(format!("{why}: the account is not paid for")),
        404 | 410 => Failure::Gone(why),
        408 | 425 | 500.. => Failure::Call(CallError::Retry { after: retry_after(&answer.headers), why }),
        _ => reject(why),
    })
}

fn reject(why: String) -> Failure {
    Failure::Call(CallError::Reject { why })
}

/// How long nobody asks after a 429. With room left in the burst, it is the day that is used up.
fn pause(answer: &WireAnswer) -> Duration {
    let number = |name: &str| -> Option<u64> { answer.headers.get(name)?.to_str().ok()?.trim().parse().ok() };
    let room = number("x-ratelimit-remaining");
    let after = retry_after(&answer.headers);
    match room {
        Some(1..) => after.unwrap_or(NEXT_DAY),
        _ => {
            after.or_else(|| number("x-ratelimit-reset").map(Duration::from_secs)).unwrap_or(BURST).max(BURST)
        }
    }
}

/// What it said, with the field and value that it was about where that can be told.
fn words(body: &Value, answer: &WireAnswer, sent: &Map<String, Value>) -> String {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let code = text("code").or_else(|| text("errorCode")).unwrap_or_default();
    let known = WORDS.iter().find(|(known, _)| code.starts_with(known)).map(|(_, words)| *words);
    let Some(said) = text("error").or_else(|| text("message")) else {
        return known.map_or_else(|| one_line(&answer.body), str::to_owned);
    };
    let said = one_line(said.as_bytes());
    let mut parts: Vec<String> = known.map(str::to_owned).into_iter().collect();
    parts.push(said.clone());
    let info = text("error_info").map(|info| one_line(info.as_bytes()));
    // It points to its documentation in all errors, which helps nobody here.
    parts.extend(info.filter(|info| !info.contains("developers.pipedrive.com")));
    let about = sent.iter().find(|(name, _)| {
        said.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == *name)
    });
    parts.extend(about.map(|(name, value)| {
        let value = value.pointer("/0/value").unwrap_or(value);
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name} was {}", quoted(&value))
    }));
    parts.join("; ").chars().take(600).collect()
}
