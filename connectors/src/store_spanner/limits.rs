//! What one transaction holds at most, and why.
//!
//! Spanner takes 80,000 mutations and 100 MB a commit. Neither is a good size: what spans many splits commits in two
//! phases, and what is large holds its locks for long (vendors' advice: 500 rows or 1 MB).

use std::time::Duration;

/// Mutations of a commit, as we count them: each written column, and each index's columns twice (an entry deleted and
/// one inserted). Half of what Spanner takes, for sources disagree on how it counts.
pub const MUTATIONS_MAX: usize = 40_000;
/// Rows of a commit.
pub const ROWS_MAX: usize = 500;
/// Rows below which slow commits make it no smaller: the round trip is the price by then.
pub const ROWS_MIN: usize = 20;
/// Bytes of a commit's records; one larger record goes alone.
pub const BYTES_MAX: usize = 1 << 20;
/// A commit that takes longer has too many rows.
pub const COMMIT_SLOW: Duration = Duration::from_millis(400);
/// A full commit that takes less could have had more.
pub const COMMIT_FAST: Duration = Duration::from_millis(150);
/// Bytes of a column that is a part of a key: Spanner takes 8 KiB for all of them. What is longer is kept as its hash.
pub const KEY_BYTES_MAX: usize = 1_024;
