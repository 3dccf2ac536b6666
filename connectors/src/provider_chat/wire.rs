//! What is sent to `/chat/completions`, and what comes back.

use leadline_schemas::score::TokenUsage;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::contract::provider::CallError;
use crate::contract::wire::WireAnswer;
use crate::http_client::one_line;
use crate::scoring::{Asking, Heard, OUTPUT_TOKENS_MAX, Unheard, Words, json_schema};

pub(super) fn request_body(model: &str, asking: &Asking) -> Value {
    json!({
        "model": model,
        "messages": [
            { "role": "system", "content": asking.prompt.instructions },
            { "role": "user", "content": asking.contact },
        ],
        "temperature": 0,
        "seed": 7,
        "max_tokens": OUTPUT_TOKENS_MAX,
        "response_format": {
            "type": "json_schema",
            "json_schema": { "name": "score", "strict": true, "schema": json_schema() },
        },
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    choices: Vec<Choice>,
    /// Some local servers send null.
    usage: Option<Usage>,
    model: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
}

/// What a 200 says; the error says what is wrong with it.
pub(super) fn heard(body: &[u8]) -> Result<Heard, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| format!("answered something that is no chat completion: {error}"))?;
    let usage = answer.usage.unwrap_or_default();
    let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
    let tokens = TokenUsage {
        input: usage.prompt_tokens.saturating_sub(cached),
        cached,
        output: usage.completion_tokens,
    };
    let words = match answer.choices.into_iter().next() {
        Some(choice) => words(choice),
        None => Words::Said(String::new()),
    };
    Ok(Heard { words, tokens, model: answer.model.filter(|model| !model.is_empty()) })
}

fn words(choice: Choice) -> Words {
    if let Some(refusal) = choice.message.refusal.filter(|refusal| !refusal.is_empty()) {
        return Words::Blocked(format!("refused: {}", one_line(refusal.as_bytes())));
    }
    match choice.finish_reason.as_deref() {
        Some("length") => Words::Cut,
        Some("content_filter") => Words::Blocked("content_filter".to_owned()),
        _ => Words::Said(choice.message.content.unwrap_or_default()),
    }
}

/// What some statuses mean here and nowhere else; none for all others.
pub(super) fn refused(answer: &WireAnswer) -> Option<Result<Heard, Unheard>> {
    #[derive(Deserialize)]
    struct Refusal {
        error: Code,
    }
    #[derive(Deserialize)]
    struct Code {
        code: Option<String>,
    }
    let code = || serde_json::from_slice::<Refusal>(&answer.body).ok().and_then(|refusal| refusal.error.code);
    let why = || format!("answered {}: {}", answer.status, one_line(&answer.body));
    match answer.status {
        404 => Some(Err(Unheard::Gone(why()))),
        // A gateway's filter, not a mistake of ours.
        400 if code().as_deref() == Some("content_filter") => {
            let words = Words::Blocked("content_filter".to_owned());
            Some(Ok(Heard { words, tokens: TokenUsage::default(), model: None }))
        }
        // Nothing left to pay with: asking again helps nobody.
        429 if code().as_deref() == Some("insufficient_quota") => {
            Some(Err(Unheard::Failed(CallError::Reject { why: why() })))
        }
        _ => None,
    }
}
