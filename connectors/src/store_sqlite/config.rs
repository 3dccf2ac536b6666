//! Where the record store lies and what it may use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use leadline_schemas::Millis;

/// The defaults suit one process with a few tenants to a few thousand; the store takes about 25 MB of memory then.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    /// The database file; SQLite keeps `-wal` and `-shm` beside it.
    pub path: PathBuf,
    /// Connections for readers; as many queries run at once.
    pub readers: usize,
    /// Pages that the writer keeps in memory: the upper levels and the recent leaves of all indexes.
    pub writer_cache_bytes: u64,
    /// Pages that each reader keeps in memory.
    pub reader_cache_bytes: u64,
    /// How long to wait for another process's lock, and a query for a free connection.
    pub wait: Duration,
    /// How long requests are kept, in milliseconds after their receipt.
    pub requests_kept_ms: i64,
    /// How long dead letters are kept, in milliseconds after they failed.
    pub dead_letters_kept_ms: i64,
    /// How long the audit log is kept, in milliseconds.
    pub audit_kept_ms: i64,
}

impl SqliteConfig {
    /// The folder that the file lies in.
    pub(super) fn folder(&self) -> &Path {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    /// The defaults for a store at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: 4,
            writer_cache_bytes: 16 << 20,
            reader_cache_bytes: 2 << 20,
            wait: Duration::from_secs(2),
            requests_kept_ms: 90 * Millis::DAY,
            // As the topic (design section 3).
            dead_letters_kept_ms: 90 * Millis::DAY,
            // CallRail keeps calls for 25 months; what was decided about them stays as long.
            audit_kept_ms: 760 * Millis::DAY,
        }
    }
}
