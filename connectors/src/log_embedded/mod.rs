//! The embedded log: one write-ahead sequence of segment files for all topics of one process.
//!
//! It is durable (an answer means synced), crash-safe (a torn tail is cut, damage is refused with its place), fast
//! through group commit, and bounded in memory and on disk. It is not shared between processes, not replicated,
//! and keeps no copy of output topics: those are in the commit frames and in the state store.
//!
//! The way of a record: [`LogHandle`] queues it (`queue`), the `writer` takes everything queued as one `group`, writes
//! and syncs it, adds it to the segment's `index` and to the tail of its `stream`, and answers. Readers take from the tail or,
//! further back, from a `segment` by its index. `upkeep` makes segments ahead (`pool`), writes the `footer` of sealed ones
//! and drops old ones. `recovery` judges what a folder holds before anything is changed.
//!
//! *What a crash may do to the disk*: an unsynced write may be lost or torn anywhere. Bytes already synced are assumed
//! to survive a later torn write into the same block, as with every log that does not waste the rest of its blocks.

mod codec;
mod config;
mod error;
mod footer;
mod frame;
mod group;
mod handle;
mod header;
mod index;
mod inspect;
mod log_core;
mod pool;
mod queue;
mod reader;
mod recovery;
mod scan;
mod segment;
mod shared;
mod slots;
mod stream;
mod threaded;
mod upkeep;
mod writer;

pub use config::{
    COMMIT_BYTES_MAX, EmbeddedLogConfig, InvalidConfig, PART_BYTES_MAX, RESERVED_SEGMENTS, Retention,
    SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SPARE_SEGMENTS,
};
pub use error::{Damage, OpenError};
pub use handle::LogHandle;
pub use inspect::{Holding, SegmentReport, inspect};
pub use log_core::LogCore;
pub use shared::LogCounters;
pub use threaded::{EmbeddedLog, system_randomness};
