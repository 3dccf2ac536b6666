//! A value with the place in the conversation that it comes from.

use super::lexicon::Hit;
use super::turns::Conversation;
use leadline_schemas::score::Evidence;
use std::ops::Range;

/// Longest quote, in words on either side of the words that matter.
const QUOTE_CONTEXT_WORDS: usize = 12;
/// Longest quote in bytes: what stands between two spaces may be a whole attachment.
const QUOTE_BYTES_MAX: usize = 400;
/// Longest value in bytes that is believed; the longest e-mail address has 254.
const VALUE_BYTES_MAX: usize = 254;

/// A token range of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub line: usize,
    pub from: usize,
    pub to: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Fact<T> {
    pub value: T,
    pub place: Place,
}

impl Place {
    pub(super) fn new(line: usize, span: &Range<usize>) -> Self {
        Self { line, from: span.start, to: span.end }
    }

    /// The evidence for a field: the words around the place, within the sentence; without them where they are too
    /// long, and cut where the place itself is.
    pub(super) fn evidence(self, field: &str, talk: &Conversation) -> Option<Evidence> {
        let line = talk.line(self.line)?;
        let sentence = line.tokens.sentence_range(line.tokens.sentence(self.from));
        let from = sentence.start.max(self.from.saturating_sub(QUOTE_CONTEXT_WORDS)).min(self.from);
        let to = sentence.end.min(self.to + QUOTE_CONTEXT_WORDS).max(self.to);
        let words = |range: Range<usize>| line.raw.get(line.tokens.raw_range(range)?);
        let quote = words(from..to)?;
        let quote = if quote.len() > QUOTE_BYTES_MAX { words(self.from..self.to)? } else { quote };
        let quote = quote.get(..quote.floor_char_boundary(QUOTE_BYTES_MAX))?;
        Some(Evidence { field: field.to_owned(), quote: quote.to_owned(), turn: line.turn })
    }
}

impl From<(usize, Hit)> for Place {
    fn from((line, hit): (usize, Hit)) -> Self {
        Self { line, from: hit.from, to: hit.to }
    }
}

impl<T> Fact<T> {
    pub(super) fn at(value: T, line: usize, span: Range<usize>) -> Self {
        Self { value, place: Place::new(line, &span) }
    }
}

impl Fact<String> {
    /// Whether the value is longer than anybody's name, address or e-mail is.
    pub(super) fn is_too_long(&self) -> bool {
        self.value.len() > VALUE_BYTES_MAX
    }
}
