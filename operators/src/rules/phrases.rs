//! Puts phrases together to what a search goes along (see `lexicon`): first places that words lead to, then steps, each
//! of which is all the places that the same words lead to.

use super::lexicon::{Lexicon, Step, Tag};
use super::notation::{Parser, Part};
use super::tokens::normal;
use super::vocabulary::Vocabulary;
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// Phrases, while they are read.
pub(super) struct Phrases {
    vocabulary: Vocabulary,
    /// The first is where all phrases begin.
    nodes: Vec<Node>,
}

/// A place in a phrase.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Places that a word leads to, by word.
    edges: Vec<(u32, u32)>,
    /// Places that are reached without a word.
    free: Vec<u32>,
    /// Words may be passed over here.
    gap: bool,
    /// What a phrase that ends here speaks for.
    tags: Vec<Tag>,
}

/// Steps by their places, and those whose ways on are not known yet.
#[derive(Default)]
struct Steps {
    known: HashMap<Vec<u32>, u32>,
    all: Vec<Vec<u32>>,
}

impl Steps {
    /// The step that is all these places.
    fn of(&mut self, mut places: Vec<u32>) -> u32 {
        places.sort_unstable();
        places.dedup();
        let next = self.all.len() as u32;
        *self.known.entry(places).or_insert_with_key(|places| {
            self.all.push(places.clone());
            next
        })
    }

    /// One step for each word, sorted by words.
    fn by_word(&mut self, edges: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
        let mut places: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (word, place) in edges {
            places.entry(word).or_default().push(place);
        }
        places.into_iter().map(|(word, places)| (word, self.of(places))).collect()
    }
}

impl Phrases {
    pub(super) fn new() -> Self {
        Self { vocabulary: Vocabulary::new(), nodes: vec![Node::default()] }
    }

    /// What a search goes along. What waits at a gap is a step beside, so there are only as many as phrases have beginnings.
    pub(super) fn compile(mut self) -> Lexicon {
        self.close();
        let mut steps = Steps::default();
        steps.of(self.node(0).map(|node| node.free.clone()).unwrap_or_default());
        let mut compiled = Vec::new();
        while let Some(places) = steps.all.get(compiled.len()).cloned() {
            let next = steps.by_word(self.nodes_at(&places).flat_map(|node| node.edges.iter().copied()));
            let mut tags: Vec<Tag> = Vec::new();
            for tag in self.nodes_at(&places).flat_map(|node| &node.tags) {
                if !tags.contains(tag) {
                    tags.push(*tag);
                }
            }
            let gaps = |place: &u32| self.node(*place).is_some_and(|node| node.gap);
            let waiting: Vec<u32> = places.iter().copied().filter(gaps).collect();
            let gap = (!waiting.is_empty()).then(|| steps.of(waiting));
            compiled.push(Step { next, tags, gap });
        }
        Lexicon { vocabulary: self.vocabulary, steps: compiled }
    }

    fn nodes_at(&self, places: &[u32]) -> impl Iterator<Item = &Node> {
        places.iter().filter_map(|place| self.node(*place))
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
    }

    fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    /// Adds a phrase, which speaks for `tag`.
    pub(super) fn add(&mut self, phrase: &str, tag: Tag) -> Result<(), String> {
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
            let id = self.vocabulary.add(plain, prefix);
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
}

#[cfg(test)]
mod tests {
    use super::super::cue::Cue;
    use super::*;

    #[test]
    fn a_phrase_that_is_badly_written_is_refused() {
        for phrase in ["(a|b", "a)", "[a|b]", ""] {
            assert!(Phrases::new().add(phrase, Tag::Cue(Cue::Yes)).is_err(), "{phrase}");
        }
    }
}
