//! What HubSpot's answers mean: whether it has the thing, will have it later, or a person has to do something, in words.

use std::time::Duration;

use serde_json::{Map, Value};

use super::config::LOCKED;
use crate::contract::provider::CallError;
use crate::contract::wire::WireAnswer;
use crate::crm::quoted;
use crate::http_client::{one_line, retry_after};

/// Why a request, or one of its inputs, did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The email address or key is another contact's (409).
    Conflict(String),
    /// There is no such object.
    NotFound(String),
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
            Self::Conflict(why) | Self::NotFound(why) | Self::Denied(why) => CallError::Reject { why },
            Self::Limited(after, why) => CallError::Retry { after: Some(after), why },
            Self::Call(error) => error,
        }
    }
}

/// Codes of validation errors, and what they say to a person: `{field}` and `{value}` are of what was sent.
const WORDS: &[(&str, &str)] = &[
    (
        "PROPERTY_DOESNT_EXIST",
        "HubSpot has no contact property {field}: run `leadline integration setup`, or change the field mapping",
    ),
    ("INVALID_EMAIL", "HubSpot takes {value} for no email address (property {field})"),
    (
        "INVALID_OPTION",
        "{value} is not among the options of HubSpot's property {field}: add it there, or map another field",
    ),
    ("INVALID_INTEGER", "HubSpot's property {field} takes whole numbers, and {value} is none"),
    ("INVALID_NUMBER", "HubSpot's property {field} takes numbers, and {value} is none"),
    ("INVALID_DATE", "HubSpot's property {field} takes dates, and {value} is none"),
    ("INVALID_LENGTH", "{value} is too long for HubSpot's property {field}"),
    ("INVALID_OWNER_ID", "HubSpot has no owner {value}: change option owner_id"),
    ("READ_ONLY_VALUE", "HubSpot's property {field} cannot be written: take it out of the field mapping"),
    ("REQUIRED_FIELD", "HubSpot wants property {field} filled: map a field or a text to it"),
    ("REQUIRED_PROPERTY", "HubSpot wants property {field} filled: map a field or a text to it"),
    ("DUPLICATE_VALUE", "another contact has {value} in HubSpot's property {field}"),
];

/// The answer when it is a good one.
pub(super) fn judged(answer: WireAnswer, sent: &Map<String, Value>) -> Result<WireAnswer, Failure> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let after = retry_after(&answer.headers);
    let why = format!(
        "HubSpot answered {}: {}",
        answer.status,
        words(&body, sent).unwrap_or_else(|| one_line(&answer.body))
    );
    let retry = |after: Option<Duration>| Failure::Call(CallError::Retry { after, why: why.clone() });
    Err(match answer.status {
        429 => Failure::Limited(after.unwrap_or_else(|| pause(&body)), why),
        401 => Failure::Denied(format!("{why}: its token is not valid any more, enter or connect it again")),
        403 if category(&body) == "MISSING_SCOPES" => {
            let why = format!(
                "{why}: the token must be allowed to read and write contacts and their properties (crm.objects.contacts, crm.schemas.contacts)"
            );
            Failure::Call(CallError::Reject { why })
        }
        404 => Failure::NotFound(why),
        409 => Failure::Conflict(why),
        423 => retry(Some(after.unwrap_or(LOCKED).max(LOCKED))),
        // An account that HubSpot moves to another place.
        477 => retry(Some(after.unwrap_or(Duration::from_secs(60)))),
        408 | 425 | 500.. => retry(after),
        _ => Failure::Call(CallError::Reject { why }),
    })
}

/// How long nobody asks after a 429: it does not say.
fn pause(body: &Value) -> Duration {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let said = format!("{} {}", text("policyName"), text("message"));
    match () {
        () if said.contains("daily") => Duration::from_secs(3_600),
        () if said.contains("ten_secondly") => Duration::from_secs(10),
        () if said.contains("secondly") => Duration::from_secs(1),
        () => Duration::from_secs(10),
    }
}

fn category(body: &Value) -> &str {
    body.get("category").and_then(Value::as_str).unwrap_or_default()
}

/// What is wrong with one input of a batch (207, or an error inside 200).
pub(super) fn judged_item(error: &Value, sent: &Map<String, Value>) -> Failure {
    let said = error.get("message").and_then(Value::as_str).unwrap_or("it said no more");
    let why = format!("HubSpot: {}", words(error, sent).unwrap_or_else(|| one_line(said.as_bytes())));
    match category(error) {
        "CONFLICT" => Failure::Conflict(why),
        "OBJECT_NOT_FOUND" => Failure::NotFound(why),
        "RATE_LIMITS" => Failure::Limited(pause(error), why),
        "INTERNAL_ERROR" | "SERVICE_UNAVAILABLE" | "LOCKED" => {
            Failure::Call(CallError::Retry { after: Some(LOCKED), why })
        }
        _ if said.contains("already exists") || said.contains("already has that value") => {
            Failure::Conflict(why)
        }
        _ => Failure::Call(CallError::Reject { why }),
    }
}

/// The sentences of all validation errors that are known; none where none is.
fn words(body: &Value, sent: &Map<String, Value>) -> Option<String> {
    let mut found = Vec::new();
    // "Property values were not valid: [{...}]": the list stands in the message.
    let message = body.get("message").and_then(Value::as_str).unwrap_or_default();
    if let Some(start) = message.find("[{") {
        let list = message.get(start..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(list).into_iter::<Value>();
        if let Some(Ok(Value::Array(all))) = values.next() {
            found.extend(all);
        }
    }
    found.extend(body.get("errors").and_then(Value::as_array).into_iter().flatten().cloned());
    let sentences: Vec<String> = found.iter().filter_map(|one| sentence(one, sent)).collect();
    (!sentences.is_empty()).then(|| sentences.join("; ").chars().take(600).collect())
}

fn sentence(error: &Value, sent: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let code = text("error").or_else(|| text("code"))?;
    let (_, words) = WORDS.iter().find(|(known, _)| *known == code)?;
    let of_context = || error.pointer("/context/propertyName/0").and_then(Value::as_str);
    let field = text("name").or_else(|| text("in")).or_else(of_context).unwrap_or("?");
    let value = sent.get(field).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    Some(words.replace("{field}", &quoted(field)).replace("{value}", &quoted(&value.unwrap_or_default())))
}
