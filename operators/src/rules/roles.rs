//! What a number is besides itself: a phone number, a size, a time of day, a count; only the rest can be money.

use super::digits::{Run, runs};
use super::numbers::Number;
use super::tokens::Tokens;
use super::words::lists;

/// What its neighbours make of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: money if the talk is about money.
    Open,
    /// Part of a phone number, or of an account, job or card number.
    Code,
    /// Five digits that can be a postcode and no round sum.
    Postcode,
    /// A house, a road, a flat.
    Place,
    /// A year.
    Year,
    /// A time of day.
    Clock,
    /// A day of the month.
    Day,
    /// So many weeks, feet, windows, percent.
    Measure,
}

/// The names of the months, in order.
pub(super) const MONTHS: &[&[&str]] = &[
    &["january", "jan", "enero"],
    &["february", "feb", "febrero"],
    &["march", "mar", "marzo"],
    &["april", "apr", "abril"],
    &["may", "mayo"],
    &["june", "jun", "junio"],
    &["july", "jul", "julio"],
    &["august", "aug", "agosto"],
    &["september", "sep", "sept", "septiembre"],
    &["october", "oct", "octubre"],
    &["november", "nov", "noviembre"],
    &["december", "dec", "diciembre"],
];
/// Words of a street's name between the number and the kind of street.
const STREET_WORDS_MAX: usize = 4;

/// Gives every number its role.
pub(super) fn assign(tokens: &Tokens, numbers: &mut [Number]) -> Vec<Run> {
    let runs = runs(tokens, numbers);
    let codes = coded(&runs);
    let count = numbers.len();
    for index in 0..count {
        let next = numbers.get(index + 1).copied();
        let previous = index.checked_sub(1).and_then(|at| numbers.get(at)).copied();
        let Some(number) = numbers.get_mut(index) else { continue };
        number.role = role(tokens, number, previous.as_ref(), next.as_ref(), &codes);
    }
    // "two to three months": the first end is what the second is.
    for index in (1..count).rev() {
        let Some([first, second]) = numbers.get(index - 1..=index) else { continue };
        let joined = tokens.words(first.to..second.from);
        let same = matches!(second.role, Role::Measure | Role::Clock)
            && first.role == Role::Open
            && !first.money
            && matches!(
                joined,
                "" | "-" | "to" | "or" | "and" | "a" | "o" | "y" | "maybe" | "or maybe" | "x" | "by"
            );
        let role = second.role;
        if same && let Some(first) = numbers.get_mut(index - 1) {
            first.role = role;
        }
    }
    runs
}

/// Token ranges that are parts of phone and account numbers.
fn coded(runs: &[Run]) -> Vec<std::ops::Range<usize>> {
    let mut codes: Vec<_> = Vec::new();
    for run in runs {
        let phones = run.phones();
        let spelled = run.pieces.len() >= 4 && run.pieces.iter().all(|piece| piece.digits.len() == 1);
        let long = run.pieces.len() >= 3 && run.digits().len() >= 7;
        if phones.is_empty() && (spelled || long) {
            codes.push(run.span());
        }
        codes.extend(phones.into_iter().map(|(_, span)| span));
    }
    codes
}

fn role(
    tokens: &Tokens,
    number: &Number,
    previous: Option<&Number>,
    next: Option<&Number>,
    codes: &[std::ops::Range<usize>],
) -> Role {
    let after = tokens.word(number.to);
    let before = number.from.checked_sub(1).map_or("", |at| tokens.word(at));
    let at = codes.partition_point(|code| code.end <= number.from);
    let signed = tokens.word(number.from) == "$" || currency_follows(tokens, number);
    if codes.get(at).is_some_and(|code| code.start < number.to) {
        return Role::Code;
    }
    if signed {
        return Role::Open;
    }
    if lists().units.has(after) && !(number.scale >= 1_000.0 && matches!(after, "by" | "out" | "person")) {
        // "st" and "rd" are streets only behind a name.
        return Role::Measure;
    }
    if number.scale == 1.0 && is_street(tokens, number) {
        return Role::Place;
    }
    let crossed = matches!(before, "x" | "by") && previous.is_some_and(|first| first.to + 1 == number.from);
    if crossed || number.scale < 1_000.0 && is_counted(tokens, number) {
        return Role::Measure;
    }
    if number.scale >= 1_000.0 {
        return Role::Open;
    }
    if lists().named.has(before) {
        return Role::Place;
    }
    if MONTHS.iter().any(|names| names.contains(&before)) && number.value <= 31.0 {
        return Role::Day;
    }
    // "Between nine and fourteen thousand" is no time of day.
    let scaled = next.is_some_and(|next| {
        next.scale >= 1_000.0
            && matches!(tokens.words(number.to..next.from), "" | "and" | "to" | "or" | "-" | "y" | "o")
    });
    if !scaled && is_clock(tokens, number, before, after) {
        return Role::Clock;
    }
    if is_postcode(tokens, number, next) {
        return Role::Postcode;
    }
    if number.year {
        return Role::Year;
    }
    Role::Open
}

