//! Year built, homeowners' association, insurance, financing, competing bids, language.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::turns::Conversation;

/// Years in which a house that is remodeled today may have been built.
const YEARS: std::ops::RangeInclusive<f64> = 1750.0..=2030.0;

/// Commonest words that only Spanish has, after folding.
const SPANISH: &[&str] = &[
    "el", "la", "los", "que", "de", "en", "mi", "para", "una", "un", "es", "y", "con", "por", "casa",
    "quiero", "necesito", "tengo", "hola", "gracias", "buenos", "buenas", "cocina", "bano", "cuanto", "esta",
    "estoy", "si", "como", "piso", "techo", "yo", "me", "su", "lo", "las", "se",
];
const ENGLISH: &[&str] = &[
    "the", "and", "to", "my", "i", "is", "for", "we", "you", "it", "of", "that", "have", "want", "need",
    "im", "this", "are", "in", "a", "on", "yes", "with", "do", "at", "hi",
];

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
            let hit = line.cues(yes).find(|hit| {
                let negated = line.cues(Cue::Negator).any(|not| {
                    not.to <= hit.from
                        && hit.from <= not.to + 2
                        && line.tokens.sentence(not.from) == line.tokens.sentence(hit.from)
                });
                !negated && !line.in_sentence(no, hit.from)
            })?;
            Some(Place::from((index, *hit)))
        })
        .next();
    match (place, denied) {
        (Some(place), _) => Some(Fact { value: true, place }),
        (None, Some(place)) if matches!(yes, Cue::Hoa) => Some(Fact { value: false, place }),
        _ => None,
    }
}

fn year_built(talk: &Conversation) -> Option<Fact<u16>> {
    talk.caller()
        .flat_map(|(index, line)| line.numbers.iter().map(move |number| (index, line, number)))
        .filter_map(|(index, line, number)| {
            let year = (number.year || number.value.fract() == 0.0 && number.value >= 1_750.0)
                && !number.money
                && YEARS.contains(&number.value);
            let field =
                line.label.as_deref().is_some_and(|label| label.contains("year") || label.contains("built"));
            let built = line.cues(Cue::BuiltIn).any(|hit| {
                hit.from < number.from
                    && number.from <= hit.to + 3
                    && line.tokens.sentence(hit.from) == line.tokens.sentence(number.from)
            });
            let other =
                line.cues(Cue::NotHouseYear).any(|hit| {
                    hit.to <= number.from
                        && number.from <= hit.to + 5
                        && line.tokens.sentence(hit.from) == line.tokens.sentence(number.from)
                }) && !line.tokens.words(number.from.saturating_sub(4)..number.from).contains("built");
            let value = number.value as u16;
            (year && (field || built && !other)).then(|| Fact::at(value, index, number.from..number.to))
        })
        .last()
}

/// The caller's language; `None` when too little is said.
fn language(talk: &Conversation) -> Option<&'static str> {
    let count = |list: &[&str]| {
        talk.caller()
            .flat_map(|(_, line)| line.tokens.norm.split(' '))
            .filter(|word| list.contains(word))
            .count()
    };
    let (spanish, english) = (count(SPANISH), count(ENGLISH));
    match (spanish, english) {
        (spanish, english) if spanish >= 2 && spanish > english => Some("es"),
        (spanish, english) if english >= 2 && english >= spanish => Some("en"),
        _ => None,
    }
}
