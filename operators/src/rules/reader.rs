//! Reads an input into lines: masks, cuts, and gives each line its side.

use super::cue::Cue;
use super::fields::{Field, flatten};
use super::lexicon::{Tag, lexicon};
use super::redact::{Masker, Spoken};
use super::sides;
use super::tokens::Tokens;
use super::turns::{Conversation, Line};
use leadline_schemas::score::{Channel, ScoreInput, Speaker};
use regex::Regex;
use std::ops::Range;
use std::sync::OnceLock;

/// Most text that is looked at: half from the start, half from the end. A 15-minute call has about 15 KB, so only
/// broken or hostile input is longer, and it must not cost more than a few milliseconds.
const TEXT_BYTES_MAX: usize = 128 * 1024;
/// Most lines that are looked at; a two-hour call has about as many turns.
const LINES_MAX: usize = 2_000;
/// Words after which a line is cut at the next sentence's end, and at the latest at twice as many: what is near what
/// is looked for within a line, so the work grows with the square of its length.
const LINE_WORDS_MAX: usize = 120;

/// Words of the company's question after the phrase that tells it.
const QUESTION_WORDS_MAX: usize = 6;

/// Longest name of a company before its message.
const NAME_BYTES_MAX: usize = 30;

/// Collects the lines of a conversation.
pub(super) struct Reader {
    lines: Vec<Line>,
    bytes_left: usize,
    channel: Channel,
    masker: Masker,
}

impl Reader {
    /// Reads whichever parts of the input are there.
    pub(super) fn read(input: &ScoreInput) -> Conversation {
        let channel = input.channel.unwrap_or_else(|| guess_channel(input));
        let mut reader =
            Self { lines: Vec::new(), bytes_left: TEXT_BYTES_MAX, channel, masker: Masker::default() };
        for (name, value) in flatten(&input.form_data) {
            reader.field(&name, &value);
        }
        reader.turns(input);
        if input.transcript.is_empty()
            && let Some(text) = &input.text
        {
            reader.text(text);
        }
        Conversation { channel, lines: reader.lines }
    }

    fn field(&mut self, name: &str, value: &str) {
        let field = Field::of(name);
        if field != Field::Hidden {
            // The name announces a number that must not be kept: "card number".
            self.masker.mask(name);
            self.push(Speaker::Caller, 0, Some(field), value);
        }
    }

    fn turns(&mut self, input: &ScoreInput) {
        let total: usize = input.transcript.iter().map(|turn| turn.text.len()).sum();
        let skip = skipped_turns(input, total);
        let from = self.lines.len();
        let mut told = 0;
        for (index, turn) in input.transcript.iter().enumerate() {
            if !skip.contains(&index) {
                told += usize::from(turn.speaker.is_some());
                let turn_index = u32::try_from(index).unwrap_or(u32::MAX);
                self.push(turn.speaker.unwrap_or(Speaker::Caller), turn_index, None, &turn.text);
            }
        }
        if let Some(lines) = self.lines.get_mut(from..) {
            sides::settle(lines, told > 0, self.channel);
        }
    }

    fn text(&mut self, text: &str) {
        let parts = labelled(text);
        if !parts.is_empty() {
            let told = parts.iter().any(|(speaker, _)| speaker.is_some());
            for (index, (speaker, part)) in parts.into_iter().enumerate() {
                let turn = u32::try_from(index).unwrap_or(u32::MAX);
                self.push(speaker.unwrap_or(Speaker::Caller), turn, None, part);
            }
            sides::settle(&mut self.lines, told, self.channel);
            return;
        }
        match self.channel {
            Channel::Voicemail | Channel::Form => self.push(Speaker::Caller, 0, None, text),
            Channel::Text => {
                for (speaker, message) in messages(text) {
                    self.push(speaker, 0, None, message);
                }
                sides::settle_thread(&mut self.lines);
            }
            _ => {
                for (speaker, part) in split_unlabelled(text) {
                    self.push(speaker, 0, None, part);
                }
            }
        }
    }

    fn push(&mut self, speaker: Speaker, turn: u32, field: Option<Field>, text: &str) {
        let (head, tail) = clip(text, self.bytes_left);
        for part in [head, tail] {
            self.bytes_left = self.bytes_left.saturating_sub(part.len());
            for piece in cut(self.masker.read(part)) {
                if self.lines.len() >= LINES_MAX {
                    return;
                }
                let line = Line::new(speaker, turn, field, piece);
                if !line.is_empty() {
                    self.lines.push(line);
                }
            }
        }
    }
}

/// Cuts a text into pieces of bounded length.
fn cut(masked: Spoken) -> Vec<Spoken> {
    let mut cuts = Vec::new();
    let mut words = 0;
    for pair in masked.tokens.list.windows(2) {
        let [word, next] = pair else { continue };
        words += 1;
        let ends = words >= LINE_WORDS_MAX && word.sentence != next.sentence || words >= 2 * LINE_WORDS_MAX;
        if ends {
            cuts.push(next.raw.start);
            words = 0;
        }
    }
    if cuts.is_empty() {
        return vec![masked];
    }
    let ends = cuts.iter().copied().chain([masked.text.len()]);
    let pieces = [0].into_iter().chain(cuts.iter().copied()).zip(ends);
    pieces.filter_map(|(start, end)| Some(Spoken::of(masked.text.get(start..end)?.to_owned()))).collect()
}

