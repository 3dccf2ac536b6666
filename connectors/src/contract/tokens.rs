//! Tokens: the access tokens of integrations that a person has allowed by OAuth.
//!
//! A sink asks before each request. Whoever answers refreshes ahead of the end, lets one refresh of an integration run at a
//! time, and commits new tokens, sealed, before anybody uses them: some vendors take a refresh token once.

use leadline_schemas::TenantId;
use leadline_schemas::settings::Integration;

use super::BoxFuture;
use super::provider::CallError;

/// Answers with tokens that are good now.
pub trait Tokens: Send + Sync + 'static {
    /// A token of the integration's grant. `Reject` when there is none, or a person has to allow it again.
    fn access(
        &self,
        tenant: &TenantId,
        integration: &Integration,
    ) -> BoxFuture<'_, Result<AccessToken, CallError>>;

    /// The other side has refused this token before its end: the next `access` brings another.
    fn refused(&self, tenant: &TenantId, integration: &Integration, token: &AccessToken);
}

/// A token, opened.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// What goes into the Authorization header.
    pub bearer: String,
    /// Where the account's API is, where each account has its own.
    pub api_url: Option<String>,
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessToken(*** at {:?})", self.api_url)
    }
}
