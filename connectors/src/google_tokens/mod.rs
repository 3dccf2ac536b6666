//! Access tokens of Google Cloud, for services that are asked over REST.
//!
//! Tokens end after an hour, so whoever asks does so before each request, and says when one was refused: then another
//! is asked for, once.

#[cfg(feature = "gcs")]
mod application;

use std::path::PathBuf;

#[cfg(feature = "gcs")]
pub use self::application::ApplicationTokens;
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;

/// Gives tokens that are good now.
pub trait GoogleTokens: Send + Sync + 'static {
    /// A token. `Reject` when a person has to do something about it.
    fn token(&self) -> BoxFuture<'_, Result<String, CallError>>;

    /// Google has refused this one: the next is another, if there is any.
    fn refused(&self, token: &str);
}

/// A token in a file that somebody else renews. It is read before each request.
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The token in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl GoogleTokens for TokenFile {
    fn token(&self) -> BoxFuture<'_, Result<String, CallError>> {
        Box::pin(async move {
            let path = self.path.display();
            let text = tokio::fs::read_to_string(&self.path).await.map_err(|error| CallError::Reject {
                why: format!("the token file {path} cannot be read: {error}"),
            })?;
            match text.trim() {
                "" => Err(CallError::Reject { why: format!("the token file {path} is empty") }),
                token => Ok(token.to_owned()),
            }
        })
    }

    fn refused(&self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_file_is_read_anew_and_says_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let tokens = TokenFile::new(&path);
        assert!(tokens.token().await.unwrap_err().to_string().contains("cannot be read"));
        for (text, wanted) in
            [("ya29.one\n", Some("ya29.one")), (" \n", None), ("ya29.two", Some("ya29.two"))]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(tokens.token().await.ok().as_deref(), wanted);
        }
    }
}
