//! The conversation as lines with a side each, whatever shape it came in: turns, one text with inline labels, one
//! text with none, or the fields of a form.

use super::cue::Cue;
use super::digits::Run;
use super::fields::Field;
use super::lexicon::{Hit, Tag, lexicon};
use super::numbers::Number;
use super::reader::Reader;
use super::redact::Spoken;
use super::roles;
use super::tokens::Tokens;
use super::words::lists;
use leadline_schemas::score::{Channel, ScoreInput, Speaker};
use std::collections::BTreeMap;
use std::ops::Range;

/// Words of a sentence that holds an instruction to the scorer, beyond which only the words around it are blanked.
const INJECTION_SENTENCE_WORDS_MAX: usize = 40;
/// Words blanked from an instruction onwards in an endless sentence.
const INJECTION_WORDS: usize = 25;
/// Lines of one's own that may stand between a question and its answer.
const OWN_LINES_MAX: usize = 2;
/// Words of a sentence in which one word can be a question: "and city".
const ALONE_WORDS_MAX: usize = 2;
/// Words of a question that is written without its mark.
const UNMARKED_WORDS_MAX: usize = 7;
/// Words before a phrase within which "not" denies it.
const NEGATION_WORDS: usize = 2;

/// One side's uninterrupted words, or one form field.
#[derive(Debug)]
pub(super) struct Line {
    /// Who speaks; a guess when the input does not tell.
    pub speaker: Speaker,
    /// Index of the turn in the input.
    pub turn: u32,
    /// What the form field is about.
    pub field: Option<Field>,
    /// The words as they came, sensitive numbers masked.
    pub raw: String,
    pub tokens: Tokens,
    /// Every phrase found, in order of its end.
    pub hits: Vec<Hit>,
    /// The same by cue.
    cues: BTreeMap<Cue, Vec<Hit>>,
    /// Per token: "not" or "never" stands right before it.
    negated: Vec<bool>,
    pub numbers: Vec<Number>,
    /// Digits read out.
    pub runs: Vec<Run>,
}

/// What was said, in order.
#[derive(Debug)]
pub(super) struct Conversation {
    pub channel: Channel,
    pub lines: Vec<Line>,
}

impl Line {
    /// A line of masked words.
    pub(super) fn new(speaker: Speaker, turn: u32, field: Option<Field>, words: Spoken) -> Self {
        let Spoken { text: raw, mut tokens, mut numbers } = words;
        let mut hits = lexicon().hits(&tokens);
        if hits.iter().any(|hit| hit.tag == Tag::Cue(Cue::Injection)) {
            Spoken { tokens, numbers, .. } = Spoken::of(blank_instructions(&raw, &tokens, &hits));
            hits = lexicon().hits(&tokens);
        }
        let mut cues: BTreeMap<Cue, Vec<Hit>> = BTreeMap::new();
        for hit in &hits {
            if let Tag::Cue(cue) = hit.tag {
                cues.entry(cue).or_default().push(*hit);
            }
        }
        let negated = negated(&tokens, cues.get(&Cue::Negator).map(Vec::as_slice).unwrap_or_default());
        let runs = roles::assign(&tokens, &mut numbers);
        Self { speaker, turn, field, raw, tokens, hits, cues, negated, numbers, runs }
    }

    pub(super) fn by_caller(&self) -> bool {
        self.speaker == Speaker::Caller
    }

    pub(super) fn by_agent(&self) -> bool {
        self.speaker == Speaker::Agent
    }

    /// The places of a cue.
    pub(super) fn cues(&self, cue: Cue) -> impl Iterator<Item = &Hit> {
        self.cues.get(&cue).map(Vec::as_slice).unwrap_or_default().iter()
    }

    /// The places of a cue that no "not" stands right before.
    pub(super) fn affirmed(&self, cue: Cue) -> impl Iterator<Item = &Hit> {
        self.cues(cue).filter(|hit| !self.is_negated(hit.from))
    }

    pub(super) fn has(&self, cue: Cue) -> bool {
        self.cues.contains_key(&cue)
    }

