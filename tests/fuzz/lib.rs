//! The targets, for libFuzzer. `main.rs` runs the same ones without it.

pub mod targets;
