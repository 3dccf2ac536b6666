//! Whether a bucket can be used at all, asked once before anything relies on it.
//!
//! What does not pass by itself (no credentials, refused ones, no such bucket) is a mistake of the configuration and
//! refused at a start: otherwise it shows as recordings that are never there. What may pass keeps nobody from starting:
//! events are taken while the bucket is away, and recordings wait.

use std::path::PathBuf;
use std::time::Duration;

use google_cloud_auth::credentials::CacheableResource;
use google_cloud_gax::error::{CredentialsError, Error as GaxError};
use http::{Extensions, StatusCode};
use serde::Deserialize;

use super::GoogleBlob;
use super::json::{may_pass, quoted};

/// What leadline does with objects: all of it is in the role `roles/storage.objectUser`.
const PERMISSIONS: [&str; 4] =
    ["storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"];
/// Longest that one question takes.
const ASK_MAX: Duration = Duration::from_secs(5);
/// How often Google's metadata server is asked: beside a fresh pod it comes up some seconds later.
const METADATA_ATTEMPTS: u32 = 4;
const METADATA_PAUSE: Duration = Duration::from_secs(1);

/// Why a bucket cannot be used, whatever is waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nobody's name to ask in.
    #[error(
        "there are no credentials for Google ({0}): set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service \
         account, or run where Google gives a service account by itself (Cloud Run, GKE, Compute Engine)"
    )]
    NoCredentials(String),
    /// 400, 401, 403 or another answer that stays what it is.
    #[error(
        "the service refuses it ({0}): give the service account of GOOGLE_APPLICATION_CREDENTIALS the role \
         roles/storage.objectUser on this bucket"
    )]
    Refused(String),
    /// It may be read, and not everything else.
    #[error("the service account lacks {0} there: give it the role roles/storage.objectUser on this bucket")]
    Lacks(String),
    /// No such bucket.
    #[error("there is no such bucket: make it (`gcloud storage buckets create gs://NAME`), or mend its name")]
    NoBucket,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Objects can be listed, and written as far as the service tells.
    Usable,
    /// The service could not be asked now, or had an error that may pass.
    Away(String),
}

#[derive(Deserialize)]
struct Permitted {
    #[serde(default)]
    permissions: Vec<String>,
}

impl GoogleBlob {
    /// Asks whether the bucket can be used; at most some 30 seconds.
    pub async fn look(&self) -> Result<Looked, Unusable> {
        if let Some(away) = self.identify().await? {
            return Ok(Looked::Away(away));
        }
        let json = &self.shared.json;
        let (status, body) = match tokio::time::timeout(ASK_MAX, json.first_name()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Ok(Looked::Away(error.to_string())),
            Err(_) => return Ok(Looked::Away(format!("no answer in {ASK_MAX:?}"))),
        };
        match status {
            status if may_pass(status) => return Ok(Looked::Away(quoted(status, &body))),
            StatusCode::NOT_FOUND => return Err(Unusable::NoBucket),
            status if !status.is_success() => return Err(Unusable::Refused(quoted(status, &body))),
            _ => {}
        }
        // Servers for tests do not know the question, and who does not answer it refuses nothing.
        let permitted = tokio::time::timeout(ASK_MAX, json.permissions(&PERMISSIONS)).await;
        match permitted {
            Ok(Ok((StatusCode::OK, body))) => lacking(&body).map_or(Ok(Looked::Usable), Err),
            _ => Ok(Looked::Usable),
        }
    }

    /// Whether there is a name to ask in; what may pass is told.
    async fn identify(&self) -> Result<Option<String>, Unusable> {
        let identity = &self.shared.identity;
        let credentials = identity.made().map_err(Unusable::NoCredentials)?;
        let is_metadata = !identity.is_anonymous() && !has_file();
        let attempts = if is_metadata { METADATA_ATTEMPTS } else { 1 };
        let mut away = String::new();
        for attempt in 1..=attempts {
            match tokio::time::timeout(ASK_MAX, credentials.headers(Extensions::new())).await {
                Ok(Ok(CacheableResource::New { .. } | CacheableResource::NotModified)) => return Ok(None),
                Ok(Err(error)) if !error.is_transient() => {
                    return Err(Unusable::NoCredentials(words(&error)));
                }
                // A metadata server that answers is there, whatever ails it.
                Ok(Err(error)) if is_metadata && answered(&error) => return Ok(Some(words(&error))),
                Ok(Err(error)) => away = words(&error),
                Err(_) => away = format!("nobody answered in {ASK_MAX:?}"),
            }
            if attempt < attempts {
                tokio::time::sleep(METADATA_PAUSE).await;
            }
        }
        if is_metadata {
            return Err(Unusable::NoCredentials(format!(
                "no key file, and no metadata server of Google's: {away}"
            )));
        }
        Ok(Some(away))
    }
}

/// Which of the permissions are missing, by an answer to what there is.
fn lacking(body: &[u8]) -> Option<Unusable> {
    let permitted: Permitted = serde_json::from_slice(body).ok()?;
    let is_missing = |name: &&str| !permitted.permissions.iter().any(|permitted| permitted == name);
    let missing: Vec<&str> = PERMISSIONS.into_iter().filter(is_missing).collect();
    (!missing.is_empty()).then(|| Unusable::Lacks(missing.join(", ")))
}

/// Whether the application's default credentials are a file (AIP-4110); else Google's metadata server is asked.
fn has_file() -> bool {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_some()
        || home()
            .is_some_and(|home| home.join(".config/gcloud/application_default_credentials.json").exists())
}

/// Whether an HTTP server stands behind an error.
fn answered(error: &CredentialsError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<GaxError>().is_some_and(|error| error.http_status_code().is_some()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error without the page of advice that it comes with: the innermost cause says it in a line.
fn words(error: &CredentialsError) -> String {
    let mut innermost: &(dyn std::error::Error + 'static) = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string().lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named_and_an_answer_that_is_none_lacks_nothing() {
        let all = serde_json::json!({ "permissions": PERMISSIONS }).to_string();
        assert_eq!(lacking(all.as_bytes()), None);
        let reader = br#"{"permissions":["storage.objects.get","storage.objects.list"]}"#;
        let lacks = "storage.objects.create, storage.objects.delete".to_owned();
        assert_eq!(lacking(reader), Some(Unusable::Lacks(lacks)));
        assert!(matches!(lacking(b"{}"), Some(Unusable::Lacks(_))), "none at all");
        assert_eq!(lacking(b"<html>"), None);
    }
}
