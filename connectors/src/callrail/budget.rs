//! Budget: how often an account may be asked, counted here because CallRail says it nowhere but in a 429.
//!
//! CallRail counts per account, over all of its companies and whoever holds a key; so does this, over all tenants of a
//! process that share the account. Requests are counted by the minute and summed over the last hour and day, so no hour
//! of CallRail's, wherever it begins, has more than the limit. A count does not outlive the process: after a restart a
//! 429 corrects it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::config::CallRailConfig;

const MINUTE_MS: u64 = 60_000;
const HOUR_MINUTES: u64 = 60;
const DAY_MINUTES: u64 = 24 * HOUR_MINUTES;
/// What background work may take of each limit; the rest is for calls that ring now.
const BACKGROUND_PERCENT: u32 = 50;
/// After how many 429s in a row the pauses no longer double: half an hour.
const DOUBLINGS_MAX: u32 = 5;

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A call that is under way, the listing that finds missed webhooks, a person who waits.
    Live,
    /// What has time: backfills and the watch over integrations. Takes at most half of each limit.
    Background,
}

/// What an account has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// In this minute.
    pub minute: u32,
    /// In the last hour.
    pub hour: u32,
    /// In the last day.
    pub day: u32,
}

/// The budgets of all accounts.
#[derive(Debug)]
pub struct Budgets {
    limits: Limits,
    accounts: Mutex<HashMap<String, Account>>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    minute: u32,
    hour: u32,
    day: u32,
}

#[derive(Debug, Default)]
struct Account {
    /// Requests by minute, oldest first; a day of them.
    minutes: VecDeque<(u64, u32)>,
    /// 429s in a row.
    refusals: u32,
    /// Nothing before this time.
    closed_until_ms: u64,
}

impl Budgets {
    /// With these limits for each account.
    pub fn new(config: &CallRailConfig) -> Self {
        let limits = Limits { minute: config.per_minute, hour: config.per_hour, day: config.per_day };
        Self { limits, accounts: Mutex::default() }
    }

    /// Takes one request at `now_ms` of the boot-time clock; else says how long to wait.
    pub fn take(&self, account: &str, priority: Priority, now_ms: u64) -> Result<(), Duration> {
        self.with(account, |known| {
            known.forget(now_ms);
            if known.closed_until_ms > now_ms {
                return Err(Duration::from_millis(known.closed_until_ms - now_ms));
            }
            let waits =
                self.limits.windows(priority).map(|(minutes, most)| known.wait(minutes, most, now_ms));
            let wait = waits.into_iter().max().unwrap_or(0);
            if wait > 0 {
                return Err(Duration::from_millis(wait));
            }
            known.count(now_ms);
            Ok(())
        })
    }

    /// CallRail has said 429, although there was room by our count: somebody else asks too. Answers how long nobody
    /// asks: to the next minute, then twice as long each time.
    pub fn refused(&self, account: &str, now_ms: u64) -> Duration {
        self.with(account, |known| {
            let minutes = 1_u64 << known.refusals.min(DOUBLINGS_MAX);
            known.refusals = known.refusals.saturating_add(1);
            known.closed_until_ms = (now_ms / MINUTE_MS + minutes) * MINUTE_MS;
            Duration::from_millis(known.closed_until_ms - now_ms)
        })
    }

    /// CallRail has answered.
    pub fn answered(&self, account: &str) {
        self.with(account, |known| known.refusals = 0);
    }

    /// What an account has used by `now_ms`.
    pub fn used(&self, account: &str, now_ms: u64) -> Used {
        self.with(account, |known| Used {
            minute: known.sum(1, now_ms),
            hour: known.sum(HOUR_MINUTES, now_ms),
            day: known.sum(DAY_MINUTES, now_ms),
        })
    }

    fn with<T>(&self, account: &str, look: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if !accounts.contains_key(account) {
            accounts.insert(account.to_owned(), Account::default());
        }
        match accounts.get_mut(account) {
            Some(known) => look(known),
            None => look(&mut Account::default()),
        }
    }
}

impl Limits {
    /// Windows in minutes, and the most of each.
    fn windows(self, priority: Priority) -> [(u64, u32); 3] {
        let share = |most: u32| match priority {
            Priority::Live => most,
            Priority::Background => (u64::from(most) * u64::from(BACKGROUND_PERCENT) / 100).max(1) as u32,
        };
        [(1, share(self.minute)), (HOUR_MINUTES, share(self.hour)), (DAY_MINUTES, share(self.day))]
    }
}

impl Account {
    fn count(&mut self, now_ms: u64) {
        let minute = now_ms / MINUTE_MS;
        match self.minutes.back_mut() {
            Some((last, count)) if *last == minute => *count += 1,
            _ => self.minutes.push_back((minute, 1)),
        }
    }

