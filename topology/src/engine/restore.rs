//! How a partition comes up: the store's rows, else a snapshot, then the frames that follow in the log.

use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::log::{Log, ReadError};
use leadline_connectors::contract::state::{Change, PartitionState, State, StateError};
use leadline_operators::contract::{Fault, TimerKind};
use leadline_schemas::avro::{self, AvroError};
use leadline_schemas::frame::{CommitFrame, Output};
use leadline_schemas::{CommitNumber, Millis, Offset, Partition, Topic};

use super::effects::{decode_job, decode_timer, ready_entry};
use super::keys;
use super::partition::{Position, is_compacted};
use super::snapshot;

/// Frames read at a time.
const RESTORE_READ_BYTES: usize = 8 << 20;

/// Why a partition cannot come up.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The log no longer has the frames that the store lacks.
    #[error(
        "partition {partition}: the state store is at commit {store}, the log starts behind commit {log_from}, and no \
         verified snapshot lies between; restore the data folder from a backup, or begin a new one with another --data"
    )]
    Gap {
        /// Partition.
        partition: Partition,
        /// What the store has.
        store: CommitNumber,
        /// The last commit that the log has dropped.
        log_from: CommitNumber,
    },
    /// The store is ahead of the log: the log's newest segments are missing.
    #[error(
        "partition {partition}: the state store is at commit {store} and the log ends at {log_end}: log segments are \
         missing; put them back, or move the state folder aside to go back to commit {log_end}"
    )]
    Ahead {
        /// Partition.
        partition: Partition,
        /// What the store has.
        store: CommitNumber,
        /// What the log has.
        log_end: CommitNumber,
    },
    /// A frame cannot be read.
    #[error("partition {partition}: commit frame at offset {offset} cannot be read: {error}")]
    Frame {
        /// Partition.
        partition: Partition,
        /// Offset in topic `state`.
        offset: u64,
        /// What was wrong.
        error: AvroError,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The store cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A row in a frame is not what it should be.
    #[error("{0}")]
    Row(String),
    /// Snapshots cannot be read or written now.
    #[error("snapshots: {0}")]
    Snapshot(String),
}

impl RestoreError {
    /// Whether it may go by itself.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Log(ReadError::Unavailable(_)) | Self::Snapshot(_))
    }
}

impl From<Fault> for RestoreError {
    fn from(fault: Fault) -> Self {
        Self::Row(fault.to_string())
    }
}

/// Where a partition stands that never committed.
pub(super) const NOTHING: Position = Position {
    number: CommitNumber(0),
    inbound_next: Offset(0),
    replies_next: Offset(0),
    now: Millis(0),
    settings_version: 0,
    watermark: Millis(0),
    released: false,
    drained: false,
};

/// Who works on a partition that is brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// This process: its rows are to be those of the newest commit there will ever be of an owner before.
    This,
    /// Another, which commits on: its rows are followed.
    Another,
}

/// Applies the frames that the store lacks and answers where the partition stands. `known` is where it stood when this
/// was last asked: if the store has just that, no frame is read for its position alone.
pub(super) fn catch_up(
    log: &dyn Log,
    partition: Partition,
    store: &Arc<dyn PartitionState>,
    known: Option<Position>,
    owner: Owner,
) -> Result<Position, RestoreError> {
    let (first, end) = match owner {
        Owner::This => log.range(Topic::State, partition)?,
        Owner::Another => log.range_so_far(partition)?,
    };
    let applied = store.applied()?;
    if applied.0 > end.0 {
        return Err(RestoreError::Ahead { partition, store: applied, log_end: CommitNumber(end.0) });
    }
    if applied.0 < first.0 {
        return Err(RestoreError::Gap { partition, store: applied, log_from: CommitNumber(first.0) });
    }
    if end.0 == 0 {
        return Ok(known.unwrap_or(NOTHING));
    }
    let known = known.filter(|known| known.number == applied);
    let mut position = known.unwrap_or(NOTHING);
    // From the last applied frame on, for its position, even when nothing is missing.
    let start = if known.is_some() { applied.0 } else { applied.0.saturating_sub(1) };
    let mut from = Offset(start.max(first.0));
    while from < end {
        let chunk = match log.fetch(Topic::State, partition, from, RESTORE_READ_BYTES) {
            // By an owner that still works, since the log was asked what it has.
            Err(ReadError::Dropped { first, .. }) => {
                let log_from = CommitNumber(first.0);
                return Err(RestoreError::Gap { partition, store: store.applied()?, log_from });
            }
            chunk => chunk?,
        };
        for record in &chunk.records {
            let (frame, outputs) = decode_frame(partition, record.offset, &record.value)?;
            if frame.number > applied {
                store.apply(&changes_of(&frame, &outputs, &**store)?, frame.number)?;
            }
            position = position_of(&frame);
        }
        if chunk.next <= from {
            return Err(RestoreError::Row(format!(
                "partition {partition}: the log ends before its own end at {end}"
            )));
        }
        from = chunk.next;
    }
    Ok(position)
}

