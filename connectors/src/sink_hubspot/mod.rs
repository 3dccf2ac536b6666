//! Sink for HubSpot: a contact per caller, a note per lead, an engagement per call.
//!
//! - The contact is upserted by a unique property of ours (`leadline_key` = tenant and caller), for who calls has no email
//!   address; `leadline integration setup` makes the property. Once more changes nothing.
//! - Notes and calls cannot be upserted. Each carries a mark; who may have arrived already is looked for among the contact's
//!   own notes and calls before it is made (never by search, which does not find what is new), so a lost answer leaves no
//!   second one. Their ids stay with the delivery: a lead that grows changes its note.
//! - A contact that is there under the lead's email address is taken over: our key is written to it.

mod client;
mod config;
mod engagements;
mod judge;
mod setup;
mod sink;
#[cfg(test)]
mod tests;

pub use client::HubSpotClient;
pub use config::{BASE_URL, Config, KIND, VERSION};
pub use setup::setup;
pub use sink::HubSpotSink;
