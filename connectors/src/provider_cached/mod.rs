//! Answers that were paid for, kept by what was asked: who asks the same again pays nothing.
//!
//! An answer is stored before its reply is appended. So what was answered when a process died is not billed twice, and
//! neither is the same recorded announcement, or the same form that a robot sends a thousand times. One tenant's
//! answers are never another's. A store that fails costs money and nothing else: the provider is asked.

mod shelf;

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::reply::PendingJob;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::Value;

pub(crate) use self::shelf::Shelf;
use crate::contract::BoxFuture;
use crate::contract::blob::Blob;
use crate::contract::clock::Clock;
use crate::contract::provider::{CallError, Limits, Provider, ProviderAnswer};
use crate::provider_recording::recording_name;

/// Fields of a question that say whom it is about and not what is asked.
const WHO: [&str; 1] = ["id"];

/// A provider whose answers are kept.
pub struct CachedProvider {
    inner: Arc<dyn Provider>,
    /// What else an answer depends on: models, their settings.
    version: String,
    shelf: Shelf,
}

impl CachedProvider {
    /// Keeps the answers of `inner` for so long. Answers of another `version` are not taken.
    pub fn new(
        inner: Arc<dyn Provider>,
        version: impl Into<String>,
        blob: Arc<dyn Blob>,
        clock: Arc<dyn Clock>,
        kept: Duration,
    ) -> Self {
        Self { inner, version: version.into(), shelf: Shelf::new(blob, clock, kept) }
    }

    /// Where the answer to this question is kept: below the month of the event that it is about, as recordings are, so
    /// that it goes when they go.
    fn name(&self, job: &PendingJob) -> Option<String> {
        let mut asked: Value = serde_json::from_slice(&job.request.payload).ok()?;
        for field in WHO {
            asked.as_object_mut()?.remove(field);
        }
        let parts = [&*job.request.kind, self.inner.name(), &self.version, &asked.to_string()];
        let hash = digest(&SHA256, parts.join("\0").as_bytes());
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(recording_name(&job.tenant, job.event_time, &format!("answer-{hex}")))
    }
}

/// Of an answer that names its outcome only a score is kept: what was blocked, cut or no score may go well next time.
fn is_worth_keeping(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Peek {
        outcome: Option<Value>,
    }
    let outcome = serde_json::from_slice::<Peek>(body).ok().and_then(|peek| peek.outcome);
    outcome.is_none_or(|outcome| outcome.get("scored").is_some())
}

