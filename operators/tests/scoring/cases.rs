//! Labelled cases: the input of `leadline score` with a `label` beside it.

use leadline_operators::rules;
use leadline_schemas::score::{ScoreInput, ScoreOutput};
use serde_json::{Map, Value};

/// A case, its label, and what the scorer makes of it.
pub struct Case {
    /// As in the file.
    pub id: String,
    /// The scorer's answer.
    pub output: ScoreOutput,
    /// The same as JSON.
    fields: Value,
    /// The one best answer.
    label: Value,
    /// Other answers that are as honest, by field.
    also: Map<String, Value>,
}

/// Reads and scores the cases of a file.
pub fn cases(lines: &str) -> Vec<Case> {
    lines.lines().filter(|line| !line.trim().is_empty()).map(Case::of).collect()
}

/// How a field came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Rightly null.
    Silent,
    /// As labelled.
    Right,
    /// Another value than was said.
    Wrong,
    /// It was said and not found.
    Missed,
    /// It was never said.
    Invented,
}

impl Case {
    fn of(line: &str) -> Self {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let input: ScoreInput = serde_json::from_value(case.clone()).expect("a case is an input");
        let output = rules::score(&input);
        Self {
            id: case["id"].as_str().unwrap_or_default().to_owned(),
            fields: serde_json::to_value(&output).expect("an output is JSON"),
            label: case["label"].clone(),
            also: case["also"].as_object().cloned().unwrap_or_default(),
            output,
        }
    }

    /// The label of a field; null for one that was never said.
    pub fn label(&self, field: &str) -> &Value {
        at(&self.label, field)
    }

    /// The scorer's answer for a field.
    pub fn answer(&self, field: &str) -> &Value {
        at(&self.fields, field)
    }

    /// Compares a field with its label.
    pub fn outcome(&self, field: &str) -> Outcome {
        let (label, answer) = (self.label(field), self.answer(field));
        let others = self.also.get(field).and_then(Value::as_array);
        let mut accepted = std::iter::once(label).chain(others.into_iter().flatten());
        match accepted.clone().any(|value| same(value, answer)) {
            true if answer.is_null() => Outcome::Silent,
            true => Outcome::Right,
            false if answer.is_null() => Outcome::Missed,
            false if accepted.all(Value::is_null) => Outcome::Invented,
            false => Outcome::Wrong,
        }
    }

    /// Whether the label calls it a lead worth ringing now.
    pub fn is_hot_or_warm(&self) -> bool {
        matches!(self.label("band").as_str(), Some("hot" | "warm"))
    }
}

/// A field by name, whether it stands at the top or among the extracted.
fn at<'a>(value: &'a Value, field: &str) -> &'a Value {
    let top = &value[field];
    if top.is_null() { &value["extracted"][field] } else { top }
}

/// Equal, case and punctuation aside: `St. Paul` is `st paul`.
fn same(label: &Value, answer: &Value) -> bool {
    match (label, answer) {
        (Value::String(label), Value::String(answer)) => plain(label) == plain(answer),
        (Value::Number(label), Value::Number(answer)) => label.as_f64() == answer.as_f64(),
        _ => label == answer,
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric() || *c == '@').flat_map(char::to_lowercase).collect()
}
