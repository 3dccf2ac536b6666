//! Lists of words that code looks up, from `data/words.toml`.

use hashbrown::HashSet;
use serde::{Deserialize, Deserializer};
use std::sync::OnceLock;

/// A list of words or short leads.
#[derive(Debug, Default)]
pub(super) struct List {
    set: HashSet<String>,
    all: Vec<String>,
}

impl List {
    /// Whether a normalised word is on it.
    pub(super) fn has(&self, word: &str) -> bool {
        self.set.contains(word)
    }

    /// Its words in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for List {
    /// Words apart by spaces; leads of several words by bars.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let all: Vec<String> = if text.contains('|') {
            text.split('|').map(|lead| lead.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        } else {
            text.split_whitespace().map(str::to_owned).collect()
        };
        Ok(Self { set: all.iter().cloned().collect(), all })
    }
}

/// Every list; what each is for stands beside it in the data.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    pub(super) turns: List,
    pub(super) others: List,
    pub(super) mail_endings: List,
    pub(super) mail_hosts: List,
    pub(super) before_email: List,
    pub(super) not_ahead: List,
    pub(super) ahead: List,
    pub(super) ahead_after: List,
    pub(super) not_ahead_after: List,
    pub(super) spanish: List,
    pub(super) english: List,
    pub(super) range: List,
    pub(super) not_names: List,
    pub(super) name_ends: List,
    pub(super) titles: List,
    pub(super) name_leads: List,
    pub(super) firms: List,
    pub(super) not_places: List,
    pub(super) place_leads: List,
    pub(super) secret_cues: List,
    pub(super) units: List,
    pub(super) named: List,
    pub(super) streets: List,
    pub(super) compass: List,
    pub(super) sure_streets: List,
    pub(super) vague_streets: List,
    pub(super) clock_leads: List,
    pub(super) not_counted: List,
    pub(super) dropped_g: List,
    pub(super) things: List,
    pub(super) abbreviations: List,
    pub(super) fillers: List,
    pub(super) question_words: List,
    pub(super) days: List,
    pub(super) parts_of_day: List,
    pub(super) ordinals: List,
    pub(super) partners: List,
    pub(super) houses: List,
    pub(super) elsewhere: List,
    pub(super) past_work: List,
    pub(super) later: List,
    pub(super) firm_after_place: List,
    pub(super) before_no_place: List,
}

/// The embedded lists. Unreadable data would leave them empty; a test shows that they are not.
pub(super) fn lists() -> &'static Words {
    static WORDS: OnceLock<Words> = OnceLock::new();
    WORDS.get_or_init(|| load().unwrap_or_default())
}

fn load() -> Result<Words, toml::de::Error> {
    toml::from_str(include_str!("data/words.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_lists_are_read() {
        let words = load().unwrap();
        assert!(
            words.units.has("weeks") && words.past_work.has("did my") && words.streets.iter().count() > 30
        );
    }
}
