//! Words of a text, normalised so that a careful typist and a speech recogniser look alike: lower case, no accents,
//! no apostrophes, no fillers, and with each word's place in the original for quoting.

use super::words::lists;
use std::ops::Range;

/// One word with its place in the raw text.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Byte range in the raw text.
    pub raw: Range<usize>,
    /// Byte range in the normalised text.
    pub norm: Range<usize>,
    /// Index of the sentence.
    pub sentence: usize,
    /// Whether a comma or dash follows.
    pub comma: bool,
}

/// A normalised text. Sentences are separated by `|` in `norm`, so no phrase is found across them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens {
    pub norm: String,
    pub list: Vec<Token>,
    /// Per sentence: ended in a question mark.
    pub questions: Vec<bool>,
}

impl Tokens {
    /// Splits and normalises a text.
    pub(super) fn of(raw: &str) -> Self {
        let mut scanner = Scanner::for_bytes(raw.len());
        // Most characters are one byte; growing would move them.
        let mut chars: Vec<(usize, char)> = Vec::with_capacity(raw.len());
        chars.extend(raw.char_indices());
        let at = |index: usize| chars.get(index).map(|(_, c)| *c);
        let mut index = 0;
        while let Some((start, c)) = chars.get(index).copied() {
            let previous = index.checked_sub(1).and_then(at);
            let next = at(index + 1);
            if c.is_alphanumeric() {
                let begin = index;
                while let Some(c) = at(index) {
                    if !continues_word(c, index.checked_sub(1).and_then(at), &chars, index) {
                        break;
                    }
                    index += 1;
                }
                let end = chars.get(index).map_or(raw.len(), |(end, _)| *end);
                scanner.word(start..end, chars.get(begin..index).unwrap_or_default());
                continue;
            }
            scanner.symbol(start, c, previous, next);
            index += 1;
        }
        scanner.close_sentence(false);
        scanner.out
    }

    /// The word at an index, or "" past the end.
    pub(super) fn word(&self, index: usize) -> &str {
        self.list.get(index).and_then(|token| self.norm.get(token.norm.clone())).unwrap_or("")
    }

    /// The sentence of a token.
    pub(super) fn sentence(&self, index: usize) -> usize {
        self.list.get(index).map_or(usize::MAX, |token| token.sentence)
    }

    /// The token range of a sentence.
    pub(super) fn sentence_range(&self, sentence: usize) -> Range<usize> {
        let start = self.list.partition_point(|token| token.sentence < sentence);
        let end = self.list.partition_point(|token| token.sentence <= sentence);
        start..end
    }

    /// Index of the token at a byte of the normalised text.
    pub(super) fn at_norm(&self, byte: usize) -> usize {
        self.list.partition_point(|token| token.norm.end <= byte)
    }

    /// The normalised words of a token range.
    pub(super) fn words(&self, range: Range<usize>) -> &str {
        let start = self.list.get(range.start).map(|token| token.norm.start);
        let end = range.end.checked_sub(1).and_then(|last| self.list.get(last)).map(|token| token.norm.end);
        match (start, end) {
            (Some(start), Some(end)) if start <= end => self.norm.get(start..end).unwrap_or(""),
            _ => "",
        }
    }

    /// Raw byte range of a token range.
    pub(super) fn raw_range(&self, range: Range<usize>) -> Option<Range<usize>> {
        let start = self.list.get(range.start)?.raw.start;
        let end = self.list.get(range.end.checked_sub(1)?)?.raw.end;
        (start <= end).then_some(start..end)
    }
}

/// Whether the character at `index` belongs to the word before it.
fn continues_word(c: char, previous: Option<char>, chars: &[(usize, char)], index: usize) -> bool {
    if c.is_alphanumeric() {
        return true;
    }
    let digit_at = |i: usize| chars.get(i).is_some_and(|(_, c)| c.is_ascii_digit());
    let letter_next = chars.get(index + 1).is_some_and(|(_, c)| c.is_alphanumeric());
    match c {
        '\'' | '’' | '`' => letter_next,
        '.' | ':' => previous.is_some_and(|p| p.is_ascii_digit()) && digit_at(index + 1),
        // Only a thousands separator joins: "18,500" but not "10,15".
        ',' => {
            previous.is_some_and(|p| p.is_ascii_digit())
                && (1..=3).all(|step| digit_at(index + step))
                && !digit_at(index + 4)
        }
        _ => false,
    }
}

struct Scanner {
    out: Tokens,
    sentence_open: bool,
    /// Room for a word.
    word: String,
}

impl Scanner {
    /// With room for what so many bytes of text hold: a word has six of them, and few words are told as two.
    fn for_bytes(bytes: usize) -> Self {
        let out = Tokens {
            norm: String::with_capacity(bytes + bytes / 8 + 2),
            list: Vec::with_capacity(bytes / 5 + 1),
            questions: Vec::new(),
        };
        Self { out, sentence_open: false, word: String::new() }
    }

