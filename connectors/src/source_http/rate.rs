//! Token buckets by key, bounded in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::limits::RATE_KEYS_MAX;

/// Buckets that fill at a rate and hold one second's worth.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at_ms: u64,
}

impl Rates {
    /// Takes one token of `key`; false when there is none.
    pub(super) fn take(&self, key: &str, per_s: f64, now_ms: u64) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= RATE_KEYS_MAX && !buckets.contains_key(key) {
            // A full bucket says nothing about its key, so it can go.
            buckets.retain(|_, bucket| now_ms.saturating_sub(bucket.at_ms) < 1_000);
            if buckets.len() >= RATE_KEYS_MAX {
                return false;
            }
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: per_s, at_ms: now_ms });
        let passed_s = now_ms.saturating_sub(bucket.at_ms) as f64 / 1e3;
        bucket.tokens = (bucket.tokens + passed_s * per_s).min(per_s.max(1.0));
        bucket.at_ms = now_ms;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_rate_and_no_more() {
        let rates = Rates::default();
        let taken = (0..50).filter(|_| rates.take("a", 10.0, 0)).count();
        assert_eq!(taken, 10);
        assert!(rates.take("b", 10.0, 0), "another key has its own");
        assert_eq!((0..50).filter(|_| rates.take("a", 10.0, 500)).count(), 5);
    }
}
