//! The envelope: what a source adds to a raw body.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::HeaderMap;
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::Tenant;
use leadline_schemas::{EventId, Millis, TenantId};
use ring::rand::SecureRandom;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::limits::{CALLER_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, TRACEPARENT_BYTES};
use super::problem::Problem;

/// Makes ids for events that bring none: UUIDv7, from the wall clock and a seeded sequence.
///
/// They need to be unique, not secret: whoever asks for one shows a token. So randomness is asked for once per
/// process instead of once per event, and one seed gives one run.
#[derive(Debug)]
pub struct EventIds {
    seed: u64,
    count: AtomicU64,
}

impl EventIds {
    /// Ids that follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }

    /// Ids of a seed that no other process has.
    pub fn random() -> Self {
        let mut seed = [0_u8; 8];
        if ring::rand::SystemRandom::new().fill(&mut seed).is_err() {
            // Without randomness, the process and its start tell processes apart.
            seed = (u64::from(std::process::id()) ^ now_nanos()).to_le_bytes();
        }
        Self::new(u64::from_le_bytes(seed))
    }

    /// A new id.
    pub fn next(&self, now: Millis) -> EventId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let random = xxh3_128_with_seed(&count.to_le_bytes(), self.seed).to_le_bytes();
        let mut tail = [0_u8; 10];
        for (to, from) in tail.iter_mut().zip(random) {
            *to = from;
        }
        let at_ms = u64::try_from(now.0).unwrap_or(0);
        EventId(uuid::Builder::from_unix_timestamp_millis(at_ms, &tail).into_uuid())
    }

    /// The id that a client's own key decides: the same after every retry, another for each tenant and endpoint.
    pub fn of_key(tenant: &TenantId, origin: Origin, key: &str) -> EventId {
        let endpoint: &[u8] = match origin {
            Origin::Form => b"form",
            Origin::Direct => b"direct",
            Origin::Process => b"process",
            Origin::Command => b"command",
            Origin::CallrailWebhook | Origin::CallrailPull => b"callrail",
        };
        EventId::of(&[tenant.as_str().as_bytes(), endpoint, key.as_bytes()])
    }
}

fn now_nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.subsec_nanos().into())
}

/// An event that is about to be accepted.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) event_id: EventId,
    pub(crate) tenant: &'a Tenant,
    pub(crate) settings_version: u64,
    pub(crate) origin: Origin,
    pub(crate) kind: EventKind,
    /// E.164 number, else email, else the subject's id; empty = the event's own id.
    pub(crate) caller: String,
    pub(crate) received_at: Millis,
    pub(crate) trace: Option<String>,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl Draft<'_> {
    pub(crate) fn into_inbound(self) -> Inbound {
        let mut caller = self.caller;
        caller.truncate(caller.floor_char_boundary(CALLER_BYTES_MAX));
        if caller.is_empty() {
            caller = self.event_id.to_string();
        }
        let key = Key::new(self.tenant.tenant.clone(), &caller, self.tenant.policy.spread);
        Inbound {
            event_id: self.event_id,
            tenant: key.tenant,
            key_group: key.key_group,
            bucket: key.bucket,
            caller,
            origin: self.origin,
            kind: self.kind,
            received_at: self.received_at,
            settings_version: self.settings_version,
            attempt: 0,
            key_id: None,
            trace: self.trace,
            content_type: self.content_type,
            body: self.body,
            body_ref: None,
        }
    }
}

/// The trace that a request belongs to, where it says so in the form of W3C.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("traceparent")?.to_str().ok()?;
    let good = value.len() == TRACEPARENT_BYTES && value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    good.then(|| value.to_owned())
}

/// The client's own key, if it sends one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| !key.is_empty());
    match key {
        Some(key) if key.len() <= IDEMPOTENCY_KEY_BYTES_MAX => Ok(Some(key)),
        _ => Err(Problem::bad_request(
            "Idempotency-Key",
            format!("the Idempotency-Key header must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_ordered_by_time_and_follow_from_the_seed() {
        let (a, b) = (EventIds::new(7), EventIds::new(7));
        let first: Vec<_> = (0..1_000).map(|n| a.next(Millis(1_772_640_753_236 + n))).collect();
        let second: Vec<_> = (0..1_000).map(|n| b.next(Millis(1_772_640_753_236 + n))).collect();
        assert_eq!(first, second);
        assert!(first.is_sorted_by(|a, b| a < b));
        assert_eq!(first[0].0.get_version_num(), 7);
        assert_ne!(EventIds::random().next(Millis(0)), EventIds::random().next(Millis(0)));
    }

    #[test]
    fn a_clients_key_decides_within_its_tenant_and_endpoint() {
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let id = EventIds::of_key(&a, Origin::Direct, "k");
        assert_eq!(id, EventIds::of_key(&a, Origin::Direct, "k"));
        assert_ne!(id, EventIds::of_key(&b, Origin::Direct, "k"));
        assert_ne!(id, EventIds::of_key(&a, Origin::Process, "k"));
    }
}
