//! Every limit of the embedded log, on one page.

use leadline_schemas::partitioning::PARTITIONS_DEFAULT;
use leadline_schemas::{Millis, Topic};
use serde::{Deserialize, Serialize};

use crate::contract::log::RECORD_BYTES_MAX;

/// What a commit must be able to have. An epoch takes in at most 4 MiB; 64 times that is no longer an epoch but a
/// mistake.
const COMMIT_BYTES_MAX: usize = 256 << 20;

/// Positions inside a segment are 32 bits wide in the index, and a commit may get a segment of its own.
const COMMIT_QUEUE_BYTES_MAX: usize = 2 << 30;

/// Segments kept ready for commits when the disk has no room for another one.
pub(super) const RESERVED_SEGMENTS: usize = 2;

/// Segments kept ready for the next roll: one is filled while the one before it is being written.
pub(super) const SPARE_SEGMENTS: usize = 1;

/// Positions inside a segment are 32 bits wide in the index; half of that is far beyond any useful size.
pub(super) const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Small enough for a simulator to roll often, large enough for a header.
pub(super) const SEGMENT_BYTES_MIN: u64 = 16 << 10;

/// How the log behaves. The defaults are right for one machine with an SSD.
///
/// | limit | default | reason |
/// | --- | --- | --- |
/// | `partitions` | 16 | design section 3; never changes in place |
/// | `segment_bytes` | 64 MiB | a third of a second at full speed: rolls are rare, the zero-filling ahead is short, opening reads one segment |
/// | `max_bytes` | 64 GiB | 30 days of 2 M events a day at 1 KiB; above it old segments go early, or appends answer `Full` |
/// | `group_bytes_max` | 8 MiB | 10 ms of a 1 GB/s disk: bounds what a single append waits for |
/// | `part_bytes_max` | 1 MiB | design section 5: a part of a commit is checked in one read |
/// | `append_queue_bytes_max` | 64 MiB | a third of a second at full speed; more waiting would only be latency |
/// | `commit_queue_bytes_max` | 512 MiB | one of the largest commits, and room for all partitions' usual ones |
/// | `tail_cache_bytes_max` | 32 MiB | readers a sixth of a second behind never touch the disk; who is further behind is so for long, and finds the rest in the system's cache |
/// | `index_cache_bytes_max` | 32 MiB | indexes of some 60 segments of 1 KiB records |
/// | `idle_witness_ms` | 200 | how long the last group stays without a frame that proves it was synced |
/// | `upkeep_interval_ms` | 1,000 | how soon retention and a disk with room again are noticed |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedLogConfig {
    /// Partitions of each co-partitioned topic, 1 to 1,024. A log made with another number is refused.
    pub partitions: u16,
    /// Size of a segment file. A record or commit that does not fit gets a larger one of its own.
    pub segment_bytes: u64,
    /// How much the log may take on disk, reserved and spare segments included.
    pub max_bytes: u64,
    /// How many bytes go into one write and sync; a single larger append or commit still goes as one.
    pub group_bytes_max: usize,
    /// How many bytes of a commit go into one frame.
    pub part_bytes_max: usize,
    /// How many bytes of appends wait before `Busy`; also the most that one call may append.
    pub append_queue_bytes_max: usize,
    /// How many bytes of commits wait; appends cannot take this room.
    pub commit_queue_bytes_max: usize,
    /// How many bytes of recent records stay in memory.
    pub tail_cache_bytes_max: usize,
    /// How many bytes of sealed segments' indexes stay in memory.
    pub index_cache_bytes_max: usize,
    /// After how long without work the witness frame is written.
    pub idle_witness_ms: u64,
    /// How often the helper thread looks for work nobody told it about.
    pub upkeep_interval_ms: u64,
    /// How long records are kept below the floors.
    pub retention: Retention,
}

