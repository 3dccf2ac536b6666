//! The pipeline's operators: pure decisions, one file each.
//!
//! No I/O, no clock, no randomness, no timely, no tokio: an operator sees a record, a reply or a timer through its
//! [`contract::Context`] and answers with records, rows, jobs and timers. The engine owns everything else.

pub mod contract;
pub mod publish;
pub mod deliveries;
