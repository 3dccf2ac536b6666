//! One pass over a JSON object: the names of its members and their values, unread.
//!
//! Every webhook passes here twice, in the source and in the dataflow. With `serde_json` alone (borrowed `RawValue`s)
//! the pass took twice as long, so the plain cases are here (strings without escapes, whole numbers, literals), kept
//! in registers by inlining, and whatever is not plain is given to `serde_json`. Both accept the same texts; a test
//! compares them.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::raw::Raw;

/// Hands the members of the JSON object `text` to `put`, in their order; nothing when it is not one.
pub(super) fn members<'a>(text: &'a str, mut put: impl FnMut(Cow<'a, str>, Raw<'a>)) -> Option<()> {
    Scan { text, at: 0 }.object(&mut put)
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// The whole text as an object; nothing when it is not one.
    #[inline(always)]
    fn object(mut self, put: &mut impl FnMut(Cow<'a, str>, Raw<'a>)) -> Option<()> {
        self.token(b'{')?;
        if self.token(b'}').is_none() {
            loop {
                let name = self.name()?;
                self.token(b':')?;
                let value = self.value()?;
                put(name, value);
                if self.token(b',').is_none() {
                    self.token(b'}')?;
                    break;
                }
            }
        }
        self.space();
        (self.at == self.text.len()).then_some(())
    }

    #[inline(always)]
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Moves behind space and this token; only behind the space when another follows.
    #[inline(always)]
    fn token(&mut self, token: u8) -> Option<()> {
        if self.next()? != token {
            self.space();
            if self.next()? != token {
                return None;
            }
        }
        self.at += 1;
        Some(())
    }

    #[inline(always)]
    fn space(&mut self) {
        while matches!(self.next(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// The next `bytes` bytes.
    #[inline(always)]
    fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let start = self.at;
        self.at = start.checked_add(bytes)?;
        self.text.get(start..self.at)
    }

    #[inline(always)]
    fn name(&mut self) -> Option<Cow<'a, str>> {
        self.token(b'"')?;
        let start = self.at;
        if self.string()? {
            return self.text.get(start..self.at - 1).map(Cow::Borrowed);
        }
        Raw::unread(self.text.get(start - 1..self.at)?).string().map(|name| Cow::Owned(name.into_owned()))
    }

    #[inline(always)]
    fn value(&mut self) -> Option<Raw<'a>> {
        if self.token(b'"').is_some() {
            let start = self.at - 1;
            let is_plain_string = self.string()?;
            let text = self.text.get(start..self.at)?;
            let text = if is_plain_string { text } else { checked(text)? };
            return Some(Raw { text, is_plain_string });
        }
        let value = match self.next()? {
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            b'[' | b'{' => self.nested()?,
            _ => self.number()?,
        };
        Some(Raw::unread(value))
    }

    /// Moves behind a string whose quote was just passed; whether it is free of escapes.
    #[inline(always)]
    fn string(&mut self) -> Option<bool> {
        let bytes = self.text.as_bytes();
        let (mut at, mut is_plain) = (self.at, true);
        loop {
            at += plain_bytes(bytes.get(at..)?);
            match bytes.get(at)? {
                b'"' => break,
                // What is escaped is looked at when the string is read; here it must not end it.
                b'\\' => (at, is_plain) = (at + 2, false),
                _ => return None,
            }
        }
        self.at = at + 1;
        Some(is_plain)
    }

    #[inline(always)]
    fn literal(&mut self, literal: &str) -> Option<&'a str> {
        self.rest().starts_with(literal).then_some(())?;
        self.take(literal.len())
    }

    fn number(&mut self) -> Option<&'a str> {
        let is_part = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.rest().bytes().take_while(is_part).count();
        let number = self.take(length)?;
        let is_plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        if (is_plain && length > 0) || number == "0" { Some(number) } else { checked(number) }
    }

    fn nested(&mut self) -> Option<&'a str> {
        if let Some(empty @ ("[]" | "{}")) = self.rest().get(..2) {
            return self.take(empty.len());
        }
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<&RawValue>();
        let value = values.next()?.ok()?.get();
        self.take(value.len())
    }
}

/// `value`, if it is JSON.
fn checked(value: &str) -> Option<&str> {
    serde_json::from_str::<IgnoredAny>(value).ok().map(|_| value)
}

/// How many bytes come before the first quote, backslash or control character, or the end. Most names and values end
/// within the first sixteen.
#[inline(always)]
fn plain_bytes(bytes: &[u8]) -> usize {
    let (mut rest, mut plain) = (bytes, 0);
    while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
        // A loop of this form is compiled to three comparisons of sixteen bytes each.
        let mut ends = [0_u8; 16];
        for (end, byte) in ends.iter_mut().zip(chunk) {
            *end = if ends_plain(*byte) { u8::MAX } else { 0 };
        }
        let ends = u128::from_le_bytes(ends);
        if ends != 0 {
            return plain + ends.trailing_zeros() as usize / 8;
        }
        (rest, plain) = (after, plain + chunk.len());
    }
    plain + rest.iter().position(|b| ends_plain(*b)).unwrap_or(rest.len())
}

#[inline(always)]
fn ends_plain(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}