    fn forget(&mut self, now_ms: u64) {
        let minute = now_ms / MINUTE_MS;
        while self.minutes.front().is_some_and(|(oldest, _)| oldest + DAY_MINUTES < minute) {
            self.minutes.pop_front();
        }
    }

    /// Requests of this minute and of the window before it; of this minute alone where that is the window.
    fn sum(&self, window: u64, now_ms: u64) -> u32 {
        let minute = now_ms / MINUTE_MS;
        let whole = if window == 1 { 0 } else { window };
        self.minutes.iter().filter(|(at, _)| at + whole >= minute).map(|(_, count)| *count).sum()
    }

    /// How long until the window has room for one more, in milliseconds; 0 = it has.
    fn wait(&self, window: u64, most: u32, now_ms: u64) -> u64 {
        let mut used = self.sum(window, now_ms);
        if used < most {
            return 0;
        }
        let minute = now_ms / MINUTE_MS;
        let whole = if window == 1 { 0 } else { window };
        for (at, count) in self.minutes.iter().filter(|(at, _)| at + whole >= minute) {
            used -= count;
            if used < most {
                return (at + whole + 1) * MINUTE_MS - now_ms;
            }
        }
        MINUTE_MS // A limit of 0 has no room at any time.
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ACCOUNT: &str = "ACC1";

    fn budgets(minute: u32, hour: u32, day: u32) -> Budgets {
        Budgets::new(&CallRailConfig {
            base_url: String::new(),
            per_minute: minute,
            per_hour: hour,
            per_day: day,
        })
    }

    #[test]
    fn background_work_leaves_room_for_calls_that_ring_now() {
        let budgets = budgets(10, 10, 100);
        let take = |priority| budgets.take(ACCOUNT, priority, 90_000).is_ok();
        assert_eq!((0..20).filter(|_| take(Priority::Background)).count(), 5);
        assert_eq!((0..20).filter(|_| take(Priority::Live)).count(), 5);
        assert!(budgets.take("ACC2", Priority::Live, 90_000).is_ok(), "another account has its own");
        assert_eq!(budgets.used(ACCOUNT, 90_000), Used { minute: 10, hour: 10, day: 10 });
    }

    #[test]
    fn a_refusal_closes_the_account_to_the_next_minute_and_then_twice_as_long() {
        let budgets = budgets(100, 100, 100);
        let seconds = |wait: Duration| wait.as_secs();
        assert_eq!(seconds(budgets.refused(ACCOUNT, 30_000)), 30);
        assert_eq!(budgets.take(ACCOUNT, Priority::Live, 59_999), Err(Duration::from_millis(1)));
        assert_eq!(budgets.take(ACCOUNT, Priority::Live, 60_000), Ok(()));
        assert_eq!(seconds(budgets.refused(ACCOUNT, 60_000)), 120);
        let waits: Vec<u64> = (0..6).map(|_| seconds(budgets.refused(ACCOUNT, 0))).collect();
        assert_eq!(waits, [240, 480, 960, 1_920, 1_920, 1_920]);
        budgets.answered(ACCOUNT);
        assert_eq!(seconds(budgets.refused(ACCOUNT, 0)), 60);
    }

    proptest! {
        /// Wherever CallRail's hour begins, and whoever asks.
        #[test]
        fn no_window_has_more_than_its_limit(
            asks in prop::collection::vec((0_u64..400_000, any::<bool>(), any::<bool>()), 1..400)
        ) {
            let (per_hour, per_day) = (20, 60);
            let budgets = budgets(5, per_hour, per_day);
            let (mut now, mut taken) = (0, Vec::new());
            for (pause, waits, is_live) in asks {
                now += pause;
                let priority = if is_live { Priority::Live } else { Priority::Background };
                match budgets.take(ACCOUNT, priority, now) {
                    Ok(()) => taken.push(now),
                    // Who waits as long as is said, and no longer, is served when nobody else came.
                    Err(wait) if waits => {
                        let early = budgets.take(ACCOUNT, priority, now + wait.as_millis() as u64 - 1);
                        prop_assert!(early.is_err(), "told to wait too long");
                        now += wait.as_millis() as u64;
                        let then = budgets.take(ACCOUNT, priority, now);
                        prop_assert_eq!(then, Ok(()), "told to wait too short");
                        taken.push(now);
                    }
                    Err(_) => {}
                }
            }
            for (window_ms, most) in [(3_600_000, per_hour), (86_400_000, per_day)] {
                for (place, start) in taken.iter().enumerate() {
                    let inside = taken.iter().skip(place).filter(|at| **at < start + window_ms).count();
                    prop_assert!(inside <= most as usize, "{} in {} ms", inside, window_ms);
                }
            }
        }
    }
}
