//! Reads the notation of phrases (see `lexicon`).

/// A part of a phrase.
pub(super) enum Part<'a> {
    /// A group opens; the bracket that will close it.
    Open(char),
    /// Words may be passed over.
    Gap,
    /// A word, perhaps with its `*`.
    Word(&'a str),
}

/// Reads the notation from left to right.
pub(super) struct Parser<'a> {
    pub phrase: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    pub(super) fn of(phrase: &'a str) -> Self {
        Self { phrase, rest: phrase.trim() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next part of a sequence; none at its end, which is the phrase's, a choice's or a group's.
    pub(super) fn next_part(&mut self) -> Option<Part<'a>> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        match first {
            '(' => self.take().map(|_| Part::Open(')')),
            '[' => self.take().map(|_| Part::Open(']')),
            ')' | ']' | '|' => None,
            _ => {
                let end = self.rest.find([' ', '(', ')', '[', ']', '|']).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                Some(if word == ".." { Part::Gap } else { Part::Word(word) })
            }
        }
    }

    /// Takes the next sign.
    pub(super) fn take(&mut self) -> Option<char> {
        let first = self.rest.chars().next()?;
        self.rest = self.rest.get(first.len_utf8()..).unwrap_or("");
        Some(first)
    }
}
