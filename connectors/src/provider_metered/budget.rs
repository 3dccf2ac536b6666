//! What a process may spend on AI services in a day (UTC), for all tenants together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leadline_schemas::Millis;
use serde::{Deserialize, Serialize};

use crate::contract::clock::Clock;

/// What is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayBudgetConfig {
    /// From here on only the cheapest of each kind is asked.
    pub soft_micros: Option<i64>,
    /// From here on nobody is asked.
    pub hard_micros: Option<i64>,
}

/// The budget and what is spent of it. The sum is kept in a file, so that a restart does not begin a new day.
pub struct DayBudget {
    config: DayBudgetConfig,
    clock: Arc<dyn Clock>,
    file: Option<PathBuf>,
    spent: Mutex<SpentDay>,
    /// One writer of the file at a time.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SpentDay {
    /// Days since 1970 in UTC.
    day: i64,
    micros: i64,
}

impl DayBudget {
    /// A budget whose sum lies in `file`, if it is to outlive the process. A file that cannot be read counts as nothing spent.
    pub fn open(config: DayBudgetConfig, clock: Arc<dyn Clock>, file: Option<PathBuf>) -> Self {
        let text = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let spent = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { config, clock, file, spent: Mutex::new(spent), writing: tokio::sync::Mutex::new(()) }
    }

    /// What is spent today, in millionths.
    pub fn spent_micros(&self) -> i64 {
        self.today().micros
    }

    /// Why a provider is not asked; nothing when it may be.
    pub(super) fn admit(&self, is_cheapest: bool) -> Result<(), String> {
        let spent = self.spent_micros();
        let is_over = |budget: Option<i64>| budget.is_some_and(|budget| spent >= budget);
        if is_over(self.config.hard_micros) {
            return Err(
                "the budget of the day for all AI services (ai.budget_hard_micros) is used up".to_owned()
            );
        }
        if is_over(self.config.soft_micros) && !is_cheapest {
            return Err(
                "the budget of the day (ai.budget_soft_micros) leaves only the cheapest service".to_owned()
            );
        }
        Ok(())
    }

    /// Takes down what was spent.
    pub(super) async fn spend(&self, micros: i64) {
        {
            let mut today = self.today();
            today.micros = today.micros.saturating_add(micros);
        }
        metrics::gauge!("leadline_ai_spent_today_micros").set(self.spent_micros() as f64);
        let Some(file) = &self.file else { return };
        let _writing = self.writing.lock().await;
        // What is newest counts: others may have spent meanwhile.
        let today = *self.today();
        let draft = file.with_extension("draft");
        let written = async {
            tokio::fs::write(&draft, serde_json::to_vec(&today)?).await?;
            tokio::fs::rename(&draft, file).await
        };
        if let Err(error) = written.await {
            tracing::warn!(%error, file = %file.display(), "what AI services have cost today could not be written down");
        }
    }

    fn today(&self) -> MutexGuard<'_, SpentDay> {
        let day = self.clock.wall().0.div_euclid(Millis::DAY);
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back stays in the later day.
        if spent.day < day {
            *spent = SpentDay { day, micros: 0 };
        }
        spent
    }
}
