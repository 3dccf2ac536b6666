//! What is sent to `generateContent`, and what comes back.

use leadline_schemas::score::TokenUsage;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http_client::one_line;
use crate::scoring::{Asking, Heard, OUTPUT_TOKENS_MAX, Words, open_api_schema};

/// People who are angry at their roof must not be filtered away.
const HARMS: [&str; 4] = [
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
];
/// Longest value of a label (Google Cloud's labels).
const LABEL_CHARS_MAX: usize = 63;

pub(super) fn request_body(model: &str, asking: &Asking) -> Value {
    let mut generation = json!({
        "maxOutputTokens": OUTPUT_TOKENS_MAX,
        "responseMimeType": "application/json",
        "responseSchema": open_api_schema(),
    });
    if let Some(fields) = generation.as_object_mut() {
        if is_second_generation(model) {
            // Thoughts would share the room of the answer, and are on unless switched off.
            fields.insert("thinkingConfig".to_owned(), json!({ "thinkingBudget": 0 }));
            fields.insert("temperature".to_owned(), json!(0));
            fields.insert("seed".to_owned(), json!(7));
        } else {
            // Later ones think in levels, and take no temperature of others.
            fields.insert("thinkingConfig".to_owned(), json!({ "thinkingLevel": "MINIMAL" }));
        }
    }
    json!({
        "systemInstruction": { "parts": [{ "text": asking.prompt.instructions }] },
        "contents": [{ "role": "user", "parts": [{ "text": asking.contact }] }],
        "generationConfig": generation,
        "safetySettings": HARMS.map(|harm| json!({ "category": harm, "threshold": "BLOCK_ONLY_HIGH" })),
        "labels": { "tenant": label(&asking.tenant) },
    })
}

fn is_second_generation(model: &str) -> bool {
    model.starts_with("gemini-2")
}

/// A value that labels take: small letters, digits, dashes.
fn label(text: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let letters = text.chars().map(|letter| letter.to_ascii_lowercase());
    letters.map(|letter| if allowed(letter) { letter } else { '-' }).take(LABEL_CHARS_MAX).collect()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    usage_metadata: Usage,
    model_version: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Candidate {
    content: Content,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Content {
    parts: Vec<Part>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    text: String,
    thought: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PromptFeedback {
    block_reason: Option<String>,
    block_reason_message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Usage {
    prompt_token_count: u64,
    candidates_token_count: u64,
    thoughts_token_count: u64,
    cached_content_token_count: u64,
}

/// What a 200 says; the error says what is wrong with it.
pub(super) fn heard(body: &[u8]) -> Result<Heard, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| format!("answered something that is no answer of Gemini: {error}"))?;
    let usage = answer.usage_metadata;
    let tokens = TokenUsage {
        input: usage.prompt_token_count.saturating_sub(usage.cached_content_token_count),
        cached: usage.cached_content_token_count,
        output: usage.candidates_token_count.saturating_add(usage.thoughts_token_count),
    };
    let words = match (answer.candidates.into_iter().next(), answer.prompt_feedback) {
        (Some(candidate), _) => words(candidate),
        // A prompt that is blocked is a 200 without candidates.
        (None, Some(feedback)) => match feedback.block_reason {
            Some(reason) => {
                let message = feedback.block_reason_message.unwrap_or_default();
                Words::Blocked(one_line(format!("prompt: {reason} {message}").as_bytes()))
            }
            None => Words::Said(String::new()),
        },
        (None, None) => Words::Said(String::new()),
    };
    Ok(Heard { words, tokens, model: answer.model_version })
}

fn words(candidate: Candidate) -> Words {
    match candidate.finish_reason.as_deref() {
        None | Some("STOP" | "FINISH_REASON_UNSPECIFIED") => {
            let said = candidate.content.parts.into_iter().filter(|part| !part.thought);
            Words::Said(said.map(|part| part.text).collect())
        }
        Some("MAX_TOKENS") => Words::Cut,
        Some(reason) => Words::Blocked(one_line(reason.as_bytes())),
    }
}
