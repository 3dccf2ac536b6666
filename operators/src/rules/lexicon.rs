//! The phrase lists of `data/*.toml`, compiled once into one automaton over words that finds them all in one pass.
//!
//! Phrase notation: `(a|b)` is a choice, `[a|b]` an optional choice, both may hold several words and each other; a
//! trailing `*` allows any ending of the word; ` .. ` allows up to [`GAP_WORDS_MAX`] words in between. A phrase never
//! reaches over the end of a sentence.

use super::cue::Cue;
use super::phrases::Phrases;
use super::tokens::Tokens;
use super::vocabulary::Vocabulary;
use leadline_schemas::score::{Class, ProjectType};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Words that ` .. ` may span; more would join unrelated clauses of a recogniser's endless sentence.
const GAP_WORDS_MAX: u8 = 5;
/// Steps that may be open at one word; a text that keeps more open is hostile, and loses the rest.
const OPEN_MAX: usize = 4_096;

/// What a phrase speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Cue(Cue),
    Project(ProjectType, u8),
    Class(Class, u8),
}

/// A phrase found, as a token range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub tag: Tag,
    pub from: usize,
    pub to: usize,
}

/// All phrase lists, ready to search.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    pub(super) vocabulary: Vocabulary,
    /// The first is where all phrases begin.
    pub(super) steps: Vec<Step>,
}

/// All places in phrases that the same words lead to.
#[derive(Debug)]
pub(super) struct Step {
    /// The step that a word leads to, sorted by words.
    pub(super) next: Vec<(u32, u32)>,
    /// What the phrases that end here speak for.
    pub(super) tags: Vec<Tag>,
    /// What is left of it where a word is passed over; none where no word may be.
    pub(super) gap: Option<u32>,
}

/// An open step while a text is searched.
#[derive(Clone, Copy)]
struct Open {
    step: u32,
    from: usize,
    gap_left: u8,
}

#[derive(Deserialize)]
struct ProjectFile(BTreeMap<ProjectType, Weighted>);

#[derive(Deserialize)]
struct ClassFile(BTreeMap<Class, Weighted>);

/// Phrases that settle it (`strong`, 3 points), support it (`medium`, 2) or hint at it (`weak`, 1).
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    #[serde(default)]
    strong: Vec<String>,
    #[serde(default)]
    medium: Vec<String>,
    #[serde(default)]
    weak: Vec<String>,
}

impl Weighted {
    fn phrases(self) -> impl Iterator<Item = (String, u8)> {
        let weighed = |phrases: Vec<String>, weight| phrases.into_iter().map(move |phrase| (phrase, weight));
        weighed(self.strong, 3).chain(weighed(self.medium, 2)).chain(weighed(self.weak, 1))
    }
}

/// The lexicon of the embedded data. Unreadable data would leave it empty; a test shows that it is not.
pub(super) fn lexicon() -> &'static Lexicon {
    static LEXICON: OnceLock<Lexicon> = OnceLock::new();
    LEXICON.get_or_init(|| Lexicon::load().unwrap_or_default())
}

impl Lexicon {
    pub(super) fn load() -> Result<Self, String> {
        let mut read = Phrases::new();
        for source in Cue::FILES {
            let file: BTreeMap<Cue, Vec<String>> = toml::from_str(source).map_err(|e| e.to_string())?;
            for (cue, phrases) in file {
                phrases.iter().try_for_each(|phrase| read.add(phrase, Tag::Cue(cue)))?;
            }
        }
        let projects: ProjectFile =
            toml::from_str(include_str!("data/projects.toml")).map_err(|e| e.to_string())?;
        for (project, weighted) in projects.0 {
            weighted.phrases().try_for_each(|(phrase, w)| read.add(&phrase, Tag::Project(project, w)))?;
        }
        let classes: ClassFile =
            toml::from_str(include_str!("data/classes.toml")).map_err(|e| e.to_string())?;
        for (class, weighted) in classes.0 {
            weighted.phrases().try_for_each(|(phrase, w)| read.add(&phrase, Tag::Class(class, w)))?;
        }
        Ok(read.compile())
    }

