//! The caller's budget: which of the amounts said are it, and how firmly.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::fields::Field;
use super::lexicon::{Hit, Tag};
use super::money::{Amount, amounts};
use super::turns::{Conversation, Line};
use super::words::lists;

/// Words within which a phrase makes an amount something else ("a deductible of ...").
const EXCLUDING_WORDS: usize = 7;
/// The same in an answer to "what is the budget?".
const EXCLUDING_WORDS_ASKED: usize = 4;
/// Words within which a phrase makes an amount the caller's own ("we have ... set aside").
const OWNING_WORDS: usize = 9;
/// Smallest sum that is a budget without being called one.
const UNASKED_MIN: f64 = 500.0;
/// Smallest sum that a bare number means without being asked for.
const BARE_UNASKED_MIN: f64 = 1_000.0;

/// Lines within which a figure of the company's is taken up.
const HEARD_LINES_MAX: usize = 5;

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
    /// Has no money for it now.
    Lacking,
}

#[derive(Debug)]
pub(super) struct Budget {
    pub stance: Stance,
    pub refused: bool,
    pub amount: Option<Fact<Amount>>,
    pub place: Option<Place>,
}

pub(super) fn budget(talk: &Conversation) -> Budget {
    let price = price_answer(talk);
    // Who takes the company's higher price has no smaller budget any more.
    let raised = |fact: &Fact<Amount>| {
        price.as_ref().is_some_and(|price| {
            price.accepted && price.top > fact.value.top() && fact.place.line <= price.place.line
        })
    };
    let amount = own_amount(talk).filter(|fact| !raised(fact));
    let refused = price.as_ref().is_some_and(|price| !price.accepted);
    let first = |cue| talk.first_by_caller(cue).map(Place::from);
    let (stance, place) = if let Some(amount) = &amount {
        (Stance::Stated, Some(amount.place))
    } else if let Some(price) = &price {
        (if price.accepted { Stance::Accepted } else { Stance::Refused }, Some(price.place))
    } else if let Some(place) = first(Cue::InsuranceApproved) {
        (Stance::Insured, Some(place))
    } else if let Some(place) = first(Cue::NoMoney) {
        (Stance::Lacking, Some(place))
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
            let asked = talk.asked_before(index).is_some_and(|before| before.asks_for(Cue::BudgetQuestion));
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
        line.asks_for(Cue::BudgetQuestion)
            && talk.answer_after(index).is_some_and(|(_, answer)| answer.has(Cue::BudgetNone))
    })
}

/// The last amount that is the caller's own; an answer about the budget outranks a figure in passing.
fn own_amount(talk: &Conversation) -> Option<Fact<Amount>> {
    let mut best: Option<(u8, Fact<Amount>)> = None;
    for (index, line) in talk.caller() {
        for (rank, amount) in ranked(talk, index, line) {
            let place = Place::new(index, &amount.span);
            // "Fifty thousand for the kitchen. The powder room maybe another eight."
            let addition = best.as_ref().is_some_and(|_| is_addition(line, &amount));
            if addition || best.as_ref().is_some_and(|(other, _)| rank < *other) {
                continue;
            }
            let amount = match &best {
                Some((_, before)) if before.place.line == index => widened(line, &before.value, amount),
                _ => amount,
            };
            best = Some((rank, Fact { value: amount, place }));
        }
    }
    best.map(|(_, fact)| fact)
}

/// "Ideally thirty. I could go to thirty five." is a range; a larger figure that corrects a smaller one is not.
fn widened(line: &Line, before: &Amount, amount: Amount) -> Amount {
    const STRETCHES: &[&str] = &[
        "could", "can", "might", "maybe", "stretch", "push", "go", "if", "possibly", "most", "absolute",
        "up", "even",
    ];
    let between = before.span.end..amount.span.start;
    let stretches = between.clone().any(|at| STRETCHES.contains(&line.tokens.word(at)));
    let corrects = line.cues(Cue::Correction).any(|hit| between.contains(&hit.from));
    match (before.min, amount.max) {
        (Some(low), Some(high)) if stretches && !corrects && low < high && high <= 1.6 * low => {
            Amount { min: Some(low), ..amount }
        }
        _ => amount,
    }
}

