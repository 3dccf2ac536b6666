//! Judging: which seconds are silence, which are hold music, and which may be speech.
//!
//! | a second is | when |
//! | --- | --- |
//! | silence | fewer than 2 of its 31 frames are above -48 dB of full scale |
//! | music, or a tone | over the 5 s around it the flux is below 0.20, or below 0.25 and less than 0.20 of the frames are pauses; and 5 s of it come together, silence between them aside |
//! | speech | otherwise, and whenever another channel speaks |
//!
//! Measured on 16 voices of a synthesiser (slow, fast, whispering, as WAV and as MP3 of 16 kbit/s), means over 5 s: the
//! flux of voices is at least 0.31 and their pauses at least 0.27; chords, melodies with and without drums, a piano and
//! ringing tones have a flux of at most 0.20. Music with a singer counts as speech, and so does noise (0.46).

use std::ops::Range;

use super::ear::{Ear, Second};

/// Frames with a sound in a second that is not silent.
const HEARD_MIN: u8 = 2;
/// Seconds on each side that are looked at with one.
const AROUND: usize = 2;
/// Spectral flux below which nobody speaks.
const MUSIC_FLUX_MAX: f32 = 0.20;
/// Spectral flux below which nobody speaks, if there are hardly any pauses either.
const STEADY_FLUX_MAX: f32 = 0.25;
const STEADY_PAUSES_MAX: f32 = 0.20;
/// Music goes on for so many seconds: a held vowel does not.
const MUSIC_RUN_MIN: usize = 5;

/// What a second is; the greater wins over other channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Silence,
    Music,
    Speech,
}

/// What a whole sound is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) silence_ms: i64,
    pub(super) music_ms: i64,
    /// From the first to the last of what may be speech; empty where nothing may.
    pub(super) speech: Range<i64>,
}

/// Hears all channels.
pub(super) struct Judge {
    ears: Vec<Ear>,
    second_ms: f64,
}

impl Judge {
    pub(super) fn new(rate_hz: u32, channels: usize) -> Self {
        let ears = (0..channels).map(|_| Ear::new(rate_hz)).collect();
        Self { ears, second_ms: Ear::second_ms(rate_hz) }
    }

    /// Takes samples, channel behind channel.
    pub(super) fn hear(&mut self, planes: &[f32]) {
        let frames = planes.len() / self.ears.len().max(1);
        for (ear, plane) in self.ears.iter_mut().zip(planes.chunks_exact(frames.max(1))) {
            ear.hear(plane);
        }
    }

    /// The verdict on a sound of this length. What is behind the last whole second is as the second before it, and
    /// speech where there is none: a sound too short to judge may be a word.
    pub(super) fn end(self, duration_ms: i64) -> Sound {
        let mut kinds: Vec<Kind> = Vec::new();
        for ear in &self.ears {
            let of_ear = kinds_of(&ear.seconds);
            kinds.resize(kinds.len().max(of_ear.len()), Kind::Silence);
            kinds.iter_mut().zip(of_ear).for_each(|(kind, own)| *kind = own.max(*kind));
        }
        let at = |second: usize| ((second as f64 * self.second_ms) as i64).min(duration_ms);
        let mut sound = Sound { silence_ms: 0, music_ms: 0, speech: duration_ms..0 };
        let last = kinds.last().copied().unwrap_or(Kind::Speech);
        let rest = (at(kinds.len()), duration_ms, last);
        let seconds = kinds.iter().enumerate().map(|(second, kind)| (at(second), at(second + 1), *kind));
        for (from, to, kind) in seconds.chain([rest]).filter(|(from, to, _)| from < to) {
            match kind {
                Kind::Silence => sound.silence_ms += to - from,
                Kind::Music => sound.music_ms += to - from,
                Kind::Speech => {
                    sound.speech = sound.speech.start.min(from)..sound.speech.end.max(to);
                }
            }
        }
        if sound.speech.is_empty() {
            sound.speech = 0..0;
        }
        sound
    }
}

fn kinds_of(seconds: &[Second]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = (0..seconds.len()).map(|at| kind_of(seconds, at)).collect();
    // Silence does not end music: a telephone rings for 2 s of 6.
    let mut run: Vec<usize> = Vec::new();
    for at in 0..=kinds.len() {
        match kinds.get(at) {
            Some(Kind::Music) => run.push(at),
            Some(Kind::Silence) => {}
            Some(Kind::Speech) | None => {
                let is_short = run.len() < MUSIC_RUN_MIN;
                for second in run.drain(..).filter(|_| is_short) {
                    if let Some(kind) = kinds.get_mut(second) {
                        *kind = Kind::Speech;
                    }
                }
            }
        }
    }
    kinds
}

fn kind_of(seconds: &[Second], at: usize) -> Kind {
    let is_silent = |second: &&Second| second.heard < HEARD_MIN;
    if seconds.get(at).is_none_or(|second| is_silent(&second)) {
        return Kind::Silence;
    }
    let around =
        seconds.get(at.saturating_sub(AROUND)..(at + AROUND + 1).min(seconds.len())).unwrap_or_default();
    let heard: Vec<&Second> = around.iter().filter(|second| !is_silent(second)).collect();
    let mean = |of: fn(&Second) -> f32| {
        heard.iter().map(|second| of(second)).sum::<f32>() / heard.len().max(1) as f32
    };
    let (flux, pauses) = (mean(|second| second.flux), mean(|second| second.pauses));
    let is_music = flux < MUSIC_FLUX_MAX || (flux < STEADY_FLUX_MAX && pauses < STEADY_PAUSES_MAX);
    if is_music { Kind::Music } else { Kind::Speech }
}
