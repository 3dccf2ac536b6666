//! Amounts of money and ranges of them.

use super::cue::Cue;
use super::numbers::Number;
use super::turns::Line;
use std::ops::Range;

/// A bare number below this is said in thousands when money is the topic ("forty, maybe forty-five").
const BARE_THOUSANDS_MAX: f64 = 1_000.0;
/// No remodeling budget is larger; more is a misheard number.
const AMOUNT_MAX: f64 = 50_000_000.0;

/// Words after a number that make it something other than money.
const UNITS: &[&str] = &[
    "week",
    "weeks",
    "day",
    "days",
    "month",
    "months",
    "year",
    "years",
    "hour",
    "hours",
    "minute",
    "minutes",
    "percent",
    "sq",
    "square",
    "squares",
    "feet",
    "foot",
    "ft",
    "x",
    "by",
    "windows",
    "window",
    "doors",
    "door",
    "rooms",
    "room",
    "bedroom",
    "bedrooms",
    "bathroom",
    "bathrooms",
    "baths",
    "bath",
    "people",
    "kids",
    "children",
    "am",
    "pm",
    "oclock",
    "inches",
    "inch",
    "story",
    "stories",
    "miles",
    "acres",
    "times",
    "units",
    "stairs",
    "semanas",
    "semana",
    "dias",
    "mes",
    "meses",
    "ano",
    "anos",
    "pies",
    "metros",
    "cuartos",
    "ventanas",
    "puertas",
    "banos",
    "horas",
    "quotes",
    "bids",
    "estimates",
    "contractors",
    "companies",
    "of",
    "other",
    "more",
    "guys",
    "thirty",
    "fifteen",
    "townhomes",
    "houses",
    "floors",
    "car",
    "bed",
    "per",
    "th",
    "street",
    "drive",
    "lane",
    "avenue",
    "road",
    "court",
    "blvd",
    "boulevard",
    "st",
    "ave",
    "rd",
];

/// Words that may stand between the ends of a range.
const RANGE_WORDS: &[&str] = &[
    "-",
    "to",
    "or",
    "and",
    "maybe",
    "through",
    "a",
    "y",
    "o",
    "hasta",
    "could",
    "stretch",
    "go",
    "up",
    "possibly",
    "perhaps",
    "even",
    "tops",
    "we",
    "i",
    "as",
    "high",
    "around",
    "about",
    "like",
    "probably",
    "can",
    "might",
    "quizas",
    "tal",
    "vez",
    "somewhere",
];
/// Most words between the ends of a range.
const RANGE_GAP_MAX: usize = 6;

/// An amount as said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Amount {
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Token range, with the words that bound it.
    pub span: Range<usize>,
    /// Said with a currency or a scale; else only the topic tells that it is money.
    pub explicit: bool,
}

impl Amount {
    /// The largest figure in it.
    pub(super) fn top(&self) -> f64 {
        self.max.or(self.min).unwrap_or(0.0)
    }
}

/// The amounts of a line in order; a figure taken back in the same breath is dropped.
pub(super) fn amounts(line: &Line) -> Vec<Amount> {
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(first) = line.numbers.get(index) {
        index += 1;
        if !is_money(line, first) {
            continue;
        }
        match line.numbers.get(index).filter(|second| joined(line, first, second)) {
            Some(second) if taken_back(line, first, second) => {}
            Some(second) => {
                found.extend(range(line, first, second));
                index += 1;
            }
            None => found.extend(single(line, first)),
        }
    }
    found.extend(decades(line));
    found
}

/// "somewhere in the fifties" has no number word; this reads it.
fn decades(line: &Line) -> Vec<Amount> {
    let names =
        ["twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties"];
    let place = (0..line.tokens.list.len()).find_map(|at| {
        let which = names.iter().position(|name| *name == line.tokens.word(at))?;
        let lead = line.tokens.words(at.saturating_sub(4)..at);
        (lead.contains("in the") && !lead.contains("from") && !lead.contains("built")).then_some((at, which))
    });
    place
        .map(|(at, which)| {
            let low = (which as f64 + 2.0) * 10_000.0;
            Amount { min: Some(low), max: Some(low + 10_000.0), span: at..at + 1, explicit: false }
        })
        .into_iter()
        .collect()
}

