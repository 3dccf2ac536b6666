//! A target: what the jobs of all tenants call. How many calls it takes at once, how many a minute, and whether it
//! answers at all.
//!
//! Where a provider says what it takes from all tenants together, the executor finds out how much of that is good now:
//! it begins with a few calls at once, doubles until something speaks against it, and then goes by small steps. A call
//! that has to be made again, and answers that take twice as long as they used to, speak against it.

use std::time::Duration;

use leadline_connectors::contract::provider::Limits;

use super::super::limits::*;
use super::attempt::Outcome;
use super::lane::Circuit;
use super::spacing::Spacing;

/// Calls at once to begin with.
const WINDOW_FIRST: f64 = 64.0;
/// What is left of the window when something speaks against it.
const WINDOW_CUT: f64 = 0.7;
/// The window is cut at most once in this time: what fails together says one thing.
const CUT_EVERY_MS: u64 = 1_000;
/// Answers over which the pace of now is averaged.
const PACE_NOW: f64 = 24.0;
/// Answers over which the usual pace is averaged.
const PACE_USUAL: f64 = 600.0;
/// Answers before a pace says anything.
const PACE_ANSWERS_MIN: u64 = 48;
/// So many times the usual pace is too slow.
const PACE_SLOW: f64 = 2.0;
/// A minute's calls come as a steady flow and a burst; together they are never more than the minute's.
const BURST_OF_MINUTE: f64 = 1.0 / 7.0;

/// One target's part in memory.
#[derive(Debug)]
pub(super) struct Target {
    running: usize,
    /// None: it counts by itself, or is one tenant's own.
    shared: Option<Shared>,
}

/// A target that all tenants share.
#[derive(Debug)]
struct Shared {
    limits: Limits,
    circuit: Circuit,
    /// Calls at once that are good.
    window: f64,
    /// When it was last used whole.
    full_boot_ms: Option<u64>,
    /// Up to here the window grows with each answer.
    doubles_up_to: f64,
    cut_boot_ms: u64,
    rests_until_boot_ms: u64,
    answers: u64,
    /// Averages of how long answers take, in milliseconds.
    now_ms: f64,
    usual_ms: f64,
    tokens: f64,
    filled_boot_ms: u64,
    spacing: Spacing,
}

impl Target {
    /// A target that nothing is known of yet.
    pub(super) fn new(limits: Option<Limits>, boot_ms: u64) -> Self {
        let shared = limits.map(|limits| Shared {
            window: WINDOW_FIRST.min(limits.calls_max as f64).max(1.0),
            full_boot_ms: None,
            doubles_up_to: f64::INFINITY,
            limits,
            circuit: Circuit::default(),
            cut_boot_ms: 0,
            rests_until_boot_ms: 0,
            answers: 0,
            now_ms: 0.0,
            usual_ms: 0.0,
            tokens: f64::INFINITY,
            filled_boot_ms: boot_ms,
            spacing: Spacing::default(),
        });
        Self { running: 0, shared }
    }

    /// Whether it is one for all tenants: then a failure is no tenant's own.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Whether nothing of it runs.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0
    }

    /// Calls at once that are good now.
    pub(super) fn window(&self) -> usize {
        self.shared.as_ref().map_or(TARGET_JOBS_RUNNING_MAX, |shared| shared.window as usize)
    }

    /// Calls at once that one tenant may have: more than its part while there is room for others too.
    pub(super) fn tenant_max(&self) -> usize {
        let has_room = self.is_shared() && self.running < self.window() * 3 / 4;
        if has_room { usize::MAX } else { TENANT_JOBS_RUNNING_MAX }
    }

    /// Whether a call may start. `share` is this process's part of all partitions.
    pub(super) fn lets_start(&mut self, share: f64, boot_ms: u64) -> bool {
        if self.running >= self.window() {
            return false;
        }
        let Some(shared) = &mut self.shared else { return true };
        boot_ms >= shared.rests_until_boot_ms
            && shared.has_token(share, boot_ms)
            && shared.circuit.lets_pass(boot_ms)
    }

    /// Whether a call may start now without making a burst of those before it, once the pace of answers is known.
    pub(super) fn is_smooth(&self, boot_ms: u64) -> bool {
        let Some(shared) = &self.shared else { return true };
        shared.answers < PACE_ANSWERS_MIN || shared.spacing.has_room(shared.window, shared.usual_ms, boot_ms)
    }

    /// A call starts.
    pub(super) fn start(&mut self, boot_ms: u64) {
        self.running += 1;
        let is_full = self.running >= self.window();
        if let Some(shared) = &mut self.shared {
            shared.tokens -= 1.0;
            shared.spacing.start(boot_ms);
            if is_full {
                shared.full_boot_ms = Some(boot_ms);
            }
        }
    }

    /// A call has ended, after so long.
    pub(super) fn end(&mut self, outcome: &Outcome, took_ms: u64, boot_ms: u64) {
        self.running = self.running.saturating_sub(1);
        let Some(shared) = &mut self.shared else { return };
        match outcome {
            Outcome::Abandoned => {}
            Outcome::Replied { reached: true } => {
                shared.circuit.note(true, boot_ms);
                shared.answered(took_ms, boot_ms);
            }
            Outcome::Replied { reached: false } => shared.failed(None, boot_ms),
            Outcome::Retry { after } => shared.failed(*after, boot_ms),
        }
    }
}

