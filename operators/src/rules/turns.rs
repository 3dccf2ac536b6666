//! The conversation as lines with a side each, whatever shape it came in: turns, one text with inline labels, one
//! text with none, or the fields of a form.

use super::cue::Cue;
use super::lexicon::{Hit, Tag, lexicon};
use super::numbers::{Number, numbers};
use super::redact::mask;
use super::tokens::{Tokens, normal};
use leadline_schemas::score::{Channel, ScoreInput, Speaker};
use regex::Regex;
use serde_json::Value;
use std::ops::Range;
use std::sync::OnceLock;

/// Most text that is looked at: half from the start, half from the end. A 15-minute call has about 15 KB, so only
/// broken or hostile input is longer, and it must not cost more than a few milliseconds.
pub(super) const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Words of a sentence that holds an instruction to the scorer, beyond which only the words around it are blanked.
const INJECTION_SENTENCE_WORDS_MAX: usize = 40;
/// Words blanked from an instruction onwards in an endless sentence.
const INJECTION_WORDS: usize = 25;

/// One side's uninterrupted words, or one form field.
#[derive(Debug)]
pub(super) struct Line {
    /// Who speaks; a guess when the input does not tell.
    pub speaker: Speaker,
    /// Index of the turn in the input.
    pub turn: u32,
    /// Normalised name of the form field.
    pub label: Option<String>,
    /// The words as they came, sensitive numbers masked.
    pub raw: String,
    pub tokens: Tokens,
    pub hits: Vec<Hit>,
    pub numbers: Vec<Number>,
}

/// What was said, in order.
#[derive(Debug)]
pub(super) struct Conversation {
    pub channel: Channel,
    pub lines: Vec<Line>,
}

impl Line {
    fn new(speaker: Speaker, turn: u32, label: Option<String>, raw: &str) -> Self {
        let masked = mask(raw);
        let mut tokens = Tokens::of(&masked);
        let mut hits = lexicon().hits(&tokens);
        if hits.iter().any(|hit| hit.tag == Tag::Cue(Cue::Injection)) {
            tokens = Tokens::of(&blank_instructions(&masked, &tokens, &hits));
            hits = lexicon().hits(&tokens);
        }
        let numbers = numbers(&tokens);
        Self { speaker, turn, label, raw: masked, tokens, hits, numbers }
    }

    pub(super) fn by_caller(&self) -> bool {
        self.speaker == Speaker::Caller
    }

    pub(super) fn by_agent(&self) -> bool {
        self.speaker == Speaker::Agent
    }

    /// The places of a cue.
    pub(super) fn cues(&self, cue: Cue) -> impl Iterator<Item = &Hit> {
        self.hits.iter().filter(move |hit| hit.tag == Tag::Cue(cue))
    }

    pub(super) fn has(&self, cue: Cue) -> bool {
        self.cues(cue).next().is_some()
    }

    /// The first place of any of the cues.
    pub(super) fn first_of(&self, cues: &[Cue]) -> Option<&Hit> {
        self.hits.iter().find(|hit| matches!(hit.tag, Tag::Cue(cue) if cues.contains(&cue)))
    }

    pub(super) fn has_any(&self, cues: &[Cue]) -> bool {
        self.first_of(cues).is_some()
    }

    /// Whether a cue stands in the same sentence as a token.
    pub(super) fn in_sentence(&self, cue: Cue, token: usize) -> bool {
        let sentence = self.tokens.sentence(token);
        self.cues(cue).any(|hit| self.tokens.sentence(hit.from) == sentence)
    }

