//! What Google is asked: addresses of the region, and how it is to recognise.

use leadline_schemas::transcription::TranscribeJob;
use serde_json::{Map, Value, json};

use super::GoogleSpeech;
use crate::contract::provider::CallError;
use crate::speech::reject;

/// Where Chirp 3 is: generally available in the first four, as a preview in the others. Not in `global`, not in us-central1.
pub const LOCATIONS: [&str; 8] = [
    "us",
    "eu",
    "asia-northeast1",
    "asia-southeast1",
    "asia-south1",
    "europe-west2",
    "europe-west3",
    "northamerica-northeast1",
];

/// Languages in which voices can be told apart.
const DIARIZED: [&str; 2] = ["en-US", "es-US"];
/// How much more likely a phrase of the tenant's is; Google takes up to 20.
const BOOST: u32 = 10;
/// The longest sound for which Chirp 3 tells when each word was said.
const WORD_TIMES_MS_MAX: i64 = 20 * 60_000;

impl GoogleSpeech {
    /// How it is to be recognised.
    pub(super) fn recognition(&self, asks: &TranscribeJob) -> Value {
        let language = asks.language.as_deref().unwrap_or("en-US");
        let mut config = Map::from_iter([
            ("model".to_owned(), json!(self.config.model)),
            ("languageCodes".to_owned(), json!([language])),
            ("features".to_owned(), features(asks, language, self.mixed_hz(asks).is_some())),
            ("denoiserConfig".to_owned(), json!({ "denoiseAudio": true })),
        ]);
        match self.mixed_hz(asks) {
            None => config.insert("autoDecodingConfig".to_owned(), json!({})),
            Some(rate_hz) => config.insert(
                "explicitDecodingConfig".to_owned(),
                json!({ "encoding": "LINEAR16", "sampleRateHertz": rate_hz, "audioChannelCount": 1 }),
            ),
        };
        if !asks.phrases.is_empty() {
            let phrases: Vec<Value> =
                asks.phrases.iter().map(|phrase| json!({ "value": phrase, "boost": BOOST })).collect();
            let sets = json!({ "phraseSets": [{ "inlinePhraseSet": { "phrases": phrases } }] });
            config.insert("adaptation".to_owned(), sets);
        }
        Value::Object(config)
    }

    /// A batch of one file, its answer inline.
    pub(super) fn batch(&self, asks: &TranscribeJob, uri: &str) -> Value {
        let mut body = Map::from_iter([
            ("config".to_owned(), self.recognition(asks)),
            ("files".to_owned(), json!([{ "uri": uri }])),
            ("recognitionOutputConfig".to_owned(), json!({ "inlineResponseConfig": {} })),
        ]);
        if asks.backfill {
            body.insert("processingStrategy".to_owned(), json!("DYNAMIC_BATCHING"));
        }
        Value::Object(body)
    }

    /// What all paths of the region begin with.
    pub(super) fn parent(&self) -> String {
        format!("projects/{}/locations/{}", self.config.project, self.config.location)
    }

    /// The address of a path, at the host of the path's region.
    pub(super) fn address(&self, path: &str) -> String {
        match &self.config.endpoint {
            Some(endpoint) => format!("{}/v2/{path}", endpoint.trim_end_matches('/')),
            None => {
                let location = path.split('/').nth(3).unwrap_or(&self.config.location);
                format!("https://{location}-speech.googleapis.com/v2/{path}")
            }
        }
    }

    /// An operation's path: it goes into an address, so it is one of this project's or nothing. It may be of a region that
    /// was configured when it was started.
    pub(super) fn operation_path(&self, name: &str) -> Result<String, CallError> {
        let plain = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        // It becomes a part of a host's name.
        let host = |part: &str| plain(part) && !part.contains(['_', '.', ':']);
        match name.split('/').collect::<Vec<_>>().as_slice() {
            ["projects", project, "locations", location, "operations", id]
                if plain(project) && host(location) && plain(id) =>
            {
                Ok(name.to_owned())
            }
            _ => {
                let name: String = name.chars().take(80).collect();
                Err(reject(format!("{name:?} is no operation of Google's")))
            }
        }
    }
}

/// What is to be told apart, and when what was said.
fn features(asks: &TranscribeJob, language: &str, is_mixed: bool) -> Value {
    if !is_mixed && asks.channels.is_some_and(|channels| channels >= 2) {
        let has_times = asks.duration_ms.is_some_and(|duration_ms| duration_ms < WORD_TIMES_MS_MAX);
        return json!({
            "enableAutomaticPunctuation": true,
            // Else only the first channel would be heard: one side of the call.
            "multiChannelMode": "SEPARATE_RECOGNITION_PER_CHANNEL",
            // By these the sides are put in order.
            "enableWordTimeOffsets": has_times,
        });
    }
    match DIARIZED.contains(&language) {
        true => json!({ "enableAutomaticPunctuation": true, "diarizationConfig": {} }),
        false => json!({ "enableAutomaticPunctuation": true }),
    }
}
