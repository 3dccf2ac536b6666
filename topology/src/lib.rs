//! leadline: signed webhooks in, scored leads out, through a durable log and a timely dataflow.
//!
//! `pipeline` is the data path on one page; `engine` is what runs it.

pub mod admin;
mod appends;
pub mod blobs;
pub mod callrail;
pub mod config;
pub mod control;
pub mod crms;
pub mod demo;
pub mod descriptors;
pub mod engine;
pub mod evaluation;
mod following;
pub mod guard;
mod handover;
pub mod integrations;
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
pub mod scorers;
mod serving;
pub mod settings;
mod speech;
pub mod spool;
mod stop;
mod work;
