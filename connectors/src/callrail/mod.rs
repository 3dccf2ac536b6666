//! CallRail's API v3: what its webhooks do not bring, and how a company is connected.
//!
//! - [`CallRailClient`] asks: accounts and companies ([`account`]), calls by both pagings ([`calls`]), texts and forms
//!   ([`messages`]), a recording ([`recording`]), the integration that sends webhooks ([`hooks`]). [`WriteBackSink`]
//!   writes to calls.
//! - Every request is paid for by its account's [`budget`], shared by all tenants and companies of the account.
//! - Every address that comes from outside is judged by [`guard`].
//! - [`GetCall`] answers the jobs of missed calls, [`PullPages`] those that list an account.
//!
//! Facts are those of the v3 reference: keys are per user, ids name their kind (`ACC`, `COM`, `CAL`), no `Retry-After`, no
//! idempotency keys, 25 months of calls.

mod access;
pub mod account;
pub mod budget;
pub mod calls;
mod client;
mod config;
mod error;
mod fields;
pub mod guard;
pub mod hooks;
pub mod messages;
mod pages;
mod provider;
mod pull;
pub mod recording;
mod row;
mod sink;
#[cfg(test)]
mod tests;

pub use access::{Access, api_key_context};
pub use budget::Priority;
pub use client::CallRailClient;
pub use config::{BASE_URL, CallRailConfig, PER_PAGE_MAX};
pub use error::CallRailError;
pub use pages::{Page, PageMark};
pub use provider::{GetCall, SettingsNow};
pub use pull::PullPages;
pub use sink::WriteBackSink;