fn currency_follows(tokens: &Tokens, number: &Number) -> bool {
    number.to > number.from + 1 && super::numbers::is_currency(tokens.word(number.to - 1))
}

/// "six windows", "two upstairs bathrooms": a plural within two words.
fn is_counted(tokens: &Tokens, number: &Number) -> bool {
    let sentence = tokens.sentence(number.from);
    let small = number.value <= 60.0;
    (number.to..number.to + if small { 2 } else { 1 })
        .take_while(|at| tokens.sentence(*at) == sentence && !has_comma(tokens, at - 1))
        .take_while(|at| !super::numbers::is_number_word(tokens.word(*at)) && !is_joint(tokens.word(*at)))
        .any(|at| {
            let word = tokens.word(at);
            word.len() > 3 && word.ends_with('s') && !lists().not_counted.has(word) && !is_joint(word)
        })
}

/// Words that begin something else than the thing counted.
fn is_joint(word: &str) -> bool {
    matches!(
        word,
        "or" | "and"
            | "to"
            | "for"
            | "at"
            | "in"
            | "but"
            | "so"
            | "if"
            | "on"
            | "is"
            | "was"
            | "that"
            | "the"
            | "my"
            | "we"
            | "i"
            | "it"
            | "its"
            | "thats"
            | "y"
            | "o"
            | "para"
            | "en"
            | "que"
            | "-"
            | "max"
            | "tops"
            | "works"
            | "as"
            | "from"
            | "not"
    )
}

fn has_comma(tokens: &Tokens, at: usize) -> bool {
    tokens.list.get(at).is_some_and(|token| token.comma)
}

/// "4412 Willow Bend Drive", "1450 w guadalupe rd".
pub(super) fn is_street(tokens: &Tokens, number: &Number) -> bool {
    street_end(tokens, number.to).is_some() && number.value >= 1.0 && number.value < 100_000.0
}

/// The token after the kind of street that follows within a few words of a house number.
pub(super) fn street_end(tokens: &Tokens, start: usize) -> Option<usize> {
    let sentence = tokens.sentence(start.checked_sub(1)?);
    for at in start..=start + STREET_WORDS_MAX {
        let word = tokens.word(at);
        if tokens.sentence(at) != sentence || at > start && has_comma(tokens, at - 1) || is_joint(word) {
            return None;
        }
        // "Calle Siete" names the kind first.
        let kind_first = matches!(word, "calle" | "avenida" | "carretera");
        let name = tokens.sentence(at + 1) == sentence && !is_joint(tokens.word(at + 1));
        if kind_first && name {
            return Some(at + 2);
        }
        if lists().streets.has(word) && (at > start || kind_first) {
            // "Willow Bend Drive", "Sunset Ridge Road"
            let another = lists().streets.has(tokens.word(at + 1))
                && tokens.sentence(at + 1) == sentence
                && !has_comma(tokens, at);
            return Some(if another { at + 2 } else { at + 1 });
        }
        if super::numbers::is_number_word(word) && at == start && !lists().compass.has(tokens.word(at + 1)) {
            continue;
        }
    }
    None
}

fn is_clock(tokens: &Tokens, number: &Number, before: &str, after: &str) -> bool {
    let word = tokens.word(number.from);
    let hour = (1.0..=12.0).contains(&number.value) && number.value.fract() == 0.0;
    let counted = tokens.words(number.from..number.to).contains("hundred");
    let minutes = !counted
        && (100.0..=1_259.0).contains(&number.value)
        && [0.0, 15.0, 30.0, 45.0].contains(&(number.value % 100.0));
    let suffix = matches!(after, "am" | "pm" | "oclock" | "noon")
        || matches!(after, "a" | "p") && tokens.word(number.to + 1) == "m"
        || after == "in"
            && matches!(
                tokens.words(number.to + 1..number.to + 3),
                "the morning" | "the afternoon" | "the evening"
            )
        || after == "de"
            && matches!(tokens.words(number.to + 1..number.to + 3), "la manana" | "la tarde" | "la noche");
    word.contains(':') || (hour || minutes) && (suffix || lists().clock_leads.has(before))
}

/// Five figures that are no round sum, or five digits read out one by one.
fn is_postcode(tokens: &Tokens, number: &Number, next: Option<&Number>) -> bool {
    let word = tokens.word(number.from);
    let written = number.to == number.from + 1
        && word.len() == 5
        && word.chars().all(|c| c.is_ascii_digit())
        && number.value % 500.0 != 0.0;
    let raw_comma = tokens.list.get(number.from).is_some_and(|token| token.raw.len() > 5);
    let ranged = next.is_some_and(|next| {
        matches!(tokens.words(number.to..next.from), "-" | "to")
            && next.value > number.value
            && next.value < 100_000.0
    });
    written && !raw_comma && !ranged
}
