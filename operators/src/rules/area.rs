//! Where the property is, and whether the company works there.

use super::cue::Cue;
use super::fact::Fact;
use super::tokens::normal;
use super::turns::{Conversation, Line};
use leadline_schemas::score::ServiceArea;

/// What is known about the place.
#[derive(Debug)]
pub(super) struct Area {
    pub city: Option<Fact<String>>,
    pub postcode: Option<Fact<String>>,
    pub fit: Fit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Inside,
    Outside,
    /// The company has no limits.
    Anywhere,
    /// Nothing said.
    Unknown,
}

/// Words in front of a place name.
const LEADS: &[&str] = &["in", "en", "from", "near", "de", "por", "around", "at", "outside", "over"];
/// Capitalised words that are no place.
const NOT_PLACES: &[&str] = &[
    "i",
    "im",
    "yes",
    "yeah",
    "no",
    "ok",
    "okay",
    "the",
    "my",
    "our",
    "a",
    "we",
    "were",
    "hi",
    "hello",
    "it",
    "its",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "christmas",
    "indeed",
    "google",
    "facebook",
    "english",
    "spanish",
    "march",
    "spring",
    "summer",
    "fall",
    "winter",
    "thanksgiving",
    "about",
    "that",
    "there",
    "here",
    "total",
    "general",
    "fact",
    "advance",
    "cash",
    "person",
    "mind",
    "touch",
    "charge",
    "town",
    "case",
    "order",
    "sure",
    "well",
    "um",
    "mr",
    "mrs",
    "ms",
    "dr",
    "la",
    "el",
    "sala",
    "not",
    "just",
    "maybe",
    "this",
    "next",
    "and",
    "so",
    "yep",
    "home",
    "house",
    "correct",
    "right",
    "thanks",
    "aqui",
    "casa",
    "si",
];

pub(super) fn area(talk: &Conversation, service: &ServiceArea) -> Area {
    let postcode = postcode(talk, service);
    let city = city(talk, service);
    let limited = !service.cities.is_empty() || !service.postcodes.is_empty();
    let served_code = postcode.as_ref().map(|fact| serves_code(service, &fact.value));
    let served_city =
        city.as_ref().map(|fact| service.cities.iter().any(|name| same_city(name, &fact.value)));
    let agent_refuses = talk.agent().any(|(_, line)| line.has(Cue::AreaRefusal));
    let fit = match (limited, served_city, served_code) {
        _ if agent_refuses && served_city != Some(true) && served_code != Some(true) => Fit::Outside,
        (false, _, _) => Fit::Anywhere,
        (_, Some(true), _) | (_, _, Some(true)) => Fit::Inside,
        (_, Some(false), Some(false)) => Fit::Outside,
        (_, Some(false), None) if !service.cities.is_empty() => Fit::Outside,
        (_, None, Some(false)) if !service.postcodes.is_empty() => Fit::Outside,
        _ => Fit::Unknown,
    };
    Area { city, postcode, fit }
}

fn same_city(a: &str, b: &str) -> bool {
    let plain =
        |name: &str| normal(name).replace("saint ", "st ").replace("fort ", "ft ").replace("mount ", "mt ");
    let bare = |name: &str| name.split(" of ").last().unwrap_or(name).to_owned();
    let (a, b) = (plain(a), plain(b));
    a == b || bare(&a) == bare(&b)
}

/// Codes may be listed as prefixes.
fn serves_code(service: &ServiceArea, code: &str) -> bool {
    service.postcodes.iter().any(|served| {
        let served = served.trim().trim_end_matches(['*', 'x', 'X']);
        !served.is_empty() && code.starts_with(served)
    })
}

/// How sure it is that a place is the property's.
fn rank(line: &Line, at: usize, base: i32) -> i32 {
    let sentence = line.tokens.sentence(at);
    let near = |cue: Cue, words: usize| {
        line.cues(cue)
            .any(|hit| line.tokens.sentence(hit.from) == sentence && hit.to <= at + 1 && at <= hit.to + words)
    };
    base + if near(Cue::PropertyIn, 3) { 4 } else { 0 } - if near(Cue::Elsewhere, 1) { 1 } else { 0 }
}

