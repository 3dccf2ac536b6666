//! Refuses what a reference does not know.

use serde_json::Value;

use super::{Refusal, bad};

/// Refuses members that are none of these, and a value that is no object.
pub(super) fn only(place: &str, value: &Value, known: &[&str]) -> Result<(), Refusal> {
    let fields =
        value.as_object().ok_or_else(|| bad(format!("Invalid value at '{place}': an object is wanted")))?;
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(bad(format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
        ))),
        None => Ok(()),
    }
}

/// The text at a pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, Refusal> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| bad(format!("'{pointer}' is missing or no text")))
}

/// The items of an array that is not empty.
pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> Result<&'a Vec<Value>, Refusal> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .filter(|items| !items.is_empty())
        .ok_or_else(|| bad(format!("'{pointer}' is missing or empty")))
}
