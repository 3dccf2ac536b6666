//! Operators that count the time their calls take. A clock is read twice a call, so this is for shares only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use leadline_operators::contract::{
    Context, Operator, OperatorId, OperatorResult, Scope, TableSpec, TimerKind,
};
use leadline_schemas::JobId;
use leadline_schemas::Millis;
use leadline_schemas::reply::{Answered, JobFailed};

/// Nanoseconds in the operators of number 0 to 15.
static SPENT_NS: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Seconds spent in an operator.
pub(super) fn spent_s(id: OperatorId) -> f64 {
    SPENT_NS.get(usize::from(id.number)).map_or(0.0, |ns| ns.load(Ordering::Relaxed) as f64 / 1e9)
}

/// An operator under the clock.
pub(super) struct Timed<O>(pub(super) O);

impl<O: Operator> Timed<O> {
    fn run<R>(&mut self, call: impl FnOnce(&mut O) -> R) -> R {
        let started = Instant::now();
        let result = call(&mut self.0);
        let ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(spent) = SPENT_NS.get(usize::from(O::ID.number)) {
            spent.fetch_add(ns, Ordering::Relaxed);
        }
        result
    }
}

impl<O: Operator> Operator for Timed<O> {
    const ID: OperatorId = O::ID;
    const SCOPE: Scope = O::SCOPE;
    type In = O::In;
    type Out = O::Out;

    fn tables() -> &'static [TableSpec] {
        O::tables()
    }

    fn on_record(&mut self, cx: &mut Context<'_, O::Out>, record: O::In) -> OperatorResult {
        self.run(|operator| operator.on_record(cx, record))
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, O::Out>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        self.run(|operator| operator.on_reply(cx, job_id, answer))
    }

    fn on_timer(
        &mut self,
        cx: &mut Context<'_, O::Out>,
        kind: TimerKind,
        name: &[u8],
        at: Millis,
    ) -> OperatorResult {
        self.run(|operator| operator.on_timer(cx, kind, name, at))
    }
}
