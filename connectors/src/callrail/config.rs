//! Where CallRail is, and how much it may be asked.

use std::time::Duration;

/// CallRail's own address.
pub const BASE_URL: &str = "https://api.callrail.com";

/// How long an answer may take; a page of 250 calls takes CallRail some seconds.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Time to connect.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read: 250 calls with the transcripts of an hour each are some 15 MiB.
pub(super) const ANSWER_BYTES_MAX: usize = 32 << 20;
/// The most rows of a page (v3 reference, "Pagination").
pub const PER_PAGE_MAX: u16 = 250;
/// What CallRail surely no longer has: 25 months of 31 days.
pub(super) const RETENTION_DAYS_MAX: i64 = 25 * 31;
/// Pages of a listing that is read to its end: 25,000 companies; a listing that goes on for ever does not.
pub(super) const PAGES_MAX: u32 = 100;
/// How a third party names itself, in lower case with underscores (v3 reference, "Request-From").
pub(super) const REQUEST_FROM: &str = "leadline";

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRailConfig {
    /// Scheme and host, without a path. Another than CallRail's own, such as a test's, becomes an address that may be
    /// fetched.
    pub base_url: String,
    /// Requests of one account a minute: a ceiling of ours, so that a burst does not take the hour.
    pub per_minute: u32,
    /// Requests of one account in any hour.
    pub per_hour: u32,
    /// Requests of one account in any 24 hours.
    pub per_day: u32,
}

impl Default for CallRailConfig {
    /// CallRail's published limits.
    fn default() -> Self {
        Self { base_url: BASE_URL.to_owned(), per_minute: 120, per_hour: 1_000, per_day: 10_000 }
    }
}
