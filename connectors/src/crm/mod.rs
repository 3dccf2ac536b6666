//! What the sinks of CRMs have in common: what a delivery tells ([`Told`]), how its fields are named at the other side
//! ([`fields`]), how often an account may be asked ([`limiter`]), in whose name ([`access`]), and the ids that stay with a
//! delivery ([`RemoteIds`]).

pub mod access;
pub mod fields;
pub mod gather;
mod lead;
pub mod limiter;
pub(crate) mod options;
mod remote;
mod setup;
#[cfg(test)]
pub(crate) mod testing;

pub use access::Credentials;
pub use lead::{Lead, Told};
pub use options::{check, one_of, yes};
pub use remote::RemoteIds;
pub use setup::SetupStep;

use std::time::Duration;

use tokio::time::Instant;

use crate::contract::provider::CallError;

/// Until when the requests of a delivery may take, all of them together.
pub fn until(deadline: Duration) -> Instant {
    Instant::now() + deadline
}

/// What is left until then.
pub fn left(until: Instant) -> Result<Duration, CallError> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(CallError::Retry { after: None, why: "did not answer in time".to_owned() }),
        false => Ok(left),
    }
}

/// What a person is told of a value: enough to find it again.
pub fn quoted(value: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let words: Vec<&str> =
        value.split(|letter: char| letter.is_whitespace() || letter.is_control()).collect();
    let line = words.join(" ");
    let start: String = line.chars().take(SHOWN_CHARS_MAX).collect();
    if start.len() < line.len() { format!("\"{start}...\"") } else { format!("\"{start}\"") }
}