impl Shared {
    fn answered(&mut self, took_ms: u64, boot_ms: u64) {
        self.answers += 1;
        let average =
            |average: f64, over: f64| average + (took_ms as f64 - average) / over.min(self.answers as f64);
        (self.now_ms, self.usual_ms) = (average(self.now_ms, PACE_NOW), average(self.usual_ms, PACE_USUAL));
        if self.answers >= PACE_ANSWERS_MIN && self.now_ms > PACE_SLOW * self.usual_ms {
            self.cut(boot_ms);
            return;
        }
        // What was not tried says nothing, nor does what was tried before the cut.
        let began = boot_ms.saturating_sub(took_ms);
        if began < self.cut_boot_ms || self.full_boot_ms.is_none_or(|full| full < began) {
            return;
        }
        let step = if self.window < self.doubles_up_to { 1.0 } else { 1.0 / self.window + 1.0 / 16.0 };
        self.window = (self.window + step).min(self.limits.calls_max as f64);
    }

    fn failed(&mut self, after: Option<Duration>, boot_ms: u64) {
        let pause = after.unwrap_or_default().min(JOB_BACKOFF_MAX);
        let until = boot_ms.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        self.rests_until_boot_ms = self.rests_until_boot_ms.max(until);
        // Of hundreds of calls at once, a few in a row that fail are no sign that it is gone.
        let failures_max = CIRCUIT_FAILURES_MAX.max(self.window as u32 / 8);
        self.circuit.note_of(false, failures_max, boot_ms);
        self.cut(boot_ms);
    }

    fn cut(&mut self, boot_ms: u64) {
        if self.cut_boot_ms != 0 && boot_ms < self.cut_boot_ms + CUT_EVERY_MS {
            return;
        }
        self.cut_boot_ms = boot_ms.max(1);
        self.window = (self.window * WINDOW_CUT).max(1.0);
        self.doubles_up_to = self.window;
        // A new pace may be the usual one from now on.
        self.usual_ms = self.usual_ms.max(self.now_ms / PACE_SLOW);
    }

