//! Card, bank and social-security numbers are masked before anything else looks at the words, so they can reach
//! neither a quote nor a field. Masking keeps the length in bytes, so places in the text stay valid.

use super::digits::{CARD_DIGITS_MAX, CARD_DIGITS_MIN, Run, is_luhn, runs};
use super::numbers::{Number, digit, is_number_word, numbers};
use super::tokens::Tokens;
use super::words::lists;
use regex::Regex;
use std::sync::OnceLock;

/// Digits of a US social-security number, and of a bank's routing number.
const SSN_DIGITS: usize = 9;
/// Fewest digits that no phone, postcode, year or price has, whatever was said before.
const ALWAYS_DIGITS_MIN: usize = 12;
/// Shortest digits that are masked after "my account number is" and the like.
const CUED_DIGITS_MIN: usize = 3;
/// Digits of a US postcode.
const POSTCODE_DIGITS: usize = 5;
/// Words between "card number" and its digits.
const CUE_WORDS_MAX: usize = 12;
/// Lines after one that speaks of a card, within which bare digits are taken for a part of its number.
const TOPIC_LINES_MAX: usize = 5;

/// Words after which the digits may also come in a later line.
const TOPICS: &[&str] = &[
    "card",
    "visa",
    "mastercard",
    "amex",
    "american express",
    "routing",
    "ssn",
    "cvv",
    "iban",
    "account number",
    "bank account",
    "security code",
    "social security",
    "the social",
    "your social",
    "my social",
    "tarjeta",
    "seguro social",
    "numero de cuenta",
    "expiration",
    "the code",
    "three digits",
];

/// Finds any of them between spaces.
fn topics() -> Option<&'static Regex> {
    static FOUND: OnceLock<Option<Regex>> = OnceLock::new();
    FOUND.get_or_init(|| Regex::new(&format!(" (?:{}) ", TOPICS.join("|"))).ok()).as_ref()
}

/// Masks the lines of a conversation one after the other; digits may follow in a later line than their announcement.
#[derive(Debug, Default)]
pub(super) struct Masker {
    /// Lines for which the talk is still about a card or an account.
    topic_lines: usize,
}

impl Masker {
    /// The text with sensitive digits replaced by `*`.
    pub(super) fn mask(&mut self, raw: &str) -> String {
        self.read(raw).text
    }

