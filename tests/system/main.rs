//! The promises, on the real binary. Each test is named after the promise it guards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod backfill;
mod buckets;
mod callrail;
mod clock;
mod crm;
mod damage;
mod db;
mod deploy;
mod digests;
mod faults;
mod interface;
mod isolation;
mod kills;
mod messages;
mod pulls;
mod rebuild;
mod recordings;
mod scoring;
mod stops;
mod transcripts;
