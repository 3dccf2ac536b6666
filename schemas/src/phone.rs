//! Phone numbers as one spelling: E.164.

use std::borrow::Cow;

/// The fewest digits of an international number; shorter ones are short codes and extensions.
const DIGITS_MIN: usize = 8;
/// The most digits of an international number (ITU-T E.164).
const DIGITS_MAX: usize = 15;

/// What carriers send in place of a number that is withheld: ANONYMOUS, RESTRICTED, UNAVAILABLE, BLOCKED, UNKNOWN
/// on a keypad (Twilio, "Why am I getting calls from these strange numbers").
const WITHHELD: [&str; 5] = ["266696687", "7378742833", "86282452253", "2562533", "8656696"];

/// `text` as E.164 (`+17705555555`), or nothing when it is not a number that could be called back.
///
/// A number without country is taken as North American: CallRail's national format (`770-555-5555`) is, and so are
/// its customers. Words (`Anonymous`, `Restricted`) and short codes are not numbers. Borrows what needs no change.
pub fn normalise(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix('+')
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        return is_international(digits).then_some(Cow::Borrowed(text));
    }
    let (digits, international) = digits_of(text)?;
    let digits = digits.as_str();
    if international {
        return is_international(digits).then(|| Cow::Owned(format!("+{digits}")));
    }
    if let Some(digits) = digits.strip_prefix("00") {
        return is_international(digits).then(|| Cow::Owned(format!("+{digits}")));
    }
    let national = if digits.len() == 11 { digits.strip_prefix('1')? } else { digits };
    is_north_american(national).then(|| Cow::Owned(format!("+1{national}")))
}

/// The digits of a number written for people, and whether it starts with `+`; nothing when it holds anything that
/// no number holds. An extension is left out.
fn digits_of(text: &str) -> Option<(String, bool)> {
    let number = text.split(['x', 'X', '#', ';', ',']).next().unwrap_or(text);
    let number = number.strip_suffix("e").unwrap_or(number).trim_end();
    let mut digits = String::with_capacity(DIGITS_MAX + 1);
    let mut international = false;
    for character in number.chars() {
        match character {
            '0'..='9' => digits.push(character),
            '+' if digits.is_empty() && !international => international = true,
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' | '\u{2010}'..='\u{2015}' => {}
            _ => return None,
        }
    }
    Some((digits, international))
}

fn is_international(digits: &str) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && !digits.starts_with('0')
        && !WITHHELD.contains(&digits)
}

/// Ten digits whose area code and exchange start with 2 to 9 (North American Numbering Plan).
fn is_north_american(digits: &str) -> bool {
    let at = |index: usize| digits.as_bytes().get(index).copied().unwrap_or_default();
    digits.len() == 10 && at(0) >= b'2' && at(3) >= b'2' && !WITHHELD.contains(&digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_for_people_become_e164() {
        for (text, expected) in [
            ("+17705555555", "+17705555555"),
            ("770-555-5555", "+17705555555"),
            ("(770) 555-5555", "+17705555555"),
            ("770.555.5555 x12", "+17705555555"),
            ("770 555 5555 ext. 3", "+17705555555"),
            ("1 770 555 5555", "+17705555555"),
            ("7705555555", "+17705555555"),
            ("+44 20 7946 0958", "+442079460958"),
            ("0044 20 7946 0958", "+442079460958"),
            (" +1 (303) 555-0142 ", "+13035550142"),
        ] {
            assert_eq!(normalise(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_called_back_is_nothing() {
        for text in [
            "",
            "Anonymous",
            "Restricted",
            "unavailable",
            "89203",
            "+266696687",
            "7378742833",
            "911",
            "+",
            "055-555-5555",
            "1-800-FLOWERS",
            "+0123456789",
            "+1234567890123456",
            "170-155-5555",
            "a@b.example",
        ] {
            assert_eq!(normalise(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_number_stays_as_it_is(text in "\\PC{0,20}|[+0-9() .-]{0,20}") {
            if let Some(number) = normalise(&text) {
                prop_assert_eq!(normalise(&number), Some(Cow::Borrowed(&*number)));
                prop_assert!(number.starts_with('+') && number.len() <= 16);
            }
        }
    }
}
