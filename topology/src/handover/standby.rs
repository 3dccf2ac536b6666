//! The side of the new process: it brings up the old one's state, follows it, and takes its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use leadline_connectors::contract::assignment::Assignment;
use leadline_connectors::http_client;
use leadline_schemas::{CommitNumber, Partition};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::admin::read_token;
use super::following::{Following, Look, side_by_side};
use super::giving::LEAVE_MAX;
use super::{Asking, Holding, Identity, Phase, Phases};
use crate::config::Config;
use crate::control::random;
use crate::engine::{Engine, Handed, RESTORES_MAX, RestoreError};
use crate::plan::refuse_tables;

/// How often the old process is asked what it owns.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Pause before what could not be read is read again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// An answer that takes longer does not come. A `take` waits for the partitions to be let go.
const ANSWER_MAX: Duration = Duration::from_secs(LEAVE_MAX.as_secs() * 2);
/// How often a `take` is asked for; each asks for the same.
const TAKES_MAX: u32 = 3;
/// How long the group may take to give the partitions.
const COME_MAX: Duration = Duration::from_secs(30);

/// A process that is to take another's place.
pub(crate) struct Standby<'p> {
    identity: Identity,
    on: Footing<'p>,
    link: Link,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandbyEnd {
    /// It is the one that works now.
    TookOver,
    /// It was told to end before it had asked.
    Stopped,
}

/// What a standby stands on.
pub(crate) struct Footing<'p> {
    pub(crate) runtime: &'p tokio::runtime::Runtime,
    /// None where the log has one process.
    pub(crate) assignment: Option<&'p Arc<dyn Assignment>>,
    /// None where nothing is owned.
    pub(crate) engine: Option<&'p Engine>,
    pub(crate) phases: &'p Phases,
    /// Whether this process was told to end.
    pub(crate) stopped: &'p dyn Fn() -> bool,
}

impl<'p> Standby<'p> {
    /// Beside the process at `url`.
    pub(crate) fn new(
        url: &str,
        config: &Config,
        identity: Identity,
        footing: Footing<'p>,
    ) -> anyhow::Result<Self> {
        Ok(Self { identity, on: footing, link: Link::new(url, config)? })
    }

    /// Refuses what it could not go on with, follows the old process until it is near, takes over, and waits until its
    /// partitions run here.
    pub(crate) fn run(&self) -> anyhow::Result<StandbyEnd> {
        let mut holding = self.look()?;
        self.on.phases.set(Phase::Restoring);
        if let (Some(assignment), Some(engine)) = (self.on.assignment, self.on.engine) {
            assignment.prepare(engine.owner())?;
        }
        let (mut looked, mut following) = (Instant::now(), Following::default());
        loop {
            if (self.on.stopped)() {
                return Ok(StandbyEnd::Stopped);
            }
            let partitions: Vec<Partition> = holding.handed.commits.keys().copied().collect();
            let is_near = following.is_near(&self.warm(&partitions)?);
            if is_near && self.on.phases.now() == Phase::Following {
                break;
            }
            if is_near {
                self.on.phases.set(Phase::Following);
            }
            if looked.elapsed() >= ASK_EVERY {
                looked = Instant::now();
                match self.look() {
                    Err(error) if error.is::<Gone>() => break,
                    other => holding = other?,
                }
            }
        }
        self.on.phases.set(Phase::Taking);
        let given = match self.take() {
            Ok(Some(given)) => given,
            Ok(None) => return Ok(StandbyEnd::Stopped),
            Err(error) if error.is::<Gone>() => {
                tracing::warn!("the old process is gone: its place is taken as after a crash");
                let commits = holding.handed.commits.keys().map(|partition| (*partition, CommitNumber(0)));
                let handed = Handed { commits: commits.collect(), jobs: Vec::new() };
                Holding { handed, ..holding }
            }
            Err(error) => return Err(error),
        };
        self.join(given)?;
        Ok(StandbyEnd::TookOver)
    }

    /// What the old process has, if this one can go on with it.
    fn look(&self) -> anyhow::Result<Holding> {
        let asked = self.link.ask::<Holding>(Method::GET, "", None);
        let holding = self.on.runtime.block_on(asked)?;
        let refusal = self.identity.refusal(&holding.identity).map_or(Ok(()), |why| Err(anyhow!(why)));
        refusal
            .and_then(|()| refuse_tables(&holding.tables))
            .with_context(|| format!("cannot take the place of the process at {}", self.link.url))?;
        Ok(holding)
    }

