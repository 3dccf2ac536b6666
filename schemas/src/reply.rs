//! Remote calls and their results: pending jobs in state, topic `replies`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::delivery::Exchanged;
use crate::{Bucket, JobId, KeyGroup, Millis, TenantId};

/// What an operator asks of the outside. The engine adds id, key and operator when it files the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRequest {
    /// Which provider or sink answers: `score`, `transcribe`, `fetch_recording`, `get_call`, `deliver`.
    pub kind: String,
    /// Which of the configured ones: a provider's name or an integration's id.
    pub target: String,
    /// What is asked, in the vocabulary of the kind (JSON).
    pub payload: Bytes,
    /// Not before this time, by the epoch's clock; 0 = at once.
    pub not_before: Millis,
    /// The revision it was asked for; an older answer does not win.
    pub revision: i64,
}

/// A job whose answer is awaited. `schemas/avro/pending_job/`; a row of the engine's own table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingJob {
    /// Also the idempotency key of the call.
    pub job_id: JobId,
    /// The tenant.
    pub tenant: TenantId,
    /// The key group it is filed under.
    pub key_group: KeyGroup,
    /// The bucket it is filed under.
    pub bucket: Bucket,
    /// The operator that gets the answer.
    pub operator: String,
    /// What is asked.
    pub request: JobRequest,
    /// When it was committed, by the epoch's clock.
    pub asked_at: Millis,
    /// Event time of the record that caused it.
    pub event_time: Millis,
    /// The attempt that was noted as started, for sinks without idempotency; 0 = none.
    pub started_attempt: i32,
}

avro_record!(PendingJob, "pending_job", ["v1"]);

/// How a job ended. `schemas/avro/reply/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The job.
    pub job_id: JobId,
    /// The tenant.
    pub tenant: TenantId,
    /// The key group it was filed under.
    pub key_group: KeyGroup,
    /// The bucket it was filed under.
    pub bucket: Bucket,
    /// What happened.
    pub outcome: ReplyOutcome,
    /// When, by the executor's clock.
    pub at: Millis,
}

avro_record!(Reply, "reply", ["v1", "v2"]);

/// What happened to a job. The aliases are the names of the records in the Avro union.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ReplyOutcome {
    /// An attempt is about to be sent to a sink without idempotency.
    #[serde(alias = "dev.leadline.Started")]
    Started(Started),
    /// It was answered.
    #[serde(alias = "dev.leadline.Answered")]
    Answered(Answered),
    /// It was given up.
    #[serde(alias = "dev.leadline.JobFailed")]
    JobFailed(JobFailed),
}

/// An attempt is about to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// From 1.
    pub attempt: i32,
}

/// The answer to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The answer in the vocabulary of the job's kind (JSON).
    pub body: Bytes,
    /// How many attempts it took.
    pub attempts: i32,
    /// What it cost, in millionths of the tenant's currency.
    pub cost_micros: i64,
}

/// Why a job was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The other side refused it; asking again changes nothing.
    Rejected,
    /// It could not be had within the job's attempts and time.
    Exhausted,
    /// It may or may not have taken effect.
    Unclear,
    /// Nobody is configured to answer it.
    NotConfigured,
}

/// A job that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobFailed {
    /// Why.
    pub kind: FailureKind,
    /// One line for a person; no secrets, no other tenant's data.
    pub why: String,
    /// How many attempts were made.
    pub attempts: i32,
    /// What a delivery sent and heard last.
    pub exchange: Option<Exchanged>,
}