fn city(talk: &Conversation, service: &ServiceArea) -> Option<Fact<String>> {
    let mut best: Option<(i32, Fact<String>)> = None;
    let mut consider = |rank: i32, fact: Fact<String>| {
        if best.as_ref().is_none_or(|(other, _)| rank >= *other) {
            best = Some((rank, fact));
        }
    };
    let served: Vec<(String, String)> = service
        .cities
        .iter()
        .flat_map(|name| {
            let plain = normal(name);
            let long = plain.replace("st ", "saint ").replace("ft ", "fort ").replace("mt ", "mount ");
            [(plain, name.clone()), (long, name.clone())]
        })
        .filter(|(plain, _)| !plain.is_empty())
        .collect();
    for (index, line) in talk.caller() {
        if let Some(label) = line.label.as_deref()
            && ["city", "town", "ciudad", "location"].iter().any(|name| label.contains(name))
            && line.word_count() <= 5
        {
            let end = (0..line.word_count())
                .find(|at| line.tokens.list.get(*at).is_some_and(|t| t.comma))
                .map_or(line.word_count(), |at| at + 1);
            consider(6, Fact::at(text(line, 0..end), index, 0..end));
            continue;
        }
        for (plain, name) in &served {
            for at in places_of(line, plain) {
                let width = plain.split(' ').count();
                if !is_street_or_name(line, at, width) {
                    consider(rank(line, at, 3), Fact::at(name.clone(), index, at..at + width));
                }
            }
        }
        for (base, span) in named_places(talk, index, line) {
            let name = title(&text(line, span.clone()));
            if !served.iter().any(|(plain, _)| normal(&name).contains(plain.as_str())) {
                consider(rank(line, span.start, base), Fact::at(name, index, span));
            }
        }
    }
    best.map(|(_, fact)| fact).or_else(|| confirmed_city(talk, &served))
}

/// "Are you in Columbus?" "Yes."
fn confirmed_city(talk: &Conversation, served: &[(String, String)]) -> Option<Fact<String>> {
    talk.agent().find_map(|(index, line)| {
        let (_, answer) = talk.answer_after(index)?;
        let yes =
            answer.cues(Cue::Yes).any(|hit| hit.from == 0) && line.tokens.questions.last() == Some(&true);
        let (at, plain, name) = served
            .iter()
            .find_map(|(plain, name)| Some((places_of(line, plain).first().copied()?, plain, name)))?;
        (yes && !line.has(Cue::Greeting))
            .then(|| Fact::at(name.clone(), index, at..at + plain.split(' ').count()))
    })
}

/// "Columbus Avenue" is a street, "Mr. Allen" a person.
fn is_street_or_name(line: &Line, at: usize, width: usize) -> bool {
    const AFTER: &[&str] = &[
        "street",
        "st",
        "avenue",
        "ave",
        "road",
        "rd",
        "drive",
        "dr",
        "lane",
        "ln",
        "boulevard",
        "blvd",
        "court",
        "ct",
        "way",
        "plumbing",
        "pizza",
    ];
    const BEFORE: &[&str] = &["mr", "mrs", "ms", "this is", "name is", "im allen", "not", "used to live in"];
    let before = line.tokens.words(at.saturating_sub(4)..at);
    AFTER.contains(&line.tokens.word(at + width))
        && line.tokens.sentence(at) == line.tokens.sentence(at + width)
        || BEFORE.iter().any(|lead| before.ends_with(lead))
}

fn places_of(line: &Line, plain: &str) -> Vec<usize> {
    let words: Vec<&str> = plain.split(' ').collect();
    (0..line.word_count())
        .filter(|at| words.iter().enumerate().all(|(step, word)| line.tokens.word(at + step) == *word))
        .collect()
}

/// Capitalised words after "in", and short answers to "what city?".
fn named_places(talk: &Conversation, index: usize, line: &Line) -> Vec<(i32, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let asked = talk.asked_before(index).is_some_and(|before| before.has(Cue::CityQuestion));
    if asked && line.word_count() <= 4 && !line.has(Cue::No) {
        let start = (0..line.word_count())
            .find(|at| !is_common(line.tokens.word(*at)) && !LEADS.contains(&line.tokens.word(*at)));
        if let Some(start) = start {
            let end = place_end(line, start, false);
            if end > start {
                found.push((3, start..end));
            }
        }
    }
    for at in 1..line.word_count() {
        let lead = line.tokens.word(at - 1);
        let start_of_answer = asked
            && line
                .tokens
                .list
                .get(at - 1)
                .is_some_and(|token| token.comma || line.tokens.sentence(at) != token.sentence);
        if (LEADS.contains(&lead) && line.tokens.sentence(at - 1) == line.tokens.sentence(at)
            || start_of_answer)
            && is_capital(line, at)
        {
            let end = place_end(line, at, true);
            if end > at && !is_street_or_name(line, at, end - at) {
                let base = match lead {
                    "in" | "en" => 2,
                    _ if start_of_answer => 1,
                    _ if asked => 1,
                    _ => continue,
                };
                found.push((base, at..end));
            }
        }
    }
    found
}

