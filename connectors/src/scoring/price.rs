//! What tokens cost.

use leadline_schemas::score::TokenUsage;

/// Prices of a model, in millionths of the currency for a million tokens: 300,000 are 0.30.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// What is asked.
    pub input: u64,
    /// What is asked and cached at the other side.
    pub cached: u64,
    /// What is answered.
    pub output: u64,
}

impl Price {
    /// What an answer costs, in millionths of the currency; a part of one is a whole one.
    #[must_use]
    pub fn cost_micros(&self, tokens: TokenUsage) -> i64 {
        let parts = [(tokens.input, self.input), (tokens.cached, self.cached), (tokens.output, self.output)];
        let sum: u128 = parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum();
        i64::try_from(sum.div_ceil(1_000_000)).unwrap_or(i64::MAX)
    }
}
