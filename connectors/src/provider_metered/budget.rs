//! What may be spent on AI services in a day (UTC), for all tenants together. Where several processes share the partitions, each
//! may spend its part.
//!
//! What is under way counts as spent: a request at what it is expected to cost until it is answered, an operation that a
//! provider has started until somebody has heard how it ended. So thousands that are begun at once stay within the budget, and
//! what is not paid for by the rest of the day is not begun.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leadline_schemas::{JobId, Millis};
use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::operations::{Known, Operations};
use crate::contract::clock::Clock;
use crate::contract::share::Share;

/// What is configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayBudgetConfig {
    /// From here on only the cheapest of each kind is asked.
    pub soft_micros: Option<i64>,
    /// From here on nobody is asked.
    pub hard_micros: Option<i64>,
}

/// The budget and what is spent of it. The sum and the operations that run are kept in a file, so that a restart does not begin
/// a new day.
pub struct DayBudget {
    config: DayBudgetConfig,
    clock: Arc<dyn Clock>,
    file: Option<PathBuf>,
    share: Arc<Share>,
    books: Mutex<Books>,
    /// One writer of the file at a time; of which change it has written last.
    written: tokio::sync::Mutex<u64>,
}

/// What is known of today.
#[derive(Default)]
struct Books {
    /// Days since 1970 in UTC.
    day: i64,
    micros: i64,
    /// What requests that are not answered yet will cost.
    in_flight_micros: i64,
    operations: Operations,
    baseline: Baseline,
    /// Changes of what the file holds.
    changes: u64,
}

/// What the file holds.
#[derive(Default, Serialize, Deserialize)]
struct File {
    day: i64,
    micros: i64,
    /// What operations will cost that run; absent where an earlier leadline wrote it.
    #[serde(default)]
    operations: Known,
    #[serde(default)]
    baseline: Baseline,
}

/// What is kept of the budget for a request that is not answered yet. It is given back when this goes.
pub(super) struct InFlight<'b> {
    budget: &'b DayBudget,
    micros: i64,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut books = self.budget.today();
        books.in_flight_micros = books.in_flight_micros.saturating_sub(self.micros);
        books.tell();
    }
}

impl DayBudget {
    /// A budget whose sum lies in `file`, if it is to outlive the process. A file that cannot be read counts as nothing spent.
    pub fn open(config: DayBudgetConfig, clock: Arc<dyn Clock>, file: Option<PathBuf>) -> Self {
        let text = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let File { day, micros, operations, baseline } =
            text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let operations = Operations::new(operations, clock.boot_ms());
        let books = Mutex::new(Books { day, micros, operations, baseline, ..Books::default() });
        let share = Arc::<Share>::default();
        Self { config, clock, file, share, books, written: tokio::sync::Mutex::new(0) }
    }

    /// Which part of the budget is this process's.
    pub fn share(&self) -> Arc<Share> {
        Arc::clone(&self.share)
    }

    /// What is spent today, in millionths.
    pub fn spent_micros(&self) -> i64 {
        self.today().micros
    }

    /// What is kept for what is under way, in millionths.
    pub fn kept_micros(&self) -> i64 {
        self.today().kept_micros()
    }

