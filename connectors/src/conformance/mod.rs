//! One suite per contract, run against every implementation of it.
//!
//! A suite is a function that takes a factory. It panics on the first promise that is not kept, with the promise
//! in its message, and so is called from a `#[test]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod blob;
pub mod secrets;
pub mod state;
