//! Where the cluster is, and how it is spoken to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::Millis;

use crate::contract::clock::Clock;

/// One keyspace of a cluster.
#[derive(Clone)]
pub struct CassandraConfig {
    /// `host:port` of some nodes; the others are found by asking them.
    pub contact_points: Vec<String>,
    /// Letters, digits and underscores, a letter first, all small, at most 48.
    pub keyspace: String,
    /// The data centre that is asked: others are not, and its majority answers. None = that of the first node that answers.
    pub datacenter: Option<String>,
    /// Copies of each row in that data centre, when `apply` makes the keyspace.
    pub replication: u32,
    /// User and password, where the cluster wants them.
    pub login: Option<(String, String)>,
    /// None = in plain text.
    pub tls: Option<Tls>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Requests under way at once.
    pub in_flight: usize,
    /// How long requests are kept, in milliseconds after their receipt.
    pub requests_kept_ms: i64,
    /// How long dead letters are kept, in milliseconds after they failed.
    pub dead_letters_kept_ms: i64,
    /// How long the audit log is kept, in milliseconds.
    pub audit_kept_ms: i64,
    /// What "kept" is counted from: servers delete rows by themselves, so many seconds after they were written.
    pub clock: Arc<dyn Clock>,
}

/// TLS to the nodes. Their certificates must be of an authority that is trusted; names are not compared, for nodes are
/// found by their addresses.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities, as PEM; none = those of the system.
    pub authorities: Option<PathBuf>,
}

impl CassandraConfig {
    /// The defaults for a keyspace; retention as on SQLite.
    pub fn new(contact_points: Vec<String>, keyspace: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            contact_points,
            keyspace: keyspace.into(),
            datacenter: None,
            replication: 3,
            login: None,
            tls: None,
            timeout: Duration::from_secs(10),
            in_flight: 128,
            requests_kept_ms: 90 * Millis::DAY,
            dead_letters_kept_ms: 90 * Millis::DAY,
            audit_kept_ms: 760 * Millis::DAY,
            clock,
        }
    }

    /// Whether a keyspace can be called so: names go into statements as they are.
    pub fn is_keyspace_name(name: &str) -> bool {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        name.len() <= 48
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(is_word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_has_a_name_that_needs_no_quotes() {
        for good in ["leadline", "l2", "a_b"] {
            assert!(CassandraConfig::is_keyspace_name(good), "{good}");
        }
        for bad in ["", "Leads", "2l", "_l", "a-b", "a;drop", "ä", &"a".repeat(49)] {
            assert!(!CassandraConfig::is_keyspace_name(bad), "{bad}");
        }
    }
}
