//! Everything of leadline that touches the outside.
//!
//! [`contract`] says, one page each, what the engine expects of a log, a state store, a disk, ...; every other
//! module is a folder that fulfils one of them. Heavy clients (Kafka, Spanner, Google Cloud) are crates of their
//! own behind features, so that the embedded binary builds without them.

pub mod blob_folder;
pub mod clock_system;
pub mod contract;
pub mod disk_folder;
pub mod log_embedded;
pub mod secrets_file;
pub mod state_fjall;
pub mod state_memory;

#[cfg(feature = "simulation")]
pub mod conformance;
