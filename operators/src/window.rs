//! window: counts per tenant and slot, by minute, hour and day, and in panes of ten minutes for sliding windows.
//!
//! A record changes one row: what its minute has gathered. A second after the first of them that goes into the windows,
//! all of which a minute lies in as a whole, and the minute is published. Longer windows are published a second after
//! their first change, so that each is told of at most once a second; a late record publishes its window again with a
//! higher revision. A two-hour window that slides by ten minutes is twelve panes, which the API adds up.

use leadline_schemas::audit::Audit;
use leadline_schemas::avro::AvroError;
use leadline_schemas::frame::Output;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::state::WindowState;
use leadline_schemas::window::{Sketch, WindowKind, WindowMetrics};
use leadline_schemas::{EventId, Millis};

use crate::contract::{
    Context, Fault, Operator, OperatorId, OperatorResult, Scope, Table, TableSpec, TimerKind,
};
use crate::leads::ContactFacts;
use crate::publish::Publish;

/// Panes of the sliding window.
pub const PANE_MS: i64 = 10 * Millis::MINUTE;
/// How long changes of a window are gathered before it is published.
const PUBLISH_AFTER_MS: i64 = Millis::SECOND;
/// How long before its row may expire a window is closed: event time runs up to a minute ahead, so a row may be
/// written, and expire, that long before its window's own time.
const CLOSED_BEFORE_MS: i64 = 2 * Millis::MINUTE;

/// Windows that are still open for late records. Kept by kind, so that minutes go long before days.
pub const MINUTES: Table<WindowState> = Table::new(1, "minutes", Some(2 * Millis::DAY));
/// As `MINUTES`.
pub const HOURS: Table<WindowState> = Table::new(2, "hours", Some(35 * Millis::DAY));
/// As `MINUTES`.
pub const DAYS: Table<WindowState> = Table::new(3, "days", Some(25 * 31 * Millis::DAY));
/// As `MINUTES`.
pub const PANES: Table<WindowState> = Table::new(4, "panes", Some(2 * Millis::DAY));
/// What a minute has gathered and its windows do not have yet. Kept until they have it, however long leadline is stopped.
pub const GATHERED: Table<WindowState> = Table::new(5, "gathered", None);
const TABLES: &[TableSpec] = &[MINUTES.spec, HOURS.spec, DAYS.spec, PANES.spec, GATHERED.spec];

const KINDS: [WindowKind; 4] = [WindowKind::Minute, WindowKind::Hour, WindowKind::Day, WindowKind::Sliding2h];

/// Counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window;

/// What window emits.
#[derive(Clone, Debug)]
pub enum WindowOut {
    /// A window as it stands.
    Metrics(WindowMetrics),
    /// A record that came after its window was closed for good.
    Late(Audit),
}

impl Publish for WindowOut {
    fn publish(&self) -> Option<Result<Output, AvroError>> {
        match self {
            Self::Metrics(metrics) => metrics.publish(),
            Self::Late(audit) => audit.publish(),
        }
    }
}

const fn table(kind: WindowKind) -> &'static Table<WindowState> {
    match kind {
        WindowKind::Minute => &MINUTES,
        WindowKind::Hour => &HOURS,
        WindowKind::Day => &DAYS,
        WindowKind::Sliding2h => &PANES,
    }
}

const fn step_ms(kind: WindowKind) -> i64 {
    match kind {
        WindowKind::Sliding2h => PANE_MS,
        tumbling => tumbling.length_ms(),
    }
}

impl Operator for Window {
    const ID: OperatorId = OperatorId { number: 7, name: "window" };
    const SCOPE: Scope = Scope::Slot;
    type In = ContactFacts;
    type Out = WindowOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, WindowOut>, facts: ContactFacts) -> OperatorResult {
        let minute = start_of(WindowKind::Minute, facts.at);
        let fresh = fresh(cx, WindowKind::Minute, minute);
        if KINDS.into_iter().any(|kind| is_closed(kind, start_of(kind, minute), cx.now)) {
            let mut alone = fresh().metrics;
            add(&mut alone, &facts);
            return share_out(cx, &alone, false);
        }
        let was_pending = cx.update(&GATHERED, &minute.0.to_be_bytes(), fresh, |state| {
            add(&mut state.metrics, &facts);
            std::mem::replace(&mut state.pending, true)
        })?;
        if was_pending { Ok(()) } else { call_later(cx, &GATHERED, minute) }
    }

    fn on_timer(
        &mut self,
        cx: &mut Context<'_, WindowOut>,
        _: TimerKind,
        name: &[u8],
        _: Millis,
    ) -> OperatorResult {
        let Some((number, start)) = name.split_first() else {
            return Err(Fault::poison("a window's timer has no name"));
        };
        if *number == GATHERED.spec.number {
            let Some(gathered) = cx.get(&GATHERED, start)?.map(|state| state.metrics.clone()) else {
                return Ok(()); // A dead letter's timer, replayed: its windows have it by now.
            };
            cx.delete(&GATHERED, start);
            return share_out(cx, &gathered, true);
        }
        let Some(kind) = KINDS.into_iter().find(|kind| table(*kind).spec.number == *number) else {
            return Err(Fault::poison(format!("no window has number {number}")));
        };
        if cx.get(table(kind), start)?.is_none() {
            return Ok(()); // Its time to live has passed.
        }
        publish(cx, kind, start)
    }
}

