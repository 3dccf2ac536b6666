//! Bearer tokens of services at which the operator of leadline has an account: a key in a file, or Google's own.

use std::path::PathBuf;

use crate::contract::BoxFuture;
use crate::contract::provider::CallError;

/// Longest key or token that is taken.
const TOKEN_BYTES_MAX: u64 = 16 << 10;

/// Answers with a token that is good now.
pub trait Bearer: Send + Sync + 'static {
    /// What goes behind `Bearer`. `Reject` when a person has to do something.
    fn token(&self) -> BoxFuture<'_, Result<String, CallError>>;

    /// The other side has refused this one before its end: the next is another, if there is any.
    fn refused(&self, _token: &str) {}
}

/// A file with nothing but the token: read each time, for others may replace it.
#[derive(Clone, Debug)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// The token in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Bearer for TokenFile {
    fn token(&self) -> BoxFuture<'_, Result<String, CallError>> {
        Box::pin(async move {
            let shown = self.0.display();
            let reject = |why: String| CallError::Reject { why };
            let read = async {
                if tokio::fs::metadata(&self.0).await?.len() > TOKEN_BYTES_MAX {
                    return Err(std::io::Error::other("it is longer than a key"));
                }
                tokio::fs::read_to_string(&self.0).await
            };
            let text = read.await.map_err(|error| {
                reject(format!("the key file {shown} cannot be read: {error}; write the key into it"))
            })?;
            let token = text.trim();
            if token.is_empty() || token.contains(|letter: char| letter.is_whitespace() || !letter.is_ascii())
            {
                return Err(reject(format!(
                    "the key file {shown} holds no key: write the key into it, and nothing else"
                )));
            }
            Ok(token.to_owned())
        })
    }
}

/// The application's default credentials at Google Cloud; the client behind it refreshes ahead of the end.
#[cfg(feature = "gcs")]
#[derive(Debug, Default)]
pub struct GoogleCredentials {
    /// Made at the first use, for it belongs to the runtime that it is made in; and anew when a token was refused.
    made: std::sync::Mutex<Option<google_cloud_auth::credentials::AccessTokenCredentials>>,
}

#[cfg(feature = "gcs")]
impl GoogleCredentials {
    /// The scope of all of Google Cloud's APIs.
    const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

    fn credentials(&self) -> Result<google_cloud_auth::credentials::AccessTokenCredentials, CallError> {
        let mut made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        let builder = google_cloud_auth::credentials::Builder::default().with_scopes([Self::SCOPE]);
        let fresh = builder.build_access_token_credentials().map_err(|error| CallError::Reject {
            why: format!("there are no credentials for Google: {error}; set GOOGLE_APPLICATION_CREDENTIALS"),
        })?;
        Ok(made.insert(fresh).clone())
    }
}

#[cfg(feature = "gcs")]
impl Bearer for GoogleCredentials {
    fn token(&self) -> BoxFuture<'_, Result<String, CallError>> {
        Box::pin(async move {
            match self.credentials()?.access_token().await {
                Ok(token) => Ok(token.token),
                Err(error) => {
                    let told = crate::http_client::one_line(error.to_string().as_bytes());
                    let why = format!("Google gave no token: {told}");
                    Err(match error.is_transient() {
                        true => CallError::Retry { after: None, why },
                        false => CallError::Reject { why },
                    })
                }
            }
        })
    }

    fn refused(&self, _: &str) {
        *self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_read_anew_each_time_and_a_file_without_one_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let bearer = TokenFile::new(&path);
        let missing = bearer.token().await.unwrap_err().to_string();
        assert!(missing.contains("cannot be read") && missing.contains("write the key"), "{missing}");
        for (content, token) in [("sk-1\n", "sk-1"), ("sk-2", "sk-2")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(bearer.token().await.unwrap(), token);
        }
        for content in ["", " \n", "two words", "s\u{e9}cret", &"x".repeat(20_000)] {
            std::fs::write(&path, content).unwrap();
            let why = bearer.token().await.unwrap_err().to_string();
            assert!(content.trim().is_empty() || !why.contains(content.trim()), "{why}");
        }
    }
}