/// What a partition is brought up from: the log, the state store, and where snapshots lie and are fetched.
pub(super) type Parts<'a> = (&'a dyn Log, &'a dyn State, &'a dyn Blob, &'a tokio::runtime::Handle);

/// Brings a partition's rows up to its newest commit: the store's, else a snapshot's, and the frames behind them.
///
/// Beside an owner that still works the log may lose frames before they are read. It loses them on the strength of newer
/// snapshots, so it goes on from one of these for as long as there are any.
pub(super) fn bring_up(
    (log, state, blob, runtime): Parts<'_>,
    generation: u32,
    partition: Partition,
    mut store: Arc<dyn PartitionState>,
    mut known: Option<Position>,
    owner: Owner,
) -> Result<(Position, Arc<dyn PartitionState>), RestoreError> {
    let mut restored = None;
    loop {
        let (at, log_from) = match catch_up(log, partition, &store, known.take(), owner) {
            Err(RestoreError::Gap { store: at, log_from, .. }) => (at, log_from),
            position => return Ok((position?, store)),
        };
        tracing::warn!(
            partition = partition.0,
            store = at.0,
            log_from = log_from.0,
            "rebuilding from a snapshot"
        );
        drop(store);
        state.clear(partition)?;
        store = state.open(partition)?;
        let newest = runtime.block_on(snapshot::restore(blob, generation, partition, &store))?;
        if newest <= restored {
            return Err(RestoreError::Gap { store: at, log_from, partition });
        }
        restored = newest;
    }
}

/// Reads a frame, and its records for the output topics.
pub(super) fn decode_frame(
    partition: Partition,
    offset: Offset,
    bytes: &[u8],
) -> Result<(CommitFrame, Vec<Output>), RestoreError> {
    let read = avro::decode::<CommitFrame>(bytes).and_then(|frame| {
        let outputs = frame.outputs()?;
        Ok((frame, outputs))
    });
    read.map_err(|error| RestoreError::Frame { partition, offset: offset.0, error })
}

fn position_of(frame: &CommitFrame) -> Position {
    Position {
        number: frame.number,
        inbound_next: frame.inbound_next,
        replies_next: frame.replies_next,
        now: frame.now,
        settings_version: frame.settings_version,
        watermark: frame.watermark,
        released: frame.released,
        drained: frame.drained,
    }
}

/// A frame's rows with the index entries that follow from them, and its records of compacted topics.
fn changes_of(
    frame: &CommitFrame,
    outputs: &[Output],
    store: &dyn PartitionState,
) -> Result<Vec<Change>, RestoreError> {
    let mut changes = Vec::with_capacity(frame.rows.len() + outputs.len());
    for row in &frame.rows {
        if is_indexed(&row.key) {
            if let Some(old) = store.get(&row.key)?
                && let Some(entry) = index_entry(&row.key, &old)?
            {
                changes.push(Change { key: entry, value: None });
            }
            if let Some(new) = &row.value
                && let Some(entry) = index_entry(&row.key, new)?
            {
                changes.push(Change { key: entry, value: Some(Bytes::new()) });
            }
        }
        changes.push(Change { key: row.key.clone(), value: row.value.clone() });
    }
    for output in outputs {
        if is_compacted(output.topic) {
            let value = (!output.value.is_empty()).then(|| output.value.clone());
            changes.push(Change { key: Bytes::from(keys::output(output.topic, &output.key)), value });
        }
    }
    Ok(changes)
}

/// Whether index entries follow from a row.
fn is_indexed(key: &[u8]) -> bool {
    keys::parse_row(key).is_some_and(|row| {
        row.table >= keys::TIMERS_FIRST || (row.operator == keys::ENGINE && row.table == keys::JOBS)
    })
}

/// The index entry that follows from a row, if any.
pub(super) fn index_entry(key: &[u8], value: &[u8]) -> Result<Option<Bytes>, RestoreError> {
    let Some(row) = keys::parse_row(key) else { return Ok(None) };
    let kinds = [TimerKind::Now, TimerKind::Event];
    if let Some(kind) = kinds.into_iter().find(|kind| keys::timer_table(*kind) == row.table) {
        return Ok(Some(Bytes::from(keys::due(kind, decode_timer(value)?, key))));
    }
    if row.operator == keys::ENGINE && row.table == keys::JOBS {
        return Ok(Some(Bytes::from(ready_entry(&decode_job(value)?, key))));
    }
    Ok(None)
}
