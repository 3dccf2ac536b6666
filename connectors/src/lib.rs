//! Everything of leadline that touches the outside.
//!
//! [`contract`] says, one page each, what the engine expects of a log, a state store, a disk, ...; every other
//! module is a folder that fulfils one of them. Heavy clients (Kafka, Spanner, Google Cloud) are crates of their
//! own behind features, so that the embedded binary builds without them.

pub mod contract;
