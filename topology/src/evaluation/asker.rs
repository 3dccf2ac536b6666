//! Asks a service that is configured, outside the engine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::provider::{CallError, Provider};
use leadline_connectors::http_client::Client;
use leadline_connectors::provider_metered::DayBudget;
use leadline_operators::score;
use leadline_schemas::reply::{JobRequest, PendingJob};
use leadline_schemas::score::{ScoreInput, ScoreJob, ScoreOutput, ScoreReply};
use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};

use crate::config::Config;
use crate::scorers;

/// Attempts at one contact, as in the engine.
const ATTEMPTS_MAX: u32 = 6;
/// The pause after the first attempt; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// One attempt.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks one service, one contact after the other.
pub struct Asker {
    provider: Arc<dyn Provider>,
    runtime: tokio::runtime::Runtime,
}

/// What came of asking.
#[derive(Debug)]
pub struct Answer {
    /// The score that holds together, or why there is none.
    pub result: Result<(ScoreReply, ScoreOutput), String>,
    /// What it cost all the same.
    pub cost_micros: i64,
}

impl Asker {
    /// Of the service of this name.
    pub fn new(config: &Config, name: &str) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // The instance's own sum is its own to count.
        let budget = Arc::new(DayBudget::open(config.ai_budget, clock, None));
        let known = scorers::scorers(config, &Client::new()?, &budget)?;
        let found = known.into_iter().find(|scorer| scorer.provider.name() == name);
        let provider = found.map(|scorer| scorer.provider).ok_or_else(|| {
            anyhow!("service {name:?} is not known here; known are: {}", scorers::names(config).join(", "))
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { provider, runtime: runtime.context("there is no runtime")? })
    }

    /// Asks about a contact whose sensitive numbers are masked.
    pub fn ask(&self, tenant: &TenantId, input: &ScoreInput, prompt: Option<&str>) -> Answer {
        let job = ScoreJob { input: input.clone(), prompt_version: prompt.map(str::to_owned) };
        let payload = match serde_json::to_vec(&job) {
            Ok(payload) => payload,
            Err(error) => return Answer { result: Err(error.to_string()), cost_micros: 0 },
        };
        let job = PendingJob {
            job_id: JobId::of(&[b"trial", self.provider.name().as_bytes(), &payload]),
            tenant: tenant.clone(),
            key_group: KeyGroup(0),
            bucket: Bucket(0),
            operator: "score".to_owned(),
            request: JobRequest {
                kind: "score".to_owned(),
                target: self.provider.name().to_owned(),
                payload: payload.into(),
                not_before: Millis(0),
                revision: 0,
            },
            asked_at: Millis(0),
            event_time: Millis(0),
            started_attempt: 0,
        };
        match self.runtime.block_on(self.attempts(&job)) {
            Ok(answer) => {
                Answer { result: score::read(&answer.body, input), cost_micros: answer.cost_micros }
            }
            Err(error) => Answer { result: Err(error.to_string()), cost_micros: 0 },
        }
    }

    async fn attempts(
        &self,
        job: &PendingJob,
    ) -> Result<leadline_connectors::contract::provider::ProviderAnswer, CallError> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS_MAX {
            match self.provider.call(job.clone(), TIMEOUT).await {
                Err(CallError::Retry { after, .. }) => {
                    tokio::time::sleep(after.unwrap_or(pause).max(pause)).await;
                    pause *= 2;
                }
                other => return other,
            }
        }
        self.provider.call(job.clone(), TIMEOUT).await
    }

    /// Lets time pass until the next may be asked.
    pub fn rest(&self, pause: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(pause).await });
    }
}