    /// Brings the partitions' rows up to their newest commits; what cannot be read now is read by the next pass.
    fn warm(&self, partitions: &[Partition]) -> anyhow::Result<Vec<(Partition, Look)>> {
        let Some(engine) = self.on.engine else { return Ok(Vec::new()) };
        side_by_side(partitions, RESTORES_MAX, |partition| {
            let began = Instant::now();
            let newest = match engine.warm(partition) {
                Ok(newest) => Some(newest),
                Err(error) if error.is_temporary() => {
                    tracing::warn!(partition = partition.0, %error, "a partition cannot be followed; trying again");
                    std::thread::sleep(RETRY_PAUSE);
                    None
                }
                Err(error) => return Err(unusable(&error)),
            };
            Ok(Look { newest, took: began.elapsed() })
        })
    }

    /// Asks for everything. None if it was told to end meanwhile and nothing was given.
    fn take(&self) -> anyhow::Result<Option<Holding>> {
        let asking = Asking { by: uuid::Uuid::from_bytes(random()?), identity: self.identity.clone() };
        let mut why = anyhow!("it was not asked");
        for _ in 0..TAKES_MAX {
            if (self.on.stopped)() {
                return Ok(None);
            }
            let asked = self.link.ask::<Holding>(Method::POST, "/take", Some(&asking));
            match self.on.runtime.block_on(asked) {
                Ok(given) => return Ok(Some(given)),
                Err(error) if error.is::<Refused>() || error.is::<Gone>() => return Err(error),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "asking again for the partitions");
                    std::thread::sleep(RETRY_PAUSE);
                    why = error;
                }
            }
        }
        Err(why.context(
            "the partitions were asked for and not given; whoever starts next has the group give them",
        ))
    }

    fn join(&self, given: Holding) -> anyhow::Result<()> {
        let (Some(assignment), Some(engine)) = (self.on.assignment, self.on.engine) else { return Ok(()) };
        let Handed { commits, jobs } = &given.handed;
        tracing::info!(
            partitions = commits.len(),
            running_jobs = jobs.len(),
            "was given what the old process had"
        );
        let partitions = commits.keys().copied().collect();
        engine.inherit(given.handed);
        assignment.join(engine.owner())?;
        assignment.take_over(&given.producers)?;
        let started = Instant::now();
        if engine.wait_running(&partitions, COME_MAX) {
            tracing::info!(took_ms = started.elapsed().as_millis(), "all partitions run here");
        } else {
            tracing::warn!(?partitions, "not all partitions of the old process came to this one");
        }
        Ok(())
    }

    /// Lets the old process know that events are taken here.
    pub(crate) fn tell_ready(&self) {
        let told = self.link.send(Method::POST, "/ready", None);
        if let Err(error) = self.on.runtime.block_on(told) {
            // It closes its listener by itself after a while.
            tracing::warn!(error = format!("{error:#}"), "the old process could not be told");
        }
    }
}

fn unusable(error: &RestoreError) -> anyhow::Error {
    anyhow!("the old process's state cannot be followed: {error}")
}

/// The old process does not agree, and will not by asking again.
#[derive(Debug, thiserror::Error)]
#[error("the process at {url} refuses: {why}")]
struct Refused {
    url: String,
    why: String,
}

/// Nobody listens at the old process's address.
#[derive(Debug, thiserror::Error)]
#[error("nobody answers at {0}: give --standby the old process's admin.listen, or start without it")]
struct Gone(String);

/// How the old process is reached.
struct Link {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Link {
    fn new(url: &str, config: &Config) -> anyhow::Result<Self> {
        let parsed = reqwest::Url::parse(url).ok();
        ensure!(
            parsed.is_some_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()),
            "--standby {url:?} is no address: use the old process's admin.listen, such as http://127.0.0.1:9180"
        );
        let client = http_client::builder().timeout(ANSWER_MAX).no_proxy().build()?;
        let token = config.admin_token_file.as_deref().map(read_token).transpose()?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), token })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Asking>,
    ) -> anyhow::Result<T> {
        let text = self.send(method, path, body).await?;
        serde_json::from_str(&text).with_context(|| format!("{} answers something else", self.url))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Asking>) -> anyhow::Result<String> {
        let mut request = self.client.request(method, format!("{}/v1/handover{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Err(Gone(self.url.clone()).into()),
            Err(error) => return Err(anyhow!(error).context(format!("{} does not answer", self.url))),
        };
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("{} did not end its answer", self.url))?;
        if status.is_success() {
            return Ok(text);
        }
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let why = problem.get("detail").and_then(serde_json::Value::as_str).unwrap_or(&text).to_owned();
        let url = self.url.clone();
        if [StatusCode::CONFLICT, StatusCode::UNAUTHORIZED].contains(&status) {
            return Err(Refused { url, why }.into());
        }
        bail!("{url} answered {status}: {why}")
    }
}
