//! The phrase lists of `data/*.toml`, compiled once into one automaton that finds them all in one pass.
//!
//! Phrase notation: `(a|b)` is a choice, `[a|b]` an optional choice, a trailing `*` allows any ending of the word,
//! and ` .. ` allows up to [`GAP_WORDS_MAX`] words between the two sides, within one sentence.

use super::cue::Cue;
use super::tokens::{Tokens, normal};
use aho_corasick::AhoCorasick;
use leadline_schemas::score::{Class, ProjectType};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Words that ` .. ` may span; more would join unrelated clauses of a recogniser's endless sentence.
const GAP_WORDS_MAX: usize = 5;

/// Expansions of one phrase; a phrase that needs more is written as two.
const EXPANSIONS_MAX: usize = 400;

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
    automaton: Option<AhoCorasick>,
    patterns: Vec<Pattern>,
    /// For each pair of parts: tags that `first .. second` speaks for.
    pairs: BTreeMap<usize, Vec<(usize, Tag)>>,
}

#[derive(Debug)]
struct Pattern {
    tags: Vec<Tag>,
    prefix: bool,
    first_of_pair: bool,
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
        let mut builder = Builder::default();
        for source in Cue::FILES {
            let file: BTreeMap<Cue, Vec<String>> = toml::from_str(source).map_err(|e| e.to_string())?;
            for (cue, phrases) in file {
                phrases.iter().for_each(|phrase| builder.add(phrase, Tag::Cue(cue)));
            }
        }
        let projects: ProjectFile =
            toml::from_str(include_str!("data/projects.toml")).map_err(|e| e.to_string())?;
        for (project, weighted) in projects.0 {
            weighted.phrases().for_each(|(phrase, w)| builder.add(&phrase, Tag::Project(project, w)));
        }
        let classes: ClassFile =
            toml::from_str(include_str!("data/classes.toml")).map_err(|e| e.to_string())?;
        for (class, weighted) in classes.0 {
            weighted.phrases().for_each(|(phrase, w)| builder.add(&phrase, Tag::Class(class, w)));
        }
        builder.build()
    }

    /// Every phrase in a text, in order of its end.
    pub(super) fn hits(&self, tokens: &Tokens) -> Vec<Hit> {
        let Some(automaton) = &self.automaton else { return Vec::new() };
        let bytes = tokens.norm.as_bytes();
        let mut hits = Vec::new();
        let mut firsts: Vec<(usize, usize, usize)> = Vec::new();
        for found in automaton.find_overlapping_iter(&tokens.norm) {
            let id = found.pattern().as_usize();
            let Some(pattern) = self.patterns.get(id) else { continue };
            let starts = found.start() == 0 || bytes.get(found.start() - 1) == Some(&b' ');
            let ends = pattern.prefix || bytes.get(found.end()).is_none_or(|next| *next == b' ');
            if !starts || !ends {
                continue;
            }
            let (from, to) = (tokens.at_norm(found.start()), tokens.at_norm(found.end() - 1) + 1);
            hits.extend(pattern.tags.iter().map(|tag| Hit { tag: *tag, from, to }));
            self.join(tokens, id, from, to, &firsts, &mut hits);
            if pattern.first_of_pair {
                firsts.push((id, from, to));
            }
        }
        hits
    }

    /// Adds the pairs that a second part completes.
    fn join(
        &self,
        tokens: &Tokens,
        id: usize,
        from: usize,
        to: usize,
        firsts: &[(usize, usize, usize)],
        hits: &mut Vec<Hit>,
    ) {
        let Some(pairs) = self.pairs.get(&id) else { return };
        let near = firsts.iter().rev().take_while(|(_, _, end)| *end + GAP_WORDS_MAX >= from);
        for (first, start, _) in
            near.filter(|(_, start, end)| *end <= from && tokens.sentence(*start) == tokens.sentence(from))
        {
            let tags = pairs.iter().filter(|(part, _)| part == first);
            hits.extend(tags.map(|(_, tag)| Hit { tag: *tag, from: *start, to }));
        }
    }
}

#[derive(Default)]
struct Builder {
    ids: BTreeMap<(String, bool), usize>,
    lexicon: Lexicon,
}

impl Builder {
    fn add(&mut self, phrase: &str, tag: Tag) {
        for plain in expand(phrase) {
            // An optional part may leave nothing of a phrase, or of one side of a pair: that says nothing.
            if plain.split(" .. ").any(|part| normal(part.trim_end_matches('*')).is_empty()) {
                continue;
            }
            match plain.split_once(" .. ") {
                Some((first, second)) => {
                    let (first, second) = (self.part(first), self.part(second));
                    if let Some(pattern) = self.lexicon.patterns.get_mut(first) {
                        pattern.first_of_pair = true;
                    }
                    self.lexicon.pairs.entry(second).or_default().push((first, tag));
                }
                None => {
                    let id = self.part(&plain);
                    if let Some(pattern) = self.lexicon.patterns.get_mut(id)
                        && !pattern.tags.contains(&tag)
                    {
                        pattern.tags.push(tag);
                    }
                }
            }
        }
    }

    fn part(&mut self, text: &str) -> usize {
        let prefix = text.trim_end().ends_with('*');
        let key = (normal(text.trim_end_matches('*')), prefix);
        let next = self.ids.len();
        let id = *self.ids.entry(key).or_insert(next);
        if id == next {
            self.lexicon.patterns.push(Pattern { tags: Vec::new(), prefix, first_of_pair: false });
        }
        id
    }

    fn build(mut self) -> Result<Lexicon, String> {
        let mut texts = vec![String::new(); self.ids.len()];
        for ((text, _), id) in self.ids {
            if text.is_empty() {
                return Err("a phrase is empty".into());
            }
            if let Some(slot) = texts.get_mut(id) {
                *slot = text;
            }
        }
        self.lexicon.automaton = Some(AhoCorasick::new(&texts).map_err(|e| e.to_string())?);
        Ok(self.lexicon)
    }
}

/// The plain phrases that a phrase with choices stands for.
fn expand(phrase: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![phrase.to_owned()];
    while let Some(next) = open.pop() {
        let Some(start) = next.find(['(', '[']) else {
            done.push(next.split_whitespace().collect::<Vec<_>>().join(" "));
            continue;
        };
        let optional = next[start..].starts_with('[');
        let close = if optional { ']' } else { ')' };
        let Some(length) = next[start..].find(close) else { continue };
        let (head, tail) = (&next[..start], &next[start + length + 1..]);
        let choices = next[start + 1..start + length].split('|');
        open.extend(choices.map(|choice| format!("{head}{choice}{tail}")));
        if optional {
            open.push(format!("{head}{tail}"));
        }
        if open.len() + done.len() > EXPANSIONS_MAX {
            break;
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_data_is_read() {
        let lexicon = Lexicon::load().unwrap();
        assert!(lexicon.patterns.len() > 1_000, "{}", lexicon.patterns.len());
    }

    #[test]
    fn a_phrase_with_choices_stands_for_all_of_them() {
        let mut all = expand("i (own|have) [the|this] house");
        all.sort();
        assert_eq!(
            all,
            [
                "i have house",
                "i have the house",
                "i have this house",
                "i own house",
                "i own the house",
                "i own this house"
            ]
        );
    }
}
