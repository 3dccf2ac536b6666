//! Stretches of time ahead: "in two to three months", "by September" when it is known to be April.

use super::cue::Cue;
use super::roles::{MONTHS, Role};
use super::turns::{Conversation, Line};
use super::words::lists;
use hashbrown::HashMap;
use std::sync::OnceLock;

/// Days per unit of time.
const UNITS: &[(&[&str], f64)] = &[
    (&["day", "days", "dia", "dias"], 1.0),
    (&["week", "weeks", "wk", "wks", "semana", "semanas"], 7.0),
    (&["month", "months", "mo", "mos", "mes", "meses"], 30.0),
    (&["year", "years", "yr", "yrs", "ano", "anos"], 365.0),
];
/// Words that name a small number without saying it.
const VAGUE: &[(&str, f64)] = &[
    ("couple", 2.0),
    ("coupla", 2.0),
    ("few", 3.0),
    ("several", 4.0),
    ("par", 2.0),
    ("unos", 3.0),
    ("unas", 3.0),
    ("pocas", 3.0),
    ("pocos", 3.0),
    ("half", 0.5),
];
/// The months in which a season's work is planned to start, from 1.
const SEASONS: &[(&str, f64)] = &[
    ("spring", 4.0),
    ("summer", 7.0),
    ("fall", 10.0),
    ("autumn", 10.0),
    ("winter", 12.5),
    ("thanksgiving", 11.8),
    ("christmas", 12.7),
    ("halloween", 10.9),
    ("labor", 9.1),
    ("memorial", 5.9),
    ("easter", 4.2),
    ("primavera", 4.0),
    ("verano", 7.0),
    ("otono", 10.0),
    ("invierno", 12.5),
    ("navidad", 12.7),
];
/// Days after which a year from now is more than half of one away, whatever the month.
const NEXT_YEAR_DAYS: f64 = 365.0;
const DAYS_PER_MONTH: f64 = 30.4;

/// A stretch of time ahead, as a token range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub days: f64,
    pub from: usize,
    pub to: usize,
}

/// "in two to three months", "a couple weeks", "six weeks or so".
pub(super) fn durations(line: &Line, asked: bool) -> Vec<Span> {
    let tokens = &line.tokens;
    let mut found = Vec::new();
    for at in 0..line.word_count() {
        let Some((_, days)) = UNITS.iter().find(|(names, _)| names.contains(&tokens.word(at))) else {
            continue;
        };
        let Some((from, count)) = count_before(line, at) else { continue };
        let span = Span { days: count * days, from, to: at + 1 };
        if !points_back(line, &span) && (asked || points_ahead(line, &span)) {
            found.push(span);
        }
    }
    found.extend(elided(line, &found));
    found
}

/// "It is due in seven months, so I'd say start in three or four": the unit is the one before.
fn elided(line: &Line, found: &[Span]) -> Option<Span> {
    let last = line.numbers.last()?;
    let before = found.last().filter(|span| span.to <= last.from)?;
    let unit = line.tokens.word(before.to - 1);
    let (_, days) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
    let pair = line.numbers.iter().rev().nth(1).filter(|first| {
        matches!(line.tokens.words(first.to..last.from), "or" | "to" | "-" | "" | "or maybe")
            && first.value < last.value
    });
    let from = pair.map_or(last.from, |first| first.from);
    let lead = from.checked_sub(1).map_or("", |at| line.tokens.word(at));
    let count = pair.map_or(last.value, |first| (first.value + last.value) / 2.0);
    let fits = last.role == Role::Open
        && !last.money
        && last.value <= 24.0
        && matches!(lead, "in" | "about" | "like" | "maybe" | "say" | "around");
    fits.then_some(Span { days: count * days, from, to: last.to })
}

/// How many, and where the words for it begin.
fn count_before(line: &Line, unit: usize) -> Option<(usize, f64)> {
    let tokens = &line.tokens;
    let at = line.numbers.partition_point(|number| number.to < unit);
    if let Some(number) =
        line.numbers.get(at).filter(|number| number.to == unit && !number.money && number.value <= 400.0)
    {
        let first = at.checked_sub(1).and_then(|at| line.numbers.get(at)).filter(|first| {
            first.to + 2 >= number.from
                && first.value < number.value
                && (first.to..number.from).all(|at| {
                    matches!(tokens.word(at), "-" | "to" | "or" | "a" | "o" | "maybe" | "y" | "and")
                })
        });
        return Some(match first {
            Some(first) => (first.from, (first.value + number.value) / 2.0),
            None => (number.from, number.value),
        });
    }
    let mut before = unit.checked_sub(1)?;
    while matches!(tokens.word(before), "of" | "more" | "short" | "de" | "other") && before > 0 {
        before -= 1;
    }
    // "In a year", "six months to a year"; but "four hundred a month".
    let lead = before.checked_sub(1).map_or("", |at| tokens.word(at));
    let open_ended = tokens.word(unit + 1) == "or";
    let opens = !open_ended && before == 0
        || !open_ended && before > 0 && tokens.sentence(before - 1) != tokens.sentence(before);
    if tokens.word(before) == "a"
        && (opens
            || matches!(
                lead,
                "in" | "to" | "or" | "about" | "within" | "maybe" | "than" | "probably" | "another" | "like"
            ))
    {
        return Some((before, 1.0));
    }
    let (_, count) = VAGUE.iter().find(|(name, _)| *name == tokens.word(before))?;
    let from = if before > 0 && matches!(tokens.word(before - 1), "a" | "un" | "next") {
        before - 1
    } else {
        before
    };
    // "three, four weeks; a few more" are read as numbers before; "half a day" is no date.
    Some((from, *count))
}

