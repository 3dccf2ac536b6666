//! The simulator's own parts keep their contracts too: a double that promised less would find bugs that are none, and one
//! that promised more would hide some.

use std::sync::{Arc, Mutex, Weak};

use leadline_connectors::conformance::log::{LogUnderTest, Records, Values};
use leadline_connectors::conformance::other_side::Mood;
use leadline_connectors::conformance::provider::ProviderUnderTest;
use leadline_connectors::conformance::sink::SinkUnderTest;
use leadline_connectors::conformance::{Seeded, disk, log, provider, sink};
use leadline_connectors::contract::log::Log;
use leadline_connectors::disk_simulated::SimulatedDisk;
use leadline_connectors::log_embedded::{EmbeddedLog, EmbeddedLogConfig, LogSteps, Retention};
use leadline_operators::rules;
use leadline_schemas::Partition;
use leadline_schemas::score::ScoreInput;

use crate::clock::{BEGIN, SimClock};
use crate::folder::Folder;
use crate::log::{Accepted, Group, WatchedLog};
use crate::outside::{CallTruth, Callrail, Outside, Receiver, Scorer, Weather};

/// Runs the suites; panics with the promise that is not kept.
pub fn conform() {
    disk::suite(&|| Box::new(Folder::new(&SimulatedDisk::new(), "g1")));
    for machine in [None, Some(5)] {
        log::suite(&|| Box::new(Watched::new(machine)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        provider::suite_of_double(&scorer).await;
        provider::suite_of_double(&callrail).await;
        for kind in ["http", "pager"] {
            sink::suite_of_double(&|mood| receiver(kind, mood)).await;
        }
    });
}

fn outside(mood: Mood) -> Outside {
    let outside = Outside::new(1, Arc::new(SimClock::new()));
    outside.set_weather(match mood {
        Mood::Answers => Weather::Calm,
        Mood::Refuses => Weather::Refusing,
        Mood::Hangs => Weather::Hanging,
    });
    outside
}

fn scorer(mood: Mood) -> ProviderUnderTest {
    let score = rules::score(&serde_json::from_str::<ScoreInput>("{}").unwrap());
    let good = serde_json::to_string(&score).unwrap().leak();
    ProviderUnderTest { provider: Arc::new(Scorer(outside(mood))), kind: "score", payload: "{}", good }
}

fn callrail(mood: Mood) -> ProviderUnderTest {
    let outside = outside(mood);
    outside.tell("CAL1", CallTruth { ends_at: BEGIN, answered: true, voicemail: false });
    ProviderUnderTest {
        provider: Arc::new(Callrail(outside)),
        kind: "get_call",
        payload: r#"{"call_id":"CAL1"}"#,
        good: r#"{"answered":true,"call_type":"answered","voicemail":false}"#,
    }
}

fn receiver(kind: &'static str, mood: Mood) -> SinkUnderTest {
    SinkUnderTest {
        sink: Arc::new(Receiver { outside: outside(mood), kind }),
        secret: None,
        payload: sink::PAYLOAD,
        good: "",
    }
}

/// The log as the only member of a group sees it.
struct Watched {
    disk: SimulatedDisk,
    clock: Arc<SimClock>,
    life: Option<(LogSteps, Weak<EmbeddedLog>)>,
    /// Crashes of the machine, by a seed; else of the process.
    machine: Option<u64>,
    lives: u64,
}

impl Watched {
    fn new(machine: Option<u64>) -> Self {
        Self { disk: SimulatedDisk::new(), clock: Arc::new(SimClock::new()), life: None, machine, lives: 0 }
    }
}

impl LogUnderTest for Watched {
    fn start(&mut self) -> Arc<dyn Log> {
        if let Some((steps, log)) = self.life.take() {
            assert!(log.upgrade().is_none(), "the one before was dropped");
            drop(steps);
            self.disk = match self.machine {
                Some(seed) => self.disk.crash_machine(&mut Seeded::new(seed)),
                None => self.disk.crash_process(),
            };
        }
        let config = EmbeddedLogConfig {
            partitions: 2,
            segment_bytes: 64 << 10,
            append_queue_bytes_max: 5 << 20,
            tail_cache_bytes_max: 10_000,
            upkeep_interval_ms: 5,
            retention: Retention { inbound_ms: 0, replies_ms: 0, settings_ms: 0, state_ms: 0 },
            ..EmbeddedLogConfig::default()
        };
        self.lives += 1;
        let mut incarnations = Seeded::new(self.lives);
        let random = move || incarnations.next();
        let folder = Arc::new(Folder::new(&self.disk, "g1"));
        let (log, steps) = EmbeddedLog::open_stepped(config, folder, self.clock.clone(), random).unwrap();
        let (inner, group) = (Arc::new(log), Arc::<Group>::default());
        self.life = Some((steps, Arc::downgrade(&inner)));
        (0..2).for_each(|number| group.hand(Partition(number), 0));
        let (accepted, fault) = (Arc::<Accepted>::default(), Mutex::new(None));
        Arc::new(WatchedLog { inner, accepted, fault, generation: 1, member: 0, group })
    }
    fn values(&self) -> Arc<dyn Values> {
        Arc::new(Records)
    }
    fn work(&mut self) -> bool {
        self.life.as_mut().unwrap().0.turn()
    }
    fn holds_still(&self) -> bool {
        true
    }
    fn upkeep(&mut self) {
        self.clock.advance(5);
        while self.work() {}
    }
    fn fill(&mut self) -> bool {
        self.disk.set_capacity(Some(self.disk.used_bytes()));
        true
    }
    fn free(&mut self) {
        self.disk.set_capacity(None);
    }
}