impl Provider for CachedProvider {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        self.inner.attempt_timeout()
    }

    fn limits(&self) -> Option<Limits> {
        self.inner.limits()
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move {
            let Some(name) = self.name(&job) else { return self.inner.call(job, deadline).await };
            if let Some(answer) = self.shelf.take(&name, &job).await {
                return Ok(answer);
            }
            let answer = self.inner.call(job.clone(), deadline).await?;
            if is_worth_keeping(&answer.body) {
                self.shelf.put(&name, &job, &answer, Some(job.event_time)).await;
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use leadline_schemas::{Millis, TenantId};

    use super::*;
    use crate::blob_memory::MemoryBlob;
    use crate::clock_system::SystemClock;
    use crate::conformance::provider::{ProviderUnderTest, suite};
    use crate::http_client::Client;
    use crate::provider_http::HttpProvider;

    /// Answers with how often it was asked, and takes money for it.
    #[derive(Default)]
    struct Paid(AtomicUsize);

    impl Provider for Paid {
        fn name(&self) -> &str {
            "model"
        }
        fn call(&self, _: PendingJob, _: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
            let asked = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            let body = Bytes::from(format!("{{ \"asked\" : {asked} }}"));
            Box::pin(async move { Ok(ProviderAnswer { body, cost_micros: 700 }) })
        }
    }

    struct Shelf {
        paid: Arc<Paid>,
        blob: MemoryBlob,
        clock: Arc<Wall>,
    }

    /// A wall clock that tests turn.
    struct Wall(std::sync::atomic::AtomicI64);

    impl Clock for Wall {
        fn wall(&self) -> Millis {
            Millis(self.0.load(Ordering::Relaxed))
        }
        fn boot_ms(&self) -> u64 {
            0
        }
    }

    impl Shelf {
        fn new() -> Self {
            let clock = Arc::new(Wall(1_772_640_800_000.into()));
            Self { paid: Arc::default(), blob: MemoryBlob::new(), clock }
        }

        fn provider(&self, version: &str) -> CachedProvider {
            let (blob, clock) = (Arc::new(self.blob.clone()), self.clock.clone());
            CachedProvider::new(self.paid.clone(), version, blob, clock, Duration::from_secs(86_400))
        }

        async fn ask(&self, version: &str, job: PendingJob) -> (String, i64) {
            let answer = self.provider(version).call(job, Duration::from_secs(5)).await.unwrap();
            (String::from_utf8(answer.body.to_vec()).unwrap(), answer.cost_micros)
        }
    }

    fn job(number: u64, payload: &'static str) -> PendingJob {
        let provider: Arc<dyn Provider> = Arc::new(Paid::default());
        let test = ProviderUnderTest { provider, kind: "score", payload, good: "" };
        PendingJob { event_time: Millis(1_772_640_753_236), ..test.job(number) }
    }

    const FIRST: &str = "{ \"asked\" : 1 }";
    const SECOND: &str = "{ \"asked\" : 2 }";

    #[tokio::test]
    async fn what_was_asked_before_is_not_paid_again_and_what_was_paid_is_told() {
        let shelf = Shelf::new();
        let text = r#"{"id":"CAL1","text":"A new kitchen, please."}"#;
        assert_eq!(shelf.ask("v1", job(1, text)).await, (FIRST.to_owned(), 700));
        // The same job, after a crash: it has paid.
        assert_eq!(shelf.ask("v1", job(1, text)).await, (FIRST.to_owned(), 700));
        // Another one that asks the same.
        let again = r#"{"id":"CAL2","text":"A new kitchen, please."}"#;
        assert_eq!(shelf.ask("v1", job(2, again)).await, (FIRST.to_owned(), 0));
        let names: Vec<String> = shelf.blob.objects().into_keys().collect();
        assert!(names.len() == 1 && names[0].starts_with("summit/2026/03/answer-"), "{names:?}");
    }

    #[tokio::test]
    async fn another_question_tenant_model_or_day_is_paid_for() {
        let text = r#"{"id":"CAL1","text":"A new kitchen, please."}"#;
        let other_tenant = PendingJob { tenant: TenantId::new("other").unwrap(), ..job(2, text) };
        let questions = [
            ("v1", job(2, r#"{"id":"CAL1","text":"A new bathroom, please."}"#)),
            ("v1", other_tenant),
            ("v2", job(2, text)),
        ];
        for (version, question) in questions {
            let shelf = Shelf::new();
            shelf.ask("v1", job(1, text)).await;
            assert_eq!(shelf.ask(version, question).await, (SECOND.to_owned(), 700));
        }
        let shelf = Shelf::new();
        shelf.ask("v1", job(1, text)).await;
        shelf.clock.0.fetch_add(86_400_001, Ordering::Relaxed);
        assert_eq!(shelf.ask("v1", job(2, text)).await, (SECOND.to_owned(), 700), "too old");
        assert_eq!(shelf.ask("v1", job(3, text)).await, (SECOND.to_owned(), 0), "the new one is kept");
    }

    #[test]
    fn what_is_no_score_is_not_kept() {
        for (body, is_kept) in [
            (r#"{"outcome":{"scored":{"score":71}},"model":"m"}"#, true),
            (r#"{"score":71}"#, true),
            (r#"{"outcome":"cut","model":"m"}"#, false),
            (r#"{"outcome":{"blocked":"SPII"}}"#, false),
        ] {
            assert_eq!(is_worth_keeping(body.as_bytes()), is_kept, "{body}");
        }
    }

    #[tokio::test]
    async fn a_store_that_fails_or_holds_nonsense_costs_money_and_nothing_else() {
        let shelf = Shelf::new();
        let text = r#"{"text":"A new kitchen, please."}"#;
        shelf.blob.refuse(0, 10);
        assert_eq!(shelf.ask("v1", job(1, text)).await, (FIRST.to_owned(), 700));
        shelf.blob.heal();
        assert_eq!(shelf.ask("v1", job(1, text)).await, (SECOND.to_owned(), 700));
        let name = shelf.blob.objects().into_keys().next().unwrap();
        shelf.blob.hold(&name, Bytes::from_static(b"<html>"));
        assert_eq!(shelf.ask("v1", job(1, text)).await.1, 700);
    }

    #[tokio::test]
    async fn it_passes_the_suite() {
        let client = Client::new().unwrap();
        suite(&|url| {
            let inner = Arc::new(HttpProvider::new("model", url, client.clone()));
            let blob = Arc::new(MemoryBlob::new());
            let kept = Duration::from_secs(60);
            ProviderUnderTest {
                provider: Arc::new(CachedProvider::new(inner, "v1", blob, Arc::new(SystemClock), kept)),
                kind: "score",
                payload: r#"{"id":"CAL1","transcript":[]}"#,
                good: r#"{"score":71,"band":"warm"}"#,
            }
        })
        .await;
    }
}
