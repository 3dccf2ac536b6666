//! Every bound of the HTTP side, with its reason. Nothing here grows without one.

use std::time::Duration;

use crate::contract::log::RECORD_BYTES_MAX;

/// A body that is sent on as part of a record. The rest of 4 MiB is for the envelope, whose other fields are
/// bounded below.
pub const INLINE_BODY_BYTES_MAX: usize = RECORD_BYTES_MAX - (16 << 10);
/// Any body but a signed CallRail one (issue 3): a form with a photo fits, a film does not.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// A signed CallRail body (issue 3): an hour's conversation with word timings is some 10 MiB.
pub const SIGNED_BODY_BYTES_MAX: usize = 32 << 20;
/// Of a body that is too large so much is still read and dropped, so that the client gets to read the 413: a
/// connection closed under a client that is still writing is reset, and the answer is lost with it.
pub const DISCARD_BYTES_MAX: u64 = 64 << 20;
/// Bodies of up to this size need no share of `LARGE_BODIES_BYTES_MAX`; they are bounded by the connections.
pub const SMALL_BODY_BYTES_MAX: usize = 64 << 10;
/// Memory for bodies over `SMALL_BODY_BYTES_MAX`, all together: eight of the largest.
pub const LARGE_BODIES_BYTES_MAX: usize = 256 << 20;
/// What is hashed on an async thread; HMAC-SHA1 takes some 0.5 ms for it. Larger bodies go to a blocking thread.
pub const HASH_INLINE_BYTES_MAX: usize = 256 << 10;

/// Path and query. CallRail mirrors a part of the body in the query and asks for 8 KiB at least (vendors.md 1.1).
pub const URL_BYTES_MAX: usize = 16 << 10;
/// Request line and headers together; above it 431.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// Header lines; browsers send some 20, proxies add some 10.
pub const HEADERS_MAX: usize = 100;
/// The longest idempotency key that is taken: Stripe's bound, which clients know.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// A W3C traceparent of version 00.
pub const TRACEPARENT_BYTES: usize = 55;
/// Who called, in the envelope: an email has at most 254 bytes, an id 256.
pub const CALLER_BYTES_MAX: usize = 256;
/// Fields of a multipart form; form builders stop at some 100.
pub const FORM_FIELDS_MAX: usize = 500;

/// A client that needs longer for its head is cut off (slowloris).
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a request is closed after this. Longer than the 60 s of the usual proxies, so that it is
/// the proxy that closes and no request meets a closing connection: CallRail does not send twice.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// A client that needs longer for its body gets 408.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// An answer of which the client takes nothing for so long is given up.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request waits for a slot or for a busy log before 503.
pub const SLOT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the signal to stop until every connection is closed.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// What `Retry-After` says with a 503: the log's queue empties in less.
pub const RETRY_AFTER_S: u32 = 2;

/// Open connections; each has at most a head, a small body and its share of the large ones. Below the 4,096 open
/// files that systemd units get, with room for the log's.
pub const CONNECTIONS_MAX: usize = 2_048;
/// Rate buckets kept; full ones are forgotten first, because a new one starts full.
pub const BUCKETS_MAX: usize = 10_000;
/// Refusals a second of requests that belong to no known tenant, all together.
pub const UNKNOWN_PER_S: u32 = 100;

/// What can be configured of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests between their body and their answer (MAX_CONCURRENT_REQUESTS).
    pub concurrent_requests_max: usize,
    /// How long `/process` waits for its result (WEBHOOK_TIMEOUT_SECONDS).
    pub process_timeout: Duration,
    /// Open connections.
    pub connections_max: usize,
    /// For the head of a request.
    pub head_timeout: Duration,
    /// For a connection without a request.
    pub idle_timeout: Duration,
    /// For the body of a request.
    pub body_timeout: Duration,
    /// For a slot, or for a busy log.
    pub slot_timeout: Duration,
    /// From the signal to stop to the last connection.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_requests_max: 100,
            process_timeout: Duration::from_secs(900),
            connections_max: CONNECTIONS_MAX,
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            slot_timeout: SLOT_TIMEOUT,
            stop_timeout: STOP_TIMEOUT,
        }
    }
}