    /// The first place of any of the cues.
    pub(super) fn first_of(&self, cues: &[Cue]) -> Option<&Hit> {
        self.hits.iter().find(|hit| matches!(hit.tag, Tag::Cue(cue) if cues.contains(&cue)))
    }

    pub(super) fn has_any(&self, cues: &[Cue]) -> bool {
        self.first_of(cues).is_some()
    }

    /// Whether "not" or "never" stands right before a token, in its sentence.
    pub(super) fn is_negated(&self, at: usize) -> bool {
        self.negated.get(at) == Some(&true)
    }

    /// Whether a cue stands in the same sentence as a token.
    pub(super) fn in_sentence(&self, cue: Cue, token: usize) -> bool {
        let sentence = self.tokens.sentence(token);
        self.cues(cue).any(|hit| self.tokens.sentence(hit.from) == sentence)
    }

    /// Whether a cue stands within so many words of a token range, in its sentence.
    pub(super) fn near(&self, cue: Cue, range: &Range<usize>, words: usize) -> bool {
        self.distance(cue, range).is_some_and(|distance| distance < words)
    }

    /// Words between a token range and the nearest place of a cue in its sentence.
    pub(super) fn distance(&self, cue: Cue, range: &Range<usize>) -> Option<usize> {
        let sentence = self.tokens.sentence(range.start);
        self.cues(cue)
            .filter(|hit| self.tokens.sentence(hit.from) == sentence)
            .map(|hit| {
                if hit.to <= range.start { range.start - hit.to } else { hit.from.saturating_sub(range.end) }
            })
            .min()
    }

    /// Whether the line asks for what a cue is about. One word alone asks only where it is all of a sentence, so
    /// "Queen City Exteriors" asks for no city.
    pub(super) fn asks_for(&self, cue: Cue) -> bool {
        self.last_asked(cue).is_some()
    }

    /// The token behind the last question that a cue is about.
    pub(super) fn last_asked(&self, cue: Cue) -> Option<usize> {
        let asks = |hit: &&Hit| {
            let sentence = self.tokens.sentence(hit.from);
            let range = self.tokens.sentence_range(sentence);
            // Recognisers write no question marks: "ok and whats ur budget".
            let unmarked = self.is_lower_case()
                && range.len() <= UNMARKED_WORDS_MAX
                && lists().question_words.has(self.tokens.word(range.start));
            let alone = range.len() <= ALONE_WORDS_MAX || unmarked;
            hit.to - hit.from > 1 || alone || self.is_question(hit.from)
        };
        self.cues(cue).filter(asks).map(|hit| hit.to).max()
    }

    /// Whether the sentence of a token ends in a question mark.
    pub(super) fn is_question(&self, at: usize) -> bool {
        self.tokens.questions.get(self.tokens.sentence(at)) == Some(&true)
    }

    /// Whether the line ends in a question mark.
    pub(super) fn asks(&self) -> bool {
        self.tokens.questions.last() == Some(&true)
    }

    /// The normalised words of the line.
    pub(super) fn words(&self) -> &str {
        &self.tokens.norm
    }

    /// Whether a word stands in it.
    pub(super) fn has_word(&self, words: &[&str]) -> bool {
        (0..self.word_count()).any(|at| words.contains(&self.tokens.word(at)))
    }

    /// Whether the word at a token begins with a capital.
    pub(super) fn is_capital(&self, at: usize) -> bool {
        let raw = self.tokens.list.get(at).and_then(|token| self.raw.get(token.raw.clone()));
        raw.is_some_and(|word| word.starts_with(char::is_uppercase))
    }

    /// Whether the line was written without capitals, as recognisers do.
    pub(super) fn is_lower_case(&self) -> bool {
        !self.raw.contains(char::is_uppercase)
    }

    /// Whether a comma or dash follows the word at a token.
    pub(super) fn pauses_after(&self, at: usize) -> bool {
        self.tokens.list.get(at).is_some_and(|token| token.comma)
            || self.tokens.sentence(at) != self.tokens.sentence(at + 1)
    }

