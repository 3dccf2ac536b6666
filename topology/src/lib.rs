//! leadline: signed webhooks in, scored leads out, through a durable log and a timely dataflow.
//!
//! `pipeline` is the data path on one page; `engine` is what runs it.

pub mod admin;
mod appends;
pub mod blobs;
pub mod callrail;
pub mod config;
pub mod control;
pub mod demo;
pub mod descriptors;
pub mod engine;
mod following;
pub mod guard;
mod handover;
pub mod layout;
mod listening;
pub mod logs;
pub mod notify;
pub mod parts;
pub mod pipeline;
pub mod plan;
pub mod records;
mod routed;
pub mod run;
mod serving;
pub mod settings;
pub mod spool;
mod stop;
mod work;