    /// Every phrase in a text, in order of its end.
    pub(super) fn hits(&self, tokens: &Tokens) -> Vec<Hit> {
        let mut hits = Vec::new();
        let (mut open, mut next): (Vec<Open>, Vec<Open>) = (Vec::new(), Vec::new());
        let mut ids = Vec::new();
        for (at, token) in tokens.list.iter().enumerate() {
            if at.checked_sub(1).is_some_and(|before| tokens.sentence(before) != token.sentence) {
                open.clear();
            }
            self.vocabulary.ids(tokens.word(at), &mut ids);
            for place in open.drain(..) {
                let Some(step) = self.step(place.step) else { continue };
                for target in ids.iter().filter_map(|id| step.after(*id)) {
                    self.follow(target, place.from, at, &mut next, &mut hits);
                }
                if let Some(gap) = step.gap.filter(|_| place.gap_left > 0 && next.len() < OPEN_MAX) {
                    next.push(Open { step: gap, gap_left: place.gap_left - 1, ..place });
                }
            }
            for start in ids.iter().filter_map(|id| self.step(0)?.after(*id)) {
                self.follow(start, at, at, &mut next, &mut hits);
            }
            std::mem::swap(&mut open, &mut next);
        }
        hits
    }

    /// Goes on to a step, and notes the phrases that end there.
    fn follow(&self, target: u32, from: usize, at: usize, next: &mut Vec<Open>, hits: &mut Vec<Hit>) {
        let Some(step) = self.step(target) else { return };
        for tag in &step.tags {
            let hit = Hit { tag: *tag, from, to: at + 1 };
            let mut known = hits.iter().rev().take_while(|other| other.to == hit.to);
            if !known.any(|other| other.from == from && other.tag == *tag) {
                hits.push(hit);
            }
        }
        if !step.next.is_empty() && next.len() < OPEN_MAX {
            next.push(Open { step: target, from, gap_left: GAP_WORDS_MAX });
        }
    }

    fn step(&self, id: u32) -> Option<&Step> {
        self.steps.get(id as usize)
    }
}

impl Step {
    /// The step that a word leads to.
    fn after(&self, word: u32) -> Option<u32> {
        let at = self.next.binary_search_by_key(&word, |(word, _)| *word).ok()?;
        self.next.get(at).map(|(_, step)| *step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(phrase: &str, text: &str) -> bool {
        let mut read = Phrases::new();
        read.add(phrase, Tag::Cue(Cue::Yes)).unwrap();
        !read.compile().hits(&Tokens::of(text)).is_empty()
    }

    #[test]
    fn the_embedded_data_is_read() {
        let lexicon = Lexicon::load().unwrap();
        assert!(lexicon.vocabulary.words() > 1_000, "{}", lexicon.vocabulary.words());
    }

    #[test]
    fn a_phrase_finds_what_its_notation_says() {
        for (phrase, text) in [
            ("i (own|have) [the|this] house", "Well, I own this house."),
            ("i (own|have) [the|this] house", "i have house"),
            ("remodel*", "remodelling"),
            ("(went|gone) with (someone|another (company|guy)) [else]", "We went with another company"),
            ("can .. come", "can you or somebody please come"),
            ("[a] new (roof|front door)", "new front door"),
        ] {
            assert!(found(phrase, text), "{phrase} in {text}");
        }
        for (phrase, text) in [
            ("i (own|have) the house", "I own. The house"),
            ("remodel", "remodelling"),
            ("can .. come", "can one two three four five six come"),
            ("new (roof|front door)", "new door"),
        ] {
            assert!(!found(phrase, text), "{phrase} in {text}");
        }
    }
}
