//! CallRail's own transcripts: by turns, or one text with the speakers' names in it.

use super::raw::Raw;
use crate::event::{Speaker, Turn};

/// A speaker as the transcript names it. Numbered ones are nobody we know, but they are not the same one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Known(Speaker),
    Numbered(u32),
}

impl Label {
    fn speaker(self) -> Speaker {
        match self {
            Self::Known(speaker) => speaker,
            Self::Numbered(_) => Speaker::Unknown,
        }
    }

    fn of_name(name: &str) -> Self {
        match name.trim().to_ascii_lowercase().as_str() {
            "agent" => Self::Known(Speaker::Agent),
            "caller" | "customer" => Self::Known(Speaker::Caller),
            other => {
                let number = other.strip_prefix("speaker").and_then(|number| number.trim().parse().ok());
                number.map_or(Self::Known(Speaker::Unknown), Self::Numbered)
            }
        }
    }
}

/// Turns out of phrases: what one speaker says in a row is one turn.
#[derive(Default)]
struct Turns {
    turns: Vec<Turn>,
    last: Option<Label>,
}

impl Turns {
    fn push(&mut self, label: Label, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some(turn) if self.last == Some(label) => {
                turn.text.push(' ');
                turn.text.push_str(text);
            }
            _ => self.turns.push(Turn { speaker: label.speaker(), text: text.to_owned() }),
        }
        self.last = Some(label);
    }
}

/// `conversational_transcript`: an array of `{"speaker", "phrase", "start"}`, or a text of the other form.
pub(super) fn of_phrases(raw: Raw<'_>) -> Option<Vec<Turn>> {
    let Some(phrases) = raw.items() else { return raw.text().map(|text| of_text(&text)) };
    let mut turns = Turns::default();
    for phrase in phrases {
        let name = phrase.member("speaker").and_then(Raw::text).unwrap_or_default();
        let text = phrase.member("phrase").or_else(|| phrase.member("text")).and_then(Raw::text);
        turns.push(Label::of_name(&name), &text.or_else(|| phrase.text()).unwrap_or_default());
    }
    (!turns.turns.is_empty()).then_some(turns.turns)
}

/// `transcription`: one text, split where it names the speakers.
pub(crate) fn of_text(text: &str) -> Vec<Turn> {
    let mut turns = Turns::default();
    let mut label = Label::Known(Speaker::Unknown);
    let mut rest = text;
    // A transcript with names starts its turns with them; a name in the middle of a talk ("ask your Agent: he")
    // is no name of a speaker.
    if text.lines().any(|line| label_at(line.trim_start()).is_some()) {
        while let Some((before, next, after)) = split_at_label(rest) {
            turns.push(label, before);
            (label, rest) = (next, after);
        }
    }
    turns.push(label, rest);
    turns.turns
}

/// The longest name of a speaker.
const NAME_BYTES_MAX: usize = "Speaker 99".len();

/// The text before the first label, the label, and the text after it. Most texts have few colons, so these are looked
/// for, and then what is before them.
fn split_at_label(text: &str) -> Option<(&str, Label, &str)> {
    let mut from = 0;
    for (colon, _) in text.match_indices(':') {
        // A label has one colon, and is no longer than the longest name.
        for at in from.max(colon.saturating_sub(NAME_BYTES_MAX))..colon {
            let Some((before, rest)) = text.split_at_checked(at) else { continue };
            if !before.ends_with(char::is_alphanumeric)
                && let Some((label, after)) = label_at(rest)
            {
                return Some((before, label, after));
            }
        }
        from = colon + 1;
    }
    None
}

/// The label that `text` starts with (`Agent:`, `Caller:`, `Customer:`, `Speaker 1:`) and what follows it.
fn label_at(text: &str) -> Option<(Label, &str)> {
    text.starts_with(|first: char| first.is_ascii_uppercase()).then_some(())?;
    let colon = text.bytes().take(NAME_BYTES_MAX + 1).position(|b| b == b':')?;
    let (name, after) = (text.get(..colon)?, text.get(colon + 1..)?);
    let label = Label::of_name(name);
    (label != Label::Known(Speaker::Unknown)).then_some((label, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PIECES: [&str; 16] = [
        "Agent:",
        "Agent",
        "Caller: ",
        "customer:",
        "Customer :",
        "Speaker 1:",
        "Speaker 12345:",
        "Speaker",
        "12",
        ":",
        " ",
        "\n",
        "\u{e9}",
        "a",
        "A",
        "Speaker \u{663}:",
    ];

    proptest! {
        #[test]
        fn the_first_label_is_the_one_that_a_look_at_each_character_finds(
            pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12)
        ) {
            let text = pieces.concat();
            let found = text.char_indices().find_map(|(at, _)| {
                let (before, rest) = text.split_at(at);
                let (label, after) = label_at(rest)?;
                (!before.ends_with(char::is_alphanumeric)).then_some((before, label, after))
            });
            prop_assert!(split_at_label(&text) == found, "{text:?}");
        }
    }
}
