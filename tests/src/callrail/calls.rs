//! Calls: lists, one, its recording, and write-backs.

use axum::http::{Method, StatusCode};
use leadline_schemas::Millis;
use serde_json::{Value, json};

use super::api::{only_get, page_of};
use super::state::{Call, State};
use super::{Answer, Asking, bad, not_found};

/// What every answer has.
const USUAL: [&str; 17] = [
    "answered",
    "business_phone_number",
    "customer_city",
    "customer_country",
    "customer_name",
    "customer_phone_number",
    "customer_state",
    "direction",
    "duration",
    "id",
    "recording",
    "recording_duration",
    "recording_player",
    "start_time",
    "tracking_phone_number",
    "voicemail",
    "agent_email",
];

/// What a listing tells when it is asked for.
const REQUESTED: [&str; 47] = [
    "call_type",
    "company_id",
    "company_name",
    "company_time_zone",
    "created_at",
    "device_type",
    "formatted_call_type",
    "formatted_duration",
    "formatted_value",
    "first_call",
    "prior_calls",
    "total_calls",
    "good_lead_call_id",
    "good_lead_call_time",
    "lead_status",
    "note",
    "source",
    "source_name",
    "tags",
    "value",
    "tracker_id",
    "keywords",
    "medium",
    "campaign",
    "referring_url",
    "landing_page_url",
    "last_requested_url",
    "referrer_domain",
    "utm_source",
    "utm_medium",
    "utm_term",
    "utm_content",
    "utm_campaign",
    "utma",
    "utmb",
    "utmc",
    "utmv",
    "utmz",
    "ga",
    "gclid",
    "fbclid",
    "msclkid",
    "transcription",
    "person_id",
    "milestones",
    "call_summary",
    "sentiment",
];
const SINGLE_ONLY: &str = "conversational_transcript";
/// What is kept, in days: 25 months.
const KEPT_DAYS: i64 = 760;

const FILTERS: [&str; 13] = [
    "start_date",
    "end_date",
    "company_id",
    "tracker_id",
    "lead_status",
    "call_type",
    "answer_status",
    "direction",
    "sort",
    "order",
    "fields",
    "per_page",
    "time_zone",
];

/// The fields that a request asks for beyond the usual; an unknown one is refused, whatever there is to tell.
fn fields_of(state: &State, asking: &Asking, is_single: bool) -> Result<Vec<String>, (StatusCode, String)> {
    let asked = asking.parameter("fields").map(|text| text.split(',').map(str::to_owned).collect());
    let asked: Vec<String> = asked.unwrap_or_default();
    let is_known = |name: &str| {
        (USUAL.contains(&name) || REQUESTED.contains(&name) || (is_single && name == SINGLE_ONLY))
            && !state.forgotten_fields.iter().any(|forgotten| forgotten == name)
    };
    match asked.iter().find(|name| !is_known(name)) {
        Some(unknown) => Err(bad(format!("{unknown} is not an allowed field"))),
        None => Ok(asked),
    }
}

/// The members that a request is told.
fn shown(call: &Call, fields: &[String]) -> Value {
    let names = USUAL.into_iter().chain(fields.iter().map(String::as_str));
    let told = names.map(|name| (name.to_owned(), call.members.get(name).cloned().unwrap_or(Value::Null)));
    Value::Object(told.collect())
}

/// The range that is asked for, in milliseconds.
pub(super) fn range_of(state: &State, asking: &Asking) -> Result<(i64, i64), (StatusCode, String)> {
    let now = state.now();
    let time = |name: &str| match asking.parameter(name) {
        Some(text) => {
            Millis::parse(text).map(|at| Some(at.0)).ok_or_else(|| bad(format!("{name} is invalid")))
        }
        None => Ok(None),
    };
    let week = now - 7 * Millis::DAY;
    let (from, to) = (time("start_date")?.unwrap_or(week), time("end_date")?);
    if from < now - KEPT_DAYS * Millis::DAY {
        return Err(bad(
            "Your requested date range is outside of our 25 month data retention window. Please revise the date range",
        ));
    }
    Ok((from, to.unwrap_or(now + Millis::DAY)))
}

pub(super) fn list(state: &mut State, account: &str, asking: &Asking) -> Answer {
    only_get(asking)?;
    let is_relative = asking.parameter("relative_pagination") == Some("true");
    let paging: &[&str] = if is_relative { &["relative_pagination", "offset"] } else { &["page"] };
    asking.only(&[&FILTERS[..], paging].concat())?;
    if asking.parameter("order").is_some() && asking.parameter("sort").is_none() {
        return Err(bad("order needs sort"));
    }
    let fields = fields_of(state, asking, false)?;
    let (from, to) = range_of(state, asking)?;
    let start = |call: &Call| Millis::parse(call.members["start_time"].as_str().unwrap()).unwrap().0;
    // Dates count to the second.
    let inside = |call: &Call| (from..to + 1_000).contains(&start(call));
    let is = |call: &Call, name: &str| match asking.parameter(name) {
        Some(wanted) => call.members.get(name).and_then(Value::as_str) == Some(wanted),
        None => true,
    };
    let mut found: Vec<&Call> = state
        .calls
        .iter()
        .filter(|call| call.members["account_id"] == account && inside(call))
        .filter(|call| {
            ["company_id", "tracker_id", "lead_status", "call_type", "direction"]
                .iter()
                .all(|name| is(call, name))
        })
        .collect();
    found.sort_by_key(|call| start(call));
    if asking.parameter("order") != Some("asc") {
        found.reverse();
    }
    let rows = found.into_iter().map(|call| shown(call, &fields));
    let rows: Vec<Value> = rows.collect();
    if is_relative { relative(state, account, asking, rows) } else { page_of(asking, "calls", rows) }
}

