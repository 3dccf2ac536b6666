//! The world outside: providers and sinks that are slow, hang, refuse, or take effect and do not say so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leadline::engine::RunningJob;
use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::provider::{CallError, Limits, Provider, ProviderAnswer};
use leadline_connectors::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use leadline_connectors::contract::wire::WireRequest;
use leadline_operators::rules;
use leadline_schemas::Millis;
use leadline_schemas::delivery::DeliveryKey;
use leadline_schemas::missed::{GetCallJob, GotCall};
use leadline_schemas::reply::PendingJob;

use crate::chance::{Chance, derived};
use crate::clock::SimClock;
use leadline_connectors::contract::clock::Clock;

/// What a scored call costs at the provider.
pub const SCORE_COST_MICROS: i64 = 1_000;

/// How the outside behaves for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// It answers.
    #[default]
    Calm,
    /// Everything at once: slow, refused, cut off, answered and not heard.
    Rough,
    /// It takes requests and never answers.
    Hanging,
    /// Too many requests, come back later.
    Refusing,
}

/// What a call came to in truth.
#[derive(Clone, Debug)]
pub struct CallTruth {
    pub ends_at: Millis,
    pub answered: bool,
    pub voicemail: bool,
}

/// One delivery that arrived.
#[derive(Clone, Debug)]
pub struct Effect {
    pub key: DeliveryKey,
    pub idempotency_key: String,
    pub payload: String,
    pub kind: String,
}

#[derive(Default)]
struct Shared {
    weather: Weather,
    attempts: BTreeMap<String, u32>,
    effects: Vec<Effect>,
    truths: BTreeMap<String, CallTruth>,
    /// Calls that are another process's until then: it has named them.
    named: BTreeMap<String, u64>,
    /// A named one that was made once more.
    called_twice: Option<String>,
}

/// Everything outside. It outlives crashes; clones are the same.
#[derive(Clone)]
pub struct Outside {
    seed: u64,
    clock: Arc<SimClock>,
    shared: Arc<Mutex<Shared>>,
}

/// How one attempt goes.
struct Course {
    /// Until it takes effect, if it does, and then until the answer.
    way: Duration,
    delay: Duration,
    takes_effect: bool,
    answer: Result<(), CallError>,
}

impl Outside {
    pub fn new(seed: u64, clock: Arc<SimClock>) -> Self {
        Self { seed, clock, shared: Arc::default() }
    }

    pub fn set_weather(&self, weather: Weather) {
        self.shared.lock().unwrap().weather = weather;
    }

    pub fn tell(&self, call_id: &str, truth: CallTruth) {
        self.shared.lock().unwrap().truths.insert(call_id.to_owned(), truth);
    }

    /// What a call came to in truth.
    pub fn truth(&self, call_id: &str) -> CallTruth {
        self.shared.lock().unwrap().truths[call_id].clone()
    }

    /// Nobody else makes these calls before their time.
    pub fn name(&self, jobs: &[RunningJob]) {
        let now_ms = self.clock.boot_ms();
        let named = jobs.iter().map(|job| (job.job_id.to_string(), now_ms + job.left_ms));
        self.shared.lock().unwrap().named = named.collect();
    }

    /// Says whether a named call was made once more before its time.
    pub fn check_named(&self) -> Result<(), String> {
        let job = self.shared.lock().unwrap().called_twice.clone();
        job.map_or(Ok(()), |job| Err(format!("job {job} was named as running, and was started once more")))
    }

    pub fn effects(&self) -> Vec<Effect> {
        self.shared.lock().unwrap().effects.clone()
    }

    /// Decided by seed, job and attempt, and by the weather when it starts.
    fn course(&self, job: &str, unclear: bool) -> Course {
        let now_ms = self.clock.boot_ms();
        let mut shared = self.shared.lock().unwrap();
        if shared.named.get(job).is_some_and(|until_ms| now_ms < *until_ms) {
            shared.called_twice = Some(job.to_owned());
        }
        let attempt = shared.attempts.entry(job.to_owned()).or_default();
        *attempt += 1;
        let mut chance = derived(self.seed, format!("{job} {attempt}").as_bytes());
        let quick = Duration::from_millis(chance.between(0, 40));
        let retry = |why: &str| CallError::Retry { after: None, why: why.to_owned() };
        let cut_off = match unclear {
            true => CallError::Unclear { why: "cut off after the first byte".to_owned() },
            false => retry("cut off after the first byte"),
        };
        let way = if chance.happens(300) {
            Duration::from_millis(chance.between(0, 25_000))
        } else {
            Duration::ZERO
        };
        let course = |delay: Duration, takes_effect, answer| {
            let way = way.min(delay);
            Course { way, delay: delay - way, takes_effect, answer }
        };
        match shared.weather {
            Weather::Calm => course(quick, true, Ok(())),
            Weather::Hanging => course(Duration::from_secs(86_400), chance.happens(300), Ok(())),
            Weather::Refusing => {
                let after = chance.happens(500).then_some(Duration::from_secs(2));
                course(quick, false, Err(CallError::Retry { after, why: "429".to_owned() }))
            }
            Weather::Rough => match chance.below(8) {
                0 => course(Duration::from_secs(chance.between(1, 25)), true, Ok(())),
                1 => course(Duration::from_secs(86_400), chance.happens(500), Ok(())),
                2 => course(quick, false, Err(retry("503"))),
                3 => course(quick, true, Err(cut_off)),
                4 if chance.happens(250) => {
                    course(quick, false, Err(CallError::Reject { why: "400".to_owned() }))
                }
                _ => course(quick, true, Ok(())),
            },
        }
    }
}

