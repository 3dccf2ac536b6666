//! The API: who may ask, how often, and what for.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::state::State;
use super::{Answer, Asking, bad, calls, hooks, not_found};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

pub(super) fn answer(state: &mut State, asking: &Asking) -> Answer {
    let key = key_of(asking).ok_or((StatusCode::UNAUTHORIZED, "HTTP Token: Access denied.".to_owned()))?;
    let mine: Vec<String> = state
        .accounts
        .iter()
        .filter(|(_, account)| account.keys.contains(&key))
        .map(|(id, _)| id.clone())
        .collect();
    if mine.is_empty() {
        return Err((StatusCode::UNAUTHORIZED, "HTTP Token: Access denied.".to_owned()));
    }
    if asking.headers.get("request-from").is_none_or(|name| name != "leadline") {
        return Err(bad("third parties name themselves in Request-From, in lower case"));
    }
    let path: Vec<&str> = asking.path.iter().map(String::as_str).collect();
    let [version, rest @ .., last] = path.as_slice() else { return Err(not_found()) };
    let last = last.strip_suffix(".json").ok_or_else(not_found)?;
    if *version != "v3" {
        return Err(not_found());
    }
    let path: Vec<&str> = rest.iter().copied().chain([last]).collect();
    if path == ["a"] {
        only_get(asking)?;
        let rows = mine.iter().map(|id| {
            json!({"id": id, "name": format!("Account {id}"), "hipaa_account": state.accounts[id].is_hipaa})
        });
        return page_of(asking, "accounts", rows.collect());
    }
    let ["a", account, rest @ ..] = path.as_slice() else { return Err(not_found()) };
    if !mine.iter().any(|id| id == account) {
        let why = "You do not have permission to perform the requested action";
        return Err((StatusCode::FORBIDDEN, why.to_owned()));
    }
    within_limits(state, account)?;
    match rest {
        ["companies"] => {
            only_get(asking)?;
            companies(state, account, asking)
        }
        ["trackers"] => trackers(state, account, asking),
        ["calls"] => calls::list(state, account, asking),
        ["calls", call] => calls::one(state, account, call, asking),
        ["calls", call, "recording"] => calls::recording(state, account, call, asking),
        ["integrations", ..] | ["integration_triggers"] => hooks::answer(state, account, rest, asking),
        ["form_submissions"] => listed(state, account, "form_submissions", asking),
        ["text-messages"] => listed(state, account, "conversations", asking),
        _ => Err(not_found()),
    }
}

/// `Token token="KEY"`; clients have been seen to leave the quotes out.
fn key_of(asking: &Asking) -> Option<String> {
    let text = asking.headers.get("authorization")?.to_str().ok()?;
    let key = text.strip_prefix("Token token=")?;
    Some(key.trim_matches('"').to_owned())
}

pub(super) fn only_get(asking: &Asking) -> Result<(), (StatusCode, String)> {
    match asking.method == Method::GET {
        true => Ok(()),
        false => Err((StatusCode::METHOD_NOT_ALLOWED, "Method not allowed".to_owned())),
    }
}

/// By the clock's hours and days, and without a word of when to come again.
fn within_limits(state: &mut State, account: &str) -> Result<(), (StatusCode, String)> {
    let now = state.now();
    let account = state.accounts.get_mut(account).ok_or_else(not_found)?;
    let since = |length: i64| account.requests.iter().filter(|at| **at / length == now / length).count();
    if since(HOUR_MS) >= account.limits.hour || since(DAY_MS) >= account.limits.day {
        return Err((StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded".to_owned()));
    }
    account.requests.push(now);
    Ok(())
}

/// A page of rows, by number.
pub(super) fn page_of(asking: &Asking, name: &str, rows: Vec<Value>) -> Answer {
    let number = |what: &str, usual: usize| match asking.parameter(what) {
        Some(text) => {
            text.parse().ok().filter(|number| *number > 0).ok_or_else(|| bad(format!("{what} is invalid")))
        }
        None => Ok(usual),
    };
    let (page, per_page) = (number("page", 1)?, number("per_page", 100)?);
    if per_page > 250 {
        return Err(bad("per_page must be at most 250"));
    }
    let (total, pages) = (rows.len(), rows.len().div_ceil(per_page).max(1));
    let shown: Vec<Value> = rows.into_iter().skip((page - 1) * per_page).take(per_page).collect();
    let mut body = json!({"page": page, "per_page": per_page, "total_pages": pages, "total_records": total});
    body[name] = json!(shown);
    Ok((StatusCode::OK, body))
}

fn companies(state: &State, account: &str, asking: &Asking) -> Answer {
    asking.only(&["page", "per_page", "status"])?;
    let of_account = state.companies.iter().filter(|(_, company)| company.account == account);
    let rows = of_account.map(|(id, company)| {
        json!({"id": id, "name": company.name, "status": company.status, "time_zone": "America/Denver"})
    });
    page_of(asking, "companies", rows.collect())
}

fn trackers(state: &State, account: &str, asking: &Asking) -> Answer {
    only_get(asking)?;
    asking.only(&["page", "per_page", "company_id"])?;
    let wanted = asking.parameter("company_id");
    let of_account = state.companies.iter().filter(|(_, company)| company.account == account);
    let rows = of_account.filter(|(id, _)| wanted.is_none_or(|wanted| wanted == id.as_str())).map(
        |(id, company)| {
            json!({
                "id": format!("TRK{}", &id[3..]), "name": "PPC", "type": "source", "status": "active",
                "tracking_numbers": ["+13035550100"], "company": {"id": id, "name": company.name},
            })
        },
    );
    page_of(asking, "trackers", rows.collect())
}

fn listed(state: &State, account: &str, name: &str, asking: &Asking) -> Answer {
    only_get(asking)?;
    asking.only(&["page", "per_page", "company_id", "start_date", "end_date"])?;
    calls::range_of(state, asking)?;
    let wanted = asking.parameter("company_id");
    let rows = state.listed.iter().filter(|(company, kind, _)| {
        *kind == name
            && state.companies[company].account == account
            && wanted.is_none_or(|wanted| wanted == company)
    });
    page_of(asking, name, rows.map(|(_, _, row)| row.clone()).collect())
}
