//! Apply: the steps of a change of layout that one command takes. Each may be its last; the next run goes on from there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{Append, Log as _};
use leadline_connectors::log_kafka::topics::{self, Line};
use leadline_connectors::log_kafka::{KafkaConfig, KafkaLog};
use leadline_schemas::avro;
use leadline_schemas::layout::{Change, LAYOUT_KEY, LayoutRecord, Shape};
use leadline_schemas::settings::Settings;
use leadline_schemas::{Partition, Topic};

use super::follow::SOURCES_MAX;
use super::plan::{Asked, Lines, Plan, first, plan};
use crate::blobs;
use crate::config::Config;
use crate::engine::newest_size;
use crate::logs::{all_settings, kafka_config};

/// How often it is looked how far the workers are.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is said whom the change waits for.
const SAY: Duration = Duration::from_secs(5);

/// A cluster whose layout is looked at or changed.
pub struct Cluster {
    kafka: KafkaConfig,
    replication: u16,
    config: Config,
    blob: Arc<dyn Blob>,
    blobs: PathBuf,
    settings: Settings,
    present: LayoutRecord,
    runtime: tokio::runtime::Runtime,
}

impl Cluster {
    /// Asks the brokers what there is.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let kafka = kafka_config(config);
        let settings = all_settings(config)?;
        let present = match settings.layout() {
            Some(record) => (**record).clone(),
            None => first(KafkaLog::open(kafka.clone())?.partitions()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let blob = blobs::open(config, &clock)?;
        let (replication, blobs) = (config.kafka.replication, config.blob_folder());
        Ok(Self { kafka, replication, config: config.clone(), blob, blobs, settings, present, runtime })
    }

    /// What there is to do.
    pub fn plan(&self, asked: &Asked) -> anyhow::Result<Plan> {
        Ok(plan(&self.present, &self.settings, asked)?)
    }

    /// What a change comes to, line by line.
    pub fn describe(&self, change: &Change) -> anyhow::Result<Vec<String>> {
        let mut lines: Vec<String> = Lines(change).to_string().lines().map(str::to_owned).collect();
        let kafka = self.kafka.of_generation(change.to.generation);
        let made = topics::plan(&kafka, change.to.partitions, self.replication)?;
        lines.extend(made.iter().filter(|line| !matches!(line, Line::Same { .. })).map(ToString::to_string));
        let (mut rows, mut bytes, mut without) = (0, 0, Vec::new());
        for number in 0..change.from.partitions {
            let size = newest_size(&*self.blob, change.from.generation, Partition(number));
            match self.runtime.block_on(size)? {
                Some((more_rows, more_bytes)) => (rows, bytes) = (rows + more_rows, bytes + more_bytes),
                None => without.push(number),
            }
        }
        let moving = (0..change.to.partitions).map(Partition).filter(|to| {
            let origins = change.origins(*to);
            change.from.partitions != change.to.partitions || origins != BTreeSet::from([*to])
        });
        lines.push(format!(
            "  {} of {} partitions get rows from others; {} tenants",
            moving.count(),
            change.to.partitions,
            self.settings.tenants().count(),
        ));
        lines.push(format!(
            "  {rows} rows, {bytes} bytes, as of the newest snapshots: the blob store and the workers' disks need as \
             much again"
        ));
        if !without.is_empty() {
            lines.push(format!(
                "  {} partitions have no snapshot yet, so their rows are not in this",
                without.len()
            ));
        }
        Ok(lines)
    }

    /// Makes a new layout, or goes on where an earlier run has stopped; returns when it is in use everywhere.
    pub fn apply(&self, plan: Plan, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        let record = match plan {
            Plan::Nothing => return Ok(()),
            Plan::GoOn(record) => record,
            Plan::Change(change) => self.begin(change, say)?,
        };
        let origin = record.origin.clone().context("the layout's record names none before it")?;
        std::thread::sleep(SOURCES_MAX); // Until then sources leave by themselves.
        topics::close(&self.kafka.of_generation(origin.generation))?;
        say(&format!("layout {} takes no more events", origin.generation));
        self.wait_for(&record.shape, say)?;
        self.put(&LayoutRecord { done: true, at: SystemClock.wall(), ..record.clone() })?;
        say(&format!("layout {} is in use", record.shape.generation));
        Ok(())
    }

    /// Up to the fence: from then on the processes go on by themselves.
    fn begin(&self, change: Change, say: &mut dyn FnMut(&str)) -> anyhow::Result<LayoutRecord> {
        self.refuse_too_early(&change.from)?;
        let kafka = self.kafka.of_generation(change.to.generation);
        topics::apply(&kafka, change.to.partitions, self.replication)?;
        say(&format!("the topics of layout {} are made", change.to.generation));
        let record =
            LayoutRecord { shape: change.to, origin: Some(change.from), done: false, at: SystemClock.wall() };
        let now = all_settings(&self.config)?;
        if now.layout() != self.settings.layout() {
            return Err(anyhow!(
                "somebody else has changed the layout meanwhile: look at `leadline layout plan`"
            ));
        }
        self.put(&record)?;
        say(&format!("events go to layout {}", record.shape.generation));
        Ok(record)
    }

    /// A layout that came from another can be left only when its rows lie in snapshots of its own.
    fn refuse_too_early(&self, present: &Shape) -> anyhow::Result<()> {
        for number in (0..present.partitions).filter(|_| present.generation > 1) {
            let size = newest_size(&*self.blob, present.generation, Partition(number));
            if self.runtime.block_on(size)?.is_none() {
                return Err(anyhow!(
                    "partition {number} of layout {} has no snapshot in {} yet: wait for state.snapshot_interval_s, \
                     and give the workers' blobs.folder to this command",
                    present.generation,
                    self.blobs.display(),
                ));
            }
        }
        Ok(())
    }

    fn put(&self, record: &LayoutRecord) -> anyhow::Result<()> {
        let log = KafkaLog::open(self.kafka.of_generation(record.shape.generation))?;
        let (partition, key) = (Partition(0), Bytes::from_static(LAYOUT_KEY));
        let value = Bytes::from(avro::encode(record)?);
        let append = log.append(vec![Append { topic: Topic::Settings, partition, key, value }]);
        self.runtime.block_on(append)?;
        Ok(())
    }

    /// Until each partition of the new layout has committed: it has its rows then.
    fn wait_for(&self, shape: &Shape, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        let log = KafkaLog::open(self.kafka.of_generation(shape.generation))?;
        let mut waited_for: BTreeSet<u16> = (0..shape.partitions).collect();
        let mut said: Option<Instant> = None;
        loop {
            for number in waited_for.clone() {
                // A broker that is away is asked again.
                if log.range(Topic::State, Partition(number)).is_ok_and(|(_, end)| end.0 > 0) {
                    waited_for.remove(&number);
                }
            }
            if waited_for.is_empty() {
                return Ok(());
            }
            if said.is_none_or(|said| said.elapsed() >= SAY) {
                said = Some(Instant::now());
                let running = usize::from(shape.partitions) - waited_for.len();
                say(&format!(
                    "{running} of {} partitions work in layout {}; the workers go on by themselves",
                    shape.partitions, shape.generation
                ));
            }
            std::thread::sleep(LOOK);
        }
    }
}
