//! Where a record goes: tenant and caller to key group to partition. The one place that computes it.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Bucket, KeyGroup, Partition, TenantId};

/// How many key groups there are. Fixed for ever: it is the grain in which state moves.
pub const KEY_GROUPS: u16 = 1_024;

/// Partitions when nothing else is configured.
pub const PARTITIONS_DEFAULT: u16 = 16;

/// The number of partitions and its generation; never changed in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Grows by one with each change of layout.
    pub generation: u32,
    /// How many partitions each co-partitioned topic has, 1 to 1,024.
    pub partitions: u16,
}

impl Default for Layout {
    fn default() -> Self {
        Self { generation: 1, partitions: PARTITIONS_DEFAULT }
    }
}

/// The key of a record: what operators' state, timers and jobs are filed under.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The slice of the key space.
    pub key_group: KeyGroup,
    /// The tenant.
    pub tenant: TenantId,
    /// The caller's bucket.
    pub bucket: Bucket,
}

impl Key {
    /// The key of `caller` at `tenant`, whose calls are spread over `spread` slots (1 for all but the largest).
    pub fn new(tenant: TenantId, caller: &str, spread: u16) -> Self {
        let bucket = bucket(caller);
        let key_group = key_group(&tenant, slot(bucket, spread));
        Self { key_group, tenant, bucket }
    }
}

impl Layout {
    /// The partition of a key group.
    pub fn partition(&self, key_group: KeyGroup) -> Partition {
        let scaled = u32::from(key_group.0) * u32::from(self.partitions) / u32::from(KEY_GROUPS);
        Partition(u16::try_from(scaled).unwrap_or(u16::MAX))
    }
}

/// The bucket of a caller: an E.164 number, else an email, else the event's subject id.
pub fn bucket(caller: &str) -> Bucket {
    Bucket((xxh3_64(caller.as_bytes()) % 256) as u8)
}

/// The slot of a bucket.
pub fn slot(bucket: Bucket, spread: u16) -> u16 {
    u16::from(bucket.0) % spread.max(1)
}

/// The key group of a tenant's slot.
pub fn key_group(tenant: &TenantId, slot: u16) -> KeyGroup {
    let mut key = Vec::with_capacity(TenantId::LENGTH_BYTES_MAX + 3);
    key.extend_from_slice(tenant.as_str().as_bytes());
    key.push(0);
    key.extend_from_slice(&slot.to_be_bytes());
    KeyGroup((xxh3_64(&key) % u64::from(KEY_GROUPS)) as u16)
}
