//! Runs of digits read out or written in pieces: phone numbers, postcodes, and what must be masked.

use super::numbers::{Number, digit};
use super::tokens::Tokens;
use std::ops::Range;

/// Digits of a US number without the country code.
const PHONE_DIGITS: usize = 10;
/// Digits that may stand beside a phone number in one run: a postcode.
const BESIDE_PHONE_MAX: usize = 5;
/// Figures in one word from which they are no amount, whatever follows.
const LONG_DIGITS_MIN: usize = 9;
/// Fewest digits of a payment card, ISO/IEC 7812.
pub(super) const CARD_DIGITS_MIN: usize = 13;
/// Most digits of a payment card.
pub(super) const CARD_DIGITS_MAX: usize = 19;

/// Digits with nothing but pauses between them.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub pieces: Vec<Piece>,
}

/// Digits said or written as one: "614", "oh", "fifty five", "double two".
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub digits: String,
    pub from: usize,
    pub to: usize,
    /// Written in figures.
    pub figures: bool,
}

impl Run {
    pub(super) fn digits(&self) -> String {
        self.pieces.iter().map(|piece| piece.digits.as_str()).collect()
    }

    pub(super) fn span(&self) -> Range<usize> {
        let from = self.pieces.first().map_or(0, |piece| piece.from);
        from..self.pieces.last().map_or(from, |piece| piece.to)
    }

    /// Digits per piece.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.pieces.iter().map(|piece| piece.digits.len()).collect()
    }

    /// The phone numbers in it, ten digits each, with their token ranges.
    pub(super) fn phones(&self) -> Vec<(String, Range<usize>)> {
        let all = self.digits();
        let mut found = Vec::new();
        let mut beside = 0;
        let mut at = 0;
        while at < self.pieces.len() {
            match self.phone_at(at) {
                Some((digits, next)) => {
                    let span = self.pieces.get(at..next).unwrap_or_default();
                    let from = span.first().map_or(0, |piece| piece.from);
                    found.push((digits, from..span.last().map_or(from, |piece| piece.to)));
                    at = next;
                }
                None => {
                    beside += self.pieces.get(at).map_or(0, |piece| piece.digits.len());
                    at += 1;
                }
            }
        }
        let card = (CARD_DIGITS_MIN..=CARD_DIGITS_MAX).contains(&all.len()) && is_luhn(&all);
        if card || beside > BESIDE_PHONE_MAX { Vec::new() } else { found }
    }

    fn phone_at(&self, start: usize) -> Option<(String, usize)> {
        let mut digits = String::new();
        let mut bounds = Vec::new();
        for (at, piece) in self.pieces.iter().enumerate().skip(start) {
            digits.push_str(&piece.digits);
            bounds.push(digits.len());
            if digits.len() >= PHONE_DIGITS && !(digits.len() == PHONE_DIGITS && digits.starts_with('1')) {
                let country = usize::from(digits.len() == PHONE_DIGITS + 1 && digits.starts_with('1'));
                let number = digits.get(country..)?;
                let spoken = self.pieces.get(start..=at)?.iter().any(|piece| !piece.figures);
                // Written numbers break after the area code and the exchange, if they break at all.
                let shaped = spoken
                    || bounds.len() == 1 + country
                    || bounds.len() == 1
                    || bounds.contains(&(3 + country)) && bounds.contains(&(6 + country))
                    || bounds.contains(&(3 + country)) && bounds.len() == 2 + country;
                let valid = number.len() == PHONE_DIGITS && !number.starts_with(['0', '1']) && shaped;
                return valid.then(|| (number.to_owned(), at + 1));
            }
        }
        None
    }
}

