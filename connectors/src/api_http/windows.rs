//! `GET /v1/tenants/{tenant}/metrics/windows`: window metrics, with the slots of each window added up.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use leadline_schemas::Millis;
use leadline_schemas::window::{Sketch, WindowKind, WindowMetrics};
use leadline_schemas::sketch;
use serde_json::{Value, json};

use super::query::{self, LIMIT_MAX};
use super::{Api, lists, view};
use crate::source_http::Problem;

/// Windows that one request may look at: five months of hours, or a day and a half of minutes.
const WINDOWS_MAX: i64 = 3_600;
/// A sliding window starts every ten minutes.
const SLIDE_MS: i64 = 10 * Millis::MINUTE;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    kind: WindowKind,
    from: Millis,
    to: Millis,
    limit: usize,
}

pub(super) async fn windows(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let reading = async {
        let Path(tenant) = path.map_err(|_| Problem::unauthorized())?;
        let tenant = api.tenant(&tenant, &headers).await?.tenant.clone();
        let asked = asked(query.as_deref(), api.clock.wall())?;
        api.reading
            .read(move |reader| Ok(page(reader.windows(&tenant, asked.kind, asked.from, asked.to)?, asked.limit)))
            .await
    };
    match reading.await {
        Ok(page) => lists::answer(&page),
        Err(problem) => problem.into_response(),
    }
}

/// Without a range, the newest `LIMIT_MAX` windows. The cursor is the start of the first window that is left.
fn asked(query: Option<&str>, now: Millis) -> Result<Asked, Problem> {
    let (mut kind, mut from, mut to, mut limit, mut cursor) = (WindowKind::Hour, None, None, LIMIT_MAX, None);
    for (name, value) in query::pairs(query)? {
        match name.as_str() {
            "kind" => kind = kind_of(&value)?,
            "from" => from = Some(query::time("from", &value)?),
            "to" => to = Some(query::time("to", &value)?),
            "limit" => limit = query::limit(&value)?,
            "cursor" => cursor = query::cursor(value)?,
            _ => return Err(query::unknown(&name)),
        }
    }
    let to = to.unwrap_or(now.plus(1));
    let step_ms = step_ms(kind);
    let mut from = from.unwrap_or(to.plus(-step_ms * LIMIT_MAX as i64));
    if to.since(from) > step_ms * WINDOWS_MAX {
        let detail = format!("from and to are more than {WINDOWS_MAX} windows of kind {} apart", kind.name());
        return Err(Problem::bad_request("from", detail));
    }
    if let Some(cursor) = cursor {
        let start = cursor.parse().map(Millis).map_err(|_| query::bad_cursor())?;
        from = from.max(start);
    }
    Ok(Asked { kind, from, to, limit })
}

fn step_ms(kind: WindowKind) -> i64 {
    match kind {
        WindowKind::Sliding2h => SLIDE_MS,
        kind => kind.length_ms(),
    }
}

fn kind_of(name: &str) -> Result<WindowKind, Problem> {
    let kinds = [WindowKind::Minute, WindowKind::Hour, WindowKind::Day, WindowKind::Sliding2h];
    kinds
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| Problem::bad_request("kind", "kind must be one of minute, hour, day, sliding_2h"))
}

/// The rows come by start and then slot.
fn page(rows: Vec<WindowMetrics>, limit: usize) -> Value {
    let mut sums: Vec<WindowMetrics> = Vec::new();
    for row in rows {
        match sums.last_mut().filter(|sum| sum.start == row.start) {
            Some(sum) => add(sum, &row),
            None => sums.push(row),
        }
    }
    let next_cursor = sums.get(limit).map(|next| next.start.0.to_string());
    let items: Vec<_> = sums.iter().take(limit).map(view_of).collect();
    json!({ "items": items, "next_cursor": next_cursor })
}

fn add(sum: &mut WindowMetrics, row: &WindowMetrics) {
    sum.calls += row.calls;
    sum.answered += row.answered;
    sum.missed += row.missed;
    sum.texts += row.texts;
    sum.forms += row.forms;
    sum.leads += row.leads;
    sum.hot_or_warm += row.hot_or_warm;
    sum.scored += row.scored;
    sum.score_sum += row.score_sum;
    sum.cost_micros += row.cost_micros;
    sum.revision += row.revision;
    sketch::merge(&mut sum.first_contact_ms, &row.first_contact_ms);
    sketch::merge(&mut sum.score_latency_ms, &row.score_latency_ms);
}

