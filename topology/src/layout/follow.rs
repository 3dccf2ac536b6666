//! Follow: takes a process from one layout to the next while it runs.
//!
//! Its sources append to the next layout as soon as its record is known. Its engine brings the old layout to its end;
//! when every partition has handed its rows over, here or elsewhere, it ends, and the next layout's starts. A process
//! that starts in between begins where the others are.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::state::State;
use leadline_schemas::Partition;
use leadline_schemas::layout::{LayoutRecord, Shape};

use super::GenerationState;
use super::course::{self, Step};
use crate::engine::{Engine, handed_over, lock};
use crate::logs::{LogOf, Logs};
use crate::settings::SettingsService;

/// How long sources have to leave an `inbound` before it refuses records: then hardly any is refused. What they append
/// to the new one waits that long.
pub const SOURCES_MAX: Duration = Duration::from_millis(500);
/// How often it is looked for another layout.
const LOOK: Duration = Duration::from_millis(100);

/// Starts an engine in a layout, with the layout that its rows come from.
pub type StartEngine = Box<dyn Fn(&LogOf, &LayoutRecord) -> anyhow::Result<Engine> + Send + Sync>;

/// What a process needs to follow the layout.
pub struct Following {
    /// The settings, which have the layout's record, and the way into `inbound`.
    pub settings: Arc<SettingsService>,
    /// The logs of the layouts.
    pub logs: Arc<Logs>,
    /// The store of all layouts.
    pub state: Arc<dyn State>,
    /// Where rows are handed over.
    pub blob: Arc<dyn Blob>,
    /// Where calls run.
    pub runtime: tokio::runtime::Handle,
    /// Starts engines; none in a process without one.
    pub start: Option<StartEngine>,
    /// Ends the process.
    pub fatal: Arc<dyn Fn(String) + Send + Sync>,
}

/// The engine of this process, whichever layout it is in; none while it is between two.
#[derive(Default)]
pub struct Workplace(Mutex<Option<Running>>);

/// An engine that runs, and where.
#[derive(Clone)]
pub struct Running {
    /// The engine.
    pub engine: Arc<Engine>,
    /// What it works on.
    pub log: LogOf,
}

impl Running {
    /// Takes part from now on.
    fn own(&self) -> anyhow::Result<()> {
        let Self { engine, log } = self;
        match &log.assignment {
            Some(assignment) => assignment.join(engine.owner())?,
            // Restored before anything is accepted: what is wrong with the data folder is told at once.
            None => engine.own(&(0..log.log.partitions()).map(Partition).collect::<Vec<_>>())?,
        }
        Ok(())
    }
}

impl Workplace {
    /// The engine as of now.
    pub fn now(&self) -> Option<Running> {
        lock(&self.0).clone()
    }

    /// Tells the workers that something they look at has changed.
    pub fn wake(&self) {
        if let Some(running) = self.now() {
            running.engine.waker()();
        }
    }

    /// Why it does not get on; none when it does. One that takes no part in its group misses none.
    pub fn trouble(&self, takes_part: bool) -> Option<String> {
        let Some(Running { engine, log }) = self.now() else {
            return Some("it is between two layouts".to_owned());
        };
        let group = log.assignment.as_ref().filter(|_| takes_part);
        group.and_then(|assignment| assignment.trouble()).or_else(engine.trouble())
    }
}

/// The thread that follows.
struct Thread {
    stop: Sender<()>,
    handle: JoinHandle<()>,
}

/// A process that follows the layout.
pub struct Follower {
    following: Arc<Following>,
    workplace: Arc<Workplace>,
    thread: Mutex<Option<Thread>>,
}

impl Follower {
    /// Starts the engine where the others are; it owns nothing yet.
    pub fn open(following: Following) -> anyhow::Result<Self> {
        let workplace = Arc::<Workplace>::default();
        if let Some(start) = &following.start {
            let record = following.record();
            if let Some(origin) = record.origin.as_ref().filter(|_| record.done) {
                following.forget_rows(origin); // It may have ended before it could.
            }
            let generation = following.begins_in(&record)?;
            let running = following.run(start, &record, generation)?;
            *lock(&workplace.0) = Some(running);
        }
        Ok(Self { following: Arc::new(following), workplace, thread: Mutex::default() })
    }

    /// Has the engine own its share.
    pub fn own(&self) -> anyhow::Result<()> {
        self.workplace.now().map_or(Ok(()), |running| running.own())
    }

