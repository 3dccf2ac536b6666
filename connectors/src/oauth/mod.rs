//! OAuth: how a person connects an account of HubSpot, Salesforce, Pipedrive or Slack, and how its tokens stay good.
//!
//! - [`routes`] send a browser to the vendor and take it back: a signed state says whose integration it is about, a cookie
//!   that it is the same browser, and PKCE, where the vendor has it, that nobody else can use the code.
//! - [`OAuthTokens`] hands out access tokens. New ones are committed, sealed, before anybody uses them. The owner of the
//!   tenant refreshes ahead of the end; of two that race the first commit wins, and the other takes what that one wrote.

mod apps;
mod exchange;
mod flow;
mod routes;
#[cfg(test)]
mod tests;
mod tokens;

pub use apps::{App, Apps, KINDS};
pub use flow::{Flow, LINK_MAX_MS};
pub use routes::{ConnectParts, routes};
pub use tokens::OAuthTokens;

use leadline_schemas::TenantId;
use leadline_schemas::settings::{Grant, Integration};

use crate::contract::BoxFuture;

/// What the keys of states and links are derived for.
pub const FLOW_PURPOSE: &str = "oauth flow";

/// What a grant's tokens are sealed for.
pub fn grant_context(tenant: &TenantId, integration: &str) -> String {
    format!("{tenant}/integration/{integration}/grant")
}

/// Where grants are kept: the tenants' records.
pub trait GrantStore: Send + Sync + 'static {
    /// An integration, as this process knows it now.
    fn current(&self, tenant: &TenantId, integration: &str) -> Option<Integration>;

    /// The same after reading to the end of what others have committed.
    fn fresh<'a>(&'a self, tenant: &'a TenantId, integration: &'a str) -> BoxFuture<'a, Option<Integration>>;

    /// Commits a grant in the place of the one of this generation. False: somebody else was first, and theirs counts.
    fn replace<'a>(
        &'a self,
        tenant: &'a TenantId,
        integration: &'a str,
        of_generation: i64,
        grant: Grant,
    ) -> BoxFuture<'a, Result<bool, String>>;

    /// Commits what a person has allowed; an integration that is not there yet is made.
    fn connect<'a>(
        &'a self,
        tenant: &'a TenantId,
        integration: &'a str,
        kind: &'a str,
        grant: Grant,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Whether this process refreshes the tenant's grants.
    fn is_mine(&self, tenant: &TenantId) -> bool;
}
