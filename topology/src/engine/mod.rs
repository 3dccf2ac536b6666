//! What runs the pipeline: a timely dataflow per partition, epochs with atomic commits, state, jobs, timers.
//!
//! The only room that knows timely. `pipeline.rs` builds on [`Flow`]; the binary starts an engine with the contracts of its connectors.

mod clock;
mod effects;
mod feed;
mod graph;
mod keys;
mod limits;
mod overlay;
mod partition;
mod suspects;
mod topology;

pub use graph::{BuildPipeline, Flow, Graph};
pub use partition::Position;
pub use topology::{Edge, Node, Topology};
