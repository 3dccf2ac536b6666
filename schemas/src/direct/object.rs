//! A JSON object that is read member by member and must be used up.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{DirectError, ID_BYTES_MAX};
use crate::Millis;
use crate::json_size::{JSON_VALUES_MAX, json_values};

/// What is left of an object; each read takes a member out. `null` is a member that is not there.
pub(super) struct Object {
    /// Where it stands in the body: empty, `caller.`, `transcript[2].`
    path: String,
    members: Map<String, Value>,
}

impl Object {
    pub(super) fn parse(body: &[u8]) -> Result<Self, DirectError> {
        if json_values(body) > JSON_VALUES_MAX {
            return Err(DirectError::new("body", format!("has more than {JSON_VALUES_MAX} values")));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self { path: String::new(), members }),
            Ok(other) => {
                Err(DirectError::new("body", format!("should be a JSON object, not {}", kind(&other))))
            }
            Err(why) => Err(DirectError::new("body", format!("is not JSON: {why}"))),
        }
    }

    /// A member's place in the body.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Whether there is such a member.
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    /// Refuses what nobody has read.
    pub(super) fn finish(self) -> Result<(), DirectError> {
        match self.members.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => Err(DirectError::new(self.path(name), "is not a known field here")),
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    fn not_a<T>(&self, name: &str, what: &str, value: &Value) -> Result<T, DirectError> {
        Err(DirectError::new(self.path(name), format!("should be {what}, not {}", kind(value))))
    }

    /// A text that says something.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, DirectError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Some(other) => self.not_a(name, "a string", &other),
        }
    }

    /// Takes the member if it is a text.
    pub(super) fn text_if_text(&mut self, name: &str) -> Option<String> {
        self.members.get(name)?.as_str()?;
        self.text(name).ok()?
    }

    /// An id: a text that is short enough for a key.
    pub(super) fn id(&mut self, name: &str) -> Result<Option<String>, DirectError> {
        match self.text(name)? {
            Some(id) if id.len() > ID_BYTES_MAX => {
                let why = format!("has {} bytes; an id has at most {ID_BYTES_MAX}", id.len());
                Err(DirectError::new(self.path(name), why))
            }
            id => Ok(id),
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, DirectError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => self.not_a(name, "true or false", &other),
        }
    }

    /// A length of time in whole seconds.
    pub(super) fn seconds(&mut self, name: &str) -> Result<Option<i64>, DirectError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_i64().filter(|seconds| *seconds >= 0) {
            Some(seconds) => Ok(Some(seconds)),
            None => self.not_a(name, "a whole number of seconds from 0", &value),
        }
    }

    pub(super) fn time(&mut self, name: &str) -> Result<Option<Millis>, DirectError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        // Without an offset it could be a time of anywhere; `Millis::parse` takes it as UTC, as CallRail means it.
        match text.parse::<jiff::Timestamp>() {
            Ok(at) => Ok(Some(Millis(at.as_millisecond()))),
            Err(_) => {
                let why =
                    format!("{text:?} is not a time with an offset; use ISO 8601, as 2026-03-04T16:12:33Z");
                Err(DirectError::new(self.path(name), why))
            }
        }
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, DirectError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { path: format!("{}.", self.path(name)), members })),
            Some(other) => self.not_a(name, "an object", &other),
        }
    }

    /// An array of objects.
    pub(super) fn objects(&mut self, name: &str) -> Result<Vec<Self>, DirectError> {
        let items = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return self.not_a(name, "an array of objects", &other),
        };
        let object = |(index, item)| match item {
            Value::Object(members) => Ok(Self { path: format!("{}[{index}].", self.path(name)), members }),
            other => self.not_a(&format!("{name}[{index}]"), "an object", &other),
        };
        items.into_iter().enumerate().map(object).collect()
    }

    /// An array of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, DirectError> {
        let items = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return self.not_a(name, "an array of strings", &other),
        };
        let text = |(index, item)| match item {
            Value::String(text) => Ok(text),
            other => self.not_a(&format!("{name}[{index}]"), "a string", &other),
        };
        items.into_iter().enumerate().map(text).collect()
    }

    /// An object of texts, numbers and booleans, as texts.
    pub(super) fn fields(&mut self, name: &str) -> Result<BTreeMap<String, String>, DirectError> {
        let Some(fields) = self.object(name)? else { return Ok(BTreeMap::new()) };
        let mut texts = BTreeMap::new();
        for (field, value) in &fields.members {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.trim().to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                other => return fields.not_a(field, "a string, a number or true or false", other),
            };
            if !text.is_empty() {
                texts.insert(field.clone(), text);
            }
        }
        Ok(texts)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reading one member of `{"a": value}` says.
    fn refused<T>(value: &str, read: impl Fn(&mut Object) -> Result<T, DirectError>) -> String {
        let mut object = Object::parse(format!("{{\"a\": {value}}}").as_bytes()).unwrap();
        read(&mut object).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_member_of_another_kind_is_named_with_its_place_and_what_would_be_right() {
        let text = |value| refused(value, |object| object.text("a"));
        assert_eq!(text("[1]"), "a: should be a string, not an array");
        assert_eq!(text("true"), "a: should be a string, not a boolean");
        let boolean = |value| refused(value, |object| object.boolean("a"));
        assert_eq!(boolean("\"yes\""), "a: should be true or false, not a string");
        let seconds = |value| refused(value, |object| object.seconds("a"));
        assert_eq!(seconds("-1"), "a: should be a whole number of seconds from 0, not a number");
        assert_eq!(seconds("{}"), "a: should be a whole number of seconds from 0, not an object");
        let object = |value| refused(value, |object| object.object("a"));
        assert_eq!(object("7"), "a: should be an object, not a number");
        let objects = |value| refused(value, |object| object.objects("a"));
        assert_eq!(objects("{}"), "a: should be an array of objects, not an object");
        assert_eq!(objects("[{}, null]"), "a[1]: should be an object, not null");
        let texts = |value| refused(value, |object| object.texts("a"));
        assert_eq!(texts("\"x\""), "a: should be an array of strings, not a string");
        assert_eq!(texts("[\"x\", 2]"), "a[1]: should be a string, not a number");
        let fields = |value| refused(value, |object| object.fields("a"));
        assert_eq!(fields("{\"b\": []}"), "a.b: should be a string, a number or true or false, not an array");
        for read in [text, boolean, seconds, object, objects, texts, fields] {
            assert_eq!(read("null"), "", "a member that is not there");
        }
    }

    #[test]
    fn fields_are_texts_whatever_they_were() {
        let body = br#"{"a": {"text": " x ", "number": 1.5, "flag": true, "empty": " ", "none": null}}"#;
        let fields = Object::parse(body).unwrap().fields("a").unwrap();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, [("flag", "true"), ("number", "1.5"), ("text", "x")]);
    }
}