/// Goes its course, as far as the deadline lets it; `unclear` has no idempotency.
async fn run(
    course: Course,
    deadline: Duration,
    unclear: bool,
    effect: impl FnOnce(),
) -> Result<(), CallError> {
    let why = "no answer in time".to_owned();
    let silence = if unclear { CallError::Unclear { why } } else { CallError::Retry { after: None, why } };
    tokio::time::timeout(deadline, go(course, effect)).await.unwrap_or(Err(silence))
}

async fn go(course: Course, effect: impl FnOnce()) -> Result<(), CallError> {
    if !course.way.is_zero() {
        tokio::time::sleep(course.way).await;
    }
    if course.takes_effect {
        effect();
    }
    if !course.delay.is_zero() {
        tokio::time::sleep(course.delay).await;
    }
    course.answer
}

/// Narrow, so that jobs wait for each other.
const SCORER_LIMITS: Limits = Limits { calls_max: 12, per_minute: Some(600) };

/// Scores as the rules do, at a price.
pub struct Scorer(pub Outside);

impl Provider for Scorer {
    fn name(&self) -> &str {
        "sim"
    }
    fn limits(&self) -> Option<Limits> {
        Some(SCORER_LIMITS)
    }
    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        let course = self.0.course(&job.job_id.to_string(), false);
        Box::pin(async move {
            run(course, deadline, false, || {}).await?;
            let input = serde_json::from_slice(&job.request.payload).unwrap();
            let body = Bytes::from(serde_json::to_vec(&rules::score(&input)).unwrap());
            Ok(ProviderAnswer { body, cost_micros: SCORE_COST_MICROS })
        })
    }
}

/// Knows of every call whether somebody answered.
pub struct Callrail(pub Outside);

impl Provider for Callrail {
    fn name(&self) -> &str {
        "callrail"
    }
    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        let course = self.0.course(&job.job_id.to_string(), false);
        Box::pin(async move {
            run(course, deadline, false, || {}).await?;
            let asked: GetCallJob = serde_json::from_slice(&job.request.payload).unwrap();
            let truth = self.0.shared.lock().unwrap().truths.get(&asked.call_id).cloned();
            let Some(truth) = truth else { return Err(CallError::Reject { why: "404".to_owned() }) };
            let goes_on = self.0.clock.wall() < truth.ends_at;
            let got = GotCall {
                answered: Some(truth.answered && !goes_on),
                voicemail: truth.voicemail,
                call_type: Some(if goes_on { "in_progress" } else { "answered" }.to_owned()),
            };
            let body = Bytes::from(serde_json::to_vec(&got).unwrap());
            Ok(ProviderAnswer { body, cost_micros: 0 })
        })
    }
}

/// Takes deliveries: `http` honours the idempotency key, `pager` knows of none.
pub struct Receiver {
    pub outside: Outside,
    pub kind: &'static str,
}

impl Sink for Receiver {
    fn kind(&self) -> &str {
        self.kind
    }
    fn guarantee(&self) -> Guarantee {
        if self.kind == "pager" { Guarantee::AtLeastOnce } else { Guarantee::Once }
    }
    fn deliver(
        &self,
        request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        let unclear = self.guarantee() == Guarantee::AtLeastOnce;
        let course = self.outside.course(&request.idempotency_key, unclear);
        Box::pin(async move {
            let remote_id = format!("remote-{}", request.key.subject);
            let effect = || {
                self.outside.shared.lock().unwrap().effects.push(Effect {
                    key: request.key,
                    idempotency_key: request.idempotency_key,
                    payload: request.payload,
                    kind: self.kind.to_owned(),
                });
            };
            run(course, deadline, unclear, effect).await?;
            Ok(SinkAnswer { remote_id: Some(remote_id) })
        })
    }
    fn preview(&self, _: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        Ok(Vec::new())
    }
}
