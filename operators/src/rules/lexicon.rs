//! The phrase lists of `data/*.toml`, compiled once into one automaton over words that finds them all in one pass.
//!
//! Phrase notation: `(a|b)` is a choice, `[a|b]` an optional choice, both may hold several words and each other; a
//! trailing `*` allows any ending of the word; ` .. ` allows up to [`GAP_WORDS_MAX`] words in between. A phrase never
//! reaches over the end of a sentence.

use super::cue::Cue;
use super::notation::{Parser, Part};
use super::tokens::{Tokens, normal};
use hashbrown::HashMap;
use leadline_schemas::score::{Class, ProjectType};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Words that ` .. ` may span; more would join unrelated clauses of a recogniser's endless sentence.
const GAP_WORDS_MAX: u8 = 5;
/// Places in phrases that may be open at one word; a text that keeps more open is hostile, and loses the rest.
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
    /// Whole words of the phrases.
    words: HashMap<String, u32>,
    /// Beginnings of words, from `remodel*`.
    prefixes: HashMap<String, u32>,
    /// Length in bytes of the shortest and the longest of them.
    prefix_bytes: (usize, usize),
    nodes: Vec<Node>,
    /// Where a phrase can begin with a word.
    starts: HashMap<u32, Vec<u32>>,
}

/// A place in a phrase.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Places that a word leads to, by word.
    edges: Vec<(u32, u32)>,
    /// Places that are reached without a word, while building.
    free: Vec<u32>,
    /// Words may be passed over here.
    gap: bool,
    /// What a phrase that ends here speaks for.
    tags: Vec<Tag>,
}

