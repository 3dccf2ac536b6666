//! The oracle: what must have been committed, computed from the events, against the frames in the log.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Result, ensure};
use leadline_connectors::contract::log::Log as _;
use leadline_schemas::frame::CommitFrame;
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_schemas::{Millis, Offset, Partition, Topic, avro};

use super::PARTITIONS;
use super::child::cpu_s_of_thread;
use super::events::{Events, tenant_name};
use super::fill::open_log;

/// Bytes per read.
const READ_BYTES: usize = 8 << 20;

/// New calls by tenant and minute.
pub(crate) type Windows = BTreeMap<(String, i64), i64>;

/// New calls by tenant and minute, and how many events were duplicates.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    windows: Windows,
    duplicates: u64,
}

/// Output records, as they are read back.
#[derive(Default)]
pub(crate) struct Tally {
    /// Revision and calls of each window.
    newest: BTreeMap<(String, i64), (i64, i64)>,
    duplicates: u64,
}

impl Tally {
    /// Takes the next record of a partition.
    pub(crate) fn add(&mut self, topic: Topic, value: &[u8]) -> Result<()> {
        match topic {
            Topic::Requests => {
                let request: Request = avro::decode(value)?;
                self.duplicates += u64::from(request.status == RequestStatus::Duplicate);
            }
            Topic::Metrics => {
                let window: WindowMetrics = avro::decode(value)?;
                if window.window == WindowKind::Minute {
                    let key = (window.tenant.to_string(), window.start.0);
                    let before = self.newest.insert(key, (window.revision, window.calls));
                    ensure!(
                        before.is_none_or(|(revision, _)| revision < window.revision),
                        "a revision came twice"
                    );
                }
            }
            other => anyhow::bail!("there is a record of {other}"),
        }
        Ok(())
    }

    /// Compares all of it with what the events ask for.
    pub(crate) fn compare(self, events: &Events) -> Result<()> {
        let windows = self.newest.into_iter().map(|(key, (_, calls))| (key, calls)).collect();
        let found = Outcome { windows, duplicates: self.duplicates };
        let expected = expected(events);
        ensure!(
            expected.duplicates == found.duplicates,
            "{} duplicates were told apart, not {}",
            found.duplicates,
            expected.duplicates
        );
        for (window, count) in &expected.windows {
            let found = found.windows.get(window);
            ensure!(found == Some(count), "window {window:?} has {found:?} calls, not {count}");
        }
        let (wanted, there) = (expected.windows.len(), found.windows.len());
        ensure!(expected == found, "there are {there} windows, not {wanted}");
        Ok(())
    }
}

/// Compares what is committed in the log of a folder with what its events ask for. Answers the CPU seconds that
/// encoding all frames once more takes.
pub(super) fn check(folder: &Path, events: &Events) -> Result<f64> {
    let (tally, frames_s) = committed(folder)?;
    tally.compare(events)?;
    Ok(frames_s)
}

/// The calls that every engine must come to.
#[cfg(feature = "kafka")]
pub(crate) fn windows(events: &Events) -> Windows {
    expected(events).windows
}

fn expected(events: &Events) -> Outcome {
    let (mut outcome, mut seen) = (Outcome::default(), HashSet::new());
    for number in events.numbers() {
        let event = events.of(number);
        if event.root < events.earlier || !seen.insert(event.root) {
            outcome.duplicates += 1;
            continue;
        }
        let minute = event.at.0.div_euclid(Millis::MINUTE) * Millis::MINUTE;
        *outcome.windows.entry((tenant_name(event.tenant), minute)).or_default() += 1;
    }
    outcome
}

/// What the frames of the log say, read like any reader of the topics would.
fn committed(folder: &Path) -> Result<(Tally, f64)> {
    let log = open_log(folder)?;
    let (mut tally, mut frames_s) = (Tally::default(), 0.0);
    for partition in 0..PARTITIONS {
        let mut from = Offset(0);
        loop {
            let chunk = log.read(Topic::State, Partition(partition), from, READ_BYTES)?;
            if chunk.records.is_empty() {
                break;
            }
            for record in &chunk.records {
                let frame: CommitFrame = avro::decode(&record.value)?;
                let before = cpu_s_of_thread();
                ensure!(avro::encode(&frame)?.len() == record.value.len(), "a frame is encoded otherwise");
                frames_s += cpu_s_of_thread() - before;
                for output in frame.outputs()? {
                    tally.add(output.topic, &output.value)?;
                }
            }
            from = chunk.next;
        }
    }
    Ok((tally, frames_s))
}
