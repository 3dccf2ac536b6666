//! window: counts per tenant and slot, by minute, hour and day, and in panes of ten minutes for sliding windows.
//!
//! A record changes one row of each kind in place. Rows are published at most once a second while they change; a
//! late record publishes its window again with a higher revision. A two-hour window that slides by ten minutes is
//! twelve panes, which the API adds up: so a record touches one row and not twelve.

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
const TABLES: &[TableSpec] = &[MINUTES.spec, HOURS.spec, DAYS.spec, PANES.spec];

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
        for kind in KINDS {
            let start = Millis(facts.at.0.div_euclid(step_ms(kind)) * step_ms(kind));
            let retention_ms = table(kind).spec.ttl_ms.unwrap_or(i64::MAX) - CLOSED_BEFORE_MS;
            if cx.now.since(start) > retention_ms {
                late(cx, kind, start);
                continue;
            }
            let fresh = fresh(cx, kind, start);
            let was_pending = cx.update(table(kind), &start.0.to_be_bytes(), fresh, |state| {
                add(&mut state.metrics, &facts);
                std::mem::replace(&mut state.pending, true)
            })?;
            if !was_pending {
                let mut name = [0; 9];
                let (first, rest) = name.split_at_mut(1);
                first.fill(table(kind).spec.number);
                rest.copy_from_slice(&start.0.to_be_bytes());
                cx.timer(TimerKind::Now, &name, cx.now.plus(PUBLISH_AFTER_MS))?;
            }
        }
        Ok(())
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
        let Some(kind) = KINDS.into_iter().find(|kind| table(*kind).spec.number == *number) else {
            return Err(Fault::poison(format!("no window has number {number}")));
        };
        if cx.get(table(kind), start)?.is_none() {
            return Ok(()); // Its time to live has passed.
        }
        let fresh = fresh(cx, kind, Millis(0));
        let metrics = cx.update(table(kind), start, fresh, |state| {
            state.pending = false;
            if state.metrics.revision == 0 || !sabotage::on(Bug::WindowRevisionLost) {
                state.metrics.revision += 1;
            }
            state.metrics.clone()
        })?;
        cx.emit(WindowOut::Metrics(metrics));
        Ok(())
    }
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
