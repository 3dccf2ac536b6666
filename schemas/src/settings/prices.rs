//! What services cost, as the process is configured: beside the records of the topic, for operators.

use std::collections::BTreeMap;

/// What a call is taken to last where nobody knows, in milliseconds.
const DURATION_MS_USUAL: i64 = 7 * 60_000;

/// What recognition costs at a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpeechPrice {
    /// A minute, in millionths of the currency.
    pub micros_per_minute: i64,
    /// The same, where nobody waits.
    pub backfill_micros_per_minute: i64,
    /// Whether each channel of a recording is billed for itself.
    pub is_per_channel: bool,
}

/// By the provider's name.
pub type SpeechPrices = BTreeMap<String, SpeechPrice>;

impl SpeechPrice {
    /// What a recording is expected to cost, in millionths, each beginning one counted.
    pub fn expected_micros(&self, duration_ms: Option<i64>, channels: Option<i32>, backfill: bool) -> i64 {
        let price = if backfill { self.backfill_micros_per_minute } else { self.micros_per_minute };
        let channels = if self.is_per_channel { channels.unwrap_or(1).max(1) } else { 1 };
        let heard_ms = i128::from(duration_ms.unwrap_or(DURATION_MS_USUAL).max(0)) * i128::from(channels);
        let exact = i128::from(price.max(0)).saturating_mul(heard_ms);
        i64::try_from(exact.saturating_add(59_999) / 60_000).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_expected_to_cost_its_minutes_and_its_channels_where_they_are_billed() {
        let per_channel = SpeechPrice {
            micros_per_minute: 16_000,
            backfill_micros_per_minute: 3_000,
            is_per_channel: true,
        };
        let mixed = SpeechPrice { is_per_channel: false, ..per_channel };
        let minutes = |count: i64| Some(count * 60_000);
        assert_eq!(per_channel.expected_micros(minutes(7), Some(2), false), 224_000);
        assert_eq!(per_channel.expected_micros(minutes(7), Some(2), true), 42_000);
        assert_eq!(mixed.expected_micros(minutes(7), Some(2), false), 112_000);
        assert_eq!(mixed.expected_micros(None, None, false), 112_000, "a call as they usually are");
        assert_eq!(mixed.expected_micros(Some(1), None, false), 1, "what begins counts");
        assert_eq!(mixed.expected_micros(Some(-1), Some(-1), false), 0);
        let absurd = SpeechPrice { micros_per_minute: i64::MAX, ..per_channel };
        assert_eq!(absurd.expected_micros(Some(i64::MAX), Some(i32::MAX), false), i64::MAX);
    }
}
