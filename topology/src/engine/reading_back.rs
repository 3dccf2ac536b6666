//! What a record store lacks, read back: frames of the log, else what they came to, as the state store has it.

use std::sync::Arc;

use leadline_connectors::contract::blob::Blob;
use leadline_connectors::contract::log::Log;
use leadline_connectors::contract::state::{PartitionState, State};
use leadline_connectors::contract::store::Batch;
use leadline_schemas::frame::Output;
use leadline_schemas::layout::Change;
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, Offset, Partition, Topic};

use super::keys;
use super::moving::{Origin, brought_up};
use super::restore::{Owner, RestoreError, decode_frame};

/// Frames read back at a time.
const READ_BACK_BYTES: usize = 4 << 20;

/// Whose commits are read back.
#[derive(Clone, Copy)]
pub(super) struct Commits<'a> {
    pub(super) log: &'a dyn Log,
    pub(super) state: &'a dyn PartitionState,
    pub(super) partition: Partition,
    pub(super) generation: u32,
    /// Whether the partition's first rows come from the layout before: they are in no frame.
    pub(super) is_handed_over: bool,
}

impl Commits<'_> {
    /// The next commits behind `at`, as many as are read at once; none when there are none.
    pub(super) fn behind(&self, at: CommitNumber) -> Result<Option<Batch>, String> {
        let (log, partition) = (self.log, self.partition);
        let (first, end) = log.range(Topic::State, partition).map_err(|error| error.to_string())?;
        if at.0 >= end.0 {
            return Ok(None);
        }
        let is_handed_over = self.is_handed_over && at == CommitNumber(0);
        if at.0 < first.0 || is_handed_over {
            return self.whole_state(at).map(Some);
        }
        let chunk = log
            .fetch(Topic::State, partition, Offset(at.0), READ_BACK_BYTES)
            .map_err(|error| error.to_string())?;
        let mut commits = Vec::with_capacity(chunk.records.len());
        for record in &chunk.records {
            let (frame, outputs) =
                decode_frame(partition, record.offset, &record.value).map_err(|error| error.to_string())?;
            commits.push((frame.number, Arc::new(outputs)));
        }
        let Some((to, _)) = commits.last() else { return Ok(None) };
        Ok(Some(Batch { generation: self.generation, partition, from: at, to: *to, commits }))
    }

    /// All records of the compacted topics as the state store has them: what dropped frames came to.
    fn whole_state(&self, at: CommitNumber) -> Result<Batch, String> {
        let mut outputs = Vec::new();
        let applied = each_output(self.state, &mut |output| outputs.push(output))?;
        let commits = vec![(applied, Arc::new(outputs))];
        let (generation, partition) = (self.generation, self.partition);
        Ok(Batch { generation, partition, from: at, to: applied, commits })
    }
}

/// Shows each record of the compacted topics that a state store has; answers the commit that they stand at.
fn each_output(state: &dyn PartitionState, each: &mut dyn FnMut(Output)) -> Result<CommitNumber, String> {
    let view = state.view().map_err(|error| error.to_string())?;
    let applied = view.applied().map_err(|error| error.to_string())?;
    let (from, to) = ([keys::OUTPUTS], keys::behind(&[keys::OUTPUTS]));
    view.scan(&from, Some(&to), &mut |key, value| {
        if let (Some(topic), Some(key)) =
            (key.get(1).and_then(|number| Topic::from_number(*number)), key.get(2..))
        {
            let (key, value) = (bytes::Bytes::copy_from_slice(key), bytes::Bytes::copy_from_slice(value));
            each(Output { topic, key, value });
        }
        std::ops::ControlFlow::Continue(())
    })
    .map_err(|error| error.to_string())?;
    Ok(applied)
}

/// What stopped workers have committed: for who fills a record store, or compares one with it.
pub struct CommittedRecords {
    /// Their log.
    pub log: Arc<dyn Log>,
    /// The state store of an instance that had all partitions, or one to be filled.
    pub state: Arc<dyn State>,
    /// Where snapshots lie.
    pub blob: Arc<dyn Blob>,
    /// Where snapshots are fetched.
    pub runtime: tokio::runtime::Handle,
    /// The layout.
    pub generation: u32,
    /// How rows came from the layout before, if there was one.
    pub origin: Option<Change>,
    /// The settings.
    pub settings: Arc<Settings>,
}

/// The same of one partition, whose rows stand at its newest commit.
pub struct PartitionRecords<'a> {
    of: &'a CommittedRecords,
    state: Arc<dyn PartitionState>,
    partition: Partition,
    /// The newest commit.
    pub end: CommitNumber,
}

impl CommittedRecords {
    /// Brings a partition's rows up to its newest commit: the store's, else a snapshot's, and the frames behind them.
    pub fn partition(&self, partition: Partition) -> Result<PartitionRecords<'_>, RestoreError> {
        let parts = (&*self.log, &*self.state, &*self.blob, &self.runtime);
        let (generation, origin) = (self.generation, self.origin.as_ref());
        let layout = Origin { generation, origin, settings: &self.settings };
        let (position, state) = brought_up(parts, &layout, partition, None, Owner::This)?;
        Ok(PartitionRecords { of: self, state, partition, end: position.number })
    }
}

impl PartitionRecords<'_> {
    /// Which partition it is.
    pub fn number(&self) -> Partition {
        self.partition
    }

    /// The next commits behind `at`; none at the end. The error is in words.
    pub fn behind(&self, at: CommitNumber) -> Result<Option<Batch>, String> {
        let commits = Commits {
            log: &*self.of.log,
            state: &*self.state,
            partition: self.partition,
            generation: self.of.generation,
            is_handed_over: self.of.generation > 1,
        };
        commits.behind(at)
    }

    /// Shows each record as it stands after the newest commit. The error is in words.
    pub fn each(&self, each: &mut dyn FnMut(Output)) -> Result<(), String> {
        each_output(&*self.state, each).map(drop)
    }
}
