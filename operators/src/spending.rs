//! What AI services have cost a tenant, and what its budgets of a day make of it.
//!
//! The row is the slot's: a tenant that is spread has its budgets split evenly. What is asked and not answered yet is
//! counted, or thousands of calls of a backfill would be asked about before the first of them has cost anything: a score at
//! what scores have cost so far, a transcript at what the recording will cost at the provider's price. That is known so well
//! that no transcript is begun which what is left of the day does not pay for.

use leadline_schemas::command::Command;
use leadline_schemas::settings::Policy;
use leadline_schemas::state::{Spent, SpentDay};
use leadline_schemas::{Millis, baseline};

use crate::contract::{Context, OperatorId, OperatorResult, Table};

/// What an answer is taken for before any has cost something: a long call to a small model.
const ANSWER_MICROS: i64 = 3_000;

/// The operator that declares the table.
pub(crate) const OWNER: OperatorId = OperatorId { number: 5, name: "score" };

/// What a slot has spent: one row.
pub const SPENT: Table<Spent> = Table::new(9, "spent", Some(30 * Millis::DAY)).shared_by(OWNER);
/// The key of the row.
pub const KEY: &[u8] = &[0];

/// What the budgets of the day leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// As much as is wanted.
    Free,
    /// The cheapest of a chain first.
    Soft,
    /// Nothing.
    Hard,
}

/// Why the rules score, and why nothing is transcribed, when a budget is used up.
pub(crate) const HARD: &str = "the tenant's budget of the day for AI services is used up";
/// Why a recording is not transcribed that would use up more than there is.
pub(crate) const TOO_DEAR: &str =
    "what is left of the tenant's budget of the day for AI services does not pay for its transcript";

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// A model's score.
    Score,
    /// A transcript.
    Speech,
}

impl Spending {
    /// Whom to ask, in order: a chain ends with its cheapest.
    #[must_use]
    pub fn order(self, mut chain: Vec<String>) -> Vec<String> {
        match self {
            Self::Free => {}
            Self::Soft => chain.reverse(),
            Self::Hard => chain.clear(),
        }
        chain
    }
}

/// Whether what is left of the day pays for something that will cost so much.
pub(crate) fn affords<Out>(cx: &mut Context<'_, Out>, cost_micros: i64) -> OperatorResult<bool> {
    let Some(policy) = cx.tenant().map(|tenant| &tenant.policy) else { return Ok(true) };
    let Some(budget) = policy.ai_budget_hard_micros else { return Ok(true) };
    let budget = of_slot(budget, policy);
    Ok(spent_today(cx)?.saturating_add(cost_micros) <= budget)
}

/// What the tenant may still spend today.
pub fn spending<Out>(cx: &mut Context<'_, Out>) -> OperatorResult<Spending> {
    let Some(tenant) = cx.tenant() else { return Ok(Spending::Free) };
    let policy = &tenant.policy;
    if policy.ai_budget_soft_micros.is_none() && policy.ai_budget_hard_micros.is_none() {
        return Ok(Spending::Free);
    }
    let spent = spent_today(cx)?;
    let is_over = |budget: Option<i64>| budget.is_some_and(|budget| spent >= of_slot(budget, policy));
    Ok(if is_over(policy.ai_budget_hard_micros) {
        Spending::Hard
    } else if is_over(policy.ai_budget_soft_micros) {
        Spending::Soft
    } else {
        Spending::Free
    })
}

/// What this slot has of the tenant's budget.
fn of_slot(budget: i64, policy: &Policy) -> i64 {
    budget / i64::from(policy.spread.max(1))
}

/// What this slot has spent today, and keeps for what is asked.
fn spent_today<Out>(cx: &mut Context<'_, Out>) -> OperatorResult<i64> {
    let today = day_of(cx.now);
    Ok(cx.get(&SPENT, KEY)?.map_or(0, |spent| on(spent, today) + spent.reserved_micros))
}

/// Keeps so much of the day's budget for a transcript, for [`paid`] to give it back.
pub(crate) fn keep<Out>(cx: &mut Context<'_, Out>, micros: i64) -> OperatorResult {
    if micros == 0 {
        return Ok(());
    }
    cx.update(&SPENT, KEY, Spent::default, |spent| {
        spent.reserved_micros = spent.reserved_micros.saturating_add(micros);
    })
}

/// Keeps a part of the day's budget for a score; answers how much, for [`paid`] to give it back.
pub(crate) fn reserve<Out>(cx: &mut Context<'_, Out>) -> OperatorResult<i64> {
    cx.update(&SPENT, KEY, Spent::default, |spent| {
        let estimate = estimate(spent);
        spent.reserved_micros += estimate;
        estimate
    })
}

/// Takes down what an answer has cost, and gives back what was kept for it.
pub(crate) fn paid<Out>(
    cx: &mut Context<'_, Out>,
    service: Service,
    cost_micros: i64,
    reserved_micros: i64,
) -> OperatorResult {
    if cost_micros == 0 && reserved_micros == 0 {
        return Ok(());
    }
    let today = day_of(cx.now);
    cx.update(&SPENT, KEY, Spent::default, |spent| {
        spent.reserved_micros = (spent.reserved_micros - reserved_micros).max(0);
        if cost_micros == 0 {
            return;
        }
        if spent.first_day == 0 {
            spent.first_day = today;
        }
        if spent.days.iter().all(|one| one.day != today) {
            spent.days.push(SpentDay { day: today, ..SpentDay::default() });
        }
        if let Some(one) = spent.days.iter_mut().find(|one| one.day == today) {
            one.micros = one.micros.saturating_add(cost_micros);
            match service {
                Service::Score => one.answers += 1,
                Service::Speech => one.speech_micros = one.speech_micros.saturating_add(cost_micros),
            }
        }
        spent.days.retain(|one| one.day >= today - baseline::DAYS);
    })
}

/// What the tenant is told, once a day, when it costs half as much again as a day of the last week.
pub fn overspent<Out>(cx: &mut Context<'_, Out>) -> OperatorResult<Option<Command>> {
    let today = day_of(cx.now);
    let Some(spent) = cx.get(&SPENT, KEY)? else { return Ok(None) };
    let so_far = on(spent, today);
    if spent.alerted_day == today {
        return Ok(None);
    }
    let days = spent.days.iter().map(|one| (one.day, one.micros));
    let Some(usual) = baseline::exceeded((today, so_far), spent.first_day, days) else { return Ok(None) };
    cx.update(&SPENT, KEY, Spent::default, |spent| spent.alerted_day = today)?;
    let text = format!(
        "AI services have cost {} today, more than 150% of the {} that a day of the last week has cost.",
        amount(so_far),
        amount(usual)
    );
    Ok(Some(Command::Notice { subject: "ai:cost".to_owned(), at: cx.now, is_trouble: true, text }))
}

/// A sum for people, in the currency's units.
fn amount(micros: i64) -> String {
    format!("{}.{:02}", micros / 1_000_000, micros % 1_000_000 / 10_000)
}

const fn day_of(at: Millis) -> i64 {
    at.0.div_euclid(Millis::DAY)
}

fn on(spent: &Spent, day: i64) -> i64 {
    spent.days.iter().filter(|one| one.day == day).map(|one| one.micros).sum()
}

/// What a score has cost on average.
fn estimate(spent: &Spent) -> i64 {
    let (micros, answers) = spent.days.iter().fold((0_i64, 0_i64), |sum, one| {
        (sum.0.saturating_add(one.micros.saturating_sub(one.speech_micros)), sum.1 + one.answers)
    });
    if answers > 0 { micros / answers } else { ANSWER_MICROS }
}