/// "In five weeks", "three weeks from now": in passing, a stretch must be said to lie ahead.
fn points_ahead(line: &Line, span: &Span) -> bool {
    let tokens = &line.tokens;
    let lead = (span.from.saturating_sub(3)..span.from)
        .any(|at| lists().ahead.has(tokens.word(at)) && tokens.sentence(at) == tokens.sentence(span.from));
    let opens = span.from == tokens.sentence_range(tokens.sentence(span.from)).start;
    lead || opens || lists().ahead_after.has(tokens.word(span.to))
}

/// Whether a stretch lies behind, or is how long something lasts.
fn points_back(line: &Line, span: &Span) -> bool {
    let tokens = &line.tokens;
    let before = span.from.checked_sub(1).map_or("", |at| tokens.word(at));
    let lead = tokens.words(span.from.saturating_sub(3)..span.from);
    let after = tokens.word(span.to);
    let soft = matches!(
        before,
        "like" | "about" | "maybe" | "around" | "almost" | "over" | "nearly" | "only" | "roughly"
    );
    let verb = if soft { span.from.checked_sub(2).map_or("", |at| tokens.word(at)) } else { before };
    let same_sentence = tokens.sentence(span.to) == tokens.sentence(span.from);
    let not_until = lead.contains("not ") || lead.contains("another");
    lists().not_ahead.has(verb) && !not_until
        || same_sentence && lists().not_ahead_after.has(after)
        || tokens.words(span.to..span.to + 2) == "or older"
        || line.cues(Cue::Past).any(|hit| {
            tokens.sentence(hit.from) == tokens.sentence(span.from)
                && hit.from < span.to + 2
                && span.from < hit.to + 2
                && !tokens.words(hit.from..hit.to).starts_with("last ")
        })
}

/// "By September", "this fall", where it is known which month it is, 1 to 12.
pub(super) fn months_ahead(now: Option<f64>, line: &Line) -> Vec<Span> {
    let Some(now) = now else { return Vec::new() };
    let mut found = Vec::new();
    for at in 1..line.word_count() {
        let word = line.tokens.word(at);
        let before = line.tokens.word(at - 1);
        let lead = matches!(
            before,
            "in" | "by"
                | "this"
                | "until"
                | "till"
                | "after"
                | "early"
                | "late"
                | "mid"
                | "before"
                | "maybe"
                | "around"
                | "of"
                | "the"
                | "about"
                | "like"
                | "en"
                | "para"
                | "start"
                | "probably"
        );
        let new_year = matches!(word, "year" | "years")
            && (before == "new" || line.tokens.words(at.saturating_sub(3)..at) == "first of the");
        let lead = lead || before == "de" && line.tokens.word(at.saturating_sub(2)) == "antes";
        let named = if new_year { Some(1.0) } else { month_of(word).filter(|_| lead) };
        let Some(month) = named else { continue };
        if says_now(line, at) {
            continue;
        }
        let ahead = (month - now + 12.0) % 12.0;
        // A month that has just begun is now, not a year away.
        let ahead = if ahead > 11.4 { 0.0 } else { ahead };
        found.push(Span { days: ahead * DAYS_PER_MONTH, from: at - 1, to: at + 1 });
    }
    found
}

/// The month that the talk takes place in, 1 to 12, if somebody says so.
pub(super) fn this_month(talk: &Conversation) -> Option<f64> {
    talk.lines.iter().find_map(|line| {
        (1..line.word_count()).find_map(|at| month_of(line.tokens.word(at)).filter(|_| says_now(line, at)))
    })
}

/// "It's April", "it is early May", "what month is it, April?"
fn says_now(line: &Line, at: usize) -> bool {
    let lead = line.tokens.words(at.saturating_sub(3)..at);
    [
        "its",
        "it is",
        "its early",
        "its mid",
        "its late",
        "its only",
        "its already",
        "its november",
        "is it",
        "were in",
        "estamos en",
        "now its",
        "its just",
    ]
    .iter()
    .any(|words| lead.ends_with(words))
}

fn month_of(word: &str) -> Option<f64> {
    static MONTH_OF: OnceLock<HashMap<&str, f64>> = OnceLock::new();
    // "may" and "march" are also verbs; a lead word before them is asked for elsewhere.
    let months = MONTH_OF.get_or_init(|| {
        let named = MONTHS
            .iter()
            .zip(1..)
            .flat_map(|(names, month)| names.iter().map(move |name| (*name, f64::from(month))));
        SEASONS.iter().copied().chain(named).collect()
    });
    months.get(word).copied()
}

/// "Not until 2027": a year that is waited for.
pub(super) fn year_ahead(line: &Line) -> Option<Span> {
    line.numbers.iter().find_map(|number| {
        let lead = line.tokens.words(number.from.saturating_sub(3)..number.from);
        let waits = ["until", "till", "hasta", "before", "in early", "in late", "sometime in"]
            .iter()
            .any(|word| lead.contains(word));
        (number.year && waits && !lead.contains("built") && (2_025.0..2_100.0).contains(&number.value))
            .then_some(Span { days: NEXT_YEAR_DAYS, from: number.from, to: number.to })
    })
}
