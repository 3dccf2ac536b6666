//! Where the property is, and whether the company works there.

use super::cue::Cue;
use super::fact::Fact;
use super::fields::Field;
use super::places::{is_known, is_state, named_places};
use super::postcode::{postcode, serves_code, shares_prefix};
use super::tokens::normal;
use super::turns::{Conversation, Line};
use super::words::lists;
use leadline_schemas::score::ServiceArea;

/// Rank from which a place outside the area is the property's, and no other place that was mentioned.
const FIRM_RANK_MIN: i32 = 2;

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

pub(super) fn area(talk: &Conversation, service: &ServiceArea) -> Area {
    let postcode = postcode(talk, service);
    let ranked = city(talk, service);
    let limited = !service.cities.is_empty() || !service.postcodes.is_empty();
    let served_code = postcode.as_ref().map(|fact| serves_code(service, &fact.value));
    let near_code = postcode.as_ref().is_some_and(|fact| shares_prefix(service, &fact.value));
    let served_city = ranked.as_ref().map(|(_, fact)| is_served(service, &fact.value));
    let firm = ranked.as_ref().is_some_and(|(rank, _)| *rank >= FIRM_RANK_MIN);
    let refused = talk.agent().any(|(_, line)| line.has(Cue::AreaRefusal));
    let fit = match (limited, served_city, served_code) {
        _ if refused && served_city != Some(true) && served_code != Some(true) => Fit::Outside,
        (false, _, _) => Fit::Anywhere,
        (_, Some(true), _) | (_, _, Some(true)) => Fit::Inside,
        (_, Some(false), Some(false)) => Fit::Outside,
        (_, Some(false), None) if !service.cities.is_empty() && firm => Fit::Outside,
        (_, None, Some(false)) if !service.postcodes.is_empty() && !near_code => Fit::Outside,
        _ => Fit::Unknown,
    };
    Area { city: ranked.map(|(_, fact)| fact), postcode, fit }
}

/// A city's name as it is compared with others, and without the "of" that many leave out.
struct Plain {
    whole: String,
    bare: String,
}

impl Plain {
    fn of(name: &str) -> Self {
        let whole = normal(name).replace("saint ", "st ").replace("fort ", "ft ").replace("mount ", "mt ");
        let bare = whole.split(" of ").last().unwrap_or(&whole).to_owned();
        Self { whole, bare }
    }

    fn is(&self, other: &Self) -> bool {
        self.whole == other.whole || self.bare == other.bare
    }
}

fn is_served(service: &ServiceArea, city: &str) -> bool {
    let plain = Plain::of(city);
    service.cities.iter().any(|name| name == city || Plain::of(name).is(&plain))
}

/// How sure it is that a place is the property's.
fn rank(line: &Line, at: usize, base: i32) -> i32 {
    let sentence = line.tokens.sentence(at);
    let near = |cue: Cue, words: usize| {
        line.cues(cue)
            .any(|hit| line.tokens.sentence(hit.from) == sentence && hit.to <= at + 1 && at <= hit.to + words)
    };
    // Where others are, or where the caller came from, is no place of a property.
    if near(Cue::Elsewhere, 2) {
        return 0;
    }
    base + if near(Cue::PropertyIn, 3) { 4 } else { 0 } - if near(Cue::Lives, 2) { 1 } else { 0 }
}

/// A served city in one of the spellings that people use.
struct Spelling<'a> {
    words: Vec<String>,
    name: &'a str,
}

impl Spelling<'_> {
    /// Where it stands in a line.
    fn places(&self, line: &Line) -> impl Iterator<Item = usize> {
        let stands = |at: &usize| (*at..).zip(&self.words).all(|(at, word)| line.tokens.word(at) == word);
        (0..line.word_count()).filter(stands)
    }
}

