//! The caller's budget: which of the amounts said are it, and how firmly.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::money::{Amount, amounts};
use super::turns::{Conversation, Line};

/// Words within which a phrase makes an amount something else ("a deductible of ...").
const EXCLUDING_WORDS: usize = 6;

/// How the caller stands to money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// Nothing said.
    Silent,
    /// Asked, and had no number.
    Unknown,
    /// Would not say.
    Withheld,
    /// An amount of their own.
    Stated,
    /// Took the company's price.
    Accepted,
    /// Turned the company's price down.
    Refused,
    /// Money in hand or no object, without an amount.
    Ample,
    /// Insurance pays, approved.
    Insured,
    /// Wants to pay monthly, has another firm's quote, or an open claim.
    Vague,
}

#[derive(Debug)]
pub(super) struct Budget {
    pub stance: Stance,
    pub refused: bool,
    pub amount: Option<Fact<Amount>>,
    pub place: Option<Place>,
}

pub(super) fn budget(talk: &Conversation) -> Budget {
    let amount = own_amount(talk);
    let price = price_answer(talk);
    let refused = matches!(price, Some((false, _)));
    let first = |cue| talk.first_by_caller(cue).map(Place::from);
    let (stance, place) = if let Some(amount) = &amount {
        (Stance::Stated, Some(amount.place))
    } else if let Some((accepted, place)) = price {
        (if accepted { Stance::Accepted } else { Stance::Refused }, Some(place))
    } else if let Some(place) = first(Cue::InsuranceApproved) {
        (Stance::Insured, Some(place))
    } else if let Some(place) = first(Cue::MoneyNoObject) {
        (Stance::Ample, Some(place))
    } else if let Some(place) = withheld(talk) {
        (Stance::Withheld, Some(place))
    } else if let Some(place) = vague(talk) {
        (Stance::Vague, Some(place))
    } else if asked_in_vain(talk) {
        (Stance::Unknown, first(Cue::BudgetNone))
    } else {
        (Stance::Silent, None)
    };
    Budget { stance, refused, amount, place }
}

fn withheld(talk: &Conversation) -> Option<Place> {
    talk.caller()
        .find_map(|(index, line)| {
            let asked = talk.asked_before(index).is_some_and(|before| before.has(Cue::BudgetQuestion));
            line.cues(Cue::BudgetWithheld)
                .next()
                .filter(|_| asked || line.has(Cue::BudgetWord))
                .map(|hit| (index, *hit))
        })
        .map(Place::from)
}

fn vague(talk: &Conversation) -> Option<Place> {
    [Cue::MonthlyPayment, Cue::Financing]
        .into_iter()
        .find_map(|cue| talk.first_by_caller(cue))
        .map(Place::from)
        .or_else(|| {
            talk.first_by_caller(Cue::Insurance)
                .filter(|(index, _)| talk.line(*index).is_some_and(|line| !line.has(Cue::NoInsurance)))
                .map(Place::from)
        })
}

fn asked_in_vain(talk: &Conversation) -> bool {
    talk.agent().any(|(index, line)| {
        line.has(Cue::BudgetQuestion)
            && talk.answer_after(index).is_some_and(|(_, answer)| answer.has(Cue::BudgetNone))
    })
}

/// The last amount that is the caller's own; an answer about the budget outranks a figure in passing.
fn own_amount(talk: &Conversation) -> Option<Fact<Amount>> {
    let mut best: Option<(u8, Fact<Amount>)> = None;
    for (index, line) in talk.caller() {
        for (rank, amount) in ranked(talk, index, line) {
            let place = Place::new(index, &amount.span);
            if best.as_ref().is_none_or(|(other, _)| rank >= *other) {
                best = Some((rank, Fact { value: amount, place }));
            }
        }
    }
    best.map(|(_, fact)| fact)
}

