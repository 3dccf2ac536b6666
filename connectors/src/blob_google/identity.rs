//! In whose name a bucket is asked.

use std::sync::OnceLock;

use google_cloud_auth::credentials::{Builder, Credentials, anonymous};

use crate::contract::blob::BlobError;

/// The application's default credentials, or nobody's.
pub(super) struct Identity {
    is_anonymous: bool,
    /// Made at the first use, for they belong to the runtime that they are made in: without one they panic.
    made: OnceLock<Credentials>,
}

impl Identity {
    /// Nobody's where a server for tests is asked.
    pub(super) fn new(is_anonymous: bool) -> Self {
        Self { is_anonymous, made: OnceLock::new() }
    }

    /// Whether nobody is asked for.
    pub(super) fn is_anonymous(&self) -> bool {
        self.is_anonymous
    }

    /// The credentials; on a runtime.
    pub(super) fn credentials(&self) -> Result<Credentials, BlobError> {
        self.made().map_err(|why| {
            BlobError::Unavailable(format!(
                "there are no credentials for Google: {why}; set GOOGLE_APPLICATION_CREDENTIALS"
            ))
        })
    }

    /// The same, or why there are none.
    pub(super) fn made(&self) -> Result<Credentials, String> {
        if let Some(made) = self.made.get() {
            return Ok(made.clone());
        }
        let fresh = match self.is_anonymous {
            true => anonymous::Builder::new().build(),
            false => Builder::default().build().map_err(|error| error.to_string())?,
        };
        Ok(self.made.get_or_init(|| fresh).clone())
    }
}