/// The start of the window of a kind that a time lies in.
fn start_of(kind: WindowKind, at: Millis) -> Millis {
    Millis(at.0.div_euclid(step_ms(kind)) * step_ms(kind))
}

/// Whether a window takes nothing any more.
fn is_closed(kind: WindowKind, start: Millis, now: Millis) -> bool {
    now.since(start) > table(kind).spec.ttl_ms.unwrap_or(i64::MAX) - CLOSED_BEFORE_MS
}

/// Adds what a minute has gathered to all its windows. Each is published in a second, with what comes until then; the
/// minute at once if it `has_waited` for that.
fn share_out(cx: &mut Context<'_, WindowOut>, gathered: &WindowMetrics, has_waited: bool) -> OperatorResult {
    for kind in KINDS {
        let start = start_of(kind, gathered.start);
        if is_closed(kind, start, cx.now) {
            late(cx, kind, start);
            continue;
        }
        let key = start.0.to_be_bytes();
        let fresh = fresh(cx, kind, start);
        let was_pending = cx.update(table(kind), &key, fresh, |state| {
            state.metrics.add(gathered);
            std::mem::replace(&mut state.pending, true)
        })?;
        match was_pending {
            true => {}
            false if has_waited && kind == WindowKind::Minute => publish(cx, kind, &key)?,
            false => call_later(cx, table(kind), start)?,
        }
    }
    Ok(())
}

/// Sets the timer of a row that has begun to gather changes.
fn call_later(cx: &mut Context<'_, WindowOut>, table: &Table<WindowState>, start: Millis) -> OperatorResult {
    let mut name = [0; 9];
    let (first, rest) = name.split_at_mut(1);
    first.fill(table.spec.number);
    rest.copy_from_slice(&start.0.to_be_bytes());
    cx.timer(TimerKind::Now, &name, cx.now.plus(PUBLISH_AFTER_MS))
}

/// Emits a window as it stands, as its next revision.
fn publish(cx: &mut Context<'_, WindowOut>, kind: WindowKind, key: &[u8]) -> OperatorResult {
    let fresh = fresh(cx, kind, Millis(0));
    let metrics = cx.update(table(kind), key, fresh, |state| {
        state.pending = false;
        if state.metrics.revision == 0 || !sabotage::on(Bug::WindowRevisionLost) {
            state.metrics.revision += 1;
        }
        state.metrics.clone()
    })?;
    cx.emit(WindowOut::Metrics(metrics));
    Ok(())
}

/// A window without counts; most records find theirs there, so what it takes is only looked up when it is made.
fn fresh<'a>(
    cx: &Context<'a, WindowOut>,
    kind: WindowKind,
    start: Millis,
) -> impl FnOnce() -> WindowState + use<'a> {
    let (key, settings) = (cx.key, cx.settings);
    move || {
        let spread = settings.tenant(&key.tenant).map_or(1, |tenant| tenant.policy.spread);
        let slot = i32::from(leadline_schemas::partitioning::slot(key.bucket, spread));
        let metrics = WindowMetrics {
            tenant: key.tenant.clone(),
            window: kind,
            start,
            slot,
            calls: 0,
            answered: 0,
            missed: 0,
            texts: 0,
            forms: 0,
            leads: 0,
            hot_or_warm: 0,
            scored: 0,
            score_sum: 0,
            cost_micros: 0,
            first_contact_ms: Sketch::default(),
            score_latency_ms: Sketch::default(),
            revision: 0,
        };
        WindowState { metrics, pending: false }
    }
}

fn add(metrics: &mut WindowMetrics, facts: &ContactFacts) {
    let counts = &facts.counts;
    metrics.calls += counts.calls;
    metrics.answered += counts.answered;
    metrics.missed += counts.missed;
    metrics.texts += counts.texts;
    metrics.forms += counts.forms;
    metrics.leads += counts.leads;
    metrics.hot_or_warm += counts.hot_or_warm;
    metrics.scored += counts.scored;
    metrics.score_sum += counts.score_sum;
    metrics.cost_micros += counts.cost_micros;
    if let Some(ms) = facts.first_contact_ms {
        metrics.first_contact_ms.add(ms as f64);
    }
    if let Some(ms) = facts.score_latency_ms {
        metrics.score_latency_ms.add(ms as f64);
    }
}

/// A record whose window is gone is counted and told of, not dropped in silence.
fn late(cx: &mut Context<'_, WindowOut>, kind: WindowKind, start: Millis) {
    let line = Audit {
        tenant: cx.key.tenant.clone(),
        id: EventId::of(&[cx.cause.bytes(), kind.name().as_bytes(), &start.0.to_be_bytes()]),
        kind: "late_event".to_owned(),
        subject: format!("{} {start}", kind.name()),
        text: format!("came after the {} window of {start} was closed for good", kind.name()),
        event_id: cx.cause.event_id(),
        at: cx.now,
    };
    cx.emit(WindowOut::Late(line));
}
