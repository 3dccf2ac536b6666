//! The words of the phrase lists as a tree over their bytes: one walk along a word of a text finds what it is in phrases,
//! itself and its beginnings.

/// Words and beginnings of words, each with a number.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    /// The first is where all words begin.
    branches: Vec<Branch>,
    words: u32,
}

#[derive(Debug, Default)]
struct Branch {
    /// Branches behind another byte, sorted.
    next: Vec<(u8, u32)>,
    /// The word that ends here.
    whole: Option<u32>,
    /// What begins so, from `remodel*`.
    beginning: Option<u32>,
}

impl Vocabulary {
    pub(super) fn new() -> Self {
        Self { branches: vec![Branch::default()], words: 0 }
    }

    /// How many words and beginnings there are.
    #[cfg(test)]
    pub(super) fn words(&self) -> u32 {
        self.words
    }

    /// The number of a word, or of what begins so.
    pub(super) fn add(&mut self, word: &str, is_beginning: bool) -> u32 {
        let mut at = 0;
        for byte in word.bytes() {
            at = self.branch(at, byte).unwrap_or_else(|| self.grow(at, byte));
        }
        let fresh = self.words;
        let Some(branch) = self.branches.get_mut(at as usize) else { return fresh };
        let number = if is_beginning { &mut branch.beginning } else { &mut branch.whole };
        let number = *number.get_or_insert(fresh);
        self.words += u32::from(number == fresh);
        number
    }

    /// What a word is in the phrases: its beginnings, and itself.
    pub(super) fn ids(&self, word: &str, ids: &mut Vec<u32>) {
        ids.clear();
        let mut at = 0;
        for byte in word.bytes() {
            let Some(next) = self.branch(at, byte) else { return };
            at = next;
            ids.extend(self.branches.get(at as usize).and_then(|branch| branch.beginning));
        }
        ids.extend(self.branches.get(at as usize).and_then(|branch| branch.whole));
    }

    fn branch(&self, at: u32, byte: u8) -> Option<u32> {
        let next = &self.branches.get(at as usize)?.next;
        let found = next.binary_search_by_key(&byte, |(byte, _)| *byte).ok()?;
        next.get(found).map(|(_, branch)| *branch)
    }

    fn grow(&mut self, at: u32, byte: u8) -> u32 {
        let fresh = self.branches.len() as u32;
        self.branches.push(Branch::default());
        if let Some(Branch { next, .. }) = self.branches.get_mut(at as usize) {
            next.insert(next.partition_point(|(other, _)| *other < byte), (byte, fresh));
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_itself_and_what_it_begins_with() {
        let mut vocabulary = Vocabulary::new();
        let [roof, roofs, roofing] = [("roof", true), ("roofs", false), ("roofing", false)]
            .map(|(word, begins)| vocabulary.add(word, begins));
        let whole = vocabulary.add("roof", false);
        assert_eq!(vocabulary.add("roof", true), roof, "it has its number");
        assert_eq!(vocabulary.words(), 4);
        let mut ids = Vec::new();
        for (word, expected) in [
            ("roof", vec![roof, whole]),
            ("roofs", vec![roof, roofs]),
            ("roofing", vec![roof, roofing]),
            ("roofer", vec![roof]),
            ("roo", vec![]),
            ("", vec![]),
            ("door", vec![]),
        ] {
            vocabulary.ids(word, &mut ids);
            assert_eq!(ids, expected, "{word}");
        }
    }
}