fn place_end(line: &Line, start: usize, capital: bool) -> usize {
    let mut end = start;
    while end < line.word_count()
        && end < start + 3
        && line.tokens.sentence(end) == line.tokens.sentence(start)
        && (!capital || is_capital(line, end))
        && !is_common(line.tokens.word(end))
        && line.tokens.word(end).chars().all(char::is_alphabetic)
    {
        end += 1;
        if line.tokens.list.get(end - 1).is_some_and(|token| token.comma) {
            break;
        }
    }
    end
}

fn is_common(word: &str) -> bool {
    NOT_PLACES.contains(&word) || super::numbers::digit(word).is_some()
}

fn is_capital(line: &Line, at: usize) -> bool {
    line.tokens
        .list
        .get(at)
        .and_then(|token| line.raw.get(token.raw.clone()))
        .is_some_and(|word| word.starts_with(char::is_uppercase) && !is_common(&normal(word)))
}

fn text(line: &Line, span: std::ops::Range<usize>) -> String {
    line.tokens.raw_range(span).and_then(|range| line.raw.get(range)).unwrap_or("").to_owned()
}

/// "grove city" as people write it.
fn title(name: &str) -> String {
    name.split(' ')
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map(|first| first.to_uppercase().chain(chars).collect::<String>())
                .unwrap_or_default()
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn postcode(talk: &Conversation, service: &ServiceArea) -> Option<Fact<String>> {
    let mut best: Option<(i32, Fact<String>)> = None;
    for (index, line) in talk.caller() {
        let field = line.label.as_deref().is_some_and(|label| {
            ["zip", "postal", "postcode", "post code"].iter().any(|name| label.contains(name))
        });
        let asked = talk.asked_before(index).is_some_and(|before| before.has(Cue::CityQuestion));
        for at in 0..line.word_count() {
            let Some((code, end)) = code_at(line, at) else { continue };
            let before = line.tokens.words(at.saturating_sub(3)..at);
            let cued = ["zip", "codigo postal", "postal"].iter().any(|lead| before.contains(lead));
            let served = serves_code(service, &code);
            // Five digits at the start of an address are the house, not the code.
            let alone = asked && (at > 0 || end == line.word_count());
            let after_place = at > 0
                && (is_capital(line, at - 1)
                    || line.tokens.list.get(at - 1).is_some_and(|token| token.comma));
            let points = match () {
                () if field || cued => 4,
                () if served => 3,
                () if alone && !followed_by_street(line, end) => 2,
                () if after_place && !followed_by_street(line, end) && line.label.is_some() => 1,
                () => continue,
            };
            if best.as_ref().is_none_or(|(other, _)| points >= *other) {
                best = Some((points, Fact::at(code, index, at..end)));
            }
        }
    }
    best.map(|(_, fact)| fact)
}

fn followed_by_street(line: &Line, end: usize) -> bool {
    (end < line.word_count()) && is_capital(line, end)
}

/// Five digits in one word, or spelled out.
fn code_at(line: &Line, at: usize) -> Option<(String, usize)> {
    let word = line.tokens.word(at);
    if word.len() == 5
        && word.chars().all(|c| c.is_ascii_digit())
        && at.checked_sub(1).is_none_or(|b| line.tokens.word(b) != "$")
    {
        return Some((word.to_owned(), at + 1));
    }
    let spelled: String = (at..at + 5).map_while(|at| super::numbers::digit(line.tokens.word(at))).collect();
    let alone = super::numbers::digit(line.tokens.word(at + 5)).is_none()
        && at.checked_sub(1).is_none_or(|before| super::numbers::digit(line.tokens.word(before)).is_none());
    (spelled.len() == 5 && alone).then_some((spelled, at + 5))
}
