//! A row of an answer: its members as they came, read as whatever they can be read as.
//!
//! Only one level is taken apart: an answer of some MiB that consists of brackets costs no tree.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

/// An object of an answer.
pub(super) struct Row<'a>(BTreeMap<String, &'a RawValue>);

/// Ids by which the API names what webhooks name otherwise. The API has no numeric ids beside them.
const RENAMED: [(&str, &str, &str); 4] = [
    ("id", "resource_id", ""),
    ("company_id", "company_resource_id", "COM"),
    ("person_id", "person_resource_id", "PER"),
    ("tracker_id", "tracker_resource_id", "TRK"),
];

impl<'a> Row<'a> {
    /// Of a text that is an object.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// Of a value that is an object.
    pub(super) fn of_value(value: &'a RawValue) -> Option<Self> {
        Self::parse(value.get())
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.get()).filter(|text| *text != "null" && *text != "\"\"")
    }

    /// A string that says something, or a number as it is written.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str::<String>(raw)
                .ok()
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty()),
            b'-' | b'0'..=b'9' => Some(raw.to_owned()),
            _ => None,
        }
    }

    /// A whole number, in digits or as a string of them.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// True or false, in words or as strings of them.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.raw(name)?.trim_matches('"').parse().ok()
    }

    /// The values of an array.
    pub(super) fn items(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// An object inside.
    pub(super) fn object(&self, name: &str) -> Option<Row<'a>> {
        Self::of_value(self.0.get(name)?)
    }

    /// The strings of an array; those of another type are left out. One string is a list of one.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        match self.items(name) {
            Some(items) => items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect(),
            None => self.text(name).into_iter().collect(),
        }
    }

    /// The members as they came.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.get()))
    }

    /// This row as a webhook would tell it: ids under the names that webhooks have for them, all else word for word.
    /// Types differ between the two (`duration`, `recording_duration`, `tags`); decode reads either.
    pub(super) fn as_webhook(&self) -> Bytes {
        let mut out = String::from("{");
        for (name, value) in self.members() {
            if out.len() > 1 {
                out.push(',');
            }
            let renamed = RENAMED.iter().find(|(from, to, prefix)| {
                *from == name
                    && !self.0.contains_key(*to)
                    && value.strip_prefix('"').is_some_and(|id| {
                        id.starts_with(prefix) && id.starts_with(|first: char| first.is_ascii_alphabetic())
                    })
            });
            let name = renamed.map_or(name, |(_, to, _)| to);
            out.push_str(&serde_json::Value::from(name).to_string());
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Bytes::from(out)
    }
}
