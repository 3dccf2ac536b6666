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
/// Longest idempotency key or id of a direct event.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// Largest recording in a request: as of one that is fetched.
pub const UPLOAD_BYTES_MAX: u64 = crate::provider_recording::RECORDING_BYTES_MAX;
/// What a multipart form may have around its recording.
pub const UPLOAD_FRAME_BYTES_MAX: u64 = 1 << 20;
/// The JSON of a call beside its recording.
pub const UPLOAD_CALL_BYTES_MAX: usize = 256 << 10;
/// Recordings that are taken at once; each holds half a MiB.
pub const UPLOADS_MAX: usize = 16;
/// Bodies of up to this size need no share of `LARGE_BODIES_BYTES_MAX`; the number of connections bounds them.
pub const SMALL_BODY_BYTES_MAX: usize = 64 << 10;
/// Memory for bodies over `SMALL_BODY_BYTES_MAX`, all together: eight of the largest.
pub const LARGE_BODIES_BYTES_MAX: usize = 256 << 20;
/// Of a body that is too large so much is still read and dropped: a connection that is closed under a client that is
/// still writing is reset, and the 413 is lost with it.
pub const DISCARD_BYTES_MAX: u64 = 64 << 20;
/// The first pause before a busy log is asked again; it doubles.
pub const BUSY_PAUSE: Duration = Duration::from_millis(5);
