//! Every bound of the engine, with its reason. ARCHITECTURE.md lists them for operators.

use std::time::Duration;

/// An epoch closes at this many input bytes: fewer commits write hot rows less often. At 1 MiB a million small calls
/// through dedupe and windows cost a fifth more CPU.
pub(crate) const EPOCH_BYTES_MAX: usize = 4 << 20;
/// An epoch closes at this many bytes of outputs. What comes of a small webhook is ten times its size, in rows, records
/// and the frame that holds both once more, and each of 16 partitions may have one epoch open and one in commit: bound
/// by inputs alone that was a gigabyte, and buffers so large that each was new pages.
pub(crate) const EPOCH_OUTPUT_BYTES_MAX: usize = 4 << 20;
/// An epoch closes at this many inputs.
pub(crate) const EPOCH_INPUTS_MAX: usize = 10_000;
/// An epoch closes after this long even while the previous commit is still out, unless that one must come first.
pub(crate) const EPOCH_DURATION_MAX: Duration = Duration::from_millis(100);
/// How often whoever waits for partitions to come or go looks by itself.
pub(crate) const OWNERSHIP_LOOK: Duration = Duration::from_millis(200);
/// A worker that takes longer to drop a partition hangs: it never waits for anything, so this is a turn of it.
pub(crate) const DROP_MAX: Duration = Duration::from_secs(30);
/// Partitions that are restored at once: as many as there are readers of the past.
pub(crate) const RESTORES_MAX: usize = 4;
/// Pause before a partition is restored again that could not be, or was fenced.
pub(crate) const RESTORE_RETRY_MS: u64 = 1_000;
/// What a partition takes in before the worker turns to the next: some 10 ms of work.
pub(crate) const TURN_BYTES_MAX: usize = 2 << 20;
/// One read from the log. What is made of it goes through the graph together, and should fit a core's cache.
pub(crate) const READ_BYTES_MAX: usize = 256 << 10;
/// Timers fired by one epoch; the rest are due again in the next.
pub(crate) const EPOCH_TIMERS_MAX: usize = 2_000;
/// Committed bytes that wait for the state store before the partition stops reading: the store stalls at times
/// (fjall: 197 ms in long loads), and 16 partitions of this are 256 MiB at worst.
pub(crate) const UNAPPLIED_BYTES_MAX: usize = 16 << 20;
/// Decoded rows kept per partition across epochs, so that hot windows and leads are not read again. A call and its
/// lead take some 5 KiB decoded: with 16 partitions these are 100 MiB at worst.
pub(crate) const CACHED_ROWS_MAX: usize = 2_048;
/// Expired rows swept by one epoch.
pub(crate) const SWEEP_ROWS_MAX: usize = 500;
/// How often a partition sweeps.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Event time that records may come late by before event timers fire; later ones still count, as revisions.
pub(crate) const WATERMARK_LATENESS_MS: i64 = 5_000;
/// After this long without a record, the watermark follows the clock.
pub(crate) const WATERMARK_IDLE_MS: i64 = 30_000;
/// A record this far behind its receipt does not move the watermark (design section 4: backfills).
pub(crate) const WATERMARK_BACKFILL_MS: i64 = 25 * 3_600_000;
/// A dead letter keeps its input up to this size.
pub(crate) const DEAD_LETTER_INPUT_BYTES_MAX: usize = 1 << 20;
/// How often a record may take the process down, running alone, before it is poison.
pub(crate) const ABORTS_MAX: u32 = 3;

/// Pause of a partition after an engine fault, before it runs again from its last commit.
pub(crate) const STUMBLE_PAUSE_MS: u64 = 1_000;
/// Pause of a partition after an aborted commit: a log that aborts again and again must not be asked in a busy loop.
pub(crate) const ABORT_PAUSE_MS: u64 = 50;
/// Pause before a state store that refused a commit is asked again.
pub(crate) const APPLY_RETRY_MS: u64 = 1_000;
/// Pause before a record store that is away is asked again.
pub(crate) const STORE_RETRY_MS: u64 = 500;
/// How often an idle writer asks a record store where it stands: one that was put back to a backup is filled again.
pub(crate) const STORE_LOOK_MS: u64 = 60_000;