    /// Whether a cue stands within so many words of a token range.
    pub(super) fn near(&self, cue: Cue, range: &Range<usize>, words: usize) -> bool {
        self.cues(cue).any(|hit| {
            hit.from < range.end + words
                && range.start < hit.to + words
                && self.tokens.sentence(hit.from) == self.tokens.sentence(range.start)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tokens.list.is_empty()
    }

    pub(super) fn word_count(&self) -> usize {
        self.tokens.list.len()
    }
}

impl Conversation {
    /// Reads whichever parts of the input are there.
    pub(super) fn of(input: &ScoreInput) -> Self {
        let channel = input.channel.unwrap_or_else(|| guess_channel(input));
        let mut reader = Reader { lines: Vec::new(), bytes_left: TEXT_BYTES_MAX, channel };
        reader.form(input);
        let total: usize = input.transcript.iter().map(|turn| turn.text.len()).sum();
        let skip = skipped_turns(input, total);
        let unlabelled = input.transcript.iter().all(|turn| turn.speaker.is_none());
        for (index, turn) in input.transcript.iter().enumerate() {
            if !skip.contains(&index) {
                let turn_index = u32::try_from(index).unwrap_or(u32::MAX);
                let speaker = if unlabelled { None } else { Some(turn.speaker.unwrap_or(Speaker::Caller)) };
                reader.turn(speaker, turn_index, &turn.text);
            }
        }
        if input.transcript.is_empty()
            && let Some(text) = &input.text
        {
            reader.text(text);
        }
        Self { channel, lines: reader.lines }
    }

    /// The caller's lines with their index.
    pub(super) fn caller(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().filter(|(_, line)| line.by_caller())
    }

    /// The agent's lines with their index.
    pub(super) fn agent(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().filter(|(_, line)| line.by_agent())
    }

    pub(super) fn caller_has(&self, cue: Cue) -> bool {
        self.caller().any(|(_, line)| line.has(cue))
    }

    pub(super) fn line(&self, index: usize) -> Option<&Line> {
        self.lines.get(index)
    }

    /// The line before, if the other side said it.
    pub(super) fn asked_before(&self, index: usize) -> Option<&Line> {
        let line = self.line(index)?;
        let before = self.line(index.checked_sub(1)?)?;
        (before.speaker != line.speaker).then_some(before)
    }

    /// The caller's next line after an agent's.
    pub(super) fn answer_after(&self, index: usize) -> Option<(usize, &Line)> {
        self.line(index + 1).filter(|line| line.by_caller()).map(|line| (index + 1, line))
    }

    /// The place of a cue in the caller's words, the last one.
    pub(super) fn last_by_caller(&self, cue: Cue) -> Option<(usize, Hit)> {
        self.caller().filter_map(|(index, line)| line.cues(cue).last().map(|hit| (index, *hit))).last()
    }

    /// The place of a cue in the caller's words, the first one.
    pub(super) fn first_by_caller(&self, cue: Cue) -> Option<(usize, Hit)> {
        self.caller().find_map(|(index, line)| line.cues(cue).next().map(|hit| (index, *hit)))
    }
}

struct Reader {
    lines: Vec<Line>,
    bytes_left: usize,
    channel: Channel,
}

impl Reader {
    fn form(&mut self, input: &ScoreInput) {
        for (name, value) in &input.form_data {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Null | Value::Object(_) => continue,
                Value::Array(values) => {
                    let texts =
                        values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
                    texts.collect::<Vec<_>>().join(", ")
                }
                other => other.to_string(),
            };
            self.push(Speaker::Caller, 0, Some(normal(&name.replace(['_', '-', '.'], " "))), &text);
        }
    }

    /// One turn of a transcript; unlabelled ones are given a side by what they say.
    fn turn(&mut self, speaker: Option<Speaker>, turn: u32, text: &str) {
        match speaker {
            Some(speaker) => self.push(speaker, turn, None, text),
            None => self.guessed(turn, text),
        }
    }

    fn text(&mut self, text: &str) {
        let parts = labelled(text);
        if !parts.is_empty() {
            for (index, (speaker, part)) in parts.into_iter().enumerate() {
                let turn = u32::try_from(index).unwrap_or(u32::MAX);
                self.turn(speaker, turn, part);
            }
            return;
        }
        match self.channel {
            Channel::Voicemail | Channel::Form => self.push(Speaker::Caller, 0, None, text),
            Channel::Text if text.trim().lines().count() < 2 => self.push(Speaker::Caller, 0, None, text),
            _ => split_unlabelled(text).into_iter().for_each(|part| self.guessed(0, part)),
        }
    }

    /// Adds a line whose side is told by what it says: the company greets and asks.
    fn guessed(&mut self, turn: u32, text: &str) {
        self.push(Speaker::Caller, turn, None, text);
        if self.channel != Channel::Voicemail
            && let Some(line) = self.lines.last_mut()
            && line.has_any(Cue::AGENT_TALK)
            && !line.has_any(Cue::CALLER_TALK)
        {
            line.speaker = Speaker::Agent;
        }
    }

    fn push(&mut self, speaker: Speaker, turn: u32, label: Option<String>, text: &str) {
        let (head, tail) = clip(text, self.bytes_left);
        for part in [head, tail] {
            self.bytes_left = self.bytes_left.saturating_sub(part.len());
            let line = Line::new(speaker, turn, label.clone(), part);
            if !line.is_empty() {
                self.lines.push(line);
            }
        }
    }
}

/// The turns in the middle that are left out when there is too much text.
fn skipped_turns(input: &ScoreInput, total: usize) -> Range<usize> {
    if total <= TEXT_BYTES_MAX {
        return 0..0;
    }
    let half = TEXT_BYTES_MAX / 2;
    let count = |turns: &mut dyn Iterator<Item = usize>| {
        let mut sum = 0_usize;
        turns
            .take_while(|length| {
                sum = sum.saturating_add(*length);
                sum <= half
            })
            .count()
    };
    let head = count(&mut input.transcript.iter().map(|turn| turn.text.len())).max(1);
    let tail = count(&mut input.transcript.iter().rev().map(|turn| turn.text.len()));
    head..input.transcript.len().saturating_sub(tail).max(head)
}

/// The first and last bytes of a text that is too long, at character boundaries.
fn clip(text: &str, bytes_max: usize) -> (&str, &str) {
    if text.len() <= bytes_max {
        return (text, "");
    }
    let half = bytes_max / 2;
    let head = (0..=half).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let tail = (text.len() - half..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    (text.get(..head).unwrap_or(""), text.get(tail..).unwrap_or(""))
}

fn guess_channel(input: &ScoreInput) -> Channel {
    if !input.form_data.is_empty() {
        Channel::Form
    } else if input.transcript.is_empty() && input.text.as_ref().is_some_and(|text| labelled(text).is_empty())
    {
        Channel::Text
    } else {
        Channel::Call
    }
}

/// The parts of a text with inline speaker labels; empty when it has none.
fn labelled(text: &str) -> Vec<(Option<Speaker>, &str)> {
    static LABEL: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"(?i)(?:^|[\s\]])[\[(*]*(agent|rep|representative|operator|csr|receptionist|office|company|agente|caller|customer|client|homeowner|prospect|lead|cliente|llamante|speaker [0-9ab])[\])*]*\s*:[*]*\s*";
    let Some(label) = LABEL.get_or_init(|| Regex::new(pattern).ok()) else { return Vec::new() };
    let found: Vec<_> = label.captures_iter(text).filter_map(|c| Some((c.get(0)?, c.get(1)?))).collect();
    let mut parts = Vec::new();
    for (index, (whole, name)) in found.iter().enumerate() {
        let end = found.get(index + 1).map_or(text.len(), |(next, _)| next.start());
        parts.push((speaker_named(name.as_str()), text.get(whole.end()..end).unwrap_or("")));
    }
    parts
}

fn speaker_named(name: &str) -> Option<Speaker> {
    match name.to_ascii_lowercase().as_str() {
        name if name.starts_with("speaker") => None,
        "caller" | "customer" | "client" | "homeowner" | "prospect" | "lead" | "cliente" | "llamante" => {
            Some(Speaker::Caller)
        }
        _ => Some(Speaker::Agent),
    }
}

/// Cuts a text without labels into utterances: at line ends and sentence ends, and around the company's questions
/// where the recogniser wrote no punctuation.
fn split_unlabelled(text: &str) -> Vec<&str> {
    let text = text.get(..).unwrap_or("");
    let (head, tail) = clip(text, TEXT_BYTES_MAX);
    let mut parts = Vec::new();
    for text in [head, tail] {
        let tokens = Tokens::of(text);
        let hits = lexicon().hits(&tokens);
        let mut cuts: Vec<usize> = tokens
            .list
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if a.sentence != b.sentence => Some(b.raw.start),
                _ => None,
            })
            .collect();
        let questions =
            hits.iter().filter(|hit| matches!(hit.tag, Tag::Cue(cue) if Cue::AGENT_TALK.contains(&cue)));
        for hit in questions {
            cuts.extend(tokens.list.get(hit.from).map(|token| token.raw.start));
            cuts.extend(tokens.list.get(hit.to).map(|token| token.raw.start));
        }
        cuts.push(text.len());
        cuts.sort_unstable();
        let mut start = 0;
        for cut in cuts {
            if cut > start {
                parts.extend(text.get(start..cut));
                start = cut;
            }
        }
    }
    parts
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
