//! What the company says became of a lead: a command in `inbound`, for nothing else changes state.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use leadline_schemas::command::Command;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use crate::http_server::{Problem, json as answer};

/// Longest body and note.
const BODY_BYTES_MAX: usize = 64 << 10;
const NOTE_CHARS_MAX: usize = 2_000;
/// Most that a sale is believed to be, in the currency's units.
const SOLD_MAX: f64 = 1e9;

/// The body of `POST /v1/tenants/{tenant}/leads/{id}/feedback`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    /// Whether it was worth calling back.
    good: bool,
    /// What was sold, in the currency's units: 12500 or "12500.00".
    #[serde(default)]
    sold_value: Value,
    /// In the company's own words.
    #[serde(default)]
    note: Option<String>,
}

/// Takes feedback about a lead; what became of it is told under the request's id.
pub(super) async fn feedback(
    State(api): State<Arc<Api>>,
    Path((tenant, lead_id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?;
    let said = read(&body).map_err(Problem::bad_request)?;
    let (of, asked) = (tenant.tenant.clone(), lead_id.clone());
    let lead = api.query(move |records| records.lead(&of, &asked)).await?;
    let lead = lead.ok_or_else(|| Problem::not_found(format!("there is no lead {lead_id:?}")))?;
    let command = Command::Feedback {
        caller: lead.caller.clone(),
        lead_id: lead.lead_id.to_string(),
        good: said.good,
        sold_micros: said.sold_micros,
        note: said.note,
    };
    let request_id = api.command(&tenant, &lead.caller, &command).await?;
    Ok(answer(StatusCode::ACCEPTED, &json!({ "request_id": request_id.to_string() })))
}

#[derive(Debug, PartialEq)]
struct Read {
    good: bool,
    sold_micros: Option<i64>,
    note: Option<String>,
}

fn read(body: &[u8]) -> Result<Read, String> {
    if body.len() > BODY_BYTES_MAX {
        return Err(format!("a body of {} bytes; feedback has at most {BODY_BYTES_MAX}", body.len()));
    }
    let said: Said = serde_json::from_slice(body).map_err(|error| {
        format!("no feedback: {error}; send {{\"good\": true, \"sold_value\": 12500, \"note\": \"...\"}}")
    })?;
    let note = said.note.map(|note| note.trim().to_owned()).filter(|note| !note.is_empty());
    if let Some(note) = &note
        && (note.chars().count() > NOTE_CHARS_MAX
            || note.chars().any(|letter| letter.is_control() && letter != '\n'))
    {
        return Err(format!("a note has at most {NOTE_CHARS_MAX} characters, and no control characters"));
    }
    let sold_micros = sold(&said.sold_value)?;
    if !said.good && sold_micros.is_some_and(|sold| sold > 0) {
        return Err(
            "a lead that something was sold to was no bad one: send good true, or no sold_value".to_owned()
        );
    }
    Ok(Read { good: said.good, sold_micros, note })
}

/// A sum as a number or as text, in millionths.
fn sold(value: &Value) -> Result<Option<i64>, String> {
    let units = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    match units.filter(|units| (0.0..=SOLD_MAX).contains(units)) {
        // In bounds, so the conversion is exact to the cent.
        Some(units) => Ok(Some((units * 100.0).round() as i64 * 10_000)),
        None => Err(format!("sold_value {value} is no sum: send one such as 12500 or \"12500.00\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_is_read_strictly_and_its_mistakes_say_what_to_send() {
        let good = |text: &str| read(text.as_bytes()).unwrap();
        assert_eq!(good(r#"{"good":true}"#), Read { good: true, sold_micros: None, note: None });
        let sold = good(r#"{"good":true,"sold_value":"12500.50","note":" thanks "}"#);
        assert_eq!((sold.sold_micros, sold.note.as_deref()), (Some(12_500_500_000), Some("thanks")));
        assert_eq!(good(r#"{"good":true,"sold_value":0.1}"#).sold_micros, Some(100_000));
        for (body, why) in [
            ("{}", "good"),
            (r#"{"good":"yes"}"#, "good"),
            (r#"{"good":true,"sold":1}"#, "sold_value"),
            (r#"{"good":true,"sold_value":-1}"#, "no sum"),
            (r#"{"good":true,"sold_value":"lots"}"#, "lots"),
            (r#"{"good":true,"sold_value":1e12}"#, "no sum"),
            (r#"{"good":false,"sold_value":5}"#, "good true"),
            (r#"{"good":true,"note":"\u0007"}"#, "control"),
        ] {
            let told = read(body.as_bytes()).unwrap_err();
            assert!(told.contains(why), "{body}: {told}");
        }
        assert!(read(&vec![b' '; BODY_BYTES_MAX + 1]).is_err());
    }
}
