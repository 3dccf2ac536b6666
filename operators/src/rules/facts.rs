//! Year built, homeowners' association, insurance, financing, competing bids, language.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::numbers::Number;
use super::roles::Role;
use super::turns::{Conversation, Line};
use super::words::{List, lists};

/// Years in which a house that is remodeled today may have been built.
const YEARS: std::ops::RangeInclusive<f64> = 1750.0..=2030.0;

/// Spanish words from which it is the caller's language; a "gracias" is none.
const SPANISH_WORDS_MIN: usize = 3;

/// Facts beside the score.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub year_built: Option<Fact<u16>>,
    pub hoa: Option<Fact<bool>>,
    pub insurance_claim: Option<Fact<bool>>,
    pub financing_interest: Option<Fact<bool>>,
    pub competing_bids: Option<Fact<bool>>,
    pub language: Option<&'static str>,
}

pub(super) fn facts(talk: &Conversation) -> Facts {
    Facts {
        year_built: year_built(talk),
        hoa: said(talk, Cue::Hoa, Cue::NoHoa),
        insurance_claim: said(talk, Cue::Insurance, Cue::NoInsurance),
        financing_interest: said(talk, Cue::Financing, Cue::NoFinancing),
        competing_bids: said(talk, Cue::CompetingBids, Cue::NoCompetingBids),
        language: language(talk),
    }
}

/// True where the caller says it, false where they deny it, the last word counting.
fn said(talk: &Conversation, yes: Cue, no: Cue) -> Option<Fact<bool>> {
    let denied = talk.last_by_caller(no).map(Place::from);
    let place = talk
        .caller()
        .filter_map(|(index, line)| {
            let hit = line.affirmed(yes).find(|hit| !line.in_sentence(no, hit.from))?;
            Some(Place::from((index, *hit)))
        })
        .next();
    match (place, denied) {
        (Some(place), _) => Some(Fact { value: true, place }),
        (None, Some(place)) if matches!(yes, Cue::Hoa) => Some(Fact { value: false, place }),
        _ => None,
    }
}

/// "Built in 1974", "a 1926 bungalow", and the answer to "what year was it built?".
fn year_built(talk: &Conversation) -> Option<Fact<u16>> {
    let found = talk.caller().filter(|(_, line)| line.is_free()).flat_map(|(index, line)| {
        let asked = talk.asked_before(index).is_some_and(|before| {
            before.has_word(&["year", "built", "old", "older"])
                && before.has_word(&["house", "home", "built", "it", "property"])
        });
        let years = line.numbers.iter().filter(|number| {
            number.year
                && matches!(number.role, Role::Year | Role::Open)
                && !number.money
                && YEARS.contains(&number.value)
        });
        years.filter(move |year| asked || is_of_house(line, year)).map(move |year| (index, year))
    });
    let (index, year) = found.last()?;
    Some(Fact::at(year.value as u16, index, year.from..year.to))
}

fn is_of_house(line: &Line, year: &Number) -> bool {
    let sentence = line.tokens.sentence(year.from);
    let near = |cue: Cue, words: usize| {
        line.cues(cue).any(|hit| {
            hit.from < year.from && year.from <= hit.to + words && line.tokens.sentence(hit.from) == sentence
        })
    };
    let named = (year.to..year.to + 2)
        .any(|at| lists().houses.has(line.tokens.word(at)) && line.tokens.sentence(at) == sentence);
    let built = line.tokens.words(year.from.saturating_sub(4)..year.from).contains("built");
    named || near(Cue::BuiltIn, 3) && (built || !near(Cue::NotHouseYear, 5))
}

/// Spanish, where the caller speaks more of it than English. English is what is expected: nobody says so.
fn language(talk: &Conversation) -> Option<&'static str> {
    let count = |list: &List| {
        talk.caller().flat_map(|(_, line)| line.tokens.norm.split(' ')).filter(|word| list.has(word)).count()
    };
    let (spanish, english) = (count(&lists().spanish), count(&lists().english));
    (spanish >= SPANISH_WORDS_MIN && spanish > english).then_some("es")
}
