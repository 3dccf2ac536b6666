//! The pipeline's operators: pure decisions, one file each.
//!
//! No I/O, no clock, no randomness, no timely, no tokio: an operator sees a record, a reply or a timer through its
//! [`contract::Context`] and answers with records, rows, jobs and timers. The engine owns everything else.

pub mod alert;
pub mod contract;
pub mod decode;
pub mod dedupe;
pub mod deliveries;
pub mod hours;
pub mod leads;
pub mod publish;
pub mod pull;
pub mod recording;
pub mod route;
pub mod routing;
pub mod rules;
pub mod score;
pub mod spending;
mod stage;
pub mod transcribe;
pub mod window;
