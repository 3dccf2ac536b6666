//! Window metrics: slots added up, sliding windows out of their panes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use leadline_schemas::Millis;
use leadline_schemas::window::{Sketch, WindowKind, WindowMetrics};
use serde_json::{Value, json};

use super::Api;
use super::lists::{one_of, parameters, time};
use crate::http_server::{Problem, json as answer};

/// Windows of one answer at most: a day of minutes.
const WINDOWS_MAX: i64 = 1_440;
/// A sliding window is this many panes of ten minutes.
const PANES: i64 = 12;
const PANE_MS: i64 = 10 * Millis::MINUTE;

/// `GET .../metrics/windows?kind=hour&from=...&to=...`
pub(super) async fn windows(
    State(api): State<Arc<Api>>,
    Path(tenant): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = api.tenant(&tenant, &headers)?.tenant.clone();
    let (mut kind, mut from, mut to) = (WindowKind::Hour, None, None);
    for (name, value) in parameters(query)? {
        match name.as_str() {
            "kind" => kind = kind_of(&one_of("kind", value, &["minute", "hour", "day", "sliding_2h"])?),
            "from" => from = Some(time(&name, &value)?),
            "to" => to = Some(time(&name, &value)?),
            _ => {
                let name: String = name.chars().take(60).collect();
                return Err(Problem::bad_request(format!(
                    "{name:?} is not a parameter here; known are kind, from, to"
                )));
            }
        }
    }
    let step = if kind == WindowKind::Sliding2h { PANE_MS } else { kind.length_ms() };
    let to = to.unwrap_or_else(|| api.parts.clock.wall().plus(step));
    let from = from.unwrap_or_else(|| to.plus(-24 * step));
    if to.since(from) / step > WINDOWS_MAX {
        return Err(Problem::bad_request(format!(
            "from and to span more than {WINDOWS_MAX} windows; ask in pieces"
        )));
    }
    let reach = if kind == WindowKind::Sliding2h { (PANES - 1) * PANE_MS } else { 0 };
    let rows = api.query(move |records| records.windows(&tenant, kind, from.plus(-reach), to)).await?;
    let merged = added_up(rows);
    let shown: Vec<Value> = if kind == WindowKind::Sliding2h {
        sliding(&merged, from, to).iter().map(window_json).collect()
    } else {
        merged.values().map(window_json).collect()
    };
    Ok(answer(StatusCode::OK, &json!({ "items": shown, "next_cursor": null })))
}

fn kind_of(name: &str) -> WindowKind {
    match name {
        "minute" => WindowKind::Minute,
        "day" => WindowKind::Day,
        "sliding_2h" => WindowKind::Sliding2h,
        _ => WindowKind::Hour,
    }
}

/// One window per start: its slots added up.
fn added_up(rows: Vec<WindowMetrics>) -> BTreeMap<Millis, WindowMetrics> {
    let mut merged: BTreeMap<Millis, WindowMetrics> = BTreeMap::new();
    for row in rows {
        match merged.get_mut(&row.start) {
            Some(sum) => add(sum, &row),
            None => {
                merged.insert(row.start, row);
            }
        }
    }
    merged
}

/// The windows that end behind each pane: it and the eleven before it.
fn sliding(panes: &BTreeMap<Millis, WindowMetrics>, from: Millis, to: Millis) -> Vec<WindowMetrics> {
    let mut windows = Vec::new();
    for (start, pane) in panes.range(from..to) {
        let first = start.plus(-(PANES - 1) * PANE_MS);
        let mut window = pane.clone();
        window.start = first;
        for (_, earlier) in panes.range(first..*start) {
            add(&mut window, earlier);
        }
        windows.push(window);
    }
    windows
}

/// A sum is as new as the newest of its rows.
fn add(sum: &mut WindowMetrics, row: &WindowMetrics) {
    sum.add(row);
    sum.revision = sum.revision.max(row.revision);
}

fn window_json(window: &WindowMetrics) -> Value {
    let rate = |part: i64, whole: i64| (whole > 0).then(|| part as f64 / whole as f64);
    json!({
        "window": window.window.name(),
        "start": window.start.to_string(),
        "end": window.start.plus(window.window.length_ms()).to_string(),
        "calls": window.calls,
        "answered": window.answered,
        "missed": window.missed,
        "texts": window.texts,
        "forms": window.forms,
        "leads": window.leads,
        "hot_or_warm": window.hot_or_warm,
        "lead_rate": rate(window.leads, window.scored),
        "score_avg": rate(window.score_sum, window.scored),
        "cost_micros": window.cost_micros,
        "cost_micros_per_call": rate(window.cost_micros, window.calls),
        "first_contact_ms": quantiles(&window.first_contact_ms),
        "score_latency_ms": quantiles(&window.score_latency_ms),
        "revision": window.revision,
    })
}

fn quantiles(sketch: &Sketch) -> Value {
    let at = |q: f64| sketch.quantile(q).map(f64::round);
    json!({ "count": sketch.count, "p50": at(0.5), "p95": at(0.95), "p99": at(0.99) })
}
