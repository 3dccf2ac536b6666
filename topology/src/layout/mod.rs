//! Layout: from one number of partitions, or one spread of a tenant, to the next, while everything runs.
//!
//! | step | who | a crash before its end |
//! | --- | --- | --- |
//! | the next layout's topics are made | `leadline layout apply` | nothing has happened; apply again |
//! | its record is written to `settings`: the fence | `leadline layout apply` | as above, or it is there |
//! | sources append to the new topics as soon as they know | each process ([`follow`]) | it reads the record at its start |
//! | the old `inbound` refuses records; its end is known | each worker, and `apply` ([`fence`]) | anybody does it again |
//! | each old partition comes to its end and hands its rows over | its owner (`engine/drain.rs`) | its next owner goes on |
//! | with all rows handed over the old engine ends and the next starts | each worker ([`follow`]) | it starts in the next |
//! | each new partition takes its rows and commits | its owner (`engine/moving.rs`) | taken again, until committed |
//! | the record says done | `leadline layout apply` | apply again |
//!
//! An event is in exactly one of the two `inbound`s: one that the old topic has refused was not acknowledged, and is
//! appended to the new one under the same id.

#[cfg(feature = "kafka")]
pub mod apply;
pub mod course;
#[cfg(feature = "kafka")]
mod fence;
pub mod follow;
pub mod plan;
mod state;

#[cfg(feature = "kafka")]
pub use fence::KafkaFence;
pub use state::GenerationState;
