//! The property's postcode.

use super::cue::Cue;
use super::digits::Run;
use super::fact::Fact;
use super::fields::Field;
use super::roles::Role;
use super::turns::{Conversation, Line};
use leadline_schemas::score::ServiceArea;
use std::ops::Range;

/// Digits of a US postcode.
const DIGITS: usize = 5;
/// Digits that postcodes of one region share.
const PREFIX_DIGITS: usize = 3;

pub(super) fn postcode(talk: &Conversation, service: &ServiceArea) -> Option<Fact<String>> {
    let mut best: Option<(i32, Fact<String>)> = None;
    for (index, line) in talk.caller() {
        let field = line.field == Some(Field::Postcode);
        if !field && !line.is_free() && !matches!(line.field, Some(Field::Address | Field::City)) {
            continue;
        }
        let asked = talk.asked_before(index).is_some_and(|before| before.asks_for(Cue::CityQuestion));
        for (code, span) in codes(line) {
            let Some(points) = points(line, &code, &span, service, field, asked) else { continue };
            let corrects = best.as_ref().is_some_and(|(_, fact)| {
                fact.place.line == index
                    && line.cues(Cue::Correction).any(|hit| fact.place.to <= hit.from && hit.to <= span.start)
            });
            if corrects || best.as_ref().is_none_or(|(other, _)| points >= *other) {
                best = Some((points, Fact::at(code, index, span)));
            }
        }
    }
    best.map(|(_, fact)| fact)
}

/// How surely five digits are the postcode.
fn points(
    line: &Line,
    code: &str,
    span: &Range<usize>,
    service: &ServiceArea,
    field: bool,
    asked: bool,
) -> Option<i32> {
    let before = line.tokens.words(span.start.saturating_sub(3)..span.start);
    let cued = ["zip", "zipcode", "postal"].iter().any(|lead| before.split(' ').any(|word| word == *lead));
    // Five digits at the start of an address are the house, not the code.
    let house = line.numbers.iter().any(|number| number.from == span.start && number.role == Role::Place);
    let written =
        line.numbers.iter().any(|number| number.from == span.start && number.role == Role::Postcode);
    let alone = span.start == 0 && span.end == line.word_count();
    let after_place = span.start > 0
        && (line.is_capital(span.start - 1) || line.pauses_after(span.start - 1) || line.is_lower_case());
    match () {
        () if field || cued => Some(4),
        () if house => None,
        () if serves_code(service, code) => Some(3),
        () if asked && (alone || after_place) => Some(2),
        () if written && (shares_prefix(service, code) || alone && line.field.is_some()) => Some(1),
        () => None,
    }
}

/// Every five digits of a line, in one word or in pieces.
fn codes(line: &Line) -> Vec<(String, Range<usize>)> {
    let whole = |run: &Run| {
        let digits = run.digits();
        (digits.len() == DIGITS && run.phones().is_empty()).then(|| (digits, run.span()))
    };
    let mut codes: Vec<(String, Range<usize>)> = line.runs.iter().filter_map(whole).collect();
    // Beside a phone number, or with four more digits behind it.
    for run in line.runs.iter().filter(|run| run.digits().len() > DIGITS) {
        let pieces = run.pieces.iter().filter(|piece| piece.digits.len() == DIGITS && piece.figures);
        codes.extend(pieces.map(|piece| (piece.digits.clone(), piece.from..piece.to)));
    }
    codes
}

/// Codes may be listed as prefixes.
pub(super) fn serves_code(service: &ServiceArea, code: &str) -> bool {
    service.postcodes.iter().any(|served| {
        let served = served.trim().trim_end_matches(['*', 'x', 'X']);
        !served.is_empty() && code.starts_with(served)
    })
}

/// Whether a served code lies in the same region.
pub(super) fn shares_prefix(service: &ServiceArea, code: &str) -> bool {
    let region = code.get(..PREFIX_DIGITS);
    service.postcodes.iter().any(|served| region.is_some() && served.trim().get(..PREFIX_DIGITS) == region)
}
