//! What providers of transcripts have in common: the recording that a job is about, who says what, and what it costs.

mod kept;
mod turns;
mod verbose;

use std::sync::Arc;

use leadline_schemas::reply::PendingJob;
use leadline_schemas::transcription::{TranscribeJob, Transcribed};

pub use self::kept::KeptWords;
pub use self::turns::{Said, turns};
pub use self::verbose::heard;
use crate::contract::blob::{Blob, BlobError, Content};
use crate::contract::provider::{CallError, ProviderAnswer};

/// The longest transcript that is taken: an hour of a call has some 60 KiB, and a reply must fit into a record.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What a job asks, of the tenant's own recordings.
pub(crate) fn asked(job: &PendingJob) -> Result<TranscribeJob, CallError> {
    let asked: TranscribeJob = serde_json::from_slice(&job.request.payload)
        .map_err(|error| reject(format!("the job cannot be read: {error}")))?;
    let is_own = asked.blob.strip_prefix(job.tenant.as_str()).is_some_and(|rest| rest.starts_with('/'));
    is_own.then_some(asked).ok_or_else(|| reject("the recording is none of the tenant's".to_owned()))
}

/// The recording, its bytes unread.
pub(crate) async fn recording(blob: &Arc<dyn Blob>, name: &str) -> Result<Content, CallError> {
    let content = blob.open(name, None).await.map_err(not_read)?;
    content.ok_or_else(|| reject("the recording is not in the blob store any more".to_owned()))
}

/// What the blob store's failure means.
pub(crate) fn not_read(error: BlobError) -> CallError {
    match error {
        BlobError::Damaged { .. } | BlobError::Name(_) => reject(error.to_string()),
        error => CallError::Retry { after: None, why: error.to_string() },
    }
}

/// The answer of a job.
pub(crate) fn answer(transcribed: Transcribed, cost_micros: i64) -> Result<ProviderAnswer, CallError> {
    if let Transcribed::Turns(turns) = &transcribed
        && turns.iter().map(|turn| turn.text.len()).sum::<usize>() > TEXT_BYTES_MAX
    {
        return Err(reject(format!("the transcript has more than the {TEXT_BYTES_MAX} bytes that are kept")));
    }
    let body = serde_json::to_vec(&transcribed).map_err(|error| reject(error.to_string()))?;
    Ok(ProviderAnswer { body: body.into(), cost_micros })
}

/// What so much sound costs, each beginning millionth counted.
pub(crate) fn cost_micros(price_micros_per_minute: i64, duration_ms: i64) -> i64 {
    let exact = i128::from(price_micros_per_minute.max(0)) * i128::from(duration_ms.max(0));
    i64::try_from((exact + 59_999) / 60_000).unwrap_or(i64::MAX)
}

/// The part of a language tag (BCP 47) that says the language alone.
pub(crate) fn language(tag: Option<&str>) -> String {
    let tag = tag.unwrap_or("en-US");
    tag.split(['-', '_']).next().unwrap_or(tag).to_ascii_lowercase()
}

/// What a file of this codec or media type is called: services guess formats by it.
pub(crate) fn extension(codec: Option<&str>, content_type: &str) -> &'static str {
    match (codec.unwrap_or_default(), content_type) {
        ("mp3", _) | ("", "audio/mpeg" | "audio/mp3") => "mp3",
        ("flac", _) | ("", "audio/flac" | "audio/x-flac") => "flac",
        ("aac" | "alac", _) | ("", "audio/mp4" | "audio/m4a" | "audio/x-m4a" | "audio/aac") => "m4a",
        ("", "audio/ogg" | "audio/opus") => "ogg",
        ("", "audio/webm") => "webm",
        (codec, _) if codec.starts_with("pcm") => "wav",
        ("", "audio/wav" | "audio/x-wav" | "audio/wave") => "wav",
        _ => "mp3", // CallRail's.
    }
}

pub(crate) fn reject(why: String) -> CallError {
    CallError::Reject { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_seven_minutes_costs_what_the_price_says() {
        assert_eq!(cost_micros(16_000, 7 * 60_000), 112_000);
        assert_eq!(cost_micros(16_000, 1), 1, "what begins counts");
        assert_eq!(cost_micros(0, 3_600_000), 0);
        assert_eq!((cost_micros(-1, 60_000), cost_micros(16_000, -1)), (0, 0));
        assert_eq!(cost_micros(i64::MAX, i64::MAX), i64::MAX);
    }

    #[test]
    fn files_are_called_what_they_are() {
        for (codec, content_type, wanted) in [
            (Some("mp3"), "application/octet-stream", "mp3"),
            (Some("pcm_s16le"), "audio/mpeg", "wav"),
            (Some("aac"), "", "m4a"),
            (None, "audio/x-wav", "wav"),
            (None, "audio/ogg", "ogg"),
            (None, "application/octet-stream", "mp3"),
        ] {
            assert_eq!(extension(codec, content_type), wanted, "{codec:?} {content_type}");
        }
        assert_eq!((language(Some("es-US")).as_str(), language(None).as_str()), ("es", "en"));
    }
}
