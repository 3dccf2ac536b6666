//! What a leadline record is: ids, topics, partitioning, typed records and their Avro schemas.
//!
//! No I/O and no clock. Everything else in the workspace depends on this crate; it depends on nothing here.

pub mod audit;
pub mod avro;
pub mod baseline;
pub mod call;
pub mod callrail;
pub mod columns;
pub mod command;
pub mod contact;
mod content_hash;
pub mod dead_letter;
pub mod delivery;
pub mod direct;
pub mod event;
pub mod forms;
pub mod frame;
#[cfg(any(test, feature = "simulation"))]
pub mod golden;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod identity_tests;
pub mod ids;
pub mod inbound;
mod json_size;
pub mod layout;
pub mod lead;
pub mod missed;
pub mod partitioning;
pub mod phone;
pub mod pull;
pub mod recording;
pub mod reply;
pub mod request;
pub mod sabotage;
pub mod score;
pub mod settings;
mod sketch;
pub mod state;
#[cfg(test)]
mod testing;
pub mod time;
pub mod topic;
pub mod transcription;
pub mod window;

pub use content_hash::content_hash;
pub use ids::{Bucket, CallId, CommitNumber, EventId, JobId, KeyGroup, LeadId, Offset, Partition, TenantId};
pub use time::Millis;
pub use topic::Topic;