/// The served cities in all spellings.
fn spellings(service: &ServiceArea) -> Vec<Spelling<'_>> {
    let mut all = Vec::with_capacity(service.cities.len());
    for name in &service.cities {
        let plain = normal(name);
        let long = plain.replace("st ", "saint ").replace("ft ", "fort ").replace("mt ", "mount ");
        let other = (long != plain).then_some(long);
        for spelled in [plain].into_iter().chain(other).filter(|spelled| !spelled.is_empty()) {
            all.push(Spelling { words: spelled.split(' ').map(str::to_owned).collect(), name });
        }
    }
    all
}

fn city(talk: &Conversation, service: &ServiceArea) -> Option<(i32, Fact<String>)> {
    let mut best: Option<(i32, Fact<String>)> = None;
    let mut consider = |rank: i32, fact: Fact<String>| {
        if rank > 0 && best.as_ref().is_none_or(|(other, _)| rank >= *other) {
            best = Some((rank, fact));
        }
    };
    let served = spellings(service);
    for (index, line) in talk.caller() {
        if line.field == Some(Field::City) && line.word_count() <= 5 && line.numbers.is_empty() {
            let end = city_end(line);
            consider(6, Fact::at(line.quote(0..end).unwrap_or("").to_owned(), index, 0..end));
            continue;
        }
        if !line.is_free() && line.field != Some(Field::Address) {
            continue;
        }
        for spelling in &served {
            let width = spelling.words.len();
            for at in spelling.places(line).filter(|at| !is_street_or_name(line, *at, width)) {
                consider(rank(line, at, 4), Fact::at(spelling.name.to_owned(), index, at..at + width));
            }
        }
        for (base, span) in named_places(talk, index, line) {
            let name = title(line.quote(span.clone()).unwrap_or(""));
            let plain = normal(&name);
            let within = served.iter().any(|spelling| plain.contains(&spelling.words.join(" ")));
            if !within && !is_street_or_name(line, span.start, span.len()) {
                consider(rank(line, span.start, base), Fact::at(name, index, span));
            }
        }
    }
    best.or_else(|| Some((6, confirmed_city(talk, &served)?)))
}

/// "Denver, CO" names Denver.
fn city_end(line: &Line) -> usize {
    let count = line.word_count();
    (1..=count)
        .find(|at| line.pauses_after(at - 1) || *at < count && is_state(line.tokens.word(*at)))
        .unwrap_or(count)
}

/// "Are you in Columbus?" "Yes."
fn confirmed_city(talk: &Conversation, served: &[Spelling<'_>]) -> Option<Fact<String>> {
    talk.agent().find_map(|(index, line)| {
        let (_, answer) = talk.answer_after(index)?;
        let yes = answer.cues(Cue::Yes).any(|hit| hit.from == 0)
            || answer.words().starts_with("same")
            || answer.words().starts_with("still");
        let asks = line.asks() || line.asks_for(Cue::CityQuestion);
        let (at, city) =
            served.iter().find_map(|spelling| Some((spelling.places(line).next()?, spelling)))?;
        (yes && asks && !line.has(Cue::Greeting))
            .then(|| Fact::at(city.name.to_owned(), index, at..at + city.words.len()))
    })
}

/// "Columbus Avenue" is a street, "Mr. Allen" a person, "Charlotte Pipe Supply" a firm.
fn is_street_or_name(line: &Line, at: usize, width: usize) -> bool {
    let before = line.tokens.words(at.saturating_sub(4)..at);
    let after = line.tokens.word(at + width);
    let joined =
        line.tokens.sentence(at) == line.tokens.sentence(at + width) && !line.pauses_after(at + width - 1);
    let street = lists().streets.has(after)
        && joined
        && !is_known(&format!("{} {after}", line.tokens.words(at..at + width)));
    let numbered = line
        .numbers
        .iter()
        .any(|number| number.to <= at && number.to + 3 >= at || number.from == at + width + 1);
    let person =
        || lists().before_no_place.iter().any(|lead| before == lead || before.ends_with(&format!(" {lead}")));
    street && (numbered || lists().sure_streets.has(after))
        || lists().firm_after_place.has(after) && joined
        || person()
}

/// "grove city" as people write it.
fn title(name: &str) -> String {
    let upper = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    name.split_whitespace().map(upper).collect::<Vec<_>>().join(" ")
}