fn is_addition(line: &Line, amount: &Amount) -> bool {
    let lead = line.tokens.words(amount.span.start.saturating_sub(2)..amount.span.start);
    lead.split(' ').any(|word| matches!(word, "another" | "additional" | "extra" | "otros" | "otras"))
}

fn ranked(talk: &Conversation, index: usize, line: &Line) -> Vec<(u8, Amount)> {
    let budget_field = line.field == Some(Field::Budget);
    if !budget_field && !line.is_free() {
        return Vec::new();
    }
    let before = talk.asked_before(index);
    let asked = budget_field || before.is_some_and(asks_for_money);
    let heard = before.map(amounts).unwrap_or_default();
    let named = line.hits.iter().any(|hit| matches!(hit.tag, Tag::Project(..)));
    amounts(line)
        .into_iter()
        .filter_map(|amount| Some((rank(line, &amount, asked, &heard, named)?, amount)))
        .collect()
}

/// How surely an amount is the caller's budget.
fn rank(line: &Line, amount: &Amount, asked: bool, heard: &[Amount], named: bool) -> Option<u8> {
    if is_excluded(line, amount, asked) {
        return None;
    }
    // The company's figure said again is its price, not a budget.
    if !asked
        && heard.iter().any(|told| (told.top() - amount.top()).abs() < 1.0)
        && line.has(Cue::PriceAccepted)
    {
        return None;
    }
    let confirming = !heard.is_empty();
    let owned =
        [Cue::BudgetWord, Cue::BudgetHave].iter().any(|cue| line.near(*cue, &amount.span, OWNING_WORDS))
            || amount.bounded;
    let corrected = line.in_sentence(Cue::Correction, amount.span.start);
    if asked || owned && amount.explicit || corrected && (amount.explicit || confirming) {
        return Some(3);
    }
    let bare = line.near(Cue::BudgetNamed, &amount.span, 4) || amount.bounded;
    if !amount.explicit {
        return (bare && amount.top() >= BARE_UNASKED_MIN).then_some(2);
    }
    if amount.top() < UNASKED_MIN {
        return None;
    }
    // A sum beside the work it is for; a sum in passing is anybody's.
    named.then_some(2)
}

/// Whether the last thing a line asks for is money.
fn asks_for_money(line: &Line) -> bool {
    let others = [Cue::TimeQuestion, Cue::CityQuestion, Cue::PhoneQuestion, Cue::NameQuestion];
    line.last_asked(Cue::BudgetQuestion).is_some_and(|money| {
        !others.iter().any(|cue| line.last_asked(*cue).is_some_and(|other| other > money + 4))
    })
}

/// Deductibles, others' quotes, monthly payments, loans and refused prices are not a budget.
fn is_excluded(line: &Line, amount: &Amount, asked: bool) -> bool {
    // The nearest phrase decides: "they quoted thirty one, we were thinking twenty five".
    let own = if amount.bounded { Some(1) } else { line.distance(Cue::BudgetWord, &amount.span) };
    let other = not_budget(line, amount, asked);
    let reach = if asked { EXCLUDING_WORDS_ASKED } else { EXCLUDING_WORDS };
    if other.is_some_and(|words| words <= reach && own.is_none_or(|own| own >= words)) {
        return true;
    }
    // "Twenty is too much" is turned down; "no more than twenty" is a ceiling.
    line.near(Cue::PriceRefused, &amount.span, EXCLUDING_WORDS)
        && !amount.bounded
        && own.is_none_or(|words| words > 3)
}

