//! Each operator against a small sequential model, with inputs in any order, duplicates, late and contradictory
//! replies, and timers. What is a promise of the design has its name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod driver;
mod inputs;

mod alert;
mod chain;
mod checks;
mod contract;
mod decode;
mod dedupe;
mod deliveries;
mod digests;
mod fetching;
mod gathered;
mod leads;
mod payloads;
mod process;
mod pull;
mod route;
mod routing;
mod speech_budget;
mod spending;
mod stages;
mod transcribing;
mod waits;
mod window;