    /// Follows from now on: an embedded log has one layout for good.
    pub fn follow(&self) -> anyhow::Result<()> {
        let mut thread = lock(&self.thread);
        if self.following.logs.are_shared() && thread.is_none() {
            let (stop, stopped) = channel();
            let (following, workplace) = (Arc::clone(&self.following), Arc::clone(&self.workplace));
            let follow = move || following.follow(&workplace, &stopped);
            let handle = std::thread::Builder::new().name("layout".to_owned()).spawn(follow)?;
            *thread = Some(Thread { stop, handle });
        }
        Ok(())
    }

    /// Follows no more; waits for a step that is under way.
    pub fn hold(&self) {
        if let Some(Thread { stop, handle }) = lock(&self.thread).take() {
            let _ = stop.send(()); // It may have ended by itself.
            let _ = handle.join(); // Its panic has been told already.
        }
    }

    /// The engine.
    pub fn workplace(&self) -> &Arc<Workplace> {
        &self.workplace
    }
}

impl Following {
    fn record(&self) -> LayoutRecord {
        match self.settings.current().layout() {
            Some(record) => (**record).clone(),
            None => {
                let at = leadline_schemas::Millis(0);
                LayoutRecord { shape: self.logs.first_shape(), origin: None, done: true, at }
            }
        }
    }

    /// The layout whose partitions are worked on.
    fn begins_in(&self, record: &LayoutRecord) -> anyhow::Result<u32> {
        let left = record.origin.as_ref().filter(|_| course::is_left(record).is_some());
        let is_handed_over = left.map_or(Ok(true), |origin| self.are_handed_over(origin))?;
        Ok(course::begins_in(record, is_handed_over))
    }

    fn are_handed_over(&self, origin: &Shape) -> anyhow::Result<bool> {
        let count = self.runtime.block_on(handed_over(&*self.blob, origin.generation))?;
        Ok(count >= usize::from(origin.partitions))
    }

    /// What is handed over is not needed here any more.
    fn forget_rows(&self, origin: &Shape) {
        let rows = GenerationState::new(Arc::clone(&self.state), origin.generation);
        let cleared = (0..origin.partitions).try_for_each(|number| rows.clear(Partition(number)));
        if let Err(error) = cleared {
            tracing::warn!(%error, "rows of the layout before take room until the state store is rebuilt");
        }
    }

    fn run(&self, start: &StartEngine, record: &LayoutRecord, generation: u32) -> anyhow::Result<Running> {
        let log = self.logs.of(generation)?;
        let engine = Arc::new(start(&log, record)?);
        Ok(Running { engine, log })
    }

    fn follow(&self, workplace: &Workplace, stopped: &Receiver<()>) {
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let record = self.record();
            if let Err(error) = self.lead_sources(&record) {
                tracing::error!(%error, "events cannot go to the new layout yet; trying again");
                continue;
            }
            if let Some(start) = &self.start
                && let Err(error) = self.lead_engine(start, &record, workplace)
            {
                tracing::error!(%error, "the engine cannot follow the layout yet; trying again");
            }
        }
    }

    /// Sources append to the newest layout.
    fn lead_sources(&self, record: &LayoutRecord) -> anyhow::Result<()> {
        if record.shape.generation > self.settings.layout().generation {
            let log = self.logs.of(record.shape.generation)?;
            self.settings.lead_to(record.shape.clone(), log.log);
            tracing::info!(generation = record.shape.generation, "events go to the new layout");
        }
        Ok(())
    }

    /// The engine ends its layout, and goes on in the next when all have.
    fn lead_engine(
        &self,
        start: &StartEngine,
        record: &LayoutRecord,
        workplace: &Workplace,
    ) -> anyhow::Result<()> {
        let Some(origin) = &record.origin else { return Ok(()) };
        let running = workplace.now();
        match course::step(record, running.as_ref().map(|running| running.log.generation)) {
            Step::Stay => return Ok(()),
            Step::Drain => {
                if let Some(Running { engine, log }) = &running {
                    engine.drain(|| self.logs.fence(log, self.runtime.clone()));
                }
                if !self.are_handed_over(origin)? {
                    return Ok(());
                }
            }
            Step::Move => {}
        }
        drop(running);
        let old = lock(&workplace.0).take();
        if let Some(Running { engine, log }) = old {
            log.leave();
            self.logs.forget(log.generation);
            if engine.stop() {
                self.forget_rows(origin);
            }
        }
        let started = self.run(start, record, record.shape.generation);
        match started.and_then(|running| running.own().map(|()| running)) {
            Ok(running) => *lock(&workplace.0) = Some(running),
            // The old engine is gone; a start from nothing is the way on.
            Err(error) => {
                (self.fatal)(format!("the engine of layout {}: {error:#}", record.shape.generation))
            }
        }
        tracing::info!(generation = record.shape.generation, "the engine works in the new layout");
        Ok(())
    }
}