/// Words to the nearest phrase that makes an amount something else, in the same breath: "the bank would give us three
/// hundred, so two fifty" is two fifty, and "forty, but I need financing" is forty.
fn not_budget(line: &Line, amount: &Amount, asked: bool) -> Option<usize> {
    let span = &amount.span;
    let sentence = line.tokens.sentence(span.start);
    let pauses = |mut range: std::ops::Range<usize>| range.any(|at| line.pauses_after(at));
    line.cues(Cue::NotBudget)
        .filter(|hit| line.tokens.sentence(hit.from) == sentence)
        // "The owner said thirty": what others say is an answer where it is asked for.
        .filter(|hit| !(asked && matches!(line.tokens.word(hit.from), "he" | "she" | "they")))
        .filter_map(|hit| {
            if hit.to <= span.start {
                let turns = (hit.to..span.start)
                    .any(|at| line.pauses_after(at - 1) && lists().turns.has(line.tokens.word(at)));
                (!(asked && turns)).then_some(span.start - hit.to)
            } else {
                let behind = hit.from >= span.end && pauses(span.end - 1..hit.from);
                (!behind).then_some(hit.from.saturating_sub(span.end))
            }
        })
        .min()
}

/// What the caller says to a price that the company named.
struct Price {
    accepted: bool,
    /// The largest figure named.
    top: f64,
    place: Place,
}

/// The answer to the company's price; the last word counts.
fn price_answer(talk: &Conversation) -> Option<Price> {
    let answered = talk
        .agent()
        .filter(|(_, line)| names_price(line))
        .filter_map(|(index, agent)| {
            let (at, answer) = talk.answer_after(index)?;
            let refusal = answer.affirmed(Cue::PriceRefused).last();
            // "That's good to know" takes nothing.
            let noted = |hit: &&Hit| answer.tokens.words(hit.to..hit.to + 2) == "to know";
            let repeated = repeats_price(agent, answer).or_else(|| plain_yes(agent, answer));
            let acceptance =
                answer.affirmed(Cue::PriceAccepted).filter(|hit| !noted(hit)).last().or(repeated);
            // "More than we wanted, but it's doable."
            let (accepted, hit) = match (refusal, acceptance) {
                (_, Some(taken)) if refusal.is_none_or(|no| no.to < taken.to) => (true, taken),
                (Some(no), _) => (false, no),
                _ => return None,
            };
            // "OK" to a restated budget or a date is no answer to a price.
            let asks_visit = agent.has(Cue::AppointmentOffer) && !agent.has(Cue::PriceStatement)
                || agent.has(Cue::BudgetQuestion) && accepted;
            let price = Price { accepted, top: top(agent), place: Place::from((at, *hit)) };
            (!asks_visit || !accepted).then_some(price)
        })
        .next_back();
    answered.or_else(|| {
        let (index, hit) = talk.last_by_caller(Cue::PriceRefused)?;
        let heard = (index.saturating_sub(HEARD_LINES_MAX)..index).filter_map(|at| talk.line(at));
        let price = heard.rev().find(|line| line.by_agent() && names_price(line))?;
        Some(Price { accepted: false, top: top(price), place: Place::from((index, hit)) })
    })
}

/// "It's eighty nine dollars." "Okay.": a bare yes to a price that is told, not asked.
fn plain_yes<'a>(agent: &Line, answer: &'a Line) -> Option<&'a Hit> {
    let told = amounts(agent).iter().any(|amount| amount.explicit) && !agent.asks();
    answer.cues(Cue::Yes).next().filter(|hit| told && answer.word_count() <= 2 && hit.from == 0)
}

fn top(line: &Line) -> f64 {
    amounts(line).iter().map(Amount::top).fold(0.0, f64::max)
}

/// "Sixty five hundred. Okay.": the company's figure said again with a yes.
fn repeats_price<'a>(agent: &Line, answer: &'a Line) -> Option<&'a Hit> {
    let told = amounts(agent);
    let same =
        amounts(answer).iter().any(|amount| told.iter().any(|told| (told.top() - amount.top()).abs() < 1.0));
    let learns = answer.words().contains("to know");
    answer.cues(Cue::Yes).filter(|hit| !answer.is_question(hit.from)).last().filter(|_| same && !learns)
}

/// Whether the company says what something costs.
fn names_price(line: &Line) -> bool {
    let amounts = amounts(line);
    let asks = line.asks() && !line.has_any(&[Cue::AppointmentOffer, Cue::BudgetQuestion, Cue::TimeQuestion]);
    amounts.iter().any(|amount| amount.explicit || asks || line.has(Cue::PriceStatement))
}
