//! leadline: signed webhooks in, scored leads out, through a durable log and a timely dataflow.
//!
//! `pipeline` is the data path on one page; `engine` is what runs it.

pub mod engine;
pub mod pipeline;
pub mod settings;
