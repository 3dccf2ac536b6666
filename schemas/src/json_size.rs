//! How much memory a JSON body could take, before it takes any.

/// Values that a body of forms or of the direct API may have; a two-hour talk by turns has ten thousand. Each takes
/// some hundred bytes as a tree, so that 4 MiB of brackets would take hundreds of MiB.
pub(crate) const JSON_VALUES_MAX: usize = 100_000;

/// About how many values are in a body: commas and brackets outside of texts. Never fewer than a reader would make.
pub(crate) fn json_values(body: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (1, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn values(json: &Value) -> usize {
        1 + match json {
            Value::Array(items) => items.iter().map(values).sum(),
            Value::Object(members) => members.values().map(values).sum(),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn no_value_is_missed(texts in prop::collection::vec("[\\[\\]{}\",\\\\a]{0,6}", 0..20), deep in 0..20_usize) {
            let mut json = Value::from(texts);
            for _ in 0..deep {
                json = serde_json::json!({"a": [json, {}, "\\\","], "b": null});
            }
            let counted = json_values(json.to_string().as_bytes());
            prop_assert!(counted >= values(&json), "{} of {}", counted, values(&json));
            prop_assert!(counted <= 2 * values(&json));
        }
    }
}