    fn word(&mut self, raw: Range<usize>, chars: &[(usize, char)]) {
        let mut word = std::mem::take(&mut self.word);
        word.clear();
        for (_, c) in chars {
            fold(*c, &mut word);
        }
        // "Fifteen's reasonable" and "lookin for" in full.
        let possessive = chars.iter().rev().nth(1).is_some_and(|(_, c)| matches!(c, '\'' | '’'));
        if possessive && word.strip_suffix('s').is_some_and(super::numbers::is_number_word) {
            word.pop();
        } else if lists().dropped_g.has(word.as_str()) {
            word.push('g');
        }
        // "The heat's been out" is "the heat is"; "my mom's" stays hers.
        let thing = possessive && word.strip_suffix('s').is_some_and(|thing| lists().things.has(thing));
        if thing {
            word.pop();
            self.push(raw.clone(), &word);
            self.push(raw, "is");
        } else if !lists().fillers.has(word.as_str()) {
            self.push(raw, &word);
        }
        self.word = word;
    }

    fn push(&mut self, raw: Range<usize>, word: &str) {
        if !self.out.norm.is_empty() {
            self.out.norm.push(' ');
        }
        let start = self.out.norm.len();
        self.out.norm.push_str(word);
        let norm = start..self.out.norm.len();
        self.out.list.push(Token { raw, norm, sentence: self.out.questions.len(), comma: false });
        self.sentence_open = true;
    }

    fn symbol(&mut self, start: usize, c: char, previous: Option<char>, next: Option<char>) {
        let raw = start..start + c.len_utf8();
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit() || c == '$');
        match c {
            '$' | '€' | '£' => self.push(raw, "$"),
            '%' => self.push(raw, "percent"),
            '&' => self.push(raw, "and"),
            '<' => self.push(raw, "under"),
            '>' => self.push(raw, "over"),
            '+' if previous.is_some_and(|c| c.is_ascii_alphanumeric()) => self.push(raw, "plus"),
            '/' if next.is_some_and(char::is_alphabetic) && previous.is_some_and(char::is_alphanumeric) => {
                self.push(raw, "per");
            }
            '-' | '–' | '—' if self.ends_in_amount() && (digit(next) || next == Some(' ')) => {
                self.push(raw, "-");
            }
            '.' if next.is_none_or(char::is_whitespace) && self.after_abbreviation() => {}
            '.' if next.is_none_or(|c| c.is_whitespace() || !c.is_alphanumeric()) => {
                self.close_sentence(false)
            }
            '!' | ';' | '\n' | '…' => self.close_sentence(false),
            '?' => self.close_sentence(true),
            // "twenty-five" and "walk-in" are one word to the ear.
            '-' if previous.is_some_and(char::is_alphabetic) && next.is_some_and(char::is_alphabetic) => {}
            ',' | '-' | '–' | '—' | ':' | '(' | ')' => {
                if let Some(token) = self.out.list.last_mut() {
                    token.comma = true;
                }
            }
            _ => {}
        }
    }

    /// "60-80k" and "$25k - $50k" are ranges; "tune-up" and "well - no" are not.
    fn ends_in_amount(&self) -> bool {
        self.out
            .list
            .last()
            .and_then(|token| self.out.norm.get(token.norm.clone()))
            .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()))
    }

    fn after_abbreviation(&self) -> bool {
        let last = self.out.list.last().and_then(|token| self.out.norm.get(token.norm.clone()));
        last.is_some_and(|word| lists().abbreviations.has(word) && word != "no")
    }

    fn close_sentence(&mut self, question: bool) {
        if self.sentence_open {
            self.out.norm.push_str(" |");
            self.out.questions.push(question);
            self.sentence_open = false;
        }
    }
}

/// Appends a character in lower case, without accent; apostrophes vanish ("we're" is "were", as recognisers write).
fn fold(c: char, out: &mut String) {
    let plain = match c {
        '\'' | '’' | '`' | ',' => return,
        ascii if ascii.is_ascii() => return out.push(ascii.to_ascii_lowercase()),
        'á' | 'à' | 'ä' | 'â' | 'ã' | 'Á' | 'À' | 'Ä' | 'Â' => 'a',
        'é' | 'è' | 'ë' | 'ê' | 'É' | 'È' => 'e',
        'í' | 'ì' | 'ï' | 'î' | 'Í' => 'i',
        'ó' | 'ò' | 'ö' | 'ô' | 'õ' | 'Ó' | 'Ö' => 'o',
        'ú' | 'ù' | 'ü' | 'û' | 'Ú' | 'Ü' => 'u',
        'ñ' | 'Ñ' => 'n',
        'ç' | 'Ç' => 'c',
        other => other,
    };
    out.extend(plain.to_lowercase());
}

/// The normalised form of a short phrase.
pub(super) fn normal(text: &str) -> String {
    let tokens = Tokens::of(text);
    tokens.norm.trim_end_matches(" |").replace(" | ", " ")
}
