//! Several channels as one: services bill each channel that they are asked to tell apart.
//!
//! The other way to tell who speaks is by the voice. One channel is the mean of all, as samples without a header, 16 bits
//! each, the low byte first (Google's `LINEAR16`); it is made while it is read, with memory for a few packets.

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use symphonia::core::audio::{AudioBufferRef, SampleBuffer};
use tokio::sync::mpsc;

use super::decode::{CHANNELS_MAX, Decoding, refused, room};
use super::pieces::Pieces;
use super::{PIECES_MAX, ProbeError};
use crate::contract::blob::BlobStream;

/// Samples of one channel that go on together.
const SAMPLES: usize = 16_384;

/// A piece of the one channel; none at its end.
type Made = Result<Option<Bytes>, ProbeError>;

/// The one channel of a recording of this many samples a second, as a stream; it ends with an error where the recording
/// does, is no audio or has another rate.
pub fn mixed(content: BlobStream, rate_hz: u32) -> impl Stream<Item = Result<Bytes, ProbeError>> + Send {
    let (send, receive) = mpsc::channel(PIECES_MAX);
    let (made, makes) = mpsc::channel(PIECES_MAX);
    tokio::spawn(read(content, send, made.clone()));
    tokio::task::spawn_blocking(move || {
        let end = mix(Pieces::new(receive), rate_hz, &made).map(|()| None);
        let _ = made.blocking_send(end); // Who reads may have gone.
    });
    stream::unfold(Some(makes), |makes| async move {
        let mut makes = makes?;
        match makes.recv().await {
            Some(Ok(Some(piece))) => Some((Ok(piece), Some(makes))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Err(refused("the decoder broke off")), None)),
        }
    })
}

/// Feeds the decoder. A recording that cannot be read to its end is told of before the decoder sees an end.
async fn read(mut content: BlobStream, send: mpsc::Sender<Bytes>, failing: mpsc::Sender<Made>) {
    while let Some(piece) = content.next().await {
        match piece {
            Ok(piece) => {
                if send.send(piece).await.is_err() {
                    return; // The decoder has ended.
                }
            }
            Err(error) => {
                let _ = failing.send(Err(error.into())).await; // Who reads may have gone.
                return;
            }
        }
    }
}

fn mix(from: Pieces, rate_hz: u32, made: &mpsc::Sender<Made>) -> Result<(), ProbeError> {
    let mut decoding = Decoding::open(from)?;
    let mut one = BytesMut::with_capacity(SAMPLES * 2);
    let mut samples: Option<SampleBuffer<f32>> = None;
    while let Some(sound) = decoding.next()? {
        add(sound, rate_hz, &mut samples, &mut one)?;
        if one.len() >= SAMPLES * 2 && made.blocking_send(Ok(Some(one.split().freeze()))).is_err() {
            return Ok(()); // Nobody reads any more.
        }
    }
    if !one.is_empty() {
        let _ = made.blocking_send(Ok(Some(one.freeze()))); // As above.
    }
    Ok(())
}

fn add(
    sound: AudioBufferRef<'_>,
    rate_hz: u32,
    samples: &mut Option<SampleBuffer<f32>>,
    one: &mut BytesMut,
) -> Result<(), ProbeError> {
    let spec = *sound.spec();
    let channels = spec.channels.count();
    if spec.rate != rate_hz || channels == 0 || channels > CHANNELS_MAX {
        return Err(refused(&format!("it has {channels} channels at {} Hz, not at {rate_hz}", spec.rate)));
    }
    let samples = room(samples, &sound);
    samples.copy_interleaved_ref(sound);
    for frame in samples.samples().chunks_exact(channels) {
        let mean = frame.iter().sum::<f32>() / channels as f32;
        // What is no number becomes 0.
        one.put_i16_le((mean.clamp(-1.0, 1.0) * 32_767.0) as i16);
    }
    Ok(())
}
