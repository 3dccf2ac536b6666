//! Token buckets for what may be refused for its rate: forms, direct events, bad signatures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use leadline_schemas::TenantId;

use super::limits::{BUCKETS_MAX, UNKNOWN_PER_S};
use crate::contract::clock::Clock;

/// What is counted apart, so that nobody can use up a tenant's forms by bad signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Web forms.
    Form,
    /// Direct events and `process`.
    Direct,
    /// Webhooks with a wrong signature.
    BadSignature,
}

/// The buckets of all tenants; those of unknown ones share one per purpose.
pub(crate) struct Rates {
    clock: Arc<dyn Clock>,
    buckets: Mutex<HashMap<(Purpose, Option<TenantId>), Bucket>>,
}

/// Thousandths of a token, because a millisecond of a rate of 1/s is one.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    thousandths: u64,
    capacity: u64,
    filled_at_ms: u64,
}

const TOKEN: u64 = 1_000;

impl Rates {
    /// All buckets full.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, buckets: Mutex::new(HashMap::new()) }
    }

    /// Takes a token of the tenant's; otherwise says after how many seconds there is one. A bucket holds one
    /// second's worth.
    pub(crate) fn take(&self, purpose: Purpose, tenant: Option<(&TenantId, i32)>) -> Result<(), u32> {
        let per_s = tenant.map_or(UNKNOWN_PER_S, |(_, rate)| u32::try_from(rate).unwrap_or(0).max(1));
        let now_ms = self.clock.boot_ms();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| !bucket.is_full(now_ms));
        }
        let key = (purpose, tenant.map(|(tenant, _)| tenant.clone()));
        let capacity = u64::from(per_s) * TOKEN;
        let full = Bucket { thousandths: capacity, capacity, filled_at_ms: now_ms };
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&key) {
            // More tenants than buckets, all of them busy: no memory for another one's.
            return Err(1);
        }
        let bucket = buckets.entry(key).or_insert(full);
        bucket.capacity = capacity;
        bucket.fill(now_ms);
        bucket.take()
    }
}

impl Bucket {
    fn fill(&mut self, now_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.filled_at_ms);
        let per_ms = self.capacity / TOKEN;
        self.thousandths = self.capacity.min(self.thousandths.saturating_add(passed_ms.saturating_mul(per_ms)));
        self.filled_at_ms = now_ms;
    }

    fn is_full(mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.thousandths == self.capacity
    }

    fn take(&mut self) -> Result<(), u32> {
        match self.thousandths.checked_sub(TOKEN) {
            Some(rest) => {
                self.thousandths = rest;
                Ok(())
            }
            // The slowest rate is one a second, so a token is never further away.
            None => Err(1),
        }
    }
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use leadline_schemas::Millis;

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn wall(&self) -> Millis {
            Millis(0)
        }
        fn boot_ms(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_tenant_gets_its_rate_and_nobody_elses() {
        let clock = Arc::new(Hand::default());
        let rates = Rates::new(clock.clone());
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let take = |tenant| rates.take(Purpose::Form, Some((tenant, 2)));
        assert_eq!([take(&a), take(&a), take(&a)], [Ok(()), Ok(()), Err(1)]);
        assert_eq!(take(&b), Ok(()));
        assert_eq!(rates.take(Purpose::Direct, Some((&a, 2))), Ok(()));
        clock.0.store(499, Ordering::Relaxed);
        assert_eq!(take(&a), Err(1));
        clock.0.store(500, Ordering::Relaxed);
        assert_eq!([take(&a), take(&a)], [Ok(()), Err(1)]);
        clock.0.store(100_000, Ordering::Relaxed);
        assert_eq!([take(&a), take(&a), take(&a)], [Ok(()), Ok(()), Err(1)]);
    }

    #[test]
    fn the_buckets_are_bounded() {
        let clock = Arc::new(Hand::default());
        let rates = Rates::new(clock.clone());
        for n in 0..BUCKETS_MAX + 10 {
            let tenant = TenantId::new(&format!("t{n}")).unwrap();
            let taken = rates.take(Purpose::Form, Some((&tenant, 1)));
            assert_eq!(taken.is_ok(), n < BUCKETS_MAX, "{n}");
        }
        clock.0.store(1_000, Ordering::Relaxed);
        assert_eq!(rates.take(Purpose::Form, Some((&TenantId::new("new").unwrap(), 1))), Ok(()));
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }
}
