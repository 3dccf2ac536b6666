//! The embedded log against its promises, on a real and on a simulated disk.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests fail like tests"
)]

mod conformance;
mod crashes;
mod damage;
mod life;
mod real;
mod room;
mod simulated;