fn ranked(talk: &Conversation, index: usize, line: &Line) -> Vec<(u8, Amount)> {
    let before = talk.asked_before(index);
    let label = line.label.as_deref();
    let budget_field = label.is_some_and(|label| {
        ["budget", "investment", "spend", "price", "presupuesto", "cost"]
            .iter()
            .any(|word| label.contains(word))
    });
    if label.is_some() && !budget_field && !is_message_field(label) {
        return Vec::new();
    }
    let asked = budget_field
        || before.is_some_and(|line| line.has(Cue::BudgetQuestion) && !other_question_last(line));
    let confirming = before.is_some_and(|line| !amounts(line).is_empty());
    amounts(line)
        .into_iter()
        .filter_map(|amount| {
            if is_excluded(line, &amount) {
                return None;
            }
            let cued = line.in_sentence(Cue::BudgetWord, amount.span.start);
            let corrected = line.in_sentence(Cue::Correction, amount.span.start);
            let rank = match () {
                () if asked || cued && amount.explicit => 3,
                () if corrected && (amount.explicit || confirming) => 3,
                () if cued
                    && line.near(Cue::BudgetWord, &amount.span, 4)
                    && amount.top() >= 5_000.0
                    && plausible_bare(line, &amount) =>
                {
                    2
                }
                () if amount.explicit
                    && amount.top() >= 500.0
                    && line.hits.iter().any(|hit| matches!(hit.tag, super::lexicon::Tag::Project(..))) =>
                {
                    2
                }
                () if amount.explicit && amount.top() >= 500.0 && !confirming => 1,
                () => return None,
            };
            Some((rank, amount))
        })
        .collect()
}

/// A question about something else after the one about money is what gets answered.
fn other_question_last(line: &Line) -> bool {
    let last = |cue| line.cues(cue).map(|hit| hit.to).max().unwrap_or(0);
    let money = last(Cue::BudgetQuestion);
    [Cue::TimeQuestion, Cue::CityQuestion, Cue::PhoneQuestion, Cue::NameQuestion]
        .iter()
        .any(|cue| last(*cue) > money + 4)
}

/// A bare number near a budget phrase is money unless it looks like a time, a size or a postcode.
fn plausible_bare(line: &Line, amount: &Amount) -> bool {
    amount.explicit || !line.tokens.words(amount.span.clone()).contains(':')
}

pub(super) fn is_message_field(label: Option<&str>) -> bool {
    const NAMES: &[&str] = &[
        "message",
        "msg",
        "comment",
        "detail",
        "description",
        "describe",
        "note",
        "tell us",
        "help",
        "project",
        "question",
        "mensaje",
        "comentario",
        "looking for",
        "inquiry",
        "about",
        "describa",
        "descripcion",
        "scope",
        "request",
        "body",
        "text",
        "info",
    ];
    label.is_some_and(|label| NAMES.iter().any(|name| label.contains(name)))
}

/// Deductibles, others' quotes, monthly payments, loans and refused prices are not a budget.
fn is_excluded(line: &Line, amount: &Amount) -> bool {
    if amount.min.is_none() && amount.max.is_none() {
        return true;
    }
    let sentence = line.tokens.sentence(amount.span.start);
    // The nearest phrase decides: "they quoted thirty one, we were thinking twenty five".
    let distance = |cue: Cue| {
        line.cues(cue)
            .filter(|hit| line.tokens.sentence(hit.from) == sentence)
            .map(|hit| {
                if hit.to <= amount.span.start {
                    amount.span.start - hit.to
                } else {
                    hit.from.saturating_sub(amount.span.end)
                }
            })
            .min()
    };
    let own = distance(Cue::BudgetWord);
    let refused = line.in_sentence(Cue::PriceRefused, amount.span.start)
        && !line.in_sentence(Cue::CeilingBefore, amount.span.start)
        && own.is_none_or(|words| words > 3);
    match distance(Cue::NotBudget) {
        Some(words) if words <= EXCLUDING_WORDS => own.is_none_or(|own| own >= words),
        _ => refused,
    }
}

/// Whether the caller took (true) or refused (false) a price that the company named; the last word counts.
fn price_answer(talk: &Conversation) -> Option<(bool, Place)> {
    talk.agent()
        .filter(|(_, line)| amounts(line).iter().any(|amount| amount.explicit || line.has(Cue::AgentOther)))
        .filter_map(|(index, agent)| {
            let (at, answer) = talk.answer_after(index)?;
            let refusal = answer.first_of(&[Cue::PriceRefused]);
            let acceptance = answer.first_of(&[Cue::PriceAccepted]);
            let (accepted, hit) = match (refusal, acceptance) {
                (_, Some(taken)) if refusal.is_none_or(|no| no.from < taken.from) => (true, taken),
                (Some(no), _) => (false, no),
                _ => return None,
            };
            // "OK" to a restated budget or a date is no answer to a price.
            let asks_visit = agent.has(Cue::AppointmentOffer) || agent.has(Cue::BudgetQuestion) && accepted;
            (!asks_visit || !accepted).then_some((accepted, Place::from((at, *hit))))
        })
        .last()
        .or_else(|| {
            let (index, hit) = talk.last_by_caller(Cue::PriceRefused)?;
            talk.asked_before(index)
                .filter(|line| !amounts(line).is_empty())
                .map(|_| (false, Place::from((index, hit))))
        })
}
