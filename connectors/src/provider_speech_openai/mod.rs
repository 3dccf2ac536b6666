//! Provider of transcripts: any service with OpenAI's interface, `POST /v1/audio/transcriptions`; most servers of whisper
//! models have it. The recording goes from the blob store to the service as a stream.
//!
//! The interface has no idempotency: an attempt that is made again is billed again. The job's id goes along as
//! `Idempotency-Key` for servers that know better.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use leadline_schemas::reply::PendingJob;
use leadline_schemas::transcription::{TranscribeJob, Transcribed};

use crate::contract::BoxFuture;
use crate::contract::blob::Blob;
use crate::contract::provider::{CallError, Limits, Provider, ProviderAnswer};
use crate::contract::wire::WireRequest;
use crate::http_client::{Client, judged};
use crate::speech::{answer, asked, cost_micros, extension, heard, language, recording, reject};

/// What whisper models take of a prompt is its last 224 tokens; this is some 200.
const PROMPT_CHARS_MAX: usize = 600;

/// Which service, and at what price.
#[derive(Clone)]
pub struct OpenAiSpeechConfig {
    /// What a tenant's policy calls it.
    pub name: String,
    /// The whole address, with `/v1/audio/transcriptions`.
    pub endpoint: String,
    /// The model.
    pub model: String,
    /// What goes into the Authorization header, where the service wants one.
    pub key: Option<String>,
    /// The price of a minute of sound, in millionths of the currency.
    pub price_micros_per_minute: i64,
    /// One attempt; a server without a graphics card takes minutes for a call.
    pub timeout: Duration,
    /// The largest recording that the service takes.
    pub bytes_max: u64,
    /// What it takes from all tenants together.
    pub limits: Limits,
}

/// A service with OpenAI's interface.
pub struct OpenAiSpeech {
    config: OpenAiSpeechConfig,
    blob: Arc<dyn Blob>,
    client: Client,
}

impl OpenAiSpeech {
    /// The service of this configuration, for recordings in this store.
    pub fn new(config: OpenAiSpeechConfig, blob: Arc<dyn Blob>, client: Client) -> Self {
        Self { config, blob, client }
    }

    async fn transcribe(&self, job: PendingJob, deadline: Duration) -> Result<ProviderAnswer, CallError> {
        let OpenAiSpeechConfig { endpoint, key, bytes_max, price_micros_per_minute, timeout, .. } =
            &self.config;
        let job_asks = asked(&job)?;
        let content = recording(&self.blob, &job_asks.blob).await?;
        let bytes = content.stat.bytes;
        if bytes > *bytes_max {
            return Err(reject(format!(
                "the recording has {bytes} bytes, and the service takes {bytes_max} at most"
            )));
        }
        let boundary = format!("leadline-{}", job.job_id);
        let file = extension(job_asks.codec.as_deref(), &content.stat.about.content_type);
        let (head, end) =
            (self.head(&boundary, &job_asks, file), Bytes::from(format!("\r\n--{boundary}--\r\n")));
        let mut request = WireRequest::new(Method::POST, endpoint)
            .header("content-type", format!("multipart/form-data; boundary={boundary}"))
            .header("idempotency-key", job.job_id.to_string())
            .body(head);
        if let Some(key) = key {
            request = request.bearer(key);
        }
        let sent = self.client.upload(request, (content.stream, bytes), end, deadline.min(*timeout)).await?;
        let sent = judged(sent)?;
        if sent.too_large {
            return Err(reject(format!("{} answered more than can be read", self.config.name)));
        }
        let (turns, told_ms) = heard(&sent.body, job_asks.first).map_err(reject)?;
        let duration_ms = job_asks.duration_ms.or(told_ms).unwrap_or(0);
        answer(Transcribed::Turns(turns), cost_micros(*price_micros_per_minute, duration_ms))
    }

    /// The form up to the recording, which is its last field.
    fn head(&self, boundary: &str, job: &TranscribeJob, file: &str) -> Bytes {
        let mut fields = vec![
            ("model", self.config.model.clone()),
            ("response_format", "verbose_json".to_owned()),
            ("language", language(job.language.as_deref())),
        ];
        let prompt = prompt(&job.phrases);
        if !prompt.is_empty() {
            fields.push(("prompt", prompt));
        }
        let mut head = String::new();
        for (name, value) in fields {
            head.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        head.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"call.{file}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        ));
        head.into()
    }
}

impl Provider for OpenAiSpeech {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        Some(self.config.timeout)
    }

    fn limits(&self) -> Option<Limits> {
        Some(self.config.limits)
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(self.transcribe(job, deadline))
    }
}

/// As many of the phrases as a model takes.
fn prompt(phrases: &[String]) -> String {
    let mut prompt = String::new();
    for phrase in phrases {
        if prompt.chars().count() + phrase.chars().count() + 2 > PROMPT_CHARS_MAX {
            break;
        }
        if !prompt.is_empty() {
            prompt.push_str(", ");
        }
        prompt.push_str(phrase);
    }
    prompt
}
