//! Every bound of the HTTP sources, with its reason.

use std::time::Duration;

/// Largest body of forms, direct events and `process`, and what is kept of a webhook without the blob store.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Largest record body: the envelope around it must fit a record of 4 MiB as well.
pub const INLINE_BODY_BYTES_MAX: usize = BODY_BYTES_MAX - (64 << 10);
/// Largest signed CallRail body: with conversational transcript of a two-hour call about 2 MiB; 16 times that.
pub const SIGNED_BODY_BYTES_MAX: usize = 32 << 20;
/// Time to send a body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a webhook waits for one of the slots before 503: CallRail's own time-out is not published; treat it as 5 s.
pub const SLOT_WAIT_MAX: Duration = Duration::from_secs(2);
/// Retry-After of a 503.
pub const RETRY_AFTER_S: u64 = 2;
/// Bad signatures a second and source address class that are answered by 401 before 429.
pub const BAD_SIGNATURES_PER_S: f64 = 200.0;
/// Buckets of rates kept in memory; the least used go first.
pub const RATE_KEYS_MAX: usize = 10_000;
/// Fields of a multipart form.
pub const FORM_FIELDS_MAX: usize = 500;
/// Longest idempotency key or id of a direct event.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
