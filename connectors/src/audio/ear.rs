//! One channel's ear: samples in, one line of features a second out.
//!
//! Telephone speech lies below 4 kHz, so the channel is averaged down to about 8 kHz, and looked at in frames of 32 ms,
//! shorter than a syllable. Two old features tell speech from music (J. Saunders 1996; E. Scheirer and M. Slaney 1997):
//! the share of frames that are much quieter than their second (speech pauses between syllables, music goes on), and the
//! spectral flux between neighbouring frames (speech changes with every sound, a note stays).

use std::sync::Arc;

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
    /// Magnitudes of the frame before, with length 1; none where it was silent.
    before: Option<Vec<f32>>,
    levels: Vec<f32>,
    flux: Vec<f32>,
    pub(super) seconds: Vec<Second>,
}

impl Ear {
    pub(super) fn new(rate_hz: u32) -> Self {
        let transform = RealFftPlanner::new().plan_fft_forward(FRAME);
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
            before: None,
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

    pub(super) fn hear(&mut self, sample: f32) {
        self.sum += sample;
        self.taken += 1;
        if self.taken < self.every {
            return;
        }
        let sample = self.sum / self.every as f32;
        (self.sum, self.taken) = (0.0, 0);
        self.frame.push(if sample.is_finite() { sample } else { 0.0 });
        if self.frame.len() == FRAME {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        let energy: f32 = self.frame.iter().map(|sample| sample * sample).sum();
        let level = (energy / FRAME as f32).sqrt();
        self.levels.push(level);
        if level >= HEARD_RMS {
            self.frame.iter_mut().zip(&self.window).for_each(|(sample, window)| *sample *= window);
            let magnitudes = self.magnitudes();
            if let (Some(before), Some(now)) = (&self.before, &magnitudes) {
                let squares = before.iter().zip(now).map(|(before, now)| (now - before) * (now - before));
                // Two directions without anything in common are the square root of 2 apart.
                self.flux.push((squares.sum::<f32>() / 2.0).sqrt());
            }
            self.before = magnitudes;
        } else {
            self.before = None;
        }
        self.frame.clear();
        if self.levels.len() == FRAMES {
            self.end_second();
        }
    }

    /// The direction of the frame's spectrum: how loud it is does not matter. The lowest bands are hum.
    fn magnitudes(&mut self) -> Option<Vec<f32>> {
        self.transform.process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch).ok()?;
        let mut magnitudes: Vec<f32> = self.spectrum.iter().skip(3).map(|bin| bin.norm()).collect();
        let length = magnitudes.iter().map(|magnitude| magnitude * magnitude).sum::<f32>().sqrt();
        magnitudes.iter_mut().for_each(|magnitude| *magnitude /= length.max(f32::MIN_POSITIVE));
        Some(magnitudes)
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
