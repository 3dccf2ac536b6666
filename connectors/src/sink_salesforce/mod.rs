//! Sink for Salesforce: a Lead per caller, a Task per call, both upserted by an external id of ours.
//!
//! - A lead and its call go in one request (`composite`), which counts as one of the day's; leads that come together go by
//!   the two hundred (`composite/sobjects`), where errors stand inside HTTP 200. Once more changes nothing.
//! - Sessions come by JWT bearer or client credentials (which `leadline` signs in with itself), or by a grant; a session
//!   that has ended is had anew once. All requests go to the instance that the sign-in names.
//! - `Sforce-Limit-Info` says what the whole organisation has used: a tenth of its day is left to the others.
//! - A lead without a name never replaces a name that people have entered.

mod batch;
mod client;
mod config;
mod judge;
mod login;
mod setup;
mod sink;
#[cfg(test)]
mod tests;

pub use client::SalesforceClient;
pub use config::{Config, KIND, LOGIN_URL, VERSION};
pub use setup::setup;
pub use sink::SalesforceSink;
