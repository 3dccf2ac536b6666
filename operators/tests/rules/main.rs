//! What each mechanism of the rule-based scorer makes of the ways in which people say a thing. Each table is one
//! mechanism; a failing row prints its words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)] // tests may
#![allow(unreachable_pub)] // the modules of a test crate have nobody outside

mod classes;
mod facts;
mod money;
mod people;
mod questions;
mod shapes;
mod time;
mod visits;

use leadline_operators::rules;
use leadline_schemas::score::{Class, ScoreInput, ScoreOutput};
use serde_json::{Value, json};

/// A company with a small area and a kitchen among its trades.
pub fn tenant() -> Value {
    json!({
        "trade": ["kitchen", "bath", "basement", "addition_adu", "whole_home", "roof", "windows_doors", "hvac", "flooring", "deck_outdoor", "repair_handyman"],
        "service_area": {"cities": ["Columbus", "Dublin", "Westerville"], "postcodes": ["43215", "43016", "43081"]},
        "min_budget": 10000
    })
}

/// Scores a contact of one channel with one kind of content.
pub fn score(channel: &str, content: (&str, Value)) -> ScoreOutput {
    let mut input = json!({"id": "t", "channel": channel, "tenant": tenant()});
    input[content.0] = content.1;
    let input: ScoreInput = serde_json::from_value(input).unwrap();
    rules::score(&input)
}

/// A call written as "a: ... / c: ...".
pub fn call(script: &str) -> ScoreOutput {
    let turn = |line: &str| {
        let (who, text) = line.trim().split_once(':').unwrap();
        json!({"speaker": if who == "a" { "agent" } else { "caller" }, "text": text.trim()})
    };
    score("call", ("transcript", script.split(" / ").map(turn).collect()))
}

/// A text message.
pub fn text(words: &str) -> ScoreOutput {
    score("text", ("text", json!(words)))
}

/// A voicemail.
pub fn voicemail(words: &str) -> ScoreOutput {
    score("voicemail", ("text", json!(words)))
}

/// Checks every row and reports all that fail.
pub fn check<E: PartialEq + std::fmt::Debug>(rows: &[(&str, E)], answer: impl Fn(&str) -> E) {
    let failed: Vec<String> = rows
        .iter()
        .filter_map(|(words, expected)| {
            let found = answer(words);
            (found != *expected).then(|| format!("{words:?}: {found:?} for {expected:?}"))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

/// Keeps a text for the rest of the test.
pub fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A call in which the company asks one thing.
pub fn asked(question: &str, answer: &str) -> ScoreOutput {
    call(&format!("a: Buckeye. / c: I'd like a new kitchen. / a: {question} / c: {answer}"))
}
