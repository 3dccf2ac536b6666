//! Card, bank and social-security numbers are masked before anything else looks at the words, so they can reach
//! neither a quote nor a field. Masking keeps the length in bytes, so places in the text stay valid.

use super::numbers::digit;
use super::tokens::Tokens;

/// Digits of a payment card, ISO/IEC 7812.
const CARD_DIGITS_MIN: usize = 13;
const CARD_DIGITS_MAX: usize = 19;
/// Digits of a US social-security number.
const SSN_DIGITS: usize = 9;
/// Shortest digits that are masked after "my account number is" and the like.
const CUED_DIGITS_MIN: usize = 3;
/// Digits of a US phone number, which are kept when no account word stands right before them.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 10..=11;
/// Words between "card number" and its digits.
const CUE_WORDS_MAX: usize = 12;

/// Words that announce a number that must not be kept.
const CUES: &[&str] = &[
    "card",
    "visa",
    "mastercard",
    "amex",
    "discover",
    "social",
    "ssn",
    "routing",
    "account",
    "iban",
    "cvv",
    "cvc",
    "expiration",
    "tarjeta",
    "cuenta",
    "seguro",
];

/// A run of digits, in figures or spelled out, with the tokens it stands in.
struct Run {
    digits: String,
    from: usize,
    to: usize,
}

/// The text with sensitive digits replaced by `*`.
pub(super) fn mask(raw: &str) -> String {
    let figures = raw.bytes().filter(u8::is_ascii_digit).count();
    let spelled = raw.len() >= 3 * SSN_DIGITS;
    if figures < CUED_DIGITS_MIN && !spelled {
        return raw.to_owned();
    }
    let tokens = Tokens::of(raw);
    let mut bytes = raw.as_bytes().to_vec();
    for run in runs(&tokens) {
        if is_sensitive(&tokens, &run) {
            for index in run.from..run.to {
                mask_token(&tokens, index, &mut bytes);
            }
        }
    }
    // Only whole tokens are overwritten, so this never replaces anything.
    String::from_utf8_lossy(&bytes).into_owned()
}

fn mask_token(tokens: &Tokens, index: usize, bytes: &mut [u8]) {
    let Some(token) = tokens.list.get(index) else { return };
    let spelled = digit(tokens.word(index)).is_some();
    for byte in bytes.get_mut(token.raw.clone()).unwrap_or_default() {
        if spelled || byte.is_ascii_digit() {
            *byte = b'*';
        }
    }
}

/// Runs of digits, across spaces, dashes, dots and sentence ends ("four one one one. one one one one.").
fn runs(tokens: &Tokens) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut open: Option<Run> = None;
    for index in 0..tokens.list.len() {
        let word = tokens.word(index);
        let figures: String = match digit(word) {
            Some(digit) => digit.to_string(),
            None if is_figures(word) => word.chars().filter(char::is_ascii_digit).collect(),
            None if word == "-" && open.is_some() => String::new(),
            None => {
                runs.extend(open.take());
                continue;
            }
        };
        let run = open.get_or_insert_with(|| Run { digits: String::new(), from: index, to: index });
        run.digits.push_str(&figures);
        run.to = index + 1;
    }
    runs.extend(open);
    runs
}

fn is_figures(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ':' | '-'))
}

fn is_sensitive(tokens: &Tokens, run: &Run) -> bool {
    let count = run.digits.len();
    if count >= CARD_DIGITS_MIN && (count > CARD_DIGITS_MAX || has_card(&run.digits)) {
        return true;
    }
    // "123-45-6789" in any spacing.
    let shape: Vec<usize> =
        (run.from..run.to).map(|i| tokens.word(i)).filter(|word| *word != "-").map(str::len).collect();
    if count == SSN_DIGITS && shape == [3, 2, 4] {
        return true;
    }
    let before = run.from.saturating_sub(CUE_WORDS_MAX)..run.from;
    let distance = before.clone().rev().position(|index| CUES.contains(&tokens.word(index)));
    match distance {
        Some(words) => count >= CUED_DIGITS_MIN && (!PHONE_DIGITS.contains(&count) || words < 4),
        None => false,
    }
}

/// Whether any 13 to 19 consecutive digits are a valid card number; a repeated or neighbouring digit may stand by.
fn has_card(digits: &str) -> bool {
    let values: Vec<u32> = digits.chars().filter_map(|c| c.to_digit(10)).collect();
    (CARD_DIGITS_MIN..=CARD_DIGITS_MAX.min(values.len())).any(|length| values.windows(length).any(luhn))
}

/// The check sum of ISO/IEC 7812-1.
fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_bank_and_social_security_numbers_are_masked_and_phones_are_not() {
        for secret in [
            "it's 4111 1111 1111 1111 ok",
            "4111-1111-1111-1111",
            "4111111111111111",
            "four one one one one one one one one one one one one one one one",
            "my social is 123-45-6789",
            "my social is 123 45 6789",
            "routing number 021000021",
            "the account number is 99 88 77 66",
        ] {
            let masked = mask(secret);
            assert_eq!(masked.len(), secret.len(), "{masked}");
            assert!(
                masked.contains('*') && runs(&Tokens::of(&masked)).iter().all(|r| r.digits.len() < 4),
                "{masked}"
            );
        }
        for plain in
            ["call 614-555-0142", "six one four five five five oh one four two", "zip 43016, 2400 sq ft"]
        {
            assert_eq!(mask(plain), plain);
        }
    }
}
