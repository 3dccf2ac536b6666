//! Amounts of money and ranges of them.

use super::cue::Cue;
use super::numbers::Number;
use super::roles::Role;
use super::turns::Line;
use super::words::lists;
use std::ops::Range;

/// A bare number below this is said in thousands when money is the topic ("forty, maybe forty-five").
const BARE_THOUSANDS_MAX: f64 = 1_000.0;
/// No remodeling budget is larger; more is a misheard number.
const AMOUNT_MAX: f64 = 50_000_000.0;
/// Least that a bare number means in thousands; "one or two" are counts.
const BARE_MIN: f64 = 2.0;

/// Most words between the ends of a range.
const RANGE_GAP_MAX: usize = 6;
/// Largest quotient of the ends of a range; "three or four hundred thousand", but not "two or sixty thousand".
const RANGE_QUOTIENT_MAX: f64 = 10.0;

/// An amount as said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Amount {
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Token range, with the words that bound it.
    pub span: Range<usize>,
    /// Said with a currency or a scale; else only the topic tells that it is money.
    pub explicit: bool,
    /// "Up to", "tops", "at least" stand with it: who says so speaks of a limit of their own.
    pub bounded: bool,
}

impl Amount {
    /// The largest figure in it.
    pub(super) fn top(&self) -> f64 {
        self.max.or(self.min).unwrap_or(0.0)
    }
}

/// The amounts of a line in order; a figure taken back in the same breath is dropped.
pub(super) fn amounts(line: &Line) -> Vec<Amount> {
    let figures: Vec<&Number> = line.numbers.iter().filter(|number| is_money(line, number)).collect();
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(first) = figures.get(index) {
        index += 1;
        match figures.get(index).map(|second| (*second, between(line, first, second))) {
            Some((second, Between::Range)) => {
                found.extend(range(line, first, second));
                index += 1;
            }
            Some((second, Between::Shorthand)) => {
                found.extend(shorthand(line, first, second));
                index += 1;
            }
            Some((_, Between::TakenBack)) => {}
            Some((_, Between::Nothing)) | None => found.extend(single(line, first)),
        }
    }
    found.extend(decades(line));
    found.sort_by_key(|amount| amount.span.start);
    found
}

/// "Somewhere in the fifties" has no number word; this reads it.
fn decades(line: &Line) -> Vec<Amount> {
    let names =
        ["twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties"];
    let place = (0..line.word_count()).find_map(|at| {
        let which = names.iter().position(|name| *name == line.tokens.word(at))?;
        let lead = line.tokens.words(at.saturating_sub(4)..at);
        let era = ["from", "built", "house", "since", "nineteen"].iter().any(|word| lead.contains(word));
        (lead.contains("in the") && !era).then_some((at, which, lead))
    });
    place
        .map(|(at, which, lead)| {
            let base = (which as f64 + 2.0) * 10_000.0;
            let part = ["low", "lower", "mid", "middle", "high", "upper"]
                .iter()
                .position(|word| lead.split(' ').next_back() == Some(word));
            let (low, high) = match part {
                Some(0 | 1) => (0.0, 3_000.0),
                Some(2 | 3) => (4_000.0, 6_000.0),
                Some(_) => (7_000.0, 9_000.0),
                None => (0.0, 10_000.0),
            };
            Amount {
                min: Some(base + low),
                max: Some(base + high),
                span: at..at + 1,
                explicit: false,
                bounded: false,
            }
        })
        .into_iter()
        .collect()
}

fn is_money(line: &Line, number: &Number) -> bool {
    if number.role != Role::Open {
        return false;
    }
    let before = number.from.checked_sub(1).map_or("", |at| line.tokens.word(at));
    let ordinal = matches!(before, "the" | "this" | "that")
        && number.value < 32.0
        && number.scale == 1.0
        && !leads_range(line, number);
    number.money
        || leads_range(line, number)
        || number.value >= BARE_MIN && number.value.fract() == 0.0 && number.value < 1_000_000.0 && !ordinal
}

/// "the 12 to 15 thousand range"
fn leads_range(line: &Line, number: &Number) -> bool {
    line.numbers.iter().find(|next| next.from >= number.to).is_some_and(|next| {
        next.scale >= 1_000.0 && matches!(line.tokens.words(number.to..next.from), "" | "to" | "-" | "or")
    })
}

