//! Limiter: how often an account may be asked, counted here before the other side has to say so.
//!
//! Each account has windows (10 s, a day), each with the most units that fit into it wherever it begins. What the other
//! side tells of its own count corrects ours, for others ask it too. A count does not outlive the process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::contract::clock::Clock;
use crate::contract::provider::CallError;

/// A window is counted in this many slots; so a unit counts for up to a twentieth longer than it must.
const SLOTS: u64 = 20;
/// Accounts without a request for the longest window are forgotten when there are more than this.
const ACCOUNTS_MAX: usize = 10_000;

/// The most units in any stretch of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How long it is.
    pub length_ms: u64,
    /// The most units.
    pub most: u32,
}

/// The limits of all accounts of one kind; clones share them.
#[derive(Clone)]
pub struct Limiter {
    accounts: Arc<Mutex<HashMap<String, Account>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Account {
    /// By length: units by the number of their slot, oldest first.
    slots: HashMap<u64, VecDeque<(u64, u64)>>,
    /// Nothing before this time of the boot-time clock.
    closed_until_ms: u64,
    /// When it was last asked for.
    touched_ms: u64,
}

impl Limiter {
    /// With nothing used.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { accounts: Arc::default(), clock }
    }

    /// Takes units now; else says how long to wait.
    pub fn take(&self, account: &str, windows: &[Window], units: u32) -> Result<(), Duration> {
        let now_ms = self.clock.boot_ms();
        self.with(account, now_ms, |known| {
            let closed = known.closed_until_ms.saturating_sub(now_ms);
            let waits = windows.iter().map(|window| known.wait(*window, units, now_ms));
            match waits.max().unwrap_or(0).max(closed) {
                0 => {
                    windows.iter().for_each(|window| known.count(window.length_ms, u64::from(units), now_ms));
                    Ok(())
                }
                wait => Err(Duration::from_millis(wait)),
            }
        })
    }