fn view_of(window: &WindowMetrics) -> Value {
    let contacts = window.calls + window.texts + window.forms;
    let share = |part: i64, of: i64| (of > 0).then(|| part as f64 / of as f64);
    json!({
        "kind": window.window.name(),
        "start": view::at(window.start),
        "end": view::at(window.start.plus(window.window.length_ms())),
        "calls": window.calls,
        "answered": window.answered,
        "missed": window.missed,
        "texts": window.texts,
        "forms": window.forms,
        "leads": window.leads,
        "lead_rate": share(window.leads, contacts),
        "hot_or_warm": window.hot_or_warm,
        "scored": window.scored,
        "score_mean": share(window.score_sum, window.scored),
        "cost_micros": window.cost_micros,
        "first_contact_ms": quantiles(&window.first_contact_ms),
        "score_latency_ms": quantiles(&window.score_latency_ms),
        "revision": window.revision,
    })
}

fn quantiles(of: &Sketch) -> Value {
    let at = |q| sketch::quantile(of, q).map(f64::round);
    let mean = (of.count > 0).then(|| (of.sum / of.count as f64).round());
    json!({ "count": of.count, "mean": mean, "p50": at(0.5), "p90": at(0.9), "p99": at(0.99) })
}

#[cfg(test)]
mod tests {
    use leadline_schemas::TenantId;

    use super::*;

    fn row(start: i64, slot: i32, calls: i64, first_contact_ms: f64) -> WindowMetrics {
        let mut first = Sketch::default();
        sketch::add(&mut first, first_contact_ms);
        WindowMetrics {
            tenant: TenantId::new("t").unwrap(),
            window: WindowKind::Minute,
            start: Millis(start),
            slot,
            calls,
            answered: calls,
            missed: 0,
            texts: 0,
            forms: 0,
            leads: 1,
            hot_or_warm: 1,
            scored: 2,
            score_sum: 100,
            cost_micros: 5,
            first_contact_ms: first,
            score_latency_ms: Sketch::default(),
            revision: 1,
        }
    }

    #[test]
    fn slots_are_added_up() {
        let rows = vec![row(0, 0, 3, 10.0), row(0, 1, 4, 1_000.0), row(60_000, 0, 1, 10.0)];
        let page = page(rows, 200);
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let first = &page["items"][0];
        assert_eq!((first["calls"].as_i64(), first["leads"].as_i64()), (Some(7), Some(2)));
        assert_eq!(first["start"], "1970-01-01T00:00:00.000Z");
        assert_eq!(first["end"], "1970-01-01T00:01:00.000Z");
        assert_eq!(first["score_mean"], 50.0);
        assert_eq!(first["first_contact_ms"]["count"], 2);
        assert_eq!(first["first_contact_ms"]["p50"], 10.0);
        assert_eq!(page["next_cursor"], Value::Null);
    }

    #[test]
    fn pages_follow_each_other() {
        let rows: Vec<_> = (0..5).map(|n| row(n * 60_000, 0, n, 1.0)).collect();
        let first = page(rows, 2);
        assert_eq!(first["items"].as_array().unwrap().len(), 2);
        assert_eq!(first["next_cursor"], "120000");
        let query = "kind=minute&from=1970-01-01T00:00:00Z&to=1970-01-01T00:05:00Z&limit=2&cursor=120000";
        let asked = asked(Some(query), Millis(0)).unwrap();
        assert_eq!((asked.from, asked.to, asked.limit), (Millis(120_000), Millis(300_000), 2));
    }

    #[test]
    fn a_range_is_bounded_and_parameters_are_known() {
        let of = |query: &str| asked(Some(query), Millis(1_772_640_753_236));
        assert_eq!(of("").unwrap().kind, WindowKind::Hour);
        assert_eq!(of("from=2020-01-01T00:00:00Z").unwrap_err().parameter(), Some("from"));
        assert_eq!(of("kind=week").unwrap_err().parameter(), Some("kind"));
        assert_eq!(of("band=hot").unwrap_err().parameter(), Some("band"));
        assert_eq!(of("cursor=x").unwrap_err().parameter(), Some("cursor"));
        assert_eq!(of("limit=201").unwrap_err().parameter(), Some("limit"));
    }
}
