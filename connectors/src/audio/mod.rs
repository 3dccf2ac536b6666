//! Audio: what a recording is, and how much of it is worth the money of a transcript.
//!
//! It is read once, as a stream, with memory for a few seconds of it. Codec, channels and length are the decoder's word;
//! silence and hold music are judged by [`judge`], whose thresholds err towards speech: a transcript of music costs a
//! cent, a lead that nobody reads costs more.

mod decode;
mod ear;
mod judge;
mod mix;
mod pieces;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::num::NonZero;
use std::sync::LazyLock;

use futures_util::StreamExt;
use leadline_schemas::contact::Audio;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

pub use self::mix::mixed;
use self::pieces::Pieces;
use crate::contract::blob::{BlobError, BlobStream};

/// Pieces of the stream that wait for the decoder.
const PIECES_MAX: usize = 4;

/// Why nothing is known of a sound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// It is no audio, or of a kind that is not read here.
    #[error("it cannot be read as audio: {0}")]
    NotAudio(String),
    /// Its bytes could not be had.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Threads that listen, as many as cores. They are theirs alone: on any of the many blocking threads, what a decoder needs
/// would in the end have been allocated, and kept, by each.
static EARS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_current_thread().max_blocking_threads(cores).thread_name("ear").build()
});

/// Listens to a recording of any length; it decodes on a thread of its own, an hour of telephone in some two seconds.
pub async fn probe(mut content: BlobStream) -> Result<Audio, ProbeError> {
    let ears = EARS.as_ref().map_err(|error| BlobError::Unavailable(error.to_string()))?;
    let (send, receive) = mpsc::channel(PIECES_MAX);
    let listening = ears.spawn_blocking(move || decode::listen(Pieces::new(receive)));
    let mut broken = None;
    while let Some(piece) = content.next().await {
        match piece {
            // A decoder that has seen enough takes no more.
            Ok(piece) => {
                if send.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    drop(send);
    let heard = listening.await;
    match broken {
        Some(error) => Err(error.into()),
        None => heard.unwrap_or_else(|error| Err(ProbeError::NotAudio(error.to_string()))),
    }
}
