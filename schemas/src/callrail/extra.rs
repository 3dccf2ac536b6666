//! `extra`: the fields that have no place of their own in the event, as a JSON object in text.

use serde_json::Value;

use super::raw::Raw;

/// What the rest of most payloads fits in.
const EXTRA_BYTES_USUAL: usize = 128;
/// Deepest nesting that is kept as it came; JSON libraries stop at 128.
const DEPTH_MAX: usize = 64;
/// Longest run of digits that is kept as it came; beyond 308 a number is out of range for a double.
const DIGITS_MAX: usize = 300;

/// A JSON object of `members`, their values as they came.
pub(super) fn object<'a>(members: impl Iterator<Item = (&'a str, Raw<'a>)>) -> String {
    let mut out = String::with_capacity(EXTRA_BYTES_USUAL);
    out.push('{');
    for (name, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        push_text(&mut out, name);
        out.push(':');
        if value.is_plain_string || is_readable(value.text) {
            out.push_str(value.text);
        } else {
            push_text(&mut out, value.text);
        }
    }
    out.push('}');
    out
}

fn push_text(out: &mut String, text: &str) {
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

/// Whether every reader of `extra` can read this value, which was skipped over and not read: a text may hold half
/// a surrogate pair, a number may be out of range, an array may be nested too deep. Such values are kept as text.
fn is_readable(value: &str) -> bool {
    is_plain(value) || serde_json::from_str::<Value>(value).is_ok()
}

/// A cheap look that sees nothing of the above.
fn is_plain(value: &str) -> bool {
    if value.starts_with('"') {
        return !value.contains('\\') || !value.contains("\\u");
    }
    let (mut depth, mut digits, mut before) = (0_usize, 0_usize, 0_u8);
    for byte in value.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b'u' if before == b'\\' => return false,
            b'e' | b'E' if before.is_ascii_digit() => return false,
            _ => {}
        }
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        if depth > DEPTH_MAX || digits > DIGITS_MAX {
            return false;
        }
        before = byte;
    }
    true
}
