//! Sink for Pipedrive: a person, a lead with its number, and a note that changes as the lead does.
//!
//! - Version 2 of the API has no leads and notes to create, so persons go by version 2 and the others by version 1.
//! - Pipedrive has no upsert and no idempotency key. Ids stay with the delivery, with a hash of what was written: nothing is
//!   written twice, nor written again where nothing has changed, for every request costs tokens of a daily budget.
//! - After an answer that was lost, and only then, it is looked what is there: the person by search, the lead by its
//!   `origin_id` among the person's leads, the note by its mark among the lead's notes. Search is some seconds behind, so
//!   the next attempt waits for it; if it is further behind, one person more is what a lost answer costs.
//! - A missed call is a note at its caller's person, who is looked for first and made where there is none. Its lead follows
//!   before search shows that person: so a process remembers for some minutes whom it has made (`callers.rs`). After a
//!   restart in between, one person more is what that costs.

mod callers;
mod client;
mod config;
mod judge;
mod missed;
mod person;
mod sink;
#[cfg(test)]
mod tests;
mod thing;

pub use client::{PipedriveClient, whose};
pub use config::{BASE_URL, Config, KIND};
pub use sink::PipedriveSink;