    fn has_token(&mut self, share: f64, boot_ms: u64) -> bool {
        let Some(per_minute) = self.limits.per_minute else { return true };
        let minute = f64::from(per_minute) * share;
        let burst = (minute * BURST_OF_MINUTE).max(1.0);
        let passed_ms = boot_ms.saturating_sub(self.filled_boot_ms) as f64;
        self.filled_boot_ms = boot_ms;
        self.tokens = (self.tokens + (minute - burst).max(0.0) * passed_ms / 60_000.0).min(burst);
        self.tokens >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERED: Outcome = Outcome::Replied { reached: true };
    const AGAIN: Outcome = Outcome::Retry { after: None };

    fn target(calls_max: usize, per_minute: Option<u32>) -> Target {
        Target::new(Some(Limits { calls_max, per_minute }), 0)
    }

    /// Fills the window, and lets everything end `took_ms` later.
    fn round(target: &mut Target, outcome: &Outcome, took_ms: u64, boot_ms: &mut u64) -> usize {
        let mut started = 0;
        while target.lets_start(1.0, *boot_ms) {
            target.start(*boot_ms);
            started += 1;
        }
        *boot_ms += took_ms;
        for _ in 0..started {
            target.end(outcome, took_ms, *boot_ms);
        }
        started
    }

    #[test]
    fn a_window_doubles_up_to_what_the_provider_takes() {
        let (mut target, mut boot_ms) = (target(500, None), 1);
        let started: Vec<usize> =
            (0..6).map(|_| round(&mut target, &ANSWERED, 5_000, &mut boot_ms)).collect();
        assert_eq!(started[0], 64);
        assert!(started.windows(2).all(|pair| pair[1] >= pair[0] * 3 / 2 || pair[1] == 500), "{started:?}");
        assert_eq!(target.window(), 500);
    }

    #[test]
    fn what_is_refused_cuts_the_window_once_and_it_comes_back_by_small_steps() {
        let (mut target, mut boot_ms) = (target(400, None), 1);
        while target.window() < 400 {
            round(&mut target, &ANSWERED, 1_000, &mut boot_ms);
        }
        // A tenth is refused.
        let started = (0..400)
            .filter(|_| target.lets_start(1.0, boot_ms).then(|| target.start(boot_ms)).is_some())
            .count();
        assert_eq!(started, 400);
        boot_ms += 1_000;
        for call in 0..400 {
            target.end(if call % 10 == 0 { &AGAIN } else { &ANSWERED }, 1_000, boot_ms);
        }
        let cut = target.window();
        assert!((270..300).contains(&cut), "{cut}");
        round(&mut target, &ANSWERED, 1_000, &mut boot_ms);
        assert!(target.window() > cut && target.window() < cut * 5 / 4, "{}", target.window());
    }

    #[test]
    fn answers_that_take_twice_as_long_cut_it_too_and_a_new_pace_is_taken_for_the_usual_in_time() {
        let (mut target, mut boot_ms) = (target(64, None), 1);
        for _ in 0..20 {
            round(&mut target, &ANSWERED, 500, &mut boot_ms);
        }
        assert_eq!(target.window(), 64);
        round(&mut target, &ANSWERED, 5_000, &mut boot_ms);
        assert!(target.window() < 50, "{}", target.window());
        for _ in 0..100 {
            round(&mut target, &ANSWERED, 5_000, &mut boot_ms);
        }
        assert_eq!(target.window(), 64, "a provider that is slow now is not asked one by one for ever");
    }

    #[test]
    fn who_asks_for_time_gets_it_from_all_tenants() {
        let (mut target, boot_ms) = (target(10, None), 1_000);
        assert!(target.lets_start(1.0, boot_ms));
        target.start(boot_ms);
        target.end(&Outcome::Retry { after: Some(Duration::from_secs(7)) }, 10, boot_ms);
        assert!(!target.lets_start(1.0, boot_ms + 6_999));
        assert!(target.lets_start(1.0, boot_ms + 7_000));
    }

    #[test]
    fn one_that_is_gone_is_asked_by_one_call_after_a_pause() {
        let (mut target, mut boot_ms) = (target(10, None), 1);
        assert_eq!(round(&mut target, &AGAIN, 10, &mut boot_ms), 10);
        assert!(!target.lets_start(1.0, boot_ms));
        boot_ms += CIRCUIT_OPEN_MS;
        assert_eq!(round(&mut target, &AGAIN, 10, &mut boot_ms), 1);
        boot_ms += CIRCUIT_OPEN_MS;
        assert_eq!(round(&mut target, &ANSWERED, 10, &mut boot_ms), 1);
        assert!(round(&mut target, &ANSWERED, 10, &mut boot_ms) > 1);
    }

    #[test]
    fn no_minute_has_more_calls_than_its_own_and_processes_share_them() {
        for (share, most) in [(1.0, 600), (0.25, 150)] {
            let mut target = target(10_000, Some(600));
            let mut starts = Vec::new();
            for boot_ms in (0..180_000).step_by(10) {
                while target.lets_start(share, boot_ms) {
                    target.start(boot_ms);
                    target.end(&ANSWERED, 1, boot_ms);
                    starts.push(boot_ms);
                }
            }
            for from in (0..120_000).step_by(500) {
                let calls = starts.iter().filter(|at| (from..from + 60_000).contains(*at)).count();
                assert!(calls <= most, "{calls} calls in the minute from {from} ms, of {most}");
            }
            assert!(starts.len() > most * 2, "{} calls in three minutes", starts.len());
        }
    }

    #[test]
    fn one_tenant_takes_the_room_but_a_quarter_that_is_left_to_others() {
        let mut target = target(32, None);
        for _ in 0..24 {
            assert_eq!(target.tenant_max(), usize::MAX);
            target.start(0);
        }
        assert_eq!(target.tenant_max(), TENANT_JOBS_RUNNING_MAX);
        assert!(target.lets_start(1.0, 0));
    }

    #[test]
    fn a_target_of_ones_own_has_the_fixed_bound() {
        let mut target = Target::new(None, 0);
        for _ in 0..TARGET_JOBS_RUNNING_MAX {
            assert!(target.lets_start(1.0, 0));
            target.start(0);
        }
        assert!(!target.lets_start(1.0, 0));
        target.end(&AGAIN, 10, 0);
        assert!(target.lets_start(1.0, 0));
        assert_eq!(target.tenant_max(), TENANT_JOBS_RUNNING_MAX);
    }
}
