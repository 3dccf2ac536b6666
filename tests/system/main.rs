//! The promises, on the real binary. Each test is named after the promise it guards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod callrail;
mod clock;
mod damage;
mod db;
mod deploy;
mod faults;
mod interface;
mod isolation;
mod kills;
mod pulls;
mod rebuild;
mod recordings;
mod stops;