/// Jobs of one tenant held in memory; the rest wait as rows.
pub(crate) const TENANT_JOBS_IN_MEMORY_MAX: usize = 64;
/// Jobs of one tenant that run at once.
pub(crate) const TENANT_JOBS_RUNNING_MAX: usize = 8;
/// Jobs of one kind and target that run at once over all tenants: a provider that hangs cannot take every slot.
pub(crate) const TARGET_JOBS_RUNNING_MAX: usize = 64;
/// Jobs that run at once in all; each holds a connection, or a stream of one, and some 20 KiB.
pub(crate) const JOBS_RUNNING_MAX: usize = 1_024;
/// Of them those at providers that all tenants share: a slow model leaves room for deliveries.
pub(crate) const SHARED_JOBS_RUNNING_MAX: usize = 768;
/// Jobs to be tried again at a target that is full or closed are looked at again after this.
pub(crate) const RETRY_LOOK_MS: u64 = 250;
/// Attempts of a job before it is given up.
pub(crate) const JOB_ATTEMPTS_MAX: i32 = 6;
/// One attempt of a job.
pub(crate) const JOB_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a process that has handed over goes on answering its calls; what takes longer is cut off, and made again.
pub(crate) const HANDED_CALLS_MAX: Duration = Duration::from_secs(600);
/// Characters of a request, and of an answer, that the ledger keeps: what was sent is 4 KiB at most in the trace already.
pub(crate) const EXCHANGE_CHARS_MAX: usize = 6_000;
/// For how long after a commit nobody else starts deliveries of the partition: an attempt, and time to renew it.
pub(crate) const LEASE_MS: u64 = 45_000;
/// What a reply may take to come through the log to a new owner, beyond the end of the call itself.
pub(crate) const REPLY_MARGIN_MS: u64 = 1_000;
/// The executor answers between two turns; one that takes longer hangs.
pub(crate) const EXECUTOR_ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often a delivery looks whether its partition's lease was renewed.
pub(crate) const LEASE_LOOK: Duration = Duration::from_millis(50);
/// First pause between attempts; doubles, with jitter.
pub(crate) const JOB_BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between attempts; a longer Retry-After is cut to it.
pub(crate) const JOB_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How long a partition that changes its layout waits for calls that run, deliveries excepted: what they answer later
/// nobody hears, and they are made again under the same id.
pub(crate) const DRAIN_JOBS_MAX: Duration = Duration::from_secs(5);
/// Records of layouts before that one commit tells again: some 1 MiB.
pub(crate) const RETOLD_RECORDS_MAX: usize = 250;
/// How often it is looked how far partitions that change their layout are.
pub(crate) const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// Failures in a row that open a target's circuit.
pub(crate) const CIRCUIT_FAILURES_MAX: u32 = 5;
/// How long an open circuit waits before one probe.
pub(crate) const CIRCUIT_OPEN_MS: u64 = 10_000;

/// The state store is synced after this many applied bytes ...
pub(crate) const SYNC_BYTES: usize = 64 << 20;
/// ... or this long.
pub(crate) const SYNC_INTERVAL_MS: u64 = 60_000;
/// Output bytes handed to the record store's writer in memory; beyond it the writer reads the log.
pub(crate) const STORE_QUEUE_BYTES_MAX: usize = 32 << 20;
/// Commits that the record store's writer takes into one transaction.
pub(crate) const STORE_BATCH_COMMITS_MAX: usize = 256;
/// A graceful stop takes at most this long.
pub(crate) const STOP_MAX: Duration = Duration::from_secs(5);