/// What two neighbouring figures are to each other.
#[derive(PartialEq)]
enum Between {
    Range,
    /// "eighteen five" for eighteen thousand five hundred.
    Shorthand,
    /// The second corrects the first.
    TakenBack,
    Nothing,
}

fn between(line: &Line, first: &Number, second: &Number) -> Between {
    if second.from > first.to + RANGE_GAP_MAX
        || line.tokens.sentence(first.from) != line.tokens.sentence(second.from)
    {
        return Between::Nothing;
    }
    if taken_back(line, first, second) {
        return Between::TakenBack;
    }
    let words: Vec<&str> = (first.to..second.from).map(|at| line.tokens.word(at)).collect();
    let tens = (10.0..100.0).contains(&first.value) && first.scale == 1.0 && !first.money;
    let hundreds = second.value < 10.0 && second.scale == 1.0 && !second.money;
    let spoken = !line.tokens.word(second.from).starts_with(|c: char| c.is_ascii_digit());
    if words.is_empty() && tens && hundreds && spoken && !line.pauses_after(first.to - 1) {
        return Between::Shorthand;
    }
    if !words.iter().all(|word| lists().range.has(word)) {
        return Between::Nothing;
    }
    let lead = line.tokens.words(first.from.saturating_sub(3)..first.from);
    let listed =
        matches!(words.as_slice(), ["and"] | ["y"]) && !(lead.contains("between") || lead.contains("entre"));
    let (low, high) = scaled(first, second);
    if low < high && high <= low * RANGE_QUOTIENT_MAX && !listed { Between::Range } else { Between::Nothing }
}

fn taken_back(line: &Line, first: &Number, second: &Number) -> bool {
    line.cues(Cue::Correction).any(|hit| hit.from >= first.to && hit.to <= second.from)
        || (first.to..second.from).any(|at| line.tokens.word(at) == "no")
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

fn shorthand(line: &Line, first: &Number, second: &Number) -> Option<Amount> {
    let value = first.value * 1_000.0 + second.value * 100.0;
    Some(limited(line, value, first.from..second.to, false))
}

fn range(line: &Line, first: &Number, second: &Number) -> Option<Amount> {
    let (low, high) = scaled(first, second);
    let span = first.from..second.to;
    let ceiling = bounded(line, Cue::CeilingBefore, &span, true).is_some_and(|lead| lead.end <= first.from);
    (high <= AMOUNT_MAX).then_some(Amount {
        min: (!ceiling).then_some(low),
        max: Some(high),
        explicit: first.money || second.money,
        bounded: ceiling,
        span,
    })
}

fn single(line: &Line, number: &Number) -> Option<Amount> {
    let value = whole(number.value, number.money);
    (1.0..=AMOUNT_MAX).contains(&value).then(|| limited(line, value, number.from..number.to, number.money))
}

/// A single figure with the words that make it a ceiling or a floor.
fn limited(line: &Line, value: f64, span: Range<usize>, explicit: bool) -> Amount {
    let ceiling = bounded(line, Cue::CeilingBefore, &span, true)
        .or_else(|| bounded(line, Cue::CeilingAfter, &span, false));
    let floor =
        bounded(line, Cue::FloorBefore, &span, true).or_else(|| bounded(line, Cue::FloorAfter, &span, false));
    let (min, max, wide) = match (ceiling, floor) {
        (Some(words), _) => (None, Some(value), Some(words)),
        (None, Some(words)) => (Some(value), None, Some(words)),
        (None, None) => (Some(value), Some(value), None),
    };
    let bounded = wide.is_some();
    let wide = wide.unwrap_or(span.clone());
    Amount { min, max, span: span.start.min(wide.start)..span.end.max(wide.end), explicit, bounded }
}

/// The bounding words right before or after an amount.
fn bounded(line: &Line, cue: Cue, span: &Range<usize>, before: bool) -> Option<Range<usize>> {
    let sentence = line.tokens.sentence(span.start);
    line.cues(cue).map(|hit| hit.from..hit.to).find(|words| {
        line.tokens.sentence(words.start) == sentence
            && if before {
                words.end <= span.start && words.end + 2 >= span.start
            } else {
                words.start >= span.end && words.start <= span.end + 1
            }
    })
}
