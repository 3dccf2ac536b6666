//! OpenAI's chat completions with structured outputs.

use serde_json::{Value, json};

use super::fields::{items, only, text};
use super::{Refusal, bad};

/// The model that is asked, or why nobody is.
pub(super) fn judge(path: &str, body: &Value, models: &[String]) -> Result<String, Refusal> {
    let not_found = |why: String| Refusal { status: 404, code: "model_not_found", why };
    if path != "/v1/chat/completions" {
        return Err(not_found(format!("Invalid URL (POST {path})")));
    }
    only("", body, &["model", "messages", "temperature", "seed", "max_tokens", "response_format"])?;
    let model = text(body, "/model")?;
    if !models.iter().any(|known| known == model) {
        return Err(not_found(format!(
            "The model `{model}` does not exist or you do not have access to it."
        )));
    }
    for message in items(body, "/messages")? {
        only("messages", message, &["role", "content"])?;
        if !["system", "user", "assistant"].contains(&text(message, "/role")?) {
            return Err(bad("no such role"));
        }
        text(message, "/content")?;
    }
    let format = &body["response_format"];
    only("response_format", format, &["type", "json_schema"])?;
    only("json_schema", &format["json_schema"], &["name", "strict", "schema", "description"])?;
    text(format, "/json_schema/name")?;
    if format["type"] != "json_schema" || format["json_schema"]["strict"] != true {
        return Err(bad("a strict json_schema is wanted"));
    }
    schema(&format["json_schema"]["schema"])?;
    Ok(model.to_owned())
}

/// What strict mode takes: everything required, nothing else allowed.
fn schema(value: &Value) -> Result<(), Refusal> {
    only(
        "schema",
        value,
        &[
            "type",
            "enum",
            "properties",
            "required",
            "additionalProperties",
            "items",
            "minimum",
            "maximum",
            "description",
        ],
    )?;
    let kinds: Vec<&str> = match &value["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Err(bad("a schema has a type")),
    };
    match kinds.first().copied() {
        Some("object") => {
            let properties =
                value["properties"].as_object().ok_or_else(|| bad("an object has properties"))?;
            let required = items(value, "/required")?;
            let all = properties.keys().all(|name| required.iter().any(|one| one == name));
            if value["additionalProperties"] != false || !all || required.len() != properties.len() {
                return Err(bad("strict: all properties are required, and no others allowed"));
            }
            properties.values().try_for_each(schema)
        }
        Some("array") => schema(&value["items"]),
        Some("string" | "integer" | "number" | "boolean") => {
            let is_null = kinds.contains(&"null");
            let allows =
                value["enum"].as_array().is_none_or(|values| values.contains(&Value::Null) == is_null);
            if allows { Ok(()) } else { Err(bad("an enum that may be null lists null")) }
        }
        _ => Err(bad("no such type")),
    }
}

/// A good answer.
pub(super) fn said(model: &str, text: &str) -> Value {
    json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_795_683_600,
        "model": model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": text, "refusal": null, "annotations": [] },
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 1_234,
            "completion_tokens": 210,
            "total_tokens": 1_444,
            "prompt_tokens_details": { "cached_tokens": 234, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": 0 },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    })
}

/// A refusal in OpenAI's words.
pub(super) fn error(refusal: &Refusal) -> Value {
    json!({ "error": { "message": refusal.why, "type": "invalid_request_error", "param": null, "code": refusal.code } })
}
