//! How values of records become values of columns.

use std::borrow::Cow;

use leadline_schemas::{EventId, Millis};

use super::limits::KEY_BYTES_MAX;

/// 0001-01-01, the first time that Spanner knows.
const FIRST: Millis = Millis(-62_135_596_800_000);
/// 9999-12-30, within what Spanner and our calendar know.
const LAST: Millis = Millis(253_402_128_000_000);

/// A time as Spanner can hold it.
pub(super) fn clamped(at: Millis) -> Millis {
    at.clamp(FIRST, LAST)
}

/// A TIMESTAMP.
pub(super) fn timestamp(at: Millis) -> String {
    clamped(at).to_string()
}

/// A text as a part of a key: as it is, or by its hash where it would not fit. The record has it whole.
pub(super) fn key_text(text: &str) -> Cow<'_, str> {
    match text.len() <= KEY_BYTES_MAX {
        true => Cow::Borrowed(text),
        false => Cow::Owned(format!("hash:{}", EventId::of(&[text.as_bytes()]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_within_what_spanner_knows() {
        assert_eq!(timestamp(Millis(1_772_640_753_236)), "2026-03-04T16:12:33.236Z");
        assert_eq!(timestamp(Millis(i64::MIN)), "0001-01-01T00:00:00.000Z");
        assert_eq!(timestamp(Millis(i64::MAX)), "9999-12-30T00:00:00.000Z");
    }

    #[test]
    fn a_long_text_is_a_short_key_that_only_it_has() {
        let (long, other) = ("☎".repeat(1_000), format!("{}x", "☎".repeat(1_000)));
        assert!(key_text(&long).len() < 100 && key_text(&long) != key_text(&other));
        assert_eq!(key_text("CAL1"), "CAL1");
    }
}