    /// The words of a token range as they came.
    pub(super) fn quote(&self, span: Range<usize>) -> Option<&str> {
        self.raw.get(self.tokens.raw_range(span)?)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tokens.list.is_empty()
    }

    pub(super) fn word_count(&self) -> usize {
        self.tokens.list.len()
    }

    /// Whether anything may be said in it: not a form field of another kind.
    pub(super) fn is_free(&self) -> bool {
        self.field.is_none_or(Field::is_free)
    }
}

impl Conversation {
    /// Reads whichever parts of the input are there.
    pub(super) fn of(input: &ScoreInput) -> Self {
        Reader::read(input)
    }

    /// The caller's lines with their index.
    pub(super) fn caller(&self) -> impl DoubleEndedIterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().filter(|(_, line)| line.by_caller())
    }

    /// The agent's lines with their index.
    pub(super) fn agent(&self) -> impl DoubleEndedIterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().filter(|(_, line)| line.by_agent())
    }

    pub(super) fn caller_has(&self, cue: Cue) -> bool {
        self.caller().any(|(_, line)| line.has(cue))
    }

    pub(super) fn line(&self, index: usize) -> Option<&Line> {
        self.lines.get(index)
    }

    /// What the other side said last before a line; a few lines of one's own may lie between.
    pub(super) fn asked_before(&self, index: usize) -> Option<&Line> {
        let speaker = self.line(index)?.speaker;
        (1..=OWN_LINES_MAX + 1)
            .map_while(|back| self.line(index.checked_sub(back)?))
            .find(|line| line.speaker != speaker)
    }

    /// The caller's next line after an agent's.
    pub(super) fn answer_after(&self, index: usize) -> Option<(usize, &Line)> {
        self.line(index + 1).filter(|line| line.by_caller()).map(|line| (index + 1, line))
    }

    /// The place of a cue in the caller's words that nothing denies, the last one.
    pub(super) fn last_by_caller(&self, cue: Cue) -> Option<(usize, Hit)> {
        self.caller().rev().find_map(|(index, line)| line.affirmed(cue).last().map(|hit| (index, *hit)))
    }

    /// The place of a cue in the caller's words that nothing denies, the first one.
    pub(super) fn first_by_caller(&self, cue: Cue) -> Option<(usize, Hit)> {
        self.caller().find_map(|(index, line)| line.affirmed(cue).next().map(|hit| (index, *hit)))
    }
}

/// The tokens that a "not" right before them denies, within a sentence and without a pause between.
fn negated(tokens: &Tokens, negators: &[Hit]) -> Vec<bool> {
    let mut negated = vec![false; tokens.list.len()];
    for hit in negators {
        for at in hit.to..=hit.to + NEGATION_WORDS {
            let pause = tokens.list.get(at - 1).is_none_or(|token| token.comma);
            if pause || tokens.sentence(at) != tokens.sentence(hit.from) {
                break;
            }
            if let Some(negated) = negated.get_mut(at) {
                *negated = true;
            }
        }
    }
    negated
}

/// Blanks what is said to the scorer and not to the company ("ignore previous instructions ..."), keeping length.
fn blank_instructions(raw: &str, tokens: &Tokens, hits: &[Hit]) -> String {
    let mut bytes = raw.as_bytes().to_vec();
    for hit in hits.iter().filter(|hit| hit.tag == Tag::Cue(Cue::Injection)) {
        let sentence = tokens.sentence_range(tokens.sentence(hit.from));
        let range = if sentence.len() <= INJECTION_SENTENCE_WORDS_MAX {
            sentence
        } else {
            hit.from..(hit.to + INJECTION_WORDS).min(sentence.end)
        };
        if let Some(slice) = tokens.raw_range(range).and_then(|range| bytes.get_mut(range)) {
            slice.fill(b' ');
        }
    }
    // Token ranges lie on character boundaries, so this never replaces anything.
    String::from_utf8_lossy(&bytes).into_owned()
}
