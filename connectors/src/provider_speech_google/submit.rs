//! Starting a batch, once.
//!
//! A start bills, and the same start sent again bills again. So three things are kept in the blob store beside the recording,
//! under the job's id: before the request goes out, that it does; after it, the operation's name. An attempt that comes
//! again, because the answer was lost or this process was, goes by them:
//!
//! | beside the recording | then |
//! | --- | --- |
//! | the operation's name | it is the answer; nothing is sent |
//! | that a request went out | Google's list of operations is looked through for one with this recording. Only if there is none it is started, and counted as a start that may be a second one |
//! | nothing | it is started |
//!
//! An answer that says that nothing was begun (4xx) takes the mark away again.
//!
//! A request that brings the words at once bills as well, and nobody can look for it: it is marked while it is out, and one
//! that is made again is counted.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::transcription::TranscribeJob;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::Value;

use super::GoogleSpeech;
use super::ask::read;
use crate::contract::blob::{About, BlobStream};
use crate::contract::provider::CallError;
use crate::contract::wire::WireAnswer;
use crate::speech::not_read;

/// A start is short; nobody waits longer for it than other jobs do, for a new owner begins after that.
const START_TIMEOUT: Duration = Duration::from_secs(25);
/// How far Google's list is looked through: some minutes of a busy project.
const PAGES_MAX: usize = 5;
const PAGE_OPERATIONS: usize = 100;
/// The status of a request that did not come in whole, as whoever is between sees it.
const REQUEST_TIMEOUT: u16 = 408;

#[derive(Deserialize)]
struct Started {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    operations: Vec<Value>,
    #[serde(default)]
    next_page_token: String,
}

/// The names of what is kept of a start.
struct Notes {
    mark: String,
    operation: String,
    about: About,
}

impl Notes {
    fn new(job: &PendingJob, recording: &str, about: About) -> Self {
        // Short, for a recording's own name may be long.
        let hash = digest(&SHA256, job.job_id.as_bytes());
        let id: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        // They go when the recording does.
        let about = About { content_type: "text/plain".to_owned(), custom_time: about.custom_time };
        Self { mark: format!("{recording}.st-{id}"), operation: format!("{recording}.op-{id}"), about }
    }
}

impl GoogleSpeech {
    /// The name of the job's operation, which runs or has ended.
    pub(super) async fn submit(
        &self,
        job: &PendingJob,
        asks: &TranscribeJob,
        uri: &str,
        about: About,
        deadline: Duration,
    ) -> Result<String, CallError> {
        let (notes, deadline) = (Notes::new(job, &asks.blob, about), deadline.min(START_TIMEOUT));
        if let Some(known) = self.blob.read(&notes.operation).await.map_err(not_read)? {
            return Ok(String::from_utf8_lossy(&known).into_owned());
        }
        if self.blob.stat(&notes.mark).await.map_err(not_read)?.is_some() {
            if let Some(name) = self.find(uri, deadline).await? {
                self.note(&notes.operation, &notes.about, &name).await?;
                return Ok(name);
            }
            may_be_billed_again(job);
        }
        // Who has no token sends nothing.
        self.tokens.token().await?;
        self.note(&notes.mark, &notes.about, "sent").await?;
        let path = format!("{}/recognizers/_:batchRecognize", self.parent());
        let sent = self.exchange(&path, Some((&self.batch(asks, uri), job)), deadline).await;
        if was_not_begun(&sent) {
            self.blob.remove(&notes.mark).await.map_err(not_read)?;
        }
        let body = read(sent?)?;
        let started: Started = serde_json::from_slice(&body).map_err(|error| CallError::Retry {
            after: None,
            why: format!("Google has started something and its name cannot be read: {error}"),
        })?;
        let name = self.operation_path(&started.name)?;
        self.note(&notes.operation, &notes.about, &name).await?;
        Ok(name)
    }

    /// One request with the sound in it.
    pub(super) async fn request(
        &self,
        path: &str,
        body: &Value,
        job: &PendingJob,
        (recording, about): (&str, About),
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let notes = Notes::new(job, recording, about);
        // Who has no token sends nothing.
        self.tokens.token().await?;
        match self.blob.stat(&notes.mark).await.map_err(not_read)? {
            Some(_) => may_be_billed_again(job),
            None => self.note(&notes.mark, &notes.about, "sent").await?,
        }
        let sent = self.exchange(path, Some((body, job)), deadline).await;
        let is_answered = sent.as_ref().is_ok_and(|answer| answer.status < 300);
        if (is_answered || was_not_begun(&sent))
            && let Err(error) = self.blob.remove(&notes.mark).await
        {
            tracing::warn!(job = %job.job_id, %error, "the mark of a request stays beside its recording");
        }
        read(sent?)
    }

    /// An operation with this recording that has not failed.
    async fn find(&self, uri: &str, deadline: Duration) -> Result<Option<String>, CallError> {
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let page_token = if token.is_empty() { String::new() } else { format!("&pageToken={token}") };
            let path = format!("{}/operations?pageSize={PAGE_OPERATIONS}{page_token}", self.parent());
            let body = match self.ask(&path, deadline).await {
                Ok(body) => body,
                // Not everybody may list: then nobody can tell.
                Err(CallError::Reject { why }) => {
                    tracing::warn!(why, "Google's operations cannot be listed");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let Ok(page) = serde_json::from_slice::<Page>(&body) else { return Ok(None) };
            if let Some(name) = page.operations.iter().find_map(|operation| named(operation, uri)) {
                return self.operation_path(name).map(Some);
            }
            let plain = page
                .next_page_token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte));
            if page.next_page_token.is_empty() || !plain {
                return Ok(None);
            }
            token = page.next_page_token;
        }
        Ok(None)
    }

    /// Writes down, durably, unless it is there.
    async fn note(&self, name: &str, about: &About, text: &str) -> Result<(), CallError> {
        let content: BlobStream = Box::pin(stream::iter([Ok(Bytes::from(text.to_owned()))]));
        self.blob.create_from(name, about.clone(), content).await.map_err(not_read)?;
        Ok(())
    }
}

fn may_be_billed_again(job: &PendingJob) {
    metrics::counter!("leadline_transcription_starts_repeated_total").increment(1);
    tracing::warn!(job = %job.job_id, "recognition may be started, and billed, for the second time");
}

/// Whether an answer says that nothing has begun: a refusal, or a quota that let nothing in.
fn was_not_begun(sent: &Result<WireAnswer, CallError>) -> bool {
    match sent {
        Ok(answer) => (300..500).contains(&answer.status) && answer.status != REQUEST_TIMEOUT,
        Err(error) => matches!(error, CallError::Reject { .. }),
    }
}

/// The operation's name, if it is about this recording and has not failed.
fn named<'o>(operation: &'o Value, uri: &str) -> Option<&'o str> {
    let files = operation.pointer("/metadata/batchRecognizeRequest/files")?.as_array()?;
    let is_ours = files.iter().any(|file| file.get("uri").and_then(Value::as_str) == Some(uri));
    (is_ours && operation.get("error").is_none()).then(|| operation.get("name")?.as_str()).flatten()
}
