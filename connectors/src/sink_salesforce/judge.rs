//! What Salesforce's answers mean. Errors are a list, `errorCode` at the top and `statusCode` inside collections; those of
//! the sign-in are an object.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::contract::provider::CallError;
use crate::contract::wire::WireAnswer;
use crate::crm::quoted;
use crate::http_client::{one_line, retry_after};

/// Why a request, or one record of it, did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No record has this key (an update that must not create).
    NotFound(String),
    /// The session has ended.
    Ended(String),
    /// Another first upsert of the same key was quicker: once more finds it.
    Raced(String),
    /// The day's requests, or the long ones at a time, are used up; all of the account waits.
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
            Self::NotFound(why) | Self::Ended(why) => CallError::Reject { why },
            Self::Raced(why) => CallError::Retry { after: None, why },
            Self::Limited(after, why) => CallError::Retry { after: Some(after), why },
            Self::Call(error) => error,
        }
    }
}

/// How long after the day's requests are used up: they come back one by one over 24 hours.
const DAY_IS_USED: Duration = Duration::from_secs(3_600);
/// How long after too many long requests at a time.
const TOO_MANY_LONG: Duration = Duration::from_secs(20);
/// How long after a row that somebody else holds.
const ROW_HELD: Duration = Duration::from_secs(3);

/// Codes, and what they say to a person: `{field}` and `{value}` are of what was sent, `{message}` is Salesforce's.
const WORDS: &[(&str, &str)] = &[
    (
        "DUPLICATES_DETECTED",
        "a duplicate rule of the organisation takes this lead for one that is there ({message}): merge them, change the rule, or set option allow_duplicates",
    ),
    (
        "REQUIRED_FIELD_MISSING",
        "the organisation wants {field} filled: map a field or a text to it in the field mapping",
    ),
    (
        "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "a validation rule of the organisation says: {message} ({field} {value})",
    ),
    (
        "INVALID_FIELD",
        "there is no field {field} that leadline's user may write ({message}): run `leadline integration setup`, or change the field mapping",
    ),
    (
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "leadline's user may not write {field}: allow it, or change the field mapping",
    ),
    ("STRING_TOO_LONG", "{value} is too long for {field}"),
    ("INVALID_EMAIL_ADDRESS", "{value} is no email address to Salesforce ({field})"),
    ("INVALID_TYPE_ON_FIELD_IN_RECORD", "{field} takes another kind of value than {value}"),
    (
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "{value} is not among the values of {field}: add it there, or map another field",
    ),
    (
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "a trigger or flow of the organisation failed ({message}): its administrator has to look",
    ),
    (
        "CANNOT_UPDATE_CONVERTED_LEAD",
        "the lead was converted in Salesforce: leadline writes to leads, not to the contact it became",
    ),
    (
        "INSUFFICIENT_ACCESS",
        "leadline's user may not do that ({message}): give it the right to create and edit leads and tasks",
    ),
    ("ENTITY_IS_DELETED", "the record was deleted in Salesforce ({message})"),
    ("API_DISABLED_FOR_ORG", "the organisation's edition has no API: take one that has"),
];

/// What the errors of a list, or of one record, mean. The first that says something counts.
pub(super) fn judged_errors(errors: &[Value], status: u16, sent: &Map<String, Value>) -> Failure {
    let text =
        |error: &Value, name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let code_of = |error: &Value| match text(error, "errorCode") {
        code if code.is_empty() => text(error, "statusCode"),
        code => code,
    };
    // What was rolled back for another's sake says nothing by itself.
    let telling =
        errors.iter().find(|error| code_of(error) != "PROCESSING_HALTED").or_else(|| errors.first());
    let Some(error) = telling else {
        return Failure::Call(CallError::Reject {
            why: format!("Salesforce answered {status} and said no more"),
        });
    };
    let (code, message) = (code_of(error), one_line(text(error, "message").as_bytes()));
    let why = format!("Salesforce: {}", words(&code, &message, error, sent));
    let retry = |after: Option<Duration>| Failure::Call(CallError::Retry { after, why: why.clone() });
    match code.as_str() {
        "INVALID_SESSION_ID" => Failure::Ended(why),
        "REQUEST_LIMIT_EXCEEDED" if message.contains("Concurrent") => Failure::Limited(TOO_MANY_LONG, why),
        "REQUEST_LIMIT_EXCEEDED" => Failure::Limited(DAY_IS_USED, why),
        "UNABLE_TO_LOCK_ROW" => retry(Some(ROW_HELD)),
        "SERVER_UNAVAILABLE" | "QUERY_TIMEOUT" | "UNKNOWN_EXCEPTION" => retry(None),
        "DUPLICATE_VALUE" => Failure::Raced(why),
        "NOT_FOUND" => Failure::NotFound(why),
        _ if status >= 500 => retry(None),
        _ => Failure::Call(CallError::Reject { why }),
    }
}

fn words(code: &str, message: &str, error: &Value, sent: &Map<String, Value>) -> String {
    let Some((_, words)) = WORDS
        .iter()
        .find(|(known, _)| code == *known || (code.starts_with(known) && *known == "INSUFFICIENT_ACCESS"))
    else {
        return format!("{code}: {message}");
    };
    let named: Vec<&str> = error
        .get("fields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    // Some name the field in their message alone.
    let in_message = || sent.keys().find(|name| message.contains(name.as_str())).map(String::as_str);
    let first = named.first().copied().or_else(in_message);
    let field = if named.len() > 1 { named.join(", ") } else { first.unwrap_or("?").to_owned() };
    let value = first.and_then(|name| sent.get(name));
    let value = value
        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        .unwrap_or_default();
    words
        .replace("{field}", &quoted(&field))
        .replace("{value}", &quoted(&value))
        .replace("{message}", message)
}

/// The body of a good answer; null where it cannot be read.
pub(super) fn judged(answer: &WireAnswer, sent: &Map<String, Value>) -> Result<Value, Failure> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    match (answer.status, &body) {
        (200..300, _) => Ok(body),
        (300, _) => Err(several()),
        (401, Value::Null) => Err(Failure::Ended("Salesforce answered 401".to_owned())),
        (status, Value::Array(errors)) => Err(judged_errors(errors, status, sent)),
        (status, _) => {
            let why = format!("Salesforce answered {status}: {}", one_line(&answer.body));
            Err(Failure::Call(match status {
                408 | 425 | 429 | 500.. => CallError::Retry { after: retry_after(&answer.headers), why },
                _ => CallError::Reject { why },
            }))
        }
    }
}

/// HTTP 300: more than one record has the key, and none was written.
pub(super) fn several() -> Failure {
    Failure::Call(CallError::Reject {
        why: "Salesforce has more than one record of this key: merge them, and make the key field unique"
            .to_owned(),
    })
}

/// What an answer of the sign-in means.
pub(super) fn judged_login(answer: &WireAnswer) -> Result<Value, CallError> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if (200..300).contains(&answer.status) {
        return Ok(body);
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let said = match text("error") {
        "" => one_line(&answer.body),
        error => format!("{error}: {}", one_line(text("error_description").as_bytes())),
    };
    let why = format!("Salesforce refuses to sign leadline in ({}): {said}", answer.status);
    Err(match answer.status {
        408 | 425 | 429 | 500.. => CallError::Retry { after: retry_after(&answer.headers), why },
        _ => CallError::Reject { why },
    })
}