    /// As [`Masker::mask`], with what the masked text says.
    pub(super) fn read(&mut self, raw: &str) -> Spoken {
        let plain = Spoken::of(raw.to_owned());
        let Spoken { tokens, numbers, .. } = &plain;
        let words = format!(" {} ", tokens.norm.replace('|', ""));
        let cued = topics().is_some_and(|topics| topics.is_match(&words));
        let about = self.topic_lines > 0;
        self.topic_lines = if cued { TOPIC_LINES_MAX } else { self.topic_lines.saturating_sub(1) };
        let mut bytes = raw.as_bytes().to_vec();
        for run in runs(tokens, numbers) {
            if is_sensitive(tokens, &run) || about && is_answer(tokens, &run) {
                mask_run(tokens, &run, &mut bytes);
            }
        }
        mask_cards(&mut bytes);
        if bytes == raw.as_bytes() {
            return plain;
        }
        // Only whole tokens and ASCII digits are overwritten, so this never replaces anything.
        Spoken::of(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A text with its words and its numbers, which are read once.
pub(super) struct Spoken {
    pub text: String,
    pub tokens: Tokens,
    pub numbers: Vec<Number>,
}

impl Spoken {
    pub(super) fn of(text: String) -> Self {
        let tokens = Tokens::of(&text);
        Self { numbers: numbers(&tokens), tokens, text }
    }
}

/// A second look that knows nothing of numbers and amounts: figures in groups of four, or of a card's length with its
/// check sum, whatever stands around them ("$ 4111 1111 1111 1111 k").
fn mask_cards(bytes: &mut [u8]) {
    if bytes.iter().filter(|byte| byte.is_ascii_digit()).count() < CARD_DIGITS_MIN {
        return;
    }
    let mut at = 0;
    while at < bytes.len() {
        let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
        let mut end = at;
        while let Some(group) = figures_at(bytes, end) {
            end = group.end
                + usize::from(bytes.get(group.end).is_some_and(|byte| matches!(byte, b' ' | b'-' | b'.')));
            groups.push(group);
        }
        let digits: String = groups
            .iter()
            .flat_map(|group| bytes.get(group.clone()))
            .flatten()
            .map(|byte| char::from(*byte))
            .collect();
        let shape: Vec<usize> = groups.iter().map(std::ops::Range::len).collect();
        let phone = matches!(shape.as_slice(), [3, 3, 4, ..] | [1, 3, 3, 4, ..] | [10, ..]);
        let length = (CARD_DIGITS_MIN..=CARD_DIGITS_MAX).contains(&digits.len());
        if shape.starts_with(&[4, 4, 4]) && digits.len() >= CARD_DIGITS_MIN
            || length && !phone && is_luhn(&digits)
        {
            for group in &groups {
                bytes.get_mut(group.clone()).unwrap_or_default().fill(b'*');
            }
        }
        at = end.max(at + 1);
    }
}

fn figures_at(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let length = bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (length > 0).then_some(at..at + length)
}

fn mask_run(tokens: &Tokens, run: &Run, bytes: &mut [u8]) {
    for index in run.span() {
        let Some(token) = tokens.list.get(index) else { continue };
        let word = tokens.word(index);
        let spelled =
            digit(word).is_some() || is_number_word(word) || matches!(word, "double" | "triple" | "doble");
        for byte in bytes.get_mut(token.raw.clone()).unwrap_or_default() {
            if spelled || byte.is_ascii_digit() {
                *byte = b'*';
            }
        }
    }
}

fn is_sensitive(tokens: &Tokens, run: &Run) -> bool {
    let digits = run.digits();
    let count = digits.len();
    let phones = run.phones();
    if phones.is_empty() && count >= ALWAYS_DIGITS_MIN {
        return true;
    }
    let card = CARD_DIGITS_MIN..=CARD_DIGITS_MAX;
    if card.contains(&count) && is_luhn(&digits) {
        return true;
    }
    // "123-45-6789" in any spacing; nine digits are otherwise only a long postcode, five and four.
    let shape = run.shape();
    if count == SSN_DIGITS && shape != [5, 4] {
        return true;
    }
    let announced = announced(tokens, run.span().start);
    match announced {
        Some(words) => count >= CUED_DIGITS_MIN && (phones.is_empty() || words < 4),
        None => false,
    }
}

/// How many words before a run its announcement stands.
fn announced(tokens: &Tokens, at: usize) -> Option<usize> {
    let from = at.saturating_sub(CUE_WORDS_MAX);
    (from..at).rev().position(|index| lists().secret_cues.has(tokens.word(index)))
}

/// Digits and little else: the answer to "what is the number on it?". A postcode may be asked for with it.
fn is_answer(tokens: &Tokens, run: &Run) -> bool {
    let others = tokens.list.len().saturating_sub(run.span().len());
    let count = run.digits().len();
    count >= CUED_DIGITS_MIN && count != POSTCODE_DIGITS && run.phones().is_empty() && others <= 6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(raw: &str) -> String {
        Masker::default().mask(raw)
    }

    #[test]
    fn card_bank_and_social_security_numbers_are_masked() {
        for secret in [
            "it's 4111 1111 1111 1111 ok",
            "4111-1111-1111-1111",
            "4111111111111111",
            "four one one one one one one one one one one one one one one one",
            "forty one eleven, eleven eleven, eleven eleven, eleven eleven",
            "four five three two, one one one one, two two two two, three three four four",
            "my social is 123-45-6789",
            "my social is 123 45 6789",
            "it's two one nine, oh nine, nine nine nine nine",
            "routing number 021000021",
            "the account number is 99 88 77 66",
            "cvv 321",
            "mi tarjeta es 5500 0000 0000 0004",
            "$ 4111 1111 1111 1111 k",
        ] {
            let masked = mask(secret);
            assert_eq!(masked.len(), secret.len(), "{masked}");
            let tokens = Tokens::of(&masked);
            let left = runs(&tokens, &numbers(&tokens));
            assert!(masked.contains('*') && left.iter().all(|run| run.digits().len() < 3), "{masked}");
        }
    }

    #[test]
    fn phones_postcodes_and_prices_are_kept() {
        for plain in [
            "call 614-555-0142",
            "six one four five five five oh one four two",
            "704 555 0188 again that is 704 555 0188",
            "704 555 0188 704 555 0188",
            "zip 43016, 2400 sq ft",
            "80226-1234",
            "we discovered a leak, 12500 is fine",
            "I'm on social media, my budget is $35,000",
            "the card company said 12 weeks",
        ] {
            assert_eq!(mask(plain), plain);
        }
    }

    #[test]
    fn digits_that_follow_in_later_lines_are_masked_too() {
        let mut masker = Masker::default();
        let lines = [
            "Can I get the card number?",
            "4111 1111",
            "uh huh",
            "1111 1111",
            "And the code?",
            "nine one four",
        ];
        let masked: Vec<String> = lines.iter().map(|line| masker.mask(line)).collect();
        assert_eq!(masked[1], "**** ****");
        assert_eq!(masked[3], "**** ****");
        assert_eq!(masked[5], "**** *** ****");
        assert_eq!(Masker::default().mask("4111 1111"), "4111 1111");
    }
}
