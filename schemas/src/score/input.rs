//! The scorer's input.

use super::{Channel, ProjectType, Speaker};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// One contact to be scored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreInput {
    /// The caller's own id of the case, echoed as it came (string, number or null).
    #[serde(default)]
    pub id: Value,
    /// How it arrived; told from the content when missing.
    #[serde(default, deserialize_with = "lenient_channel")]
    pub channel: Option<Channel>,
    /// Whose lead it is.
    #[serde(default, deserialize_with = "lenient")]
    pub tenant: TenantProfile,
    /// What the telephone system knows about the call.
    #[serde(default, deserialize_with = "lenient")]
    pub meta: CallMeta,
    /// The conversation, turn by turn.
    #[serde(default, deserialize_with = "lenient_turns")]
    pub transcript: Vec<Turn>,
    /// The conversation as one text, with or without inline speaker labels.
    #[serde(default, deserialize_with = "lenient_string")]
    pub text: Option<String>,
    /// The fields of a web form, under names of the form builder's choice.
    #[serde(default, deserialize_with = "lenient")]
    pub form_data: Map<String, Value>,
}

/// What the company offers, where, and from which amount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantProfile {
    /// Trades offered; empty means every trade.
    #[serde(default, alias = "trades", deserialize_with = "lenient_trades")]
    pub trade: Vec<ProjectType>,
    /// Where it works; empty means everywhere.
    #[serde(default, deserialize_with = "lenient")]
    pub service_area: ServiceArea,
    /// Smallest project it takes, in its currency.
    #[serde(default, deserialize_with = "lenient_number")]
    pub min_budget: Option<u64>,
}

/// Where a company works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceArea {
    /// City names, as people write them.
    #[serde(default, deserialize_with = "lenient_strings")]
    pub cities: Vec<String>,
    /// Postcodes or prefixes of them.
    #[serde(default, alias = "zips", alias = "zip_codes", deserialize_with = "lenient_strings")]
    pub postcodes: Vec<String>,
}

/// What the telephone system knows. Caller ID is a hint for people, never a source of `city` or `phone`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallMeta {
    /// Length of the call in seconds.
    #[serde(default, deserialize_with = "lenient_number")]
    pub duration_s: Option<u64>,
    /// Whether a person answered.
    #[serde(default, deserialize_with = "lenient_bool")]
    pub answered: Option<bool>,
    /// Whether this caller called for the first time.
    #[serde(default, deserialize_with = "lenient_bool")]
    pub first_call: Option<bool>,
    /// City by caller ID.
    #[serde(default, deserialize_with = "lenient_string")]
    pub caller_city: Option<String>,
    /// State by caller ID.
    #[serde(default, deserialize_with = "lenient_string")]
    pub caller_state: Option<String>,
    /// Marketing source.
    #[serde(default, deserialize_with = "lenient_string")]
    pub source: Option<String>,
}

/// One turn of the conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// Who speaks; `None` when the transcript does not tell.
    pub speaker: Option<Speaker>,
    /// The words.
    pub text: String,
}

impl<'de> Deserialize<'de> for Turn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(turn_of(&Value::deserialize(deserializer)?))
    }
}

/// A turn keeps its place even when it is malformed, because evidence refers to turns by index.
fn turn_of(value: &Value) -> Turn {
    match value {
        Value::String(text) => Turn { speaker: None, text: text.clone() },
        Value::Object(fields) => {
            let field = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)).and_then(text_of);
            Turn {
                speaker: field(&["speaker", "role", "channel"]).and_then(|name| speaker_of(&name)),
                text: field(&["text", "content", "message", "transcript"]).unwrap_or_default(),
            }
        }
        _ => Turn::default(),
    }
}

/// Speaker names seen in exports of telephone systems.
fn speaker_of(name: &str) -> Option<Speaker> {
    match name.trim().to_ascii_lowercase().as_str() {
        "agent" | "rep" | "representative" | "operator" | "assistant" | "csr" | "office" | "employee"
        | "company" | "staff" | "receptionist" | "business" => Some(Speaker::Agent),
        "caller" | "customer" | "client" | "lead" | "user" | "homeowner" | "prospect" | "visitor" => {
            Some(Speaker::Caller)
        }
        _ => None,
    }
}

fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

fn lenient_channel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Channel>, D::Error> {
    let name = text_of(&Value::deserialize(deserializer)?).unwrap_or_default();
    Ok(Channel::parse(&name).or_else(|| match name.trim().to_ascii_lowercase().as_str() {
        "sms" | "text_message" | "chat" => Some(Channel::Text),
        "web_form" | "form_submission" | "web" => Some(Channel::Form),
        "phone" | "phone_call" => Some(Channel::Call),
        _ => None,
    }))
}

fn lenient_turns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Turn>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(turns) => turns.iter().map(turn_of).collect(),
        Value::String(text) => vec![Turn { speaker: None, text }],
        _ => Vec::new(),
    })
}

fn lenient_trades<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ProjectType>, D::Error> {
    let names = strings_of(&Value::deserialize(deserializer)?);
    Ok(names.iter().filter_map(|name| ProjectType::parse(name)).collect())
}

fn lenient_strings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(strings_of(&Value::deserialize(deserializer)?))
}

fn lenient_string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(text_of(&Value::deserialize(deserializer)?))
}

fn lenient_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect::<String>().parse::<f64>().ok()
        }
        _ => None,
    }
    .filter(|number| number.is_finite() && *number >= 0.0)
    // A float-to-int `as` saturates, and a fraction of a dollar or second decides nothing.
    .map(|number| number.round() as u64))
}

fn lenient_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(value) => Some(value),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true),
            "false" | "no" | "0" => Some(false),
            _ => None,
        },
        Value::Number(number) => number.as_f64().map(|number| number != 0.0),
        _ => None,
    })
}

fn strings_of(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().filter_map(text_of).collect(),
        other => text_of(other).into_iter().collect(),
    }
}

/// A scalar as text; numbers too, because a postcode or a message may arrive as one.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