/// The turns in the middle that are left out when there is too much text.
fn skipped_turns(input: &ScoreInput, total: usize) -> Range<usize> {
    if total <= TEXT_BYTES_MAX && input.transcript.len() <= LINES_MAX {
        return 0..0;
    }
    let count = |turns: &mut dyn Iterator<Item = usize>| {
        let mut sum = 0_usize;
        turns
            .take(LINES_MAX / 2)
            .take_while(|length| {
                sum = sum.saturating_add(*length);
                sum <= TEXT_BYTES_MAX / 2
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

/// The messages of a text, one a line. In a thread the company's stand behind its name ("Buckeye: Hi!").
fn messages(text: &str) -> Vec<(Speaker, &str)> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let signed = |line: &str| -> bool {
        let Some((name, rest)) = line.split_once(':') else { return false };
        name.len() <= NAME_BYTES_MAX && rest.starts_with(' ') && name.starts_with(char::is_uppercase)
    };
    let thread = lines.len() > 1;
    let message = |line: &&'_ str| match signed(line) {
        true if thread => Speaker::Agent,
        _ => Speaker::Caller,
    };
    lines.iter().map(|line| (message(line), *line)).collect()
}

/// The parts of a text with inline speaker labels; empty when it has none.
fn labelled(text: &str) -> Vec<(Option<Speaker>, &str)> {
    static LABEL: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"(?i)(?:^|[\s\]])[\[(*]*(agent|rep|representative|operator|csr|receptionist|office|company|agente|caller|customer|client|homeowner|prospect|lead|cliente|llamante|speaker [0-9ab])[\])*]*\s*:[*]*\s*";
    let (head, tail) = clip(text, TEXT_BYTES_MAX);
    let Some(label) = LABEL.get_or_init(|| Regex::new(pattern).ok()) else { return Vec::new() };
    let mut parts = Vec::new();
    for text in [head, tail] {
        let found: Vec<_> = label.captures_iter(text).filter_map(|c| Some((c.get(0)?, c.get(1)?))).collect();
        for (index, (whole, name)) in found.iter().enumerate() {
            let end = found.get(index + 1).map_or(text.len(), |(next, _)| next.start());
            parts.push((speaker_named(name.as_str()), text.get(whole.end()..end).unwrap_or("")));
        }
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

/// Cuts a text without labels into utterances with a side each: at line ends and sentence ends, and around the
/// company's questions where the recogniser wrote no punctuation.
fn split_unlabelled(text: &str) -> Vec<(Speaker, &str)> {
    let (head, tail) = clip(text, TEXT_BYTES_MAX);
    let mut parts = Vec::new();
    for text in [head, tail] {
        let tokens = Tokens::of(text);
        let questions = Questions::of(&tokens);
        let mut cuts: Vec<(usize, Speaker)> = Vec::new();
        let mut end = 0;
        for at in 0..tokens.list.len() {
            let starts_sentence = at == 0 || tokens.sentence(at - 1) != tokens.sentence(at);
            if at >= end
                && let Some(question) = questions.end(&tokens, at)
            {
                cuts.push((at, Speaker::Agent));
                end = question;
            } else if at == end && at > 0 || starts_sentence && at >= end {
                cuts.push((at, Speaker::Caller));
            }
        }
        for (nth, (from, speaker)) in cuts.iter().enumerate() {
            let start = tokens.list.get(*from).map_or(0, |token| token.raw.start);
            let next = cuts.get(nth + 1).and_then(|(next, _)| tokens.list.get(*next));
            let part = text.get(start..next.map_or(text.len(), |token| token.raw.start));
            parts.extend(part.map(|part| (*speaker, part)));
        }
    }
    parts
}

/// Where in a text the company asks, and where answers begin.
struct Questions {
    /// Per token: the end of the longest phrase of the company's that begins there, 0 for none.
    ends: Vec<usize>,
    /// Per token: an answer begins there.
    answers: Vec<bool>,
}

impl Questions {
    fn of(tokens: &Tokens) -> Self {
        let count = tokens.list.len();
        let mut questions = Self { ends: vec![0; count], answers: vec![false; count] };
        for hit in lexicon().hits(tokens) {
            let Tag::Cue(cue) = hit.tag else { continue };
            // One word alone is as often the caller's: "my budget is".
            if Cue::AGENT_TALK.contains(&cue)
                && hit.to > hit.from + 1
                && let Some(end) = questions.ends.get_mut(hit.from)
            {
                *end = hit.to.max(*end);
            }
            if Cue::ANSWERS.contains(&cue)
                && let Some(answer) = questions.answers.get_mut(hit.from)
            {
                *answer = true;
            }
        }
        questions
    }

    /// The end of what the company says from a token on, if it begins to ask there: up to where an answer begins.
    fn end(&self, tokens: &Tokens, at: usize) -> Option<usize> {
        let longest = *self.ends.get(at).filter(|end| **end > at)?;
        let answer = (longest..=longest + QUESTION_WORDS_MAX).find(|at| self.answers.get(*at) == Some(&true));
        let end = answer.unwrap_or(longest);
        (tokens.sentence(end - 1) == tokens.sentence(at)).then_some(end)
    }
}
