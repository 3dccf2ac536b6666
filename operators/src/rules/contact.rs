//! Phone, email and street address as said or written by the caller; the name is in `names`.

use super::cue::Cue;
use super::fact::Fact;
use super::fields::Field;
use super::names;
use super::roles::{Role, street_end};
use super::turns::{Conversation, Line};
use super::words::lists;
use regex::Regex;
use std::ops::Range;
use std::sync::OnceLock;

/// Words of a street's name without its kind: "2260 east hale".
const BARE_STREET_WORDS_MAX: usize = 2;

/// The ways to reach the caller.
#[derive(Debug)]
pub(super) struct Contact {
    pub name: Option<Fact<String>>,
    pub phone: Option<Fact<String>>,
    pub email: Option<Fact<String>>,
    pub address: Option<Fact<String>>,
}

pub(super) fn contact(talk: &Conversation) -> Contact {
    let last = |find: &dyn Fn(usize, &Line) -> Option<Fact<String>>| {
        talk.caller().rev().find_map(|(index, line)| find(index, line))
    };
    Contact {
        name: names::name(talk),
        phone: last(&phone),
        email: last(&email),
        address: last(&|index, line| address(talk, index, line)),
    }
}

fn phone(index: usize, line: &Line) -> Option<Fact<String>> {
    if line.field.is_some_and(|field| !field.is_free() && field != Field::Phone) {
        return None;
    }
    let (digits, span) = line.runs.iter().flat_map(|run| run.phones()).last()?;
    Some(Fact::at(digits, index, span))
}

fn email(index: usize, line: &Line) -> Option<Fact<String>> {
    static WRITTEN: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}";
    let written = WRITTEN.get_or_init(|| Regex::new(pattern).ok()).as_ref()?.find(&line.raw);
    if let Some(found) = written {
        let from = line.tokens.list.partition_point(|token| token.raw.end <= found.start());
        let to = line.tokens.list.partition_point(|token| token.raw.start < found.end());
        // Words to the scorer are blanked: what stands in them is nobody's address.
        return (from < to).then(|| Fact::at(found.as_str().to_lowercase(), index, from..to));
    }
    spoken_email(index, line)
}

/// "jenny dot walsh at gmail dot com"
fn spoken_email(index: usize, line: &Line) -> Option<Fact<String>> {
    let at = (1..line.word_count()).find(|at| is_at_sign(line, *at))?;
    let start = user_start(line, at);
    // The host may be several words: "my company dot net".
    let dot = (at + 1..(at + 5).min(line.word_count())).find(|at| joins(line.tokens.word(*at)));
    let mut end = dot.unwrap_or(at + 2).max(at + 2);
    while end < line.word_count()
        && (joins(line.tokens.word(end))
            || joins(line.tokens.word(end - 1))
            || line.tokens.word(end) == "com")
    {
        end += 1;
    }
    let (user, host) = (spell(line, start..at), spell(line, at + 1..end));
    let host = match host.strip_suffix("com") {
        Some(name) if !host.contains('.') && !name.is_empty() => format!("{name}.com"),
        _ => host,
    };
    (!user.is_empty() && host.contains('.')).then(|| Fact::at(format!("{user}@{host}"), index, start..end))
}

/// Whether a word is the sign between user and host, and not the place in "at the lake".
fn is_at_sign(line: &Line, at: usize) -> bool {
    let tokens = &line.tokens;
    if !matches!(tokens.word(at), "at" | "arroba") || tokens.sentence(at) != tokens.sentence(at + 1) {
        return false;
    }
    let host = tokens.word(at + 1);
    let dotted = (2..=4).any(|step| {
        matches!(tokens.word(at + step), "dot" | "punto")
            && lists().mail_endings.has(tokens.word(at + step + 1))
    });
    let joined = host.ends_with("com") && lists().mail_hosts.iter().any(|known| host.starts_with(known));
    !host.is_empty() && (dotted || joined || tokens.word(at + 2) == "com")
}

/// Words that stand for a sign in an address.
fn joins(word: &str) -> bool {
    matches!(word, "dot" | "punto" | "underscore" | "dash" | "guion" | "hyphen" | "period")
}

/// Where the user's part before the sign begins.
fn user_start(line: &Line, at: usize) -> usize {
    let tokens = &line.tokens;
    let mut start = at;
    while let Some(before) = start.checked_sub(1) {
        let (word, next) = (tokens.word(before), tokens.word(start));
        let adjoining = start == at
            || joins(next)
            || joins(word)
            || word.len() == 1 && word != "i" && word != "a"
            || next.len() == 1
            || next.chars().all(|c| c.is_ascii_digit());
        let stops = lists().before_email.has(word) && !joins(next) || start < at && line.pauses_after(before);
        if !adjoining || stops {
            break;
        }
        start = before;
    }
    start
}

