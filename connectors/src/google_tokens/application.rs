//! The application's default credentials (feature `gcs`).

use std::sync::{Mutex, PoisonError};

use google_cloud_auth::credentials::{AccessTokenCredentials, Builder};

use super::GoogleTokens;
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;

/// Tokens of `GOOGLE_APPLICATION_CREDENTIALS`, or of the machine that this runs on.
pub struct ApplicationTokens {
    /// Google's library keeps a token until shortly before its end; made anew when one was refused.
    credentials: Mutex<AccessTokenCredentials>,
}

impl ApplicationTokens {
    /// Looks for credentials; nobody is asked yet.
    pub fn new() -> Result<Self, CallError> {
        Ok(Self { credentials: Mutex::new(fresh()?) })
    }
}

impl GoogleTokens for ApplicationTokens {
    fn token(&self) -> BoxFuture<'_, Result<String, CallError>> {
        let credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let token = credentials.access_token().await.map_err(|error| CallError::Retry {
                after: None,
                why: format!("Google gave no token: {error}"),
            })?;
            Ok(token.token)
        })
    }

    fn refused(&self, _: &str) {
        match fresh() {
            Ok(fresh) => *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = fresh,
            Err(error) => tracing::warn!(%error, "the credentials before are kept"),
        }
    }
}

fn fresh() -> Result<AccessTokenCredentials, CallError> {
    Builder::default().build_access_token_credentials().map_err(|error| CallError::Reject {
        why: format!("there are no credentials: {error}; set GOOGLE_APPLICATION_CREDENTIALS"),
    })
}
