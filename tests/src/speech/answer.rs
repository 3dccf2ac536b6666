//! What the double answers, in proto3 JSON: what is zero, false or empty is left out.

use serde_json::{Map, Value, json};

use super::state::{Fault, Sound};

/// Whether each channel is recognised for itself.
pub(crate) fn is_separate(config: &Value) -> bool {
    config["features"]["multiChannelMode"] == "SEPARATE_RECOGNITION_PER_CHANNEL"
}

/// `BatchRecognizeResults`: what is heard by this configuration. Without separate channels only the first one is.
pub(crate) fn results(sound: &Sound, config: &Value) -> Value {
    let separate = is_separate(config);
    let mut results = Vec::new();
    for channel in 1..=sound.channels {
        if !separate && channel > 1 {
            break;
        }
        for line in sound.lines.iter().filter(|line| line.channel == channel) {
            let mut alternative = json!({ "transcript": line.text });
            let words = words(line, config);
            if !words.is_empty() {
                alternative["words"] = json!(words);
            }
            let mut result = json!({
                "alternatives": [alternative],
                "resultEndOffset": offset(line.to_ms),
                "languageCode": config["languageCodes"][0],
            });
            if separate {
                result["channelTag"] = json!(channel);
            }
            results.push(result);
        }
    }
    // Nobody speaks: the list is empty, and so it is left out.
    if results.is_empty() { json!({}) } else { json!({ "results": results }) }
}

fn words(line: &super::Line, config: &Value) -> Vec<Value> {
    let features = &config["features"];
    let (timed, told) =
        (features["enableWordTimeOffsets"] == true, features.get("diarizationConfig").is_some());
    if !timed && !told {
        return Vec::new();
    }
    let words: Vec<&str> = line.text.split(' ').collect();
    let each_ms = (line.to_ms - line.from_ms) / i64::try_from(words.len()).unwrap();
    let mut from_ms = line.from_ms;
    let mut found = Vec::new();
    for word in words {
        let mut one = Map::new();
        one.insert("word".to_owned(), json!(word));
        if timed {
            if from_ms > 0 {
                one.insert("startOffset".to_owned(), json!(offset(from_ms)));
            }
            one.insert("endOffset".to_owned(), json!(offset(from_ms + each_ms)));
        }
        if told {
            one.insert("speakerLabel".to_owned(), json!(line.voice));
        }
        from_ms += each_ms;
        found.push(Value::Object(one));
    }
    found
}

/// How an operation with this file ends.
pub(crate) fn end(uri: &str, file: Value, fault: &Option<Fault>) -> Value {
    let billed = file["metadata"]["totalBilledDuration"].clone();
    let mut files = Map::new();
    let file = match fault {
        Some(Fault::OperationFails(code)) => {
            return json!({ "error": { "code": code, "message": "the operation has failed", "details": [] } });
        }
        Some(Fault::FileFails(code)) => json!({
            "error": { "code": code, "message": "the file could not be processed" },
            "metadata": { "totalBilledDuration": billed },
        }),
        Some(Fault::Elsewhere) => json!({ "cloudStorageResult": { "uri": "gs://elsewhere/result.json" } }),
        _ => file,
    };
    if !matches!(fault, Some(Fault::Nothing)) {
        files.insert(uri.to_owned(), file);
    }
    let mut response = json!({
        "@type": "type.googleapis.com/google.cloud.speech.v2.BatchRecognizeResponse",
        "totalBilledDuration": billed,
    });
    if !files.is_empty() {
        response["results"] = Value::Object(files);
    }
    json!({ "response": response })
}

fn offset(ms: i64) -> String {
    if ms % 1_000 == 0 { format!("{}s", ms / 1_000) } else { format!("{}.{:03}s", ms / 1_000, ms % 1_000) }
}
