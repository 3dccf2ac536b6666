//! Names of places that the company does not list.

use super::cue::Cue;
use super::numbers::is_number_word;
use super::turns::{Conversation, Line};
use super::words::lists;
use hashbrown::HashSet;
use serde::Deserialize;
use std::ops::Range;
use std::sync::OnceLock;

/// Words of the longest name of a place.
const PLACE_WORDS_MAX: usize = 3;
/// Words of an answer that is nothing but a place.
const ANSWER_WORDS_MAX: usize = 5;

#[derive(Default, Deserialize)]
struct Places {
    cities: String,
    states: String,
}

fn places() -> &'static (HashSet<String>, HashSet<String>) {
    static PLACES: OnceLock<(HashSet<String>, HashSet<String>)> = OnceLock::new();
    PLACES.get_or_init(|| {
        let places: Places = toml::from_str(include_str!("data/places.toml")).unwrap_or_default();
        let set = |text: &str| {
            text.split('|').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        (set(&places.cities), set(&places.states))
    })
}

/// Whether a normalised name is a known city.
pub(super) fn is_known(name: &str) -> bool {
    places().0.contains(name)
}

/// Whether a word is a state or its letters.
pub(super) fn is_state(word: &str) -> bool {
    places().1.contains(word)
}

/// Places named in a line, with how firmly: capitalised or known words after "in", before a state, and short answers
/// to "what city?".
pub(super) fn named_places(talk: &Conversation, index: usize, line: &Line) -> Vec<(i32, Range<usize>)> {
    let mut found = Vec::new();
    let asked = talk.asked_before(index).is_some_and(|before| {
        before.asks_for(Cue::CityQuestion)
            && !before.has_any(&[Cue::NameQuestion, Cue::TimeQuestion, Cue::BudgetQuestion])
    });
    if asked {
        found.extend(answer(line).map(|span| (4, span)));
    }
    for at in 1..line.word_count() {
        let lead = line.tokens.word(at - 1);
        let joined = line.tokens.sentence(at - 1) == line.tokens.sentence(at) && !line.pauses_after(at - 1);
        let Some(end) = place_end(line, at) else { continue };
        let stated = is_state_at(line, end) && end < line.word_count();
        let known = is_known(line.tokens.words(at..end));
        // "Based in", "live in" and "house in" are weighed by the caller of this.
        let base = match lead {
            "in" | "en" if joined => 3,
            "service" | "serve" | "cover" if joined => 3,
            "from" if joined && line.tokens.word(at.saturating_sub(2)) == "calling" => 3,
            "to" | "near" | "outside" | "at" | "around" if joined && known && stated => 3,
            _ if stated && line.tokens.word(end).len() == 2 && line.is_capital(end) => 3,
            _ => continue,
        };
        found.push((base, at..end));
    }
    found
}

/// A short answer that is a place: "Grove City", "yeah im in knoxville", "Pearland, off of Broadway".
fn answer(line: &Line) -> Option<Range<usize>> {
    let start = (0..line.word_count().min(6)).find(|at| !lists().place_leads.has(line.tokens.word(*at)))?;
    let end = place_end(line, start).or_else(|| lower_case_end(line, start))?;
    let ends = end >= line.word_count() || line.pauses_after(end - 1) || is_state_at(line, end);
    let short = line.word_count() <= ANSWER_WORDS_MAX;
    let known = is_known(line.tokens.words(start..end));
    (ends && (line.is_capital(start) || known || short) && !line.has(Cue::No)).then_some(start..end)
}

fn is_state_at(line: &Line, at: usize) -> bool {
    is_state(line.tokens.word(at)) || is_state(line.tokens.words(at..at + 2))
}

/// The end of a capitalised or known name of a place.
fn place_end(line: &Line, start: usize) -> Option<usize> {
    let sentence = line.tokens.sentence(start);
    let same = |at: usize| at < line.word_count() && line.tokens.sentence(at) == sentence;
    let longest = (start + 1..=start + PLACE_WORDS_MAX)
        .rev()
        .find(|end| same(end - 1) && is_known(line.tokens.words(start..*end)));
    if let Some(end) = longest {
        return Some(end);
    }
    let mut end = start;
    while end < start + PLACE_WORDS_MAX
        && same(end)
        && is_name(line, end)
        && !(end > start && is_state_at(line, end))
    {
        end += 1;
        if line.pauses_after(end - 1) {
            break;
        }
    }
    (end > start && !is_state(line.tokens.words(start..end))).then_some(end)
}

fn is_name(line: &Line, at: usize) -> bool {
    let word = line.tokens.word(at);
    line.is_capital(at)
        && word.len() > 2
        && word.chars().all(char::is_alphabetic)
        && !lists().not_places.has(word)
        && !is_number_word(word)
}

/// An answer without capitals: up to two words, none of them common.
fn lower_case_end(line: &Line, start: usize) -> Option<usize> {
    if !line.is_lower_case() || line.word_count() > ANSWER_WORDS_MAX {
        return None;
    }
    let fits = |at: usize| {
        let word = line.tokens.word(at);
        at < line.word_count()
            && word.len() > 3
            && word.chars().all(char::is_alphabetic)
            && !lists().not_places.has(word)
            && !is_number_word(word)
    };
    let end = (start..start + 2).take_while(|at| fits(*at)).last()? + 1;
    (end == line.word_count() || is_state_at(line, end)).then_some(end)
}
