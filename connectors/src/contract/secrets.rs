//! Secrets: signing keys and tokens are sealed before they enter a record, and opened where they are used.

use leadline_schemas::settings::Sealed;

/// Seals and opens. Cheap enough to call on start and change of settings; never called per event.
pub trait Secrets: Send + Sync + 'static {
    /// Seals `plain` for `context` (`tenant/company`); it opens for the same context only.
    fn seal(&self, context: &str, plain: &[u8]) -> Result<Sealed, SecretError>;

    /// Opens what was sealed for `context`.
    fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError>;
}

/// Why a secret could not be sealed or opened; never contains the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("secret of {context}: {why}")]
pub struct SecretError {
    /// What it was for.
    pub context: String,
    /// What was wrong.
    pub why: String,
}