    /// Keeps what a job's request is expected to cost; or says why its provider is not asked. One that has started an operation
    /// and comes again, after a crash, is asked: that is paid for.
    pub(super) fn admit(
        &self,
        job: JobId,
        expected_micros: i64,
        is_cheapest: bool,
    ) -> Result<InFlight<'_>, String> {
        let mut books = self.today();
        if books.operations.has_started(job) {
            return Ok(InFlight { budget: self, micros: 0 });
        }
        let used = books.micros.saturating_add(books.kept_micros());
        let own = |budget: Option<i64>| budget.map(|budget| self.share.of(budget));
        let (soft, hard) = (own(self.config.soft_micros), own(self.config.hard_micros));
        let is_over = |budget: Option<i64>| budget.is_some_and(|budget| used >= budget);
        if is_over(hard) {
            return Err(
                "the budget of the day for all AI services (ai.budget_hard_micros) is used up".to_owned()
            );
        }
        let then = used.saturating_add(expected_micros);
        if hard.is_some_and(|budget| then > budget) {
            return Err(
                "what is left of the budget of the day for all AI services (ai.budget_hard_micros) does \
                        not pay for this"
                    .to_owned(),
            );
        }
        if is_over(soft) && !is_cheapest {
            return Err(
                "the budget of the day (ai.budget_soft_micros) leaves only the cheapest service".to_owned()
            );
        }
        books.in_flight_micros = books.in_flight_micros.saturating_add(expected_micros);
        books.tell();
        Ok(InFlight { budget: self, micros: expected_micros })
    }

    /// Keeps what an operation will cost that `job` has started, until it has [`DayBudget::ended`]. One that this process has not
    /// started, or has forgotten, is counted again by whoever asks how it goes.
    pub(super) async fn runs(&self, operation: &str, job: Option<JobId>, micros: i64) {
        let is_new = {
            let mut books = self.today();
            let is_new = books.operations.seen(operation, job, micros, self.clock.boot_ms());
            books.changes += u64::from(is_new);
            books.tell();
            is_new
        };
        if is_new {
            self.write().await;
        }
    }

    /// An operation has ended, or nobody will hear how it does.
    pub(super) async fn ended(&self, operation: &str) {
        let was_known = {
            let mut books = self.today();
            let was_known = books.operations.ended(operation);
            books.changes += u64::from(was_known);
            books.tell();
            was_known
        };
        if was_known {
            self.write().await;
        }
    }

    /// Takes down what was spent.
    pub(super) async fn spend(&self, micros: i64) {
        let (today_micros, exceeded) = {
            let mut books = self.today();
            books.micros = books.micros.saturating_add(micros);
            books.changes += 1;
            books.tell();
            let (day, micros) = (books.day, books.micros);
            (micros, books.baseline.is_exceeded(day, micros))
        };
        if let Some(usual_micros) = exceeded {
            metrics::counter!("leadline_ai_overspent_days_total").increment(1);
            tracing::error!(
                today_micros,
                usual_micros,
                "AI services have cost more than 150% of what a day of the last week has cost, over all tenants"
            );
        }
        self.write().await;
    }

    /// Writes what has changed, unless somebody else did so meanwhile.
    async fn write(&self) {
        let Some(file) = &self.file else { return };
        let wanted = self.today().changes;
        let mut written = self.written.lock().await;
        if *written >= wanted {
            return;
        }
        let (changes, text) = {
            let books = self.today();
            let (day, micros, baseline) = (books.day, books.micros, books.baseline.clone());
            let file = File { day, micros, operations: books.operations.known(), baseline };
            (books.changes, serde_json::to_vec(&file))
        };
        let draft = file.with_extension("draft");
        let done = async {
            tokio::fs::write(&draft, text?).await?;
            tokio::fs::rename(&draft, file).await
        };
        match done.await {
            Ok(()) => *written = changes,
            Err(error) => {
                tracing::warn!(%error, file = %file.display(), "what AI services have cost today could not be written down");
            }
        }
    }

    fn today(&self) -> MutexGuard<'_, Books> {
        let day = self.clock.wall().0.div_euclid(Millis::DAY);
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back stays in the later day. What is under way is paid for on the day on which it ends.
        if books.day < day {
            let (ended, micros) = (books.day, books.micros);
            books.baseline.ended(ended, micros);
            (books.day, books.micros) = (day, 0);
        }
        let forgotten = books.operations.forget_unseen(self.clock.boot_ms());
        books.changes += u64::from(forgotten);
        books
    }
}

impl Books {
    fn kept_micros(&self) -> i64 {
        self.in_flight_micros.saturating_add(self.operations.micros())
    }

    fn tell(&self) {
        metrics::gauge!("leadline_ai_spent_today_micros").set(self.micros as f64);
        metrics::gauge!("leadline_ai_kept_micros").set(self.kept_micros() as f64);
    }
}
