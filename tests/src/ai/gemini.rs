//! `generateContent`, as `google/cloud/aiplatform/v1/prediction_service.proto` has it in JSON.

use serde_json::{Value, json};

use super::fields::{items, only, text};
use super::{Refusal, bad};

/// The model that is asked, or why nobody is.
pub(super) fn judge(
    path: &str,
    body: &Value,
    (project, location): (&str, &str),
    models: &[String],
) -> Result<String, Refusal> {
    let not_found = |why: String| Refusal { status: 404, code: "NOT_FOUND", why };
    let prefix = format!("/v1/projects/{project}/locations/{location}/publishers/google/models/");
    let model = path
        .strip_prefix(&prefix)
        .and_then(|rest| rest.strip_suffix(":generateContent"))
        .filter(|model| !model.contains(['/', '?']))
        .ok_or_else(|| not_found(format!("there is nothing at {path}")))?;
    if !models.iter().any(|known| known == model) {
        return Err(not_found(format!(
            "Publisher Model `projects/{project}/locations/{location}/publishers/google/models/{model}` was not found or your project does not have access to it."
        )));
    }
    only(
        "",
        body,
        &[
            "systemInstruction",
            "contents",
            "generationConfig",
            "safetySettings",
            "labels",
            "tools",
            "toolConfig",
            "cachedContent",
        ],
    )?;
    content("systemInstruction", &body["systemInstruction"])?;
    for one in items(body, "/contents")? {
        content("contents", one)?;
    }
    let last = items(body, "/contents")?.last().map(|one| &one["role"]);
    if last != Some(&json!("user")) {
        return Err(bad("the last turn must be the user's"));
    }
    generation(model, &body["generationConfig"])?;
    for one in items(body, "/safetySettings")? {
        only("safetySettings", one, &["category", "threshold", "method"])?;
        if !text(one, "/category")?.starts_with("HARM_CATEGORY_") {
            return Err(bad("no such category"));
        }
    }
    let labels = body["labels"].as_object().cloned().unwrap_or_default();
    for (name, value) in &labels {
        let value = value.as_str().ok_or_else(|| bad("labels are texts"))?;
        let is_label = |text: &str| {
            text.len() <= 63
                && text.chars().all(|letter| {
                    letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter)
                })
        };
        if !is_label(name) || !is_label(value) {
            return Err(bad(format!("label {name}={value} is not valid")));
        }
    }
    Ok(model.to_owned())
}

fn content(place: &str, value: &Value) -> Result<(), Refusal> {
    only(place, value, &["role", "parts"])?;
    for part in items(value, "/parts")? {
        only(place, part, &["text"])?;
        text(part, "/text")?;
    }
    Ok(())
}

fn generation(model: &str, value: &Value) -> Result<(), Refusal> {
    only(
        "generation_config",
        value,
        &[
            "temperature",
            "seed",
            "maxOutputTokens",
            "responseMimeType",
            "responseSchema",
            "thinkingConfig",
            "topP",
            "topK",
        ],
    )?;
    if value["responseMimeType"] != "application/json" {
        return Err(bad("responseSchema needs responseMimeType application/json"));
    }
    if !value["maxOutputTokens"].as_u64().is_some_and(|tokens| (1..=65_536).contains(&tokens)) {
        return Err(bad("maxOutputTokens is out of range"));
    }
    let thinking = &value["thinkingConfig"];
    only("thinking_config", thinking, &["thinkingBudget", "thinkingLevel", "includeThoughts"])?;
    let is_second = model.starts_with("gemini-2");
    if is_second != thinking.get("thinkingBudget").is_some()
        || is_second == thinking.get("thinkingLevel").is_some()
    {
        return Err(bad(format!("{model} thinks in {}", if is_second { "budgets" } else { "levels" })));
    }
    schema(&value["responseSchema"])
}

/// The subset of OpenAPI that is taken.
fn schema(value: &Value) -> Result<(), Refusal> {
    only(
        "response_schema",
        value,
        &[
            "type",
            "nullable",
            "enum",
            "properties",
            "required",
            "propertyOrdering",
            "items",
            "minimum",
            "maximum",
            "description",
        ],
    )?;
    match text(value, "/type")? {
        "OBJECT" => {
            let properties = value["properties"].as_object().filter(|properties| !properties.is_empty());
            let properties = properties.ok_or_else(|| bad("an OBJECT has properties"))?;
            for list in ["required", "propertyOrdering"] {
                for name in items(value, &format!("/{list}"))? {
                    if !name.as_str().is_some_and(|name| properties.contains_key(name)) {
                        return Err(bad(format!("{list} names {name}, which is no property")));
                    }
                }
            }
            properties.values().try_for_each(schema)
        }
        "ARRAY" => schema(&value["items"]),
        "STRING" | "INTEGER" | "NUMBER" | "BOOLEAN" => Ok(()),
        other => Err(bad(format!("{other} is no type"))),
    }
}

/// A good answer.
pub(super) fn said(model: &str, text: &str) -> Value {
    json!({
        "candidates": [{
            "content": { "role": "model", "parts": [{ "text": text }] },
            "finishReason": "STOP",
            "avgLogprobs": -0.01,
            "safetyRatings": [],
        }],
        "usageMetadata": {
            "promptTokenCount": 1_234,
            "candidatesTokenCount": 210,
            "totalTokenCount": 1_444,
            "cachedContentTokenCount": 234,
            "trafficType": "ON_DEMAND",
        },
        "modelVersion": model,
        "createTime": "2026-11-26T09:00:00.000000Z",
        "responseId": "r-1",
    })
}
