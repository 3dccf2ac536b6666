//! What an answer is expected to cost, before it is asked for.

use std::sync::atomic::{AtomicI64, Ordering};

use leadline_schemas::reply::PendingJob;
use leadline_schemas::settings::SpeechPrice;
use leadline_schemas::transcription::TranscribeJob;

/// What a score is taken for before any has cost something: a long call to a small model.
const SCORE_MICROS: i64 = 3_000;

/// How it is known.
#[derive(Debug, Default)]
pub(super) enum Worth {
    /// It is not: only what was spent counts.
    #[default]
    Unknown,
    /// By the recording's length and the provider's price.
    Speech(SpeechPrice),
    /// It costs what those before it have cost on average.
    Usual { micros: AtomicI64, answers: AtomicI64 },
}

impl Worth {
    /// Of scores, none of which was seen.
    pub(super) fn usual() -> Self {
        Self::Usual { micros: AtomicI64::new(0), answers: AtomicI64::new(0) }
    }

    /// In millionths. A job that cannot be read is refused by whoever is asked.
    pub(super) fn expected_micros(&self, job: &PendingJob) -> i64 {
        match self {
            Self::Unknown => 0,
            Self::Speech(price) => serde_json::from_slice(&job.request.payload).map_or(
                0,
                |TranscribeJob { duration_ms, channels, backfill, .. }| {
                    price.expected_micros(duration_ms, channels, backfill)
                },
            ),
            Self::Usual { micros, answers } => {
                let average = micros.load(Ordering::Relaxed).checked_div(answers.load(Ordering::Relaxed));
                average.unwrap_or(SCORE_MICROS)
            }
        }
    }

    /// An answer has cost so much.
    pub(super) fn learn(&self, cost_micros: i64) {
        if let Self::Usual { micros, answers } = self {
            micros.fetch_add(cost_micros, Ordering::Relaxed);
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}
