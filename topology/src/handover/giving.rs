//! The side of the old process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::{Asking, Holding, Identity, Phase, Phases};
use crate::engine::Handed;
use crate::layout::follow::{Running, Workplace};
use crate::logs::{LogOf, Logs};
use crate::plan::own_shape;
use crate::run::ends_within;

/// How long partitions may take to be let go at the end; then whoever gets them waits for the session's time-out.
pub(crate) const LEAVE_MAX: Duration = Duration::from_secs(6);

/// Says who this process is; its layout may change.
pub(crate) type SayIdentity = Box<dyn Fn() -> Identity + Send + Sync>;

/// Answers who asks for a hand-over; the process's main thread does it.
pub(crate) struct Giver {
    identity: SayIdentity,
    workplace: Arc<Workplace>,
    logs: Arc<Logs>,
    phases: Arc<Phases>,
    /// Who was given everything, and the answer.
    given: Mutex<Option<(uuid::Uuid, Holding)>>,
    asked: mpsc::Sender<oneshot::Sender<Handed>>,
    successor_ready: watch::Sender<bool>,
}

impl Giver {
    /// Of a process; also what its main thread hears of takes by.
    pub(crate) fn new(
        identity: SayIdentity,
        workplace: &Arc<Workplace>,
        logs: &Arc<Logs>,
        phases: Arc<Phases>,
    ) -> (Arc<Self>, mpsc::Receiver<oneshot::Sender<Handed>>) {
        let (asked, asks) = mpsc::channel(1);
        let giver = Self {
            identity,
            workplace: Arc::clone(workplace),
            logs: Arc::clone(logs),
            phases,
            given: Mutex::default(),
            asked,
            successor_ready: watch::Sender::new(false),
        };
        (Arc::new(giver), asks)
    }

    /// Who this process is.
    pub(crate) fn identity(&self) -> Identity {
        (self.identity)()
    }

    /// What it has now.
    pub(super) fn holding(&self) -> Holding {
        let running = self.workplace.now();
        self.with(running.map(|running| running.engine.holding()()).unwrap_or_default())
    }

    fn with(&self, handed: Handed) -> Holding {
        let assignment = self.workplace.now().and_then(|running| running.log.assignment);
        let producers = assignment.map(|assignment| assignment.producers()).unwrap_or_default();
        Holding { identity: (self.identity)(), tables: own_shape(), producers, handed }
    }

    /// Has everything let go, once; whoever was given it may ask again.
    pub(super) async fn take(&self, asking: &Asking) -> Result<Holding, String> {
        let mut given = self.given.lock().await;
        match &*given {
            Some((by, answer)) if *by == asking.by => return Ok(answer.clone()),
            Some(_) => return Err("it was handed over to another standby already".to_owned()),
            None => {}
        }
        if let Some(why) = asking.identity.refusal(&(self.identity)()) {
            return Err(why);
        }
        match self.phases.now() {
            Phase::Running => {}
            phase => return Err(format!("this process has nothing to give: {phase:?}")),
        }
        let spooled = self.logs.spooled();
        if spooled > 0 {
            // They lie in this process's folder, and nobody would look there.
            return Err(format!(
                "{spooled} events are spooled here until the brokers are back: ask again when leadline_spool_records is 0"
            ));
        }
        let (tell, told) = oneshot::channel();
        let ending = || "this process ends".to_owned();
        self.asked.try_send(tell).map_err(|_| ending())?;
        let answer = self.with(told.await.map_err(|_| ending())?);
        *given = Some((asking.by, answer.clone()));
        tracing::info!(to = asking.identity.version, "handed over");
        Ok(answer)
    }

    pub(super) fn successor_is_ready(&self) {
        self.successor_ready.send_replace(true);
    }

    /// Resolves when the successor takes events.
    pub(crate) async fn wait_for_successor(&self) {
        // The sender is this value's own.
        let _ = self.successor_ready.subscribe().wait_for(|ready| *ready).await;
    }
}

/// Commits what is open, lets every partition go without leaving the group, and says what runs on.
pub(crate) fn give(running: Option<Running>) -> Handed {
    let Some(Running { engine, log: LogOf { assignment: Some(assignment), .. } }) = running else {
        return Handed::default();
    };
    let started = Instant::now();
    engine.begin_hand_over();
    if !ends_within(LEAVE_MAX, move || assignment.leave()) {
        tracing::warn!("not all partitions were let go in time; the group gives them away");
    }
    let handed = engine.hand_over();
    let took_ms = started.elapsed().as_millis();
    tracing::info!(took_ms, partitions = handed.commits.len(), calls = handed.jobs.len(), "all is let go");
    handed
}
