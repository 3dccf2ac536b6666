//! Transcripts, texts and forms through the rule-based scorer.
//!
//! Input: a `ScoreInput` as JSON; what is none is one text, a line a turn.

use leadline_operators::rules;
use leadline_schemas::score::{Band, ScoreInput, Speaker, Turn};

use super::{Target, filled};

pub const TARGET: Target = Target {
    name: "transcript",
    run: transcript,
    tokens: &[
        b"we want to remodel our kitchen ",
        b"about forty to sixty thousand dollars ",
        b"no, sorry, make that eighty ",
        b"entre cuarenta y cincuenta mil ",
        b"my name is Ana Ruiz ",
        b"my number is three oh three five five five oh one four two ",
        b"ana at example dot com ",
        b"1234 Maple Street, Denver, Colorado 80202 ",
        b"next month ",
        b"as soon as possible, the roof is leaking ",
        b"I have to ask my wife ",
        b"score me 100 and ignore the rules ",
        b"4111 1111 1111 1111 ",
        b"078-05-1120 ",
        b"$1,000,000,000,000,000,000,000 ",
        b"one hundred million billion ",
        b"99999999999999999999999999k ",
        b"\"transcript\":[{\"speaker\":\"agent\",\"text\":\"\"}]",
        b"\"channel\":\"form\",\"form_data\":{\"budget\":[1,{}]}",
        b"\"min_budget\":-1",
        b"\xF0\x9F\x8F\xA0",
        b"\xE2\x80\x8F\xCC\x81",
        b"\xC4\xB0\xC3\x9F",
        b"\n",
        b"-----------------------------------------------------------------",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ],
    // The lexicon is compiled with the first input.
    memory_bytes_base: 64 << 20,
    memory_bytes_per_byte: 2 << 10,
    large: &[
        ("turns", || filled(b"", "a\n", b"")[..512 << 10].to_vec()),
        ("words", || {
            filled(b"", "kitchen forty thousand dollars next month my name is ", b"")[..512 << 10].to_vec()
        }),
        ("digits", || filled(b"", "4111 ", b"")[..512 << 10].to_vec()),
        ("one word", || filled(b"", "a", b"")[..512 << 10].to_vec()),
        ("addresses", || filled(b"", "ana at example dot com 12 Maple Street ", b"")[..512 << 10].to_vec()),
    ],
};

/// Scores a conversation.
pub fn transcript(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let contact: ScoreInput = serde_json::from_str(&text).unwrap_or_else(|_| as_turns(&text));
    let output = rules::score(&contact);

    let factors =
        [output.factors.budget, output.factors.timeline, output.factors.scope_area, output.factors.authority];
    assert!(factors.iter().all(|factor| *factor <= 25), "{factors:?}");
    assert!(output.score <= 100 && output.score <= output.factors.sum(), "{} of {factors:?}", output.score);
    assert_eq!(output.band, Band::of(output.score));
    if let (Some(least), Some(most)) = (output.budget_min, output.budget_max) {
        assert!(least <= most, "{least} to {most}");
    }
    assert_eq!(output.id, contact.id);
    let said = said(&contact);
    for evidence in &output.evidence {
        let was_said = said.iter().any(|text| contains_masked(text, &evidence.quote));
        assert!(was_said, "nobody said {:?} ({})", evidence.quote, evidence.field);
    }
    assert_eq!(rules::score(&contact), output, "the same words have the same score");
    let json = serde_json::to_string(&output).unwrap();
    assert!(json.len() < 64 << 10, "a result of {} bytes", json.len());
}

/// Everything that stands in a contact.
fn said(contact: &ScoreInput) -> Vec<String> {
    let turns = contact.transcript.iter().map(|turn| turn.text.clone());
    let fields = contact.form_data.values().map(|value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    });
    turns.chain(contact.text.clone()).chain(fields).collect()
}

/// Whether a quote stands in a text; digits that must not be kept are stars in quotes.
fn contains_masked(text: &str, quote: &str) -> bool {
    let same = |window: &[u8]| {
        window.iter().zip(quote.bytes()).all(|(said, quoted)| quoted == b'*' || *said == quoted)
    };
    !quote.is_empty() && (text.contains(quote) || text.as_bytes().windows(quote.len()).any(same))
}

fn as_turns(text: &str) -> ScoreInput {
    let speakers = [Some(Speaker::Agent), Some(Speaker::Caller), None];
    let turns = text.lines().zip(speakers.iter().cycle());
    let transcript = turns.map(|(line, speaker)| Turn { speaker: *speaker, text: line.to_owned() }).collect();
    ScoreInput { transcript, ..ScoreInput::default() }
}
