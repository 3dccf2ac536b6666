//! The record store on Cassandra or ScyllaDB (feature `scylla`): many processes, many machines.
//!
//! ```text
//! requests call_records leads deliveries dead_letters   a record by its id, and where its lists show it
//! *_by_time                                             a list of one tenant, filter and day, newest first, with whole records
//! list_buckets                                          which days of a list have rows
//! lead_events window_metrics audit_log call_aliases     what is read by one key or range
//! tenants crm_integrations                             what is called how, for who joins records with it
//! sink_progress leadline_schema                         how far each partition is written, and these tables' version
//! ```
//!
//! There is no transaction over partitions here, so nothing depends on one:
//!
//! - Every write carries a timestamp that grows with the commit it comes from ([`stamp`]), and its content follows from
//!   that commit alone. Written twice, late, or by an owner that was replaced, it changes nothing.
//! - A record whose place in a list changes is written there anew, and its old place is deleted with the newer stamp; also
//!   places of versions that were overwritten before they were written, because a late owner may still write those.
//! - Lists come first, then the record by its id, then progress. So after a crash the old places are still known, and what
//!   is at or below progress is whole.
//!
//! A list's rows of a day lie in one partition, and what a transaction brings to it is in one unlogged batch: readers see
//! all or nothing of it, up to a batch's size. Small partitions of the same nodes share one (`packs.rs`).

mod cluster;
mod config;
mod cursor;
mod ddl;
mod error;
mod lists;
mod packs;
mod places;
mod plan;
mod reader;
mod rows;
mod schema;
mod statements;
mod tenants;
mod value;
mod writer;

pub use cluster::Cluster;
pub use config::{CassandraConfig, Tls};
pub use reader::CassandraReader;
pub use schema::CassandraSchema;
pub use writer::CassandraWriter;

use leadline_schemas::CommitNumber;

/// Bits of a commit number in a stamp: a trillion commits, one each millisecond for 34 years.
const NUMBER_BITS: u32 = 40;

/// The timestamp of all that a commit writes: later commits of a partition win, and those of a later layout.
///
/// Not the commit's `now`: two commits may have the same, and then nothing would say which of two versions of a row is the
/// newer. It lies before 1971 for a server, which is right as long as nobody else writes to these tables.
fn stamp(generation: u32, number: CommitNumber) -> i64 {
    let number = i64::try_from(number.0).unwrap_or(i64::MAX).min((1 << NUMBER_BITS) - 1);
    // 23 bits for the layout: they are counted by hand.
    (i64::from(generation & 0x007f_ffff) << NUMBER_BITS) | number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_commits_and_later_layouts_have_later_stamps() {
        let stamps = [(1, 1), (1, 2), (1, (1 << 40) - 1), (2, 1), (2, 2), (0x007f_ffff, 1)];
        let stamps = stamps.map(|(generation, number)| stamp(generation, CommitNumber(number)));
        assert!(stamps.is_sorted_by(|a, b| a < b) && stamps[0] > 0, "{stamps:?}");
    }
}