fn is_money(line: &Line, number: &Number) -> bool {
    if number.money {
        return true;
    }
    let next = line.tokens.word(number.to);
    let previous = number.from.checked_sub(1).map_or("", |at| line.tokens.word(at));
    let before_that = number.from.checked_sub(2).map_or("", |at| line.tokens.word(at));
    let counts = UNITS.contains(&next)
        || (next == "-" || next == "to" || next == "or")
            && line.numbers.iter().find(|other| other.from >= number.to).is_some_and(|other| {
                other.from <= number.to + 1 && !other.money && UNITS.contains(&line.tokens.word(other.to))
            });
    let clock = matches!(previous, "at" | "the" | "on" | "a" | "las" | "los") && number.value <= 31.0
        || matches!(before_that, "built" | "since")
        || matches!(previous, "x" | "by" | "zip" | "number" | "built" | "since");
    let digits_of_something = number.value < 2.0 || number.value.fract() != 0.0;
    let spelled_digits = |word: &str| super::numbers::digit(word).is_some();
    let in_digit_run = number.value < 10.0 && (spelled_digits(next) || spelled_digits(previous));
    !(counts || clock || digits_of_something || number.year || in_digit_run)
        && (number.value >= 5.0
            || next.is_empty()
            || matches!(next, "to" | "or" | "-" | "max" | "tops" | "|"))
        && (number.value < 100_000.0)
}

/// Whether two numbers belong to one amount.
fn joined(line: &Line, first: &Number, second: &Number) -> bool {
    if second.from > first.to + RANGE_GAP_MAX
        || line.tokens.sentence(first.from) != line.tokens.sentence(second.from)
        || !second.money && UNITS.contains(&line.tokens.word(second.to))
        || first.money
            && !second.money
            && first.scale > 1.0
            && second.value < BARE_THOUSANDS_MAX
            && second.value * first.scale <= first.value
    {
        return false;
    }
    let words: Vec<&str> = (first.to..second.from).map(|at| line.tokens.word(at)).collect();
    if words.iter().all(|word| RANGE_WORDS.contains(word)) {
        let lead = line.tokens.words(first.from.saturating_sub(3)..first.from);
        let listed = words.as_slice() == ["and"] && !(lead.contains("between") || lead.contains("entre"));
        let ascending = scaled(first, second).0 < scaled(first, second).1;
        return ascending && !listed;
    }
    taken_back(line, first, second)
}

fn taken_back(line: &Line, first: &Number, second: &Number) -> bool {
    line.cues(Cue::Correction).any(|hit| hit.from >= first.to && hit.to <= second.from)
        || line.tokens.words(first.to..second.from).split(' ').any(|word| word == "no")
}

/// Both ends in full: "sixty to eighty thousand" shares its scale.
fn scaled(first: &Number, second: &Number) -> (f64, f64) {
    let (mut low, mut high) = (first.value, second.value);
    if first.scale == 1.0 && second.scale >= 1_000.0 && low < BARE_THOUSANDS_MAX {
        low *= second.scale;
    } else if second.scale == 1.0 && first.scale >= 1_000.0 && high < BARE_THOUSANDS_MAX {
        high *= first.scale;
    } else if first.scale == 1.0 && second.scale == 1.0 {
        (low, high) = (whole(low, first.money), whole(high, second.money || first.money));
    }
    (low, high)
}

/// A bare number in full.
fn whole(value: f64, explicit: bool) -> f64 {
    if !explicit && value < BARE_THOUSANDS_MAX { value * 1_000.0 } else { value }
}

fn range(line: &Line, first: &Number, second: &Number) -> Option<Amount> {
    let (low, high) = scaled(first, second);
    let span = first.from..second.to;
    let ceiling =
        bounded(line, &[Cue::CeilingBefore], &span, true).is_some_and(|lead| lead.end <= first.from);
    (high <= AMOUNT_MAX).then_some(Amount {
        min: (!ceiling).then_some(low),
        max: Some(high),
        explicit: first.money || second.money,
        span,
    })
}

fn single(line: &Line, number: &Number) -> Option<Amount> {
    let explicit = number.money || number.value >= BARE_THOUSANDS_MAX;
    let value = whole(number.value, number.money);
    let span = number.from..number.to;
    let ceiling = bounded(line, &[Cue::CeilingBefore], &span, true)
        .or_else(|| bounded(line, &[Cue::CeilingAfter], &span, false));
    let floor = bounded(line, &[Cue::FloorBefore], &span, true)
        .or_else(|| bounded(line, &[Cue::FloorAfter], &span, false));
    let (min, max, wide) = match (ceiling, floor) {
        (Some(words), _) => (None, Some(value), words),
        (None, Some(words)) => (Some(value), None, words),
        (None, None) => (Some(value), Some(value), span.clone()),
    };
    let span = span.start.min(wide.start)..span.end.max(wide.end);
    (1.0..=AMOUNT_MAX).contains(&value).then_some(Amount { min, max, span, explicit })
}

/// The bounding words right before or after an amount.
fn bounded(line: &Line, cues: &[Cue], span: &Range<usize>, before: bool) -> Option<Range<usize>> {
    let sentence = line.tokens.sentence(span.start);
    cues.iter().flat_map(|cue| line.cues(*cue)).map(|hit| hit.from..hit.to).find(|words| {
        line.tokens.sentence(words.start) == sentence
            && if before {
                words.end <= span.start && words.end + 2 >= span.start
            } else {
                words.start >= span.end && words.start <= span.end + 1
            }
    })
}