/// Pages by place: a call that comes between two of them moves what is behind it.
fn relative(state: &State, account: &str, asking: &Asking, rows: Vec<Value>) -> Answer {
    let per_page: usize =
        asking.parameter("per_page").unwrap_or("100").parse().map_err(|_| bad("per_page is invalid"))?;
    if per_page == 0 || per_page > 250 {
        return Err(bad("per_page must be 1 to 250"));
    }
    let offset: usize =
        asking.parameter("offset").unwrap_or("0").parse().map_err(|_| bad("offset is invalid"))?;
    let has_next = rows.len() > offset + per_page;
    let shown: Vec<Value> = rows.into_iter().skip(offset).take(per_page).collect();
    let kept = asking.query.iter().filter(|(name, _)| name != "offset");
    let query: Vec<String> =
        kept.map(|(name, value)| format!("{name}={}", value.replace('+', "%2B"))).collect();
    let next = format!(
        "{}/v3/a/{account}/calls.json?{}&offset={}",
        state.base(),
        query.join("&"),
        offset + per_page
    );
    let next = if has_next { json!(next) } else { Value::Null };
    Ok((
        StatusCode::OK,
        json!({"calls": shown, "per_page": per_page, "next_page": next, "has_next_page": has_next}),
    ))
}

fn of_account<'s>(state: &'s State, account: &str, call: &str) -> Result<&'s Call, (StatusCode, String)> {
    state.find(call).filter(|call| call.members["account_id"] == account).ok_or_else(not_found)
}

pub(super) fn one(state: &mut State, account: &str, call: &str, asking: &Asking) -> Answer {
    of_account(state, account, call)?;
    if asking.method == Method::PUT {
        return write(state, call, asking);
    }
    only_get(asking)?;
    asking.only(&["fields"])?;
    let fields = fields_of(state, asking, true)?;
    Ok((StatusCode::OK, shown(of_account(state, account, call)?, &fields)))
}

pub(super) fn recording(state: &mut State, account: &str, call: &str, asking: &Asking) -> Answer {
    only_get(asking)?;
    asking.only(&[])?;
    if of_account(state, account, call)?.audio.is_none() {
        return Err(not_found());
    }
    let link = match state.accounts[account].is_hipaa {
        true => state.storage_link(call),
        false => state.new_link(call),
    };
    Ok((StatusCode::OK, json!({ "url": link })))
}

/// A write-back. What is left out stays, null clears, tags are replaced unless they are appended.
fn write(state: &mut State, id: &str, asking: &Asking) -> Answer {
    let body = asking.json()?;
    let body = body.as_object().ok_or_else(|| bad("the body is no object"))?;
    const KNOWN: [&str; 7] = ["note", "tags", "append_tags", "lead_status", "value", "customer_name", "spam"];
    if let Some(unknown) = body.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(bad(format!("{unknown} cannot be updated")));
    }
    if body.get("spam") == Some(&json!(true)) {
        state.calls.retain(|call| call.id != id); // Gone for good.
        return Ok((StatusCode::OK, json!({ "id": id })));
    }
    let refuses = state.refuses_good_leads;
    let call = state.find_mut(id).ok_or_else(not_found)?;
    let mut changed = Vec::new();
    if let Some(status) = body.get("lead_status") {
        let is_marked = refuses || call.members["lead_status"] == "previously_marked_good_lead";
        if *status == "good_lead" && is_marked {
            return Err(bad("This caller was previously marked as a good lead"));
        }
        if ![json!("good_lead"), json!("not_a_lead"), Value::Null].contains(status) {
            return Err(bad("lead_status is invalid"));
        }
    }
    for name in ["note", "lead_status", "value", "customer_name"] {
        if let Some(value) = body.get(name).filter(|value| call.members.get(name) != Some(value)) {
            call.members.insert(name.to_owned(), value.clone());
            changed.push(name.to_owned());
        }
    }
    if let Some(tags) = body.get("tags") {
        let tags = tags.as_array().ok_or_else(|| bad("tags is no list"))?;
        let appends = body.get("append_tags") == Some(&json!(true));
        let before = call.members["tags"].as_array().cloned().unwrap_or_default();
        let mut after = if appends { before.clone() } else { Vec::new() };
        after.extend(tags.iter().filter(|tag| !before.contains(tag) || !appends).cloned());
        if after != before {
            call.members.insert("tags".to_owned(), json!(after));
            changed.extend(["tag".to_owned(), "tags".to_owned()]);
        }
    }
    let told = shown(call, &["lead_status", "note", "tags", "value"].map(str::to_owned));
    if !changed.is_empty() {
        state.echoes.push((id.to_owned(), changed));
    }
    Ok((StatusCode::OK, told))
}
