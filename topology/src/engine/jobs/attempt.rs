//! One attempt of a job: the call, and the reply that ends it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{Append, AppendError, Log};
use leadline_connectors::contract::provider::{CallError, ProviderAnswer};
use leadline_connectors::contract::sink::{Guarantee, Sink, SinkRequest};
use leadline_connectors::contract::wire::Trace;
use leadline_operators::deliveries::{DeliverJob, Delivered};
use leadline_schemas::avro;
use leadline_schemas::delivery::Exchanged;
use leadline_schemas::partitioning::Key;
use leadline_schemas::reply::{Answered, FailureKind, JobFailed, PendingJob, Reply, ReplyOutcome, Started};
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::settings::Settings;
use leadline_schemas::{Partition, Topic};

use super::super::effects::decode_job;
use super::super::keys;
use super::super::limits::*;
use super::super::ownership::Ownership;
use super::super::rows::Stay;
use super::Responders;

/// How an attempt ended.
#[derive(Debug)]
pub(in super::super) enum Outcome {
    /// The job's reply is in the log. `reached` says whether the other side answered at all.
    Replied {
        /// For the circuit.
        reached: bool,
    },
    /// The log took no reply, the partition has left, or the job has its answer: who owns it next starts it again, if
    /// it is pending.
    Abandoned,
    /// Another attempt is worth it.
    Retry {
        /// Retry-After.
        after: Option<Duration>,
    },
}

/// What an attempt needs.
pub(super) struct Attempt {
    pub(super) partition: Partition,
    pub(super) stay: Stay,
    pub(super) ownership: Arc<Ownership>,
    pub(super) responders: Responders,
    pub(super) settings: Arc<Settings>,
    pub(super) log: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Pause before a reply is appended again to a log that was busy or full.
const APPEND_RETRY: Duration = Duration::from_millis(100);

impl Attempt {
    pub(super) async fn run(self, job: &PendingJob, attempt: i32) -> Outcome {
        let kind = job.request.kind.clone();
        let started = tokio::time::Instant::now();
        let trace = Trace::default();
        let result = self.call(job, attempt, &trace).await;
        metrics::histogram!("leadline_job_seconds", "kind" => kind.clone())
            .record(started.elapsed().as_secs_f64());
        let failed = |kind, why| {
            let exchange = self.last_exchange(&trace);
            ReplyOutcome::JobFailed(JobFailed { kind, why, attempts: attempt, exchange })
        };
        let (outcome, reached) = match result {
            Ok(answer) => {
                let answered =
                    Answered { body: answer.body, attempts: attempt, cost_micros: answer.cost_micros };
                (ReplyOutcome::Answered(answered), true)
            }
            Err(Failure::Call(CallError::Retry { after, why })) if attempt < JOB_ATTEMPTS_MAX => {
                tracing::debug!(kind, job = %job.job_id, attempt, why, "will be tried again");
                metrics::counter!("leadline_job_retries_total", "kind" => kind).increment(1);
                return Outcome::Retry { after };
            }
            Err(Failure::Call(CallError::Retry { why, .. })) => (failed(FailureKind::Exhausted, why), false),
            Err(Failure::Call(CallError::Reject { why })) => (failed(FailureKind::Rejected, why), true),
            Err(Failure::Call(CallError::Unclear { why })) => (failed(FailureKind::Unclear, why), false),
            Err(Failure::Gone) => return Outcome::Abandoned,
            Err(Failure::NotConfigured(why)) => {
                let (kind, attempts, exchange) = (FailureKind::NotConfigured, attempt - 1, None);
                (ReplyOutcome::JobFailed(JobFailed { kind, why, attempts, exchange }), true)
            }
        };
        let label = if matches!(outcome, ReplyOutcome::Answered(_)) { "answered" } else { "failed" };
        metrics::counter!("leadline_jobs_total", "kind" => kind, "outcome" => label).increment(1);
        match self.reply(job, outcome).await {
            true => Outcome::Replied { reached },
            false => Outcome::Abandoned,
        }
    }

    /// What a delivery has sent and heard last, for the ledger; secrets are masked, and the length is bounded.
    fn last_exchange(&self, trace: &Trace) -> Option<Exchanged> {
        let last = trace.take().pop()?;
        let short = |text: String| match text.char_indices().nth(EXCHANGE_CHARS_MAX) {
            Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
            None => text,
        };
        Some(Exchanged { request: short(last.request), answer: short(last.answer), at: self.clock.wall() })
    }

    async fn call(&self, job: &PendingJob, attempt: i32, trace: &Trace) -> Result<ProviderAnswer, Failure> {
        if job.request.kind == "deliver" {
            return self.deliver(job, attempt, trace).await;
        }
        let responders = &self.responders;
        let provider =
            responders.provider(&job.request.kind, &job.request.target).cloned().ok_or_else(|| {
                Failure::NotConfigured(format!(
                    "no provider {:?} answers {:?} jobs",
                    job.request.target, job.request.kind
                ))
            })?;
        let limit = provider.attempt_timeout().unwrap_or(JOB_ATTEMPT_TIMEOUT);
        match tokio::time::timeout(limit, provider.call(job.clone(), limit)).await {
            Ok(result) => result.map_err(Failure::Call),
            Err(_) => Err(timed_out(limit)),
        }
    }

