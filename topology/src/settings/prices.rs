//! What services cost: no record says it, and operators see it beside the records.

use std::sync::{Arc, PoisonError};

use leadline_schemas::settings::SpeechPrices;

use super::SettingsService;

impl SettingsService {
    /// What recognition costs in this process, for all settings from now on.
    pub fn price_speech(&self, prices: SpeechPrices) {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(current.with_speech_prices(prices));
    }
}
