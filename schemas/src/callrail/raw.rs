//! JSON values as they stand in the body, read as whatever they can be read as.
//!
//! CallRail sends numbers as strings, booleans as numbers and `""` for null, and its older and newer payloads
//! differ in all of these; no value is refused for its type.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::scan;
use crate::Millis;

/// Words of a list; one that is longer is kept as it came, for each would take some ten times its bytes.
const WORDS_MAX: usize = 1_000;

/// A JSON value as text, without space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    pub(super) text: &'a str,
    /// A string in which nothing is escaped: what is between its quotes is what it says.
    pub(super) is_plain_string: bool,
}

impl<'a> Raw<'a> {
    /// No value.
    pub(super) const NONE: Self = Self::unread("");

    /// A value of which nothing is known yet.
    pub(super) const fn unread(text: &'a str) -> Self {
        Self { text, is_plain_string: false }
    }

    /// Null, and what CallRail writes for null.
    pub(super) fn is_empty(self) -> bool {
        matches!(self.text, "" | "null" | "\"\"" | "[]" | "{}")
    }

    /// The text of a string, not trimmed.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
        if self.is_plain_string || !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        match serde_json::from_str::<String>(self.text) {
            Ok(text) => Some(Cow::Owned(text)),
            // Half a surrogate pair, as a text cut by UTF-16 length has it: the rest of it is still readable.
            Err(_) => {
                let bytes = serde_json::from_str::<bytes::Bytes>(self.text).ok()?;
                Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
            }
        }
    }

    /// A string that says something, or a number as it is written.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self.text.as_bytes().first()? {
            b'"' => {
                let text = match self.string()? {
                    Cow::Borrowed(text) => Cow::Borrowed(trimmed(text)),
                    Cow::Owned(text) => Cow::Owned(trimmed(&text).to_owned()),
                };
                (!text.is_empty()).then_some(text)
            }
            b'-' | b'0'..=b'9' => Some(Cow::Borrowed(self.text)),
            _ => None,
        }
    }

    /// `true`, `"true"`, `1`, `"yes"`, ...
    pub(super) fn boolean(self) -> Option<bool> {
        match self.text {
            "true" => return Some(true),
            "false" => return Some(false),
            _ => {}
        }
        match self.text()?.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "t" | "y" => Some(true),
            "false" | "0" | "no" | "f" | "n" => Some(false),
            _ => None,
        }
    }

    /// A length of time in seconds: `13`, `"13"`, `13.0`, `"6m 52s"`, `"00:06:52"`.
    pub(super) fn seconds(self) -> Option<i64> {
        let text = self.text()?;
        if let Ok(seconds) = text.parse::<i64>() {
            return (seconds >= 0).then_some(seconds);
        }
        if let Ok(seconds) = text.parse::<f64>() {
            // Within the exact integers of a double; a call is shorter.
            return (0.0..9e15).contains(&seconds).then_some(seconds as i64);
        }
        if text.contains(':') { clock_seconds(&text) } else { unit_seconds(&text) }
    }

    /// A time: ISO 8601, `YYYY-MM-DD HH:MM:SS` (UTC), or seconds or milliseconds since 1970.
    pub(super) fn time(self) -> Option<Millis> {
        let text = self.text()?;
        match text.parse::<i64>() {
            // Seconds until the year 5138; milliseconds since 1973.
            Ok(number) if (0..100_000_000_000).contains(&number) => {
                Some(Millis(number.saturating_mul(1_000)))
            }
            Ok(number) => (number >= 0).then_some(Millis(number)),
            Err(_) => Millis::parse(&text),
        }
    }

    /// Words: an array of strings or of objects with a name, a string with commas, or one object with a name.
    pub(super) fn list(self) -> Option<Vec<String>> {
        match self.text.as_bytes().first()? {
            b'[' => {
                let items = self.items().filter(|items| items.len() <= WORDS_MAX)?;
                items.into_iter().map(Self::named).collect()
            }
            b'{' => Some(vec![self.named()?]),
            b'"' => {
                let text = self.string()?;
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                let words: Vec<&str> = words.take(WORDS_MAX + 1).collect();
                (words.len() <= WORDS_MAX).then(|| words.into_iter().map(str::to_owned).collect())
            }
            _ => None,
        }
    }

    /// The text of a string or number, or the `name` of an object.
    fn named(self) -> Option<String> {
        match self.text() {
            Some(text) => Some(text.into_owned()),
            None => self.member("name").or_else(|| self.member("value"))?.text().map(Cow::into_owned),
        }
    }

    /// The values of an array.
    pub(super) fn items(self) -> Option<Vec<Raw<'a>>> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.text).ok()?;
        Some(items.into_iter().map(|item| Raw::unread(item.get())).collect())
    }

    /// The members of an object, in their order.
    pub(super) fn members(self) -> Option<Vec<(Cow<'a, str>, Raw<'a>)>> {
        let mut members = Vec::new();
        scan::members(self.text, |name, value| members.push((name, value)))?;
        Some(members)
    }

    /// The member of an object with this name.
    pub(super) fn member(self, name: &str) -> Option<Raw<'a>> {
        self.members()?.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// `str::trim`, with a short way for what needs none: it looks at characters, and most texts begin and end with
/// letters and digits of ASCII.
fn trimmed(text: &str) -> &str {
    match text.as_bytes() {
        [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'] => text,
        _ => text.trim(),
    }
}

/// `1:02:03` or `02:03`.
fn clock_seconds(text: &str) -> Option<i64> {
    text.split(':').try_fold(0_i64, |seconds, part| {
        let part: u32 = part.trim().parse().ok()?;
        seconds.checked_mul(60)?.checked_add(i64::from(part))
    })
}

/// `1h 2m 3s`, `2m3s`, `3 s`.
fn unit_seconds(text: &str) -> Option<i64> {
    let (mut total, mut number) = (0_i64, None::<i64>);
    for character in text.chars() {
        let unit = match character.to_ascii_lowercase() {
            digit @ '0'..='9' => {
                let digit = i64::from(digit.to_digit(10)?);
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                continue;
            }
            ' ' => continue,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    number.is_none().then_some(total)
}