/// How long records are kept, by topic, once they are below every floor. Never overrides a floor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// `inbound`; 30 days.
    pub inbound_ms: i64,
    /// `replies`; 7 days.
    pub replies_ms: i64,
    /// `settings`; 0: their rows live in the state store, the floor alone decides.
    pub settings_ms: i64,
    /// `state`; 0: the floor (the second-newest snapshot) alone decides.
    pub state_ms: i64,
}

/// A limit that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("log.{name} is {value}: it must be {must}")]
pub struct InvalidConfig {
    name: &'static str,
    value: String,
    must: &'static str,
}

impl Default for EmbeddedLogConfig {
    fn default() -> Self {
        Self {
            partitions: PARTITIONS_DEFAULT,
            segment_bytes: 64 << 20,
            max_bytes: 64 << 30,
            group_bytes_max: 8 << 20,
            part_bytes_max: 1 << 20,
            append_queue_bytes_max: 64 << 20,
            commit_queue_bytes_max: 2 * COMMIT_BYTES_MAX,
            tail_cache_bytes_max: 32 << 20,
            index_cache_bytes_max: 32 << 20,
            idle_witness_ms: 200,
            upkeep_interval_ms: 1_000,
            retention: Retention::default(),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { inbound_ms: 30 * Millis::DAY, replies_ms: 7 * Millis::DAY, settings_ms: 0, state_ms: 0 }
    }
}

impl Retention {
    pub(crate) fn of(&self, topic: Topic) -> i64 {
        match topic {
            Topic::Inbound => self.inbound_ms,
            Topic::Replies => self.replies_ms,
            Topic::Settings => self.settings_ms,
            _ => self.state_ms,
        }
    }
}

impl EmbeddedLogConfig {
    /// Checks every limit against the others.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let check = |holds: bool, name, value: String, must| {
            if holds { Ok(()) } else { Err(InvalidConfig { name, value, must }) }
        };
        check(
            (1..=1_024).contains(&self.partitions),
            "partitions",
            self.partitions.to_string(),
            "between 1 and 1024",
        )?;
        check(
            (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes),
            "segment_bytes",
            self.segment_bytes.to_string(),
            "between 16 KiB and 1 GiB",
        )?;
        let files = (RESERVED_SEGMENTS + SPARE_SEGMENTS + 2) as u64;
        check(
            self.max_bytes >= self.segment_bytes.saturating_mul(files),
            "max_bytes",
            self.max_bytes.to_string(),
            "at least five times segment_bytes: two reserved segments, a spare, the newest and one before it",
        )?;
        check(
            (4 << 10..=256 << 20).contains(&self.group_bytes_max),
            "group_bytes_max",
            self.group_bytes_max.to_string(),
            "between 4 KiB and 256 MiB",
        )?;
        check(
            (8 << 10..=RECORD_BYTES_MAX).contains(&self.part_bytes_max),
            "part_bytes_max",
            self.part_bytes_max.to_string(),
            "between 8 KiB (a commit has at most 65,535 parts) and 4 MiB (what a frame may hold)",
        )?;
        check(
            (RECORD_BYTES_MAX + 4_096..=512 << 20).contains(&self.append_queue_bytes_max),
            "append_queue_bytes_max",
            self.append_queue_bytes_max.to_string(),
            "larger than a record (4 MiB and a little) and at most 512 MiB",
        )?;
        check(
            (COMMIT_BYTES_MAX..=COMMIT_QUEUE_BYTES_MAX).contains(&self.commit_queue_bytes_max)
                && self.commit_queue_bytes_max <= self.part_bytes_max * usize::from(u16::MAX),
            "commit_queue_bytes_max",
            self.commit_queue_bytes_max.to_string(),
            "between 256 MiB and 2 GiB, and at most 65,535 times part_bytes_max",
        )?;
        check(
            self.idle_witness_ms > 0 && self.upkeep_interval_ms > 0,
            "idle_witness_ms or log.upkeep_interval_ms",
            "0".to_owned(),
            "at least 1",
        )
    }
}
