//! What runs the pipeline: a timely dataflow per partition, epochs with atomic commits, state, jobs, timers.
//!
//! The only room that knows timely. `pipeline.rs` builds on [`Flow`]; the binary starts an engine with the contracts of its connectors.

mod applier;
mod assembly;
mod cells;
mod changes;
mod chunks;
mod clock;
mod drain;
mod effects;
mod feed;
mod graph;
mod handover;
mod jobs;
mod keys;
mod lease;
mod limits;
mod moving;
mod overlay;
mod ownership;
mod partition;
mod placing;
mod reading_back;
mod restore;
mod rows;
mod snapshot;
mod snapshots;
mod start;
#[cfg(feature = "simulation")]
mod stepped;
mod store_writer;
mod suspects;
#[cfg(test)]
mod tests;
mod told;
mod topology;
mod worker;

pub use assembly::EngineParts;
pub use drain::Fence;
pub use graph::{BuildPipeline, Flow};
pub use handover::{Handed, RunningJob};
pub use jobs::Responders;
pub(crate) use limits::{HANDED_CALLS_MAX, RESTORES_MAX};
pub use moving::count as handed_over;
pub use partition::Position;
pub(crate) use partition::lock;
pub use reading_back::{CommittedRecords, PartitionRecords};
pub use restore::RestoreError;
pub use snapshot::newest_size;
pub use start::Engine;
#[cfg(feature = "simulation")]
pub use stepped::{Part, SteppedEngine};
pub use store_writer::Stored;
pub use topology::{Edge, Node, Topology};
pub use worker::describe;