fn spell(line: &Line, range: Range<usize>) -> String {
    let mut text = String::new();
    for at in range {
        match line.tokens.word(at) {
            "dot" | "punto" | "period" => text.push('.'),
            "underscore" => text.push('_'),
            "dash" | "hyphen" | "guion" => text.push('-'),
            // A letter "o" is one.
            word => match super::numbers::digit(word).filter(|_| word.len() > 1) {
                Some(digit) => text.push(digit),
                None => text.push_str(word),
            },
        }
    }
    text
}

/// "4412 Willow Bend Drive": a number, one to four words, a kind of street; and what is asked for or called an address.
fn address(talk: &Conversation, index: usize, line: &Line) -> Option<Fact<String>> {
    if line.field == Some(Field::Address) {
        let words = line.word_count();
        let has_street = line.numbers.first().is_some_and(|number| number.from == 0) && words >= 2;
        let end = street_address(line).map_or(words, |span| span.end);
        let text = line.quote(0..end)?.to_owned();
        return has_street.then(|| Fact::at(text, index, 0..end));
    }
    if !line.is_free() {
        return None;
    }
    let asked = talk.asked_before(index).is_some_and(|before| {
        before.asks_for(Cue::CityQuestion)
            && before.has_word(&["address", "street", "direccion", "where", "wheres"])
    });
    // "1849 North Damen." needs no question, "2 North" does.
    let plain = |span: &Range<usize>| {
        let compass = span
            .clone()
            .any(|at| lists().compass.has(line.tokens.word(at)) && line.tokens.word(at).len() > 3);
        compass && line.tokens.sentence_range(line.tokens.sentence(span.start)).len() <= span.len() + 2
    };
    let span = street_address(line).or_else(|| bare_address(line).filter(|span| asked || plain(span)))?;
    Some(Fact::at(line.quote(span.clone())?.to_owned(), index, span))
}

/// The house number with the street that follows.
fn street_address(line: &Line) -> Option<Range<usize>> {
    let tokens = &line.tokens;
    line.numbers.iter().filter(|number| number.role == Role::Place).find_map(|number| {
        let end = street_end(tokens, number.to)?;
        // "twenty two sixty east hale drive": the number came in pieces.
        let from = first_piece(line, number.from);
        let kind = tokens.word(end - 1);
        let vague = lists().vague_streets.has(kind);
        let plausible = !vague || line.is_capital(end - 1) || line.is_lower_case() && number.value >= 100.0;
        let named =
            tokens.word(number.to).chars().any(char::is_alphabetic) || kind == "street" || kind == "st";
        if !plausible || !named || number.money {
            return None;
        }
        Some(from..unit_end(line, compass_end(line, end)))
    })
}

/// Pieces of a spelled house number that stand right before: "twenty two" of "twenty two sixty".
fn first_piece(line: &Line, from: usize) -> usize {
    let digits = |at: usize| {
        line.numbers.iter().find(|number| number.to == at && number.scale == 1.0 && !number.money)
    };
    match digits(from) {
        Some(before) if !line.pauses_after(before.to - 1) && before.value < 100.0 => {
            first_piece(line, before.from)
        }
        _ => from,
    }
}

/// "Avenue South"
fn compass_end(line: &Line, end: usize) -> usize {
    let same = line.tokens.sentence(end) == line.tokens.sentence(end - 1) && !line.pauses_after(end - 1);
    if same && lists().compass.has(line.tokens.word(end)) { end + 1 } else { end }
}

/// ", unit 3012"
fn unit_end(line: &Line, end: usize) -> usize {
    let unit =
        matches!(line.tokens.word(end), "unit" | "apt" | "apartment" | "suite" | "no" | "lot" | "depto");
    let number = line.numbers.iter().find(|number| number.from == end + 1 && number.scale == 1.0);
    match number {
        Some(number) if unit && line.tokens.sentence(end) == line.tokens.sentence(number.from) => number.to,
        _ => end,
    }
}

/// "6012 West Orangewood" in answer to the question: a number with a capitalised name or a point of the compass.
fn bare_address(line: &Line) -> Option<Range<usize>> {
    let tokens = &line.tokens;
    line.numbers.iter().find_map(|number| {
        let start = number.to;
        let house = number.scale == 1.0
            && !number.money
            && number.value >= 10.0
            && matches!(number.role, Role::Open | Role::Place | Role::Code | Role::Measure);
        let compass = lists().compass.has(tokens.word(start));
        let mut end = if compass { start + 1 } else { start };
        while end < start + BARE_STREET_WORDS_MAX + usize::from(compass)
            && tokens.sentence(end) == tokens.sentence(number.from)
            && tokens.word(end).chars().all(char::is_alphabetic)
            && !tokens.word(end).is_empty()
            && (line.is_capital(end) || compass && line.is_lower_case())
        {
            end += 1;
            if line.pauses_after(end - 1) {
                break;
            }
        }
        let named = end > start + usize::from(compass);
        (house && named && (compass || number.value >= 100.0) && !lists().streets.has(tokens.word(start)))
            .then(|| first_piece(line, number.from)..end)
    })
}
