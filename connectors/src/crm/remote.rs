//! The ids of what a delivery has made at the other side, as one text: `contact=123 note=456`.

use std::collections::BTreeMap;
use std::fmt;

/// The longest text that is kept: it is stored, and comes back with each delivery of the key.
const BYTES_MAX: usize = 512;

/// Names and ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteIds(BTreeMap<String, String>);

impl RemoteIds {
    /// Of what an earlier delivery has answered; what cannot be read is nothing.
    pub fn read(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split(' ').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect())
    }

    /// The id under this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets an id; one with blanks, or so long that all would not be kept, is not an id.
    pub fn set(&mut self, name: &str, id: &str) {
        let room = BYTES_MAX.saturating_sub(self.to_string().len() + name.len() + 2);
        if !id.is_empty() && !id.contains(char::is_whitespace) && id.len() <= room {
            self.0.insert(name.to_owned(), id.to_owned());
        }
    }

    /// Forgets an id.
    pub fn forget(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// As it is kept; none where there is nothing.
    pub fn kept(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.to_string())
    }
}

impl fmt::Display for RemoteIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(name, id)| format!("{name}={id}")).collect();
        f.write_str(&pairs.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_were_and_odd_ones_are_left_out() {
        let mut ids = RemoteIds::read(Some("contact=12 note=34 nonsense"));
        ids.set("call", "56");
        ids.set("task", "a b");
        ids.set("lead", &"x".repeat(10_000));
        ids.forget("note");
        assert_eq!(ids.kept().as_deref(), Some("call=56 contact=12"));
        assert_eq!(RemoteIds::read(ids.kept().as_deref()), ids);
        assert_eq!(RemoteIds::read(None).kept(), None);
    }
}