    async fn deliver(
        &self,
        job: &PendingJob,
        attempt: i32,
        trace: &Trace,
    ) -> Result<ProviderAnswer, Failure> {
        let work: DeliverJob = serde_json::from_slice(&job.request.payload).map_err(|error| {
            Failure::Call(CallError::Reject { why: format!("the delivery cannot be read: {error}") })
        })?;
        let tenant = self.settings.tenant(&job.tenant);
        let integration =
            tenant.and_then(|tenant| tenant.integration(&job.request.target)).cloned().ok_or_else(|| {
                Failure::NotConfigured(format!("integration {:?} was removed", job.request.target))
            })?;
        let sink: Arc<dyn Sink> = self.responders.sinks.get(&integration.kind).cloned().ok_or_else(|| {
            Failure::NotConfigured(format!("this leadline has no sink of kind {:?}", integration.kind))
        })?;
        let started_attempt = self.hold_lease(job).await?;
        if sink.guarantee() != Guarantee::Once {
            if sink.guarantee() == Guarantee::AtLeastOnce && started_attempt > 0 && attempt == 1 {
                let why = "an attempt was under way when leadline stopped, and this sink has no idempotency";
                return Err(Failure::Call(CallError::Unclear { why: why.to_owned() }));
            }
            // What is not known to have started must not be sent: nobody could tell later.
            if !self.reply(job, ReplyOutcome::Started(Started { attempt })).await {
                return Err(Failure::Gone);
            }
            self.hold_lease(job).await?;
        }
        let request = SinkRequest {
            key: work.key(&job.tenant, &job.request.target),
            home: Key { key_group: job.key_group, tenant: job.tenant.clone(), bucket: job.bucket },
            idempotency_key: job.job_id.to_string(),
            integration,
            payload: work.payload,
            remote_id: work.remote_id,
            may_have_arrived: work.may_have_arrived || started_attempt > 0 || attempt > 1,
            failing_since: work.failing_since,
            trace: trace.clone(),
        };
        match tokio::time::timeout(JOB_ATTEMPT_TIMEOUT, sink.deliver(request, JOB_ATTEMPT_TIMEOUT)).await {
            Ok(Ok(answer)) => {
                let delivered =
                    Delivered { remote_id: answer.remote_id, exchange: self.last_exchange(trace) };
                let body = serde_json::to_vec(&delivered).unwrap_or_default();
                Ok(ProviderAnswer { body: Bytes::from(body), cost_micros: 0 })
            }
            Ok(Err(error)) => Err(Failure::Call(error)),
            Err(_) if sink.guarantee() == Guarantee::AtLeastOnce => Err(Failure::Call(CallError::Unclear {
                why: format!("no answer within {JOB_ATTEMPT_TIMEOUT:?}"),
            })),
            Err(_) => Err(timed_out(JOB_ATTEMPT_TIMEOUT)),
        }
    }

    /// Waits until the partition's lease outlives the call. Answers the attempt that the job's row notes as started
    /// then: an owner before this one may have noted it, or even answered the job.
    async fn hold_lease(&self, job: &PendingJob) -> Result<i32, Failure> {
        let ownership = &self.ownership;
        if !ownership.shared || sabotage::on(Bug::LeaseIgnored) {
            return Ok(job.started_attempt);
        }
        let key = Key { key_group: job.key_group, tenant: job.tenant.clone(), bucket: job.bucket };
        let row_key = keys::job(&key, job.job_id);
        loop {
            // The lease of a later stay of the partition is not for what an earlier one has started.
            let rows = ownership.rows.of_stay(self.partition, self.stay).ok_or(Failure::Gone)?;
            if ownership.leases.covers_call(self.partition, self.clock.boot_ms()) {
                let row = rows.get(&row_key).ok().flatten().ok_or(Failure::Gone)?;
                return decode_job(&row).map(|job| job.started_attempt).map_err(|_| Failure::Gone);
            }
            ownership.ask_renewal(self.partition);
            tokio::time::sleep(LEASE_LOOK).await;
        }
    }

    /// Appends the reply; a log that is busy or full is asked again, for the result must not be lost. Answers
    /// whether it is durable.
    async fn reply(&self, job: &PendingJob, outcome: ReplyOutcome) -> bool {
        let reply = Reply {
            job_id: job.job_id,
            tenant: job.tenant.clone(),
            key_group: job.key_group,
            bucket: job.bucket,
            outcome,
            at: self.clock.wall(),
        };
        let value = match avro::encode(&reply) {
            Ok(value) => Bytes::from(value),
            Err(error) => {
                tracing::error!(job = %job.job_id, %error, "a reply could not be encoded");
                return false;
            }
        };
        loop {
            let (key, value) = (job.tenant.to_bytes(), value.clone());
            let record = Append { topic: Topic::Replies, partition: self.partition, key, value };
            match self.log.append(vec![record]).await {
                Ok(_) => return true,
                Err(AppendError::Busy { .. } | AppendError::Full | AppendError::Unavailable(_)) => {
                    tokio::time::sleep(APPEND_RETRY).await;
                }
                Err(error) => {
                    // Too large or a broken log: the job stays pending and is started again after a restart.
                    tracing::error!(job = %job.job_id, %error, "a reply could not be appended");
                    return false;
                }
            }
        }
    }
}

/// Why a call brought no answer.
enum Failure {
    Call(CallError),
    NotConfigured(String),
    /// The log takes nothing more, the partition has left, or somebody else has answered the job.
    Gone,
}

fn timed_out(limit: Duration) -> Failure {
    Failure::Call(CallError::Retry { after: None, why: format!("no answer within {limit:?}") })
}
