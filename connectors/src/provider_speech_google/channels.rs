//! What becomes of several channels: each is recognised, and billed, for itself; or they are made one before.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};
use leadline_schemas::transcription::TranscribeJob;

use super::{GoogleSpeech, SYNC_BYTES_MAX};
use crate::audio::{ProbeError, mixed};
use crate::contract::blob::{About, BlobError, Content};
use crate::contract::provider::CallError;
use crate::speech::{not_read, reject};

/// Rates that Google takes without a header.
const RATES_HZ: std::ops::RangeInclusive<i32> = 8_000..=48_000;

/// What becomes of a recording with several channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// They are made one, and voices are told apart: what it costs is the recording's length, once.
    #[default]
    Mixed,
    /// Each is recognised for itself, and billed: sides are sure, also where they speak at once.
    Separate,
}

impl GoogleSpeech {
    /// How many samples a second the one channel has that is made of several; none where the recording goes as it is.
    /// What an earlier leadline has asked tells no rate: it goes so too.
    pub(super) fn mixed_hz(&self, asks: &TranscribeJob) -> Option<u32> {
        let is_asked = self.config.channels == Channels::Mixed && asks.channels? >= 2;
        let rate_hz = asks.sample_rate_hz.filter(|rate_hz| is_asked && RATES_HZ.contains(rate_hz))?;
        u32::try_from(rate_hz).ok()
    }

    /// The object that the one channel of a recording lies in.
    pub(super) fn mixed_name(asks: &TranscribeJob) -> String {
        format!("{}.mono-{}", asks.blob, asks.sample_rate_hz.unwrap_or(0))
    }

    /// Puts the one channel beside the recording, unless it is there. It goes when Google has read it, or when the
    /// recording does.
    pub(super) async fn put_mixed(
        &self,
        asks: &TranscribeJob,
        rate_hz: u32,
        content: Content,
    ) -> Result<String, CallError> {
        let name = Self::mixed_name(asks);
        if self.blob.stat(&name).await.map_err(not_read)?.is_some() {
            return Ok(name);
        }
        let custom_time = content.stat.about.custom_time;
        let about = About { content_type: "application/octet-stream".to_owned(), custom_time };
        let refused = Arc::new(OnceLock::new());
        let why = Arc::clone(&refused);
        let pieces = mixed(content.stream, rate_hz).map(move |piece| {
            piece.map_err(|error| match error {
                ProbeError::Blob(error) => error,
                ProbeError::NotAudio(_) => BlobError::Source(why.get_or_init(|| error).to_string()),
            })
        });
        match (self.blob.create_from(&name, about, Box::pin(pieces)).await, refused.get()) {
            (Ok(_), _) => Ok(name),
            (Err(_), Some(why)) => Err(not_mixed(why.clone())),
            (Err(error), None) => Err(not_read(error)),
        }
    }

    /// Takes the one channel away again; what stays goes when the recording does.
    pub(super) async fn remove_mixed(&self, asks: &TranscribeJob) {
        if asks.channels.is_none_or(|channels| channels < 2) || asks.sample_rate_hz.is_none() {
            return;
        }
        if let Err(error) = self.blob.remove(&Self::mixed_name(asks)).await {
            tracing::warn!(%error, call = asks.call_id, "a recording's one channel stays beside it for now");
        }
    }

    /// What goes into one request: the recording, or its one channel.
    pub(super) async fn sound(&self, asks: &TranscribeJob, content: Content) -> Result<Bytes, CallError> {
        let mut pieces = match self.mixed_hz(asks) {
            None => content.stream.map_err(not_read).boxed(),
            Some(rate_hz) => mixed(content.stream, rate_hz).map_err(not_mixed).boxed(),
        };
        let mut sound = BytesMut::new();
        while let Some(piece) = pieces.try_next().await? {
            if (sound.len() + piece.len()) as u64 > SYNC_BYTES_MAX {
                return Err(reject(format!(
                    "the recording has more than the {SYNC_BYTES_MAX} bytes of one request"
                )));
            }
            sound.extend_from_slice(&piece);
        }
        Ok(sound.freeze())
    }
}

fn not_mixed(error: ProbeError) -> CallError {
    match error {
        ProbeError::Blob(error) => not_read(error),
        ProbeError::NotAudio(_) => reject(format!("its channels cannot be made one: {error}")),
    }
}