/// Every run of a text.
pub(super) fn runs(tokens: &Tokens, numbers: &[Number]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut open: Vec<Piece> = Vec::new();
    let mut numbers = numbers.iter().peekable();
    let mut at = 0;
    while at < tokens.list.len() {
        while numbers.next_if(|number| number.from < at).is_some() {}
        let number = numbers.peek().copied().filter(|number| number.from == at);
        match piece(tokens, at, number) {
            Some(piece) => {
                at = piece.to.max(at + 1);
                if !piece.digits.is_empty() {
                    open.push(piece);
                }
                continue;
            }
            None if tokens.word(at) == "-" && !open.is_empty() => at += 1,
            None => {
                close(&mut open, &mut runs);
                // "$35,000" is no run, and neither is a part of it.
                at = number.map_or(at + 1, |number| number.to.max(at + 1));
            }
        }
    }
    close(&mut open, &mut runs);
    runs
}

fn close(open: &mut Vec<Piece>, runs: &mut Vec<Run>) {
    if !open.is_empty() {
        runs.push(Run { pieces: std::mem::take(open) });
    }
}

fn piece(tokens: &Tokens, at: usize, number: Option<&Number>) -> Option<Piece> {
    let word = tokens.word(at);
    let next = tokens.word(at + 1);
    let new = |digits: String, to: usize, figures: bool| Some(Piece { digits, from: at, to, figures });
    if matches!(word, "double" | "triple" | "doble")
        && let Some(figure) = digit(next)
    {
        return new(figure.to_string().repeat(if word == "triple" { 3 } else { 2 }), at + 2, false);
    }
    if word.starts_with(|c: char| c.is_ascii_digit()) {
        let plain = word.chars().all(|c| c.is_ascii_digit());
        let dotted = word.chars().all(|c| c.is_ascii_digit() || c == '.') && word.matches('.').count() >= 2;
        // "026009593 k" is no sum.
        let scaled =
            word.len() < LONG_DIGITS_MIN && number.is_some_and(|number| number.scale > 1.0 || number.money);
        return if (plain || dotted) && !scaled {
            new(word.chars().filter(char::is_ascii_digit).collect(), at + 1, true)
        } else {
            None
        };
    }
    if matches!(word, "oh" | "o") {
        // Between digits it is a zero, before a sentence it is an "oh".
        let digits_follow = digit(next).is_some() || super::numbers::is_number_word(next);
        return if digits_follow || at.checked_sub(1).is_some_and(|b| digit(tokens.word(b)).is_some()) {
            new("0".into(), at + 1, false)
        } else {
            None
        };
    }
    let number =
        number.filter(|number| number.scale == 1.0 && !number.money && number.value.fract() == 0.0)?;
    // "a hundred" and "$5" are amounts.
    (number.value < 100_000.0 && !matches!(word, "a" | "an" | "$")).then(|| Piece {
        digits: format!("{}", number.value),
        from: at,
        to: number.to,
        figures: false,
    })
}

/// The check sum of ISO/IEC 7812-1.
pub(super) fn is_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::super::numbers::numbers;
    use super::*;

    fn phones(text: &str) -> Vec<String> {
        let tokens = Tokens::of(text);
        let all = runs(&tokens, &numbers(&tokens));
        all.iter().flat_map(Run::phones).map(|(digits, _)| digits).collect()
    }

    #[test]
    fn phone_numbers_are_read_however_they_are_said() {
        for text in [
            "614-555-0142",
            "(614) 555-0142",
            "+1 (614) 555 0142",
            "614.555.0142",
            "6145550142",
            "six one four five five five oh one four two",
            "six one four, five fifty five, oh one forty two",
            "six one four. triple five. oh one four two.",
            "seis uno cuatro cinco cinco cinco cero uno cuatro dos",
            "call 1 614 555 0142 please",
        ] {
            assert_eq!(phones(text), ["6145550142"], "{text}");
        }
        assert_eq!(phones("614 555 0142 614 555 0142"), ["6145550142", "6145550142"]);
        assert_eq!(phones("43016 614 555 0142"), ["6145550142"]);
    }

    #[test]
    fn ranges_cards_and_addresses_are_no_phone_numbers() {
        for text in [
            "12000-15000",
            "4111 1111 1111 1111",
            "four one one one one one one one one one one one one one one one",
            "twenty two sixty east hale",
            "five six grand",
        ] {
            assert!(phones(text).is_empty(), "{text}");
        }
    }
}
