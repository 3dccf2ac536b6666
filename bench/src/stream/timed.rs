//! Operators that know what CPU their calls take. Only one call in some is looked at, so that looking costs little.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use leadline_operators::contract::{
    Context, Operator, OperatorId, OperatorResult, Scope, TableSpec, TimerKind,
};
use leadline_schemas::reply::{Answered, JobFailed};
use leadline_schemas::{JobId, Millis};

use super::child::cpu_ns_of_thread;

/// One call in so many is measured: a prime, so that it falls into step with nothing.
const EVERY: u64 = 127;

/// Calls, calls measured, and nanoseconds in these, per operator number below 16.
static SPENT: [[AtomicU64; 3]; 16] = [const { [const { AtomicU64::new(0) }; 3] }; 16];

/// CPU seconds spent in an operator, from the calls that were measured.
pub(super) fn spent_s(id: OperatorId) -> f64 {
    let Some([calls, measured, ns]) = SPENT.get(usize::from(id.number)) else { return 0.0 };
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let per_call_ns = of(ns) / of(measured).max(1.0) - clock_ns() as f64;
    of(calls) * per_call_ns.max(0.0) / 1e9
}

/// What looking at the clock adds to what it shows: the median of many looks.
fn clock_ns() -> u64 {
    static CLOCK: OnceLock<u64> = OnceLock::new();
    *CLOCK.get_or_init(|| {
        let look = |_| {
            let before = cpu_ns_of_thread();
            cpu_ns_of_thread() - before
        };
        let mut looks: Vec<u64> = (0..1_001).map(look).collect();
        looks.sort_unstable();
        looks.get(500).copied().unwrap_or(0)
    })
}

/// An operator under the clock.
pub(super) struct Timed<O>(pub(super) O);

impl<O: Operator> Timed<O> {
    fn run<R>(&mut self, call: impl FnOnce(&mut O) -> R) -> R {
        let Some([calls, measured, ns]) = SPENT.get(usize::from(O::ID.number)) else {
            return call(&mut self.0);
        };
        if !calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY) {
            return call(&mut self.0);
        }
        let before = cpu_ns_of_thread();
        let result = call(&mut self.0);
        ns.fetch_add(cpu_ns_of_thread() - before, Ordering::Relaxed);
        measured.fetch_add(1, Ordering::Relaxed);
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