/// An open place in a phrase while a text is searched.
#[derive(Clone, Copy)]
struct Open {
    node: u32,
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
        let mut lexicon = Self { nodes: vec![Node::default()], ..Self::default() };
        for source in Cue::FILES {
            let file: BTreeMap<Cue, Vec<String>> = toml::from_str(source).map_err(|e| e.to_string())?;
            for (cue, phrases) in file {
                phrases.iter().try_for_each(|phrase| lexicon.add(phrase, Tag::Cue(cue)))?;
            }
        }
        let projects: ProjectFile =
            toml::from_str(include_str!("data/projects.toml")).map_err(|e| e.to_string())?;
        for (project, weighted) in projects.0 {
            weighted.phrases().try_for_each(|(phrase, w)| lexicon.add(&phrase, Tag::Project(project, w)))?;
        }
        let classes: ClassFile =
            toml::from_str(include_str!("data/classes.toml")).map_err(|e| e.to_string())?;
        for (class, weighted) in classes.0 {
            weighted.phrases().try_for_each(|(phrase, w)| lexicon.add(&phrase, Tag::Class(class, w)))?;
        }
        lexicon.close();
        Ok(lexicon)
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
            self.ids(tokens.word(at), &mut ids);
            for place in open.drain(..) {
                let Some(node) = self.node(place.node) else { continue };
                ids.iter().for_each(|id| {
                    self.follow(node.targets(*id), place.from, at, &mut next, &mut hits);
                });
                if node.gap && place.gap_left > 0 && next.len() < OPEN_MAX {
                    next.push(Open { gap_left: place.gap_left - 1, ..place });
                }
            }
            for id in &ids {
                let starts = self.starts.get(id).map(Vec::as_slice).unwrap_or_default();
                self.follow(starts.iter().copied(), at, at, &mut next, &mut hits);
            }
            std::mem::swap(&mut open, &mut next);
        }
        hits
    }

    /// Goes on to places, and notes the phrases that end there.
    fn follow(
        &self,
        targets: impl Iterator<Item = u32>,
        from: usize,
        at: usize,
        next: &mut Vec<Open>,
        hits: &mut Vec<Hit>,
    ) {
        for target in targets {
            let Some(node) = self.node(target) else { continue };
            for tag in &node.tags {
                let hit = Hit { tag: *tag, from, to: at + 1 };
                let known = hits.iter().rev().take_while(|other| other.to == hit.to);
                if !known.into_iter().any(|other| other.from == from && other.tag == *tag) {
                    hits.push(hit);
                }
            }
            if !node.edges.is_empty() && next.len() < OPEN_MAX {
                next.push(Open { node: target, from, gap_left: GAP_WORDS_MAX });
            }
        }
    }

    fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    /// What a word is in the phrases: itself, and its beginnings.
    fn ids(&self, word: &str, ids: &mut Vec<u32>) {
        ids.clear();
        ids.extend(self.words.get(word));
        let (shortest, longest) = self.prefix_bytes;
        for end in shortest..=longest.min(word.len()) {
            ids.extend(word.get(..end).and_then(|beginning| self.prefixes.get(beginning)));
        }
    }

    fn add(&mut self, phrase: &str, tag: Tag) -> Result<(), String> {
        let mut parser = Parser::of(phrase);
        let begin = self.new_node();
        let end = self.sequence(&mut parser, begin)?;
        if !parser.is_done() {
            return Err(format!("{phrase:?} closes what it did not open"));
        }
        if self.reaches(begin, end) {
            return Err(format!("{phrase:?} may be no words at all"));
        }
        if let Some(node) = self.nodes.get_mut(end as usize) {
            node.tags.push(tag);
        }
        self.free(0, begin);
        Ok(())
    }

    /// Adds words and groups one after the other; answers the place behind them.
    fn sequence(&mut self, parser: &mut Parser<'_>, from: u32) -> Result<u32, String> {
        let mut at = from;
        while let Some(part) = parser.next_part() {
            at = match part {
                Part::Open(close) => self.group(parser, at, close)?,
                Part::Gap => {
                    let gap = self.new_node();
                    if let Some(node) = self.nodes.get_mut(gap as usize) {
                        node.gap = true;
                    }
                    self.free(at, gap);
                    gap
                }
                Part::Word(word) => self.word(word, at),
            };
        }
        Ok(at)
    }

    fn group(&mut self, parser: &mut Parser<'_>, from: u32, close: char) -> Result<u32, String> {
        let end = self.new_node();
        loop {
            let choice = self.new_node();
            self.free(from, choice);
            let last = self.sequence(parser, choice)?;
            self.free(last, end);
            match parser.take() {
                Some('|') => {}
                Some(found) if found == close => break,
                _ => return Err(format!("{:?} does not close a group", parser.phrase)),
            }
        }
        if close == ']' {
            self.free(from, end);
        }
        Ok(end)
    }

    fn word(&mut self, word: &str, from: u32) -> u32 {
        let prefix = word.ends_with('*');
        let mut at = from;
        for plain in normal(word.trim_end_matches('*')).split(' ').filter(|word| !word.is_empty()) {
            let next = (self.words.len() + self.prefixes.len()) as u32;
            let names = if prefix { &mut self.prefixes } else { &mut self.words };
            let id = *names.entry_ref(plain).or_insert(next);
            let node = self.new_node();
            if let Some(from) = self.nodes.get_mut(at as usize) {
                from.edges.push((id, node));
            }
            at = node;
        }
        at
    }

    fn new_node(&mut self) -> u32 {
        self.nodes.push(Node::default());
        self.nodes.len() as u32 - 1
    }

    fn free(&mut self, from: u32, to: u32) {
        if let Some(node) = self.nodes.get_mut(from as usize) {
            node.free.push(to);
        }
    }

    /// The places that are reached from one without a word, itself included.
    fn free_from(&self, from: u32) -> Vec<u32> {
        let mut reached = vec![from];
        let mut next = 0;
        while let Some(at) = reached.get(next).copied() {
            next += 1;
            for free in self.node(at).map(|node| node.free.as_slice()).unwrap_or_default() {
                if !reached.contains(free) {
                    reached.push(*free);
                }
            }
        }
        reached
    }

    fn reaches(&self, from: u32, to: u32) -> bool {
        self.free_from(from).contains(&to)
    }

    /// Gives every place what it reaches without a word, so that a search follows words only.
    fn close(&mut self) {
        for at in 1..self.nodes.len() as u32 {
            let (mut edges, mut tags, mut gap) = (Vec::new(), Vec::new(), false);
            for node in self.free_from(at).into_iter().filter_map(|reached| self.node(reached)) {
                edges.extend(&node.edges);
                gap |= node.gap;
                tags.extend(
                    node.tags.iter().filter(|tag| !tags.contains(*tag)).copied().collect::<Vec<Tag>>(),
                );
            }
            edges.sort_unstable();
            edges.dedup();
            // A place that was closed before gives the same again: closing may go in any order.
            if let Some(node) = self.nodes.get_mut(at as usize) {
                (node.edges, node.tags, node.gap) = (edges, tags, gap);
            }
        }
        let begins = self.node(0).map(|node| node.free.clone()).unwrap_or_default();
        for begin in begins {
            for (word, target) in self.node(begin).map(|node| node.edges.clone()).unwrap_or_default() {
                self.starts.entry(word).or_default().push(target);
            }
        }
        self.nodes.iter_mut().for_each(|node| node.free = Vec::new());
        let lengths = self.prefixes.keys().map(String::len);
        self.prefix_bytes = (lengths.clone().min().unwrap_or(1), lengths.max().unwrap_or(0));
    }
}

impl Node {
    /// The places that a word leads to.
    fn targets(&self, word: u32) -> impl Iterator<Item = u32> {
        let from = self.edges.partition_point(|(other, _)| *other < word);
        self.edges.iter().skip(from).take_while(move |(other, _)| *other == word).map(|(_, target)| *target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(phrase: &str, text: &str) -> bool {
        let mut lexicon = Lexicon { nodes: vec![Node::default()], ..Lexicon::default() };
        lexicon.add(phrase, Tag::Cue(Cue::Yes)).unwrap();
        lexicon.close();
        !lexicon.hits(&Tokens::of(text)).is_empty()
    }

    #[test]
    fn the_embedded_data_is_read() {
        let lexicon = Lexicon::load().unwrap();
        assert!(lexicon.words.len() > 1_000, "{}", lexicon.words.len());
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

    #[test]
    fn a_phrase_that_is_badly_written_is_refused() {
        for phrase in ["(a|b", "a)", "[a|b]", ""] {
            let mut lexicon = Lexicon { nodes: vec![Node::default()], ..Lexicon::default() };
            assert!(lexicon.add(phrase, Tag::Cue(Cue::Yes)).is_err(), "{phrase}");
        }
    }
}
