//! What an engine pays at the least: reading the log, and parsing each body once.

use std::path::Path;

use anyhow::{Result, ensure};
use leadline_connectors::contract::log::Log as _;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::{Offset, Partition, Topic, callrail};

use super::PARTITIONS;
use super::child::cpu_s_of_thread;
use super::events::Events;
use super::fill::open_log;

/// Bytes per read: the engine's.
const READ_BYTES: usize = 512 << 10;

/// CPU seconds of loops over the whole log, each on this thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Baseline {
    /// Reading.
    pub(super) read_s: f64,
    /// Parsing each body with `serde_json` into a `Value`.
    pub(super) parse_s: f64,
    /// What the engine does instead: the Avro envelope ...
    pub(super) envelope_s: f64,
    /// ... and the body as a canonical event.
    pub(super) decode_s: f64,
}

/// Reads and parses every record.
pub(super) fn run(folder: &Path, events: &Events) -> Result<Baseline> {
    let log = open_log(folder)?;
    let (mut times, mut records) = (Baseline::default(), 0_u64);
    for partition in 0..PARTITIONS {
        let mut from = Offset(0);
        loop {
            let mut at = cpu_s_of_thread();
            let mut lap = || {
                let before = std::mem::replace(&mut at, cpu_s_of_thread());
                at - before
            };
            let chunk = log.read(Topic::Inbound, Partition(partition), from, READ_BYTES)?;
            times.read_s += lap();
            if chunk.records.is_empty() {
                break;
            }
            for record in &chunk.records {
                // The body is the only JSON in a record and stands near its end.
                let start = record.value.iter().position(|byte| *byte == b'{').unwrap_or_default();
                let end = record.value.iter().rposition(|byte| *byte == b'}').unwrap_or_default();
                let body = record.value.get(start..=end).unwrap_or_default();
                let value: serde_json::Value = serde_json::from_slice(body)?;
                ensure!(std::hint::black_box(value).is_object(), "a body is an object");
            }
            times.parse_s += lap();
            let inbound = chunk.records.iter().map(|record| Inbound::decode(&record.value));
            let inbound = inbound.collect::<Result<Vec<_>, _>>()?;
            times.envelope_s += lap();
            for inbound in &inbound {
                std::hint::black_box(callrail::decode(Some(inbound.kind), &inbound.body)?);
            }
            times.decode_s += lap();
            records += chunk.records.len() as u64;
            from = chunk.next;
        }
    }
    ensure!(records == events.count, "{records} records in the log, not {}", events.count);
    Ok(times)
}
