//! Decoding: from bytes to samples, whatever the container and the codec.

use std::io::Read;

use leadline_schemas::contact::Audio;
use symphonia::core::audio::{AudioBufferRef, SampleBuffer};
use symphonia::core::codecs::{CODEC_TYPE_NULL, Decoder, DecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;

use super::ProbeError;
use super::judge::{Judge, Sound};

/// The longest sound that is listened to: what is behind counts as speech. A call lasts four hours at CallRail.
const LISTENED_MS_MAX: i64 = 8 * 3_600_000;
/// More channels than any call has.
pub(super) const CHANNELS_MAX: usize = 8;

/// Reads a whole sound.
pub(super) fn listen(from: impl Read + Send + Sync + 'static) -> Result<Audio, ProbeError> {
    let mut decoding = Decoding::open(from)?;
    let mut listening = Listening::default();
    while let Some(sound) = decoding.next()? {
        listening.take(sound)?;
    }
    listening.end(decoding.codec)
}

/// The first track of a file that has any sound.
pub(super) struct Decoding {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn Decoder>,
    track: u32,
    codec: &'static str,
}

impl Decoding {
    pub(super) fn open(from: impl Read + Send + Sync + 'static) -> Result<Self, ProbeError> {
        let source = MediaSourceStream::new(Box::new(ReadOnlySource::new(from)), Default::default());
        let found = symphonia::default::get_probe()
            .format(&Hint::new(), source, &FormatOptions::default(), &MetadataOptions::default())
            .map_err(not_audio)?;
        let reader = found.format;
        let sounding = |track: &&Track| track.codec_params.codec != CODEC_TYPE_NULL;
        let track = reader.tracks().iter().find(sounding).ok_or_else(|| refused("it has no sound"))?;
        let (track, params) = (track.id, track.codec_params.clone());
        let codecs = symphonia::default::get_codecs();
        let codec = codecs.get_codec(params.codec).map_or("unknown", |codec| codec.short_name);
        let decoder = codecs.make(&params, &DecoderOptions::default()).map_err(not_audio)?;
        Ok(Self { reader, decoder, track, codec })
    }

    /// The next decoded packet; none at the end, which a file that was cut has as well.
    pub(super) fn next(&mut self) -> Result<Option<AudioBufferRef<'_>>, ProbeError> {
        loop {
            let packet = match self.reader.next_packet() {
                Ok(packet) if packet.track_id() == self.track => packet,
                Ok(_) => continue,
                Err(Error::IoError(_) | Error::DecodeError(_) | Error::ResetRequired) => return Ok(None),
                Err(error) => return Err(not_audio(error)),
            };
            match self.decoder.decode(&packet) {
                // A damaged packet is a click; what comes behind it counts.
                Ok(sound) if sound.frames() == 0 => {}
                Err(Error::DecodeError(_)) => {}
                Ok(_) => return Ok(Some(self.decoder.last_decoded())),
                Err(Error::IoError(_) | Error::ResetRequired) => return Ok(None),
                Err(error) => return Err(not_audio(error)),
            }
        }
    }
}

/// What was heard so far.
#[derive(Default)]
struct Listening {
    /// Made at the first sound: only then are rate and channels sure.
    judge: Option<Judge>,
    rate_hz: u32,
    channels: usize,
    frames: u64,
    samples: Option<SampleBuffer<f32>>,
}

impl Listening {
    fn take(&mut self, sound: AudioBufferRef<'_>) -> Result<(), ProbeError> {
        let spec = *sound.spec();
        let channels = spec.channels.count();
        if channels == 0 || channels > CHANNELS_MAX || spec.rate == 0 {
            return Err(refused(&format!("it has {channels} channels at {} Hz", spec.rate)));
        }
        if self.judge.is_none() {
            (self.rate_hz, self.channels) = (spec.rate, channels);
            self.judge = Some(Judge::new(spec.rate, channels));
        }
        self.frames = self.frames.saturating_add(sound.frames() as u64);
        // A sound that changes its shape on the way is measured, and listened to no further.
        if (spec.rate, channels) != (self.rate_hz, self.channels) || self.length_ms() > LISTENED_MS_MAX {
            return Ok(());
        }
        if let Some(judge) = &mut self.judge {
            let samples = room(&mut self.samples, &sound);
            samples.copy_planar_ref(sound);
            judge.hear(samples.samples());
        }
        Ok(())
    }

    fn length_ms(&self) -> i64 {
        let ms = u128::from(self.frames) * 1_000 / u128::from(self.rate_hz.max(1));
        i64::try_from(ms).unwrap_or(i64::MAX)
    }

    fn end(self, codec: &str) -> Result<Audio, ProbeError> {
        let duration_ms = self.length_ms();
        let judge = self.judge.ok_or_else(|| refused("it has no sound"))?;
        let Sound { silence_ms, music_ms, speech } = judge.end(duration_ms);
        Ok(Audio {
            codec: codec.to_owned(),
            sample_rate_hz: i32::try_from(self.rate_hz).unwrap_or(i32::MAX),
            channels: i32::try_from(self.channels).unwrap_or(i32::MAX),
            duration_ms,
            silence_ms,
            music_ms,
            speech_from_ms: speech.start,
            speech_to_ms: speech.end,
        })
    }
}

/// The buffer that is kept, made anew where it is too small for a sound.
pub(super) fn room<'s>(
    kept: &'s mut Option<SampleBuffer<f32>>,
    sound: &AudioBufferRef<'_>,
) -> &'s mut SampleBuffer<f32> {
    let spec = *sound.spec();
    let wanted = sound.capacity() * spec.channels.count();
    kept.take_if(|samples| samples.capacity() < wanted);
    kept.get_or_insert_with(|| SampleBuffer::new(sound.capacity() as u64, spec))
}

fn not_audio(error: Error) -> ProbeError {
    refused(&error.to_string())
}

pub(super) fn refused(why: &str) -> ProbeError {
    ProbeError::NotAudio(why.to_owned())
}
