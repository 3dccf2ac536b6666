//! One channel's ear: samples in, one line of features a second out.
//!
//! Telephone speech lies below 4 kHz, so the channel is averaged down to about 8 kHz, and looked at in frames of 32 ms,
//! shorter than a syllable. Two old features tell speech from music (J. Saunders 1996; E. Scheirer and M. Slaney 1997):
//! the share of frames that are much quieter than their second (speech pauses between syllables, music goes on), and the
//! spectral flux between neighbouring frames (speech changes with every sound, a note stays).

use std::sync::{Arc, LazyLock};

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// What a channel is averaged down to, or a little above.
const RATE_HZ: u32 = 8_000;
/// Samples of a frame: 32 ms.
const FRAME: usize = 256;
/// Frames of a second.
const FRAMES: usize = 31;
/// What counts as a sound: -48 dB of full scale. Telephone lines hiss at -60, quiet speakers are at -40.
const HEARD_RMS: f32 = 0.004;
/// A frame below this share of its second's mean is a pause.
const PAUSE_SHARE: f32 = 0.5;

/// The same for all: a plan is some tables.
static TRANSFORM: LazyLock<Arc<dyn RealToComplex<f32>>> =
    LazyLock::new(|| RealFftPlanner::new().plan_fft_forward(FRAME));

/// What a second sounds like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Second {
    /// Frames in which there is a sound.
    pub(super) heard: u8,
    /// Share of frames that are pauses, of 1.
    pub(super) pauses: f32,
    /// Mean spectral flux between frames that are heard, 0 (nothing changes) to 1.
    pub(super) flux: f32,
}

pub(super) struct Ear {
    /// Samples that are averaged to one.
    every: u32,
    taken: u32,
    sum: f32,
    frame: Vec<f32>,
    window: Vec<f32>,
    transform: Arc<dyn RealToComplex<f32>>,
    scratch: Vec<Complex<f32>>,
    spectrum: Vec<Complex<f32>>,
    /// Magnitudes of the frame, with length 1.
    magnitudes: Vec<f32>,
    /// Those of the frame before; empty where it was silent.
    before: Vec<f32>,
    levels: Vec<f32>,
    flux: Vec<f32>,
    pub(super) seconds: Vec<Second>,
}

impl Ear {
    pub(super) fn new(rate_hz: u32) -> Self {
        let transform = Arc::clone(&TRANSFORM);
        let (scratch, spectrum) = (transform.make_scratch_vec(), transform.make_output_vec());
        let hann = |n: usize| 0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / FRAME as f32).cos();
        Self {
            every: (rate_hz / RATE_HZ).max(1),
            taken: 0,
            sum: 0.0,
            frame: Vec::with_capacity(FRAME),
            window: (0..FRAME).map(hann).collect(),
            transform,
            scratch,
            spectrum,
            magnitudes: Vec::with_capacity(FRAME),
            before: Vec::with_capacity(FRAME),
            levels: Vec::with_capacity(FRAMES),
            flux: Vec::with_capacity(FRAMES),
            seconds: Vec::new(),
        }
    }

    /// How long a second is, in milliseconds: frames are whole, and rates are not multiples of 8 kHz.
    pub(super) fn second_ms(rate_hz: u32) -> f64 {
        let every = (rate_hz / RATE_HZ).max(1);
        1_000.0 * (FRAME * FRAMES) as f64 * f64::from(every) / f64::from(rate_hz)
    }

    pub(super) fn hear(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            // As many as the frame is short of.
            let wanted = (FRAME - self.frame.len()) * self.every as usize - self.taken as usize;
            let (now, later) = samples.split_at(wanted.min(samples.len()));
            match self.every {
                1 => self.frame.extend(now.iter().map(|sample| finite(*sample))),
                _ => now.iter().for_each(|sample| self.average(*sample)),
            }
            if self.frame.len() == FRAME {
                self.end_frame();
            }
            samples = later;
        }
    }

    fn average(&mut self, sample: f32) {
        self.sum += sample;
        self.taken += 1;
        if self.taken == self.every {
            self.frame.push(finite(self.sum / self.every as f32));
            (self.sum, self.taken) = (0.0, 0);
        }
    }

    fn end_frame(&mut self) {
        let level = (energy(&self.frame) / FRAME as f32).sqrt();
        self.levels.push(level);
        let is_heard = level >= HEARD_RMS && self.find_direction();
        if is_heard && !self.before.is_empty() {
            self.before.iter_mut().zip(&self.magnitudes).for_each(|(before, now)| *before = now - *before);
            // Two directions without anything in common are the square root of 2 apart.
            self.flux.push((energy(&self.before) / 2.0).sqrt());
        }
        self.before.clear();
        if is_heard {
            std::mem::swap(&mut self.before, &mut self.magnitudes);
        }
        self.frame.clear();
        if self.levels.len() == FRAMES {
            self.end_second();
        }
    }

    /// Finds the direction of the frame's spectrum: how loud it is does not matter. The lowest bands are hum.
    fn find_direction(&mut self) -> bool {
        self.frame.iter_mut().zip(&self.window).for_each(|(sample, window)| *sample *= window);
        let (spectrum, scratch) = (&mut self.spectrum, &mut self.scratch);
        if self.transform.process_with_scratch(&mut self.frame, spectrum, scratch).is_err() {
            return false;
        }
        self.magnitudes.clear();
        self.magnitudes.extend(self.spectrum.iter().skip(3).map(|bin| bin.norm_sqr().sqrt()));
        let length = energy(&self.magnitudes).sqrt().max(f32::MIN_POSITIVE);
        self.magnitudes.iter_mut().for_each(|magnitude| *magnitude /= length);
        true
    }

    fn end_second(&mut self) {
        let mean = self.levels.iter().sum::<f32>() / self.levels.len() as f32;
        let share = |count: usize, of: usize| count as f32 / of.max(1) as f32;
        let pauses = self.levels.iter().filter(|level| **level < PAUSE_SHARE * mean).count();
        let heard = self.levels.iter().filter(|level| **level >= HEARD_RMS).count();
        let flux = self.flux.iter().sum::<f32>() / self.flux.len().max(1) as f32;
        self.seconds.push(Second {
            heard: u8::try_from(heard).unwrap_or(u8::MAX),
            pauses: share(pauses, self.levels.len()),
            flux,
        });
        self.levels.clear();
        self.flux.clear();
    }
}

fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample } else { 0.0 }
}

/// The sum of the squares, in eight sums side by side: one alone waits for each addition.
fn energy(values: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let eights = values.chunks_exact(8);
    let rest: f32 = eights.remainder().iter().map(|value| value * value).sum();
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, value)| *sum += value * value);
    }
    sums.iter().sum::<f32>() + rest
}