    /// Takes units, and waits for them as long as the delivery has time.
    pub async fn pay(
        &self,
        account: &str,
        windows: &[Window],
        units: u32,
        until: Instant,
    ) -> Result<(), CallError> {
        loop {
            let Err(wait) = self.take(account, windows, units) else { return Ok(()) };
            if Instant::now() + wait >= until {
                metrics::counter!("leadline_sink_waits_total").increment(1);
                let why =
                    format!("the account's limit of requests is used up for {} s", wait.as_secs().max(1));
                return Err(CallError::Retry { after: Some(wait), why });
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The other side says that it is asked too often: nobody asks for this long.
    pub fn close(&self, account: &str, wait: Duration) {
        let now_ms = self.clock.boot_ms();
        let until_ms = now_ms.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.with(account, now_ms, |known| known.closed_until_ms = known.closed_until_ms.max(until_ms));
    }

    /// The other side says how much of a window is used: where that is more than we know of, others ask too.
    pub fn told(&self, account: &str, length_ms: u64, used: u64) {
        let now_ms = self.clock.boot_ms();
        self.with(account, now_ms, |known| {
            let unknown = used.saturating_sub(known.sum(length_ms, now_ms));
            if unknown > 0 {
                known.count(length_ms, unknown, now_ms);
            }
        });
    }

    /// What of a window is used.
    pub fn used(&self, account: &str, length_ms: u64) -> u64 {
        let now_ms = self.clock.boot_ms();
        self.with(account, now_ms, |known| known.sum(length_ms, now_ms))
    }

    fn with<T>(&self, account: &str, now_ms: u64, look: impl FnOnce(&mut Account) -> T) -> T {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() > ACCOUNTS_MAX {
            accounts.retain(|_, known| !known.is_idle(now_ms));
        }
        let known = accounts.entry(account.to_owned()).or_default();
        known.touched_ms = now_ms;
        look(known)
    }
}

/// The length of a slot.
fn slot_ms(length_ms: u64) -> u64 {
    (length_ms / SLOTS).max(1)
}

impl Account {
    fn is_idle(&self, now_ms: u64) -> bool {
        let longest_ms = self.slots.keys().max().copied().unwrap_or(0);
        now_ms.saturating_sub(self.touched_ms) > 2 * longest_ms && self.closed_until_ms <= now_ms
    }

    fn count(&mut self, length_ms: u64, units: u64, now_ms: u64) {
        let slot = now_ms / slot_ms(length_ms);
        let slots = self.slots.entry(length_ms).or_default();
        while slots.front().is_some_and(|(oldest, _)| (oldest + 1) * slot_ms(length_ms) + length_ms <= now_ms)
        {
            slots.pop_front();
        }
        match slots.back_mut() {
            Some((last, count)) if *last == slot => *count += units,
            _ => slots.push_back((slot, units)),
        }
    }

    /// A slot counts until its last moment has left the window.
    fn live(&self, length_ms: u64, now_ms: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let slots = self.slots.get(&length_ms).into_iter().flatten();
        let ends = slots.map(move |(slot, units)| ((slot + 1) * slot_ms(length_ms) + length_ms, *units));
        ends.filter(move |(end_ms, _)| *end_ms > now_ms)
    }

    fn sum(&self, length_ms: u64, now_ms: u64) -> u64 {
        self.live(length_ms, now_ms).map(|(_, units)| units).sum()
    }

    /// How long until the window has room; 0 = it has.
    fn wait(&self, window: Window, units: u32, now_ms: u64) -> u64 {
        let most = u64::from(window.most);
        let mut used = self.sum(window.length_ms, now_ms) + u64::from(units);
        if used <= most {
            return 0;
        }
        for (end_ms, count) in self.live(window.length_ms, now_ms) {
            used -= count;
            if used <= most {
                return end_ms - now_ms;
            }
        }
        window.length_ms // More than the window ever holds.
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use leadline_schemas::Millis;
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Still(AtomicU64);

    impl Clock for Still {
        fn wall(&self) -> Millis {
            Millis(self.0.load(Ordering::SeqCst) as i64)
        }
        fn boot_ms(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn limiter() -> (Limiter, Arc<Still>) {
        let clock = Arc::new(Still::default());
        (Limiter::new(clock.clone()), clock)
    }

    #[test]
    fn what_the_other_side_counts_is_counted_and_what_it_refuses_closes_the_account() {
        let (limiter, clock) = limiter();
        let day = [Window { length_ms: 86_400_000, most: 100 }];
        assert_eq!(limiter.take("a", &day, 10), Ok(()));
        limiter.told("a", 86_400_000, 95);
        limiter.told("a", 86_400_000, 7);
        assert_eq!(limiter.used("a", 86_400_000), 95, "a lower count is an older one");
        assert!(limiter.take("a", &day, 6).is_err());
        assert_eq!(limiter.take("b", &day, 6), Ok(()), "another account has its own");
        limiter.close("b", Duration::from_secs(3));
        assert_eq!(limiter.take("b", &day, 1), Err(Duration::from_secs(3)));
        clock.0.store(3_000, Ordering::SeqCst);
        assert_eq!(limiter.take("b", &day, 1), Ok(()));
    }

    proptest! {
        /// Wherever the other side's window begins; and who waits as long as is said is served.
        #[test]
        fn no_window_has_more_than_its_limit(
            asks in prop::collection::vec((0_u64..3_000, 1_u32..5, any::<bool>()), 1..200)
        ) {
            let (limiter, clock) = limiter();
            let windows = [Window { length_ms: 2_000, most: 10 }, Window { length_ms: 60_000, most: 40 }];
            let (mut now, mut taken) = (0, Vec::new());
            for (pause, units, waits) in asks {
                now += pause;
                clock.0.store(now, Ordering::SeqCst);
                match limiter.take("a", &windows, units) {
                    Ok(()) => taken.push((now, units)),
                    Err(wait) if waits => {
                        now += wait.as_millis() as u64;
                        clock.0.store(now, Ordering::SeqCst);
                        prop_assert_eq!(limiter.take("a", &windows, units), Ok(()), "told to wait too short");
                        taken.push((now, units));
                    }
                    Err(_) => {}
                }
            }
            for window in windows {
                for (place, (start, _)) in taken.iter().enumerate() {
                    let inside = taken.iter().skip(place).filter(|(at, _)| *at < start + window.length_ms);
                    let units: u32 = inside.map(|(_, units)| units).sum();
                    prop_assert!(units <= window.most, "{} in {} ms", units, window.length_ms);
                }
            }
        }
    }
}
