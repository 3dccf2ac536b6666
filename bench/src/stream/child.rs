//! One run of the engine in a process of its own: started here, and what it does there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leadline_connectors::contract::log::Log as _;
use leadline_operators::contract::Operator as _;
use leadline_operators::decode::Decode;
use leadline_operators::dedupe::Dedupe;
use leadline_operators::window::Window;
use leadline_schemas::{Partition, Topic};
use rustix::time::{ClockId, clock_gettime};

use super::engine::Started;
use super::{PARTITIONS, engine, timed};
use crate::process::memory;

/// The argument that makes this process the child.
pub(crate) const COMMAND: &str = "--engine";
/// What its figures are told by in its output.
const MARK: &str = "measured ";
/// Windows are published a second after a change; after this long without a commit all are.
const QUIET: Duration = Duration::from_millis(1_500);
/// A run that takes longer is stuck.
const DEADLINE: Duration = Duration::from_secs(600);

/// Where state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// It fits in the store's cache.
    Memory,
    /// It does not.
    Disk,
}

impl Variant {
    pub(super) const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    /// What it is, in words.
    pub(super) fn about(self, earlier: u64) -> String {
        match self {
            Self::Memory => "fits in memory".to_owned(),
            Self::Disk => format!("on disk, {earlier} ids of before; half of the duplicates are of these"),
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name() == name)
    }
}

/// What a run has cost, by name: seconds, counts, megabytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured(BTreeMap<String, f64>);

impl Measured {
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    fn put(&mut self, name: &str, value: f64) {
        *self.0.entry(name.to_owned()).or_default() += value;
    }

    /// CPU seconds of the threads whose names start so.
    pub(crate) fn threads_s(&self, prefix: &str) -> f64 {
        let threads = self.0.iter().filter(|(name, _)| name.starts_with(&format!("thread {prefix}")));
        threads.map(|(_, seconds)| seconds).sum()
    }
}

/// Starts a run over the log and state of `folder` and waits for it.
pub(super) fn start(folder: &Path, variant: Variant) -> Result<Measured> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["stream", COMMAND]).arg(folder).arg(variant.name());
    measured_by(command)
}

/// Waits for a run and reads its figures.
pub(crate) fn measured_by(mut command: Command) -> Result<Measured> {
    let output = command.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the engine's process ended with {}", output.status);
    let mut measured = Measured::default();
    for line in String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.strip_prefix(MARK)) {
        let (name, value) = line.split_once('=').with_context(|| format!("the engine said {line:?}"))?;
        measured.put(name, value.parse()?);
    }
    Ok(measured)
}

/// Is that process.
pub(super) fn run(args: &[String]) -> Result<()> {
    let [folder, variant] = args else { bail!("{COMMAND} FOLDER memory|disk") };
    let variant = Variant::named(variant).with_context(|| format!("{variant} is no variant"))?;
    let began = Instant::now();
    let started = engine::start(Path::new(folder), variant)?;
    work_off(began, started, || {})
}

/// Waits until all is committed and published, leaves the group, stops the engine, and prints what it took since `began`.
pub(crate) fn work_off(began: Instant, started: Started, leave: impl FnOnce()) -> Result<()> {
    let opened = began.elapsed();
    let mut ends = Vec::new();
    for partition in 0..PARTITIONS {
        ends.push(started.log.range(Topic::Inbound, Partition(partition))?.1.0);
    }
    let committed = loop {
        std::thread::sleep(Duration::from_millis(50));
        let committed = started.commits.now();
        let done =
            ends.iter().enumerate().all(|(at, end)| *end == 0 || committed.inbound_next.get(at) == Some(end));
        if done && committed.last.is_some_and(|last| last.elapsed() > QUIET) {
            break committed;
        }
        ensure!(began.elapsed() < DEADLINE, "stuck: {committed:?} of {ends:?}");
    };
    let since = |at: Option<Instant>| at.map_or(0.0, |at| (at - began).as_secs_f64());
    let mut measured = Measured::default();
    measured.put("open_s", opened.as_secs_f64());
    measured.put("first_s", since(committed.first));
    measured.put("inputs_s", since(committed.last_input));
    measured.put("all_s", since(committed.last));
    measured.put("commits", committed.count as f64);
    measured.put("frame_mb", committed.frame_bytes as f64 / 1e6);
    measured.put("read_s", started.log.read_s());
    for id in [Decode::ID, Dedupe::ID, Window::ID] {
        measured.put(id.name, timed::spent_s(id));
    }
    threads(&mut measured)?;
    // What is left to apply and to sync is part of the price.
    leave();
    ensure!(started.engine.stop(), "the engine did not stop in time");
    measured.put("cpu_s", cpu_ns(ClockId::ProcessCPUTime) as f64 / 1e9);
    measured.put("peak_mb", memory(std::process::id())?.peak_mb);
    for (name, value) in &measured.0 {
        println!("{MARK}{name}={value}");
    }
    Ok(())
}

/// CPU seconds of every thread that lives, by name.
fn threads(measured: &mut Measured) -> Result<()> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let folder = task?.path();
        let name = std::fs::read_to_string(folder.join("comm"))?;
        let schedule = std::fs::read_to_string(folder.join("schedstat"))?;
        let ns: f64 = schedule.split(' ').next().unwrap_or_default().parse()?;
        measured.put(&format!("thread {}", name.trim()), ns / 1e9);
    }
    Ok(())
}

/// CPU seconds of this thread so far.
pub(super) fn cpu_s_of_thread() -> f64 {
    cpu_ns_of_thread() as f64 / 1e9
}

/// CPU nanoseconds of this thread so far.
pub(super) fn cpu_ns_of_thread() -> u64 {
    cpu_ns(ClockId::ThreadCPUTime)
}

fn cpu_ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    u64::try_from(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)).unwrap_or_default()
}
