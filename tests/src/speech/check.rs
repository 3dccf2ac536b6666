//! What the double lets in: the published interface and nothing else.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::state::{Sound, State};
use super::{PROJECT, Refused, invalid, unknown};

/// Where Chirp 3 is.
const LOCATIONS: [&str; 8] = [
    "us",
    "eu",
    "asia-northeast1",
    "asia-southeast1",
    "asia-south1",
    "europe-west2",
    "europe-west3",
    "northamerica-northeast1",
];

/// What a path leads to.
pub(crate) enum Place {
    Recognize,
    Batch,
    Operations { size: usize, from: usize },
    Operation(String),
}

/// Host, token and path, in the order in which Google looks at them.
pub(crate) fn known(state: &State, headers: &HeaderMap, path: &str) -> Result<Place, Refused> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = header("host").split(':').next().unwrap_or_default();
    let is_ours = host == format!("{}-speech.googleapis.com", state.region);
    let is_local = state.by_address && host == "127.0.0.1";
    if !is_ours && !is_local {
        return Err(unknown(format!("{host} is no host of this API")));
    }
    if header("authorization") != format!("Bearer {}", state.token) {
        return Err((401, "UNAUTHENTICATED", "Request had invalid authentication credentials".to_owned()));
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ["v2", "projects", project, "locations", location, rest @ ..] = parts.as_slice() else {
        return Err(unknown(format!("{path} is no path of this API")));
    };
    if *project != PROJECT {
        return Err((403, "PERMISSION_DENIED", format!("Permission denied on project {project}")));
    }
    if !LOCATIONS.contains(location) {
        return Err(invalid(format!("The model chirp_3 does not exist in the location {location}")));
    }
    if *location != state.region {
        let why = format!("Expected resource location to be {}, but got {location}", state.region);
        return Err(invalid(why));
    }
    if !query.is_empty() && rest != ["operations"] {
        return Err(invalid(format!("Unknown parameters {query}")));
    }
    match rest {
        ["recognizers", "_:recognize"] => Ok(Place::Recognize),
        ["recognizers", "_:batchRecognize"] => Ok(Place::Batch),
        ["operations"] => page(query),
        ["operations", id] => {
            Ok(Place::Operation(format!("projects/{project}/locations/{location}/operations/{id}")))
        }
        _ => Err(unknown(format!("{path} is no path of this API"))),
    }
}

fn page(query: &str) -> Result<Place, Refused> {
    let (mut size, mut from) = (50, 0);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let number = value.parse().map_err(|_| invalid(format!("{name} is {value}")))?;
        match name {
            "pageSize" => size = number,
            "pageToken" => from = number,
            _ => return Err(invalid(format!("Unknown parameter {name}"))),
        }
    }
    Ok(Place::Operations { size, from })
}

/// The sound in a request's body.
pub(crate) fn recognize(body: &Value) -> Result<Vec<u8>, Refused> {
    only(body, "", &["config", "configMask", "content", "uri"])?;
    if body.to_string().len() > 10_000_000 {
        return Err(invalid("Request payload size exceeds the limit: 10485760 bytes."));
    }
    config(&body["config"])?;
    if body.get("uri").is_some() == body.get("content").is_some() {
        return Err(invalid("Exactly one of content or uri is to be set"));
    }
    let text = body["content"].as_str().ok_or_else(|| invalid("content is no text"))?;
    STANDARD.decode(text).map_err(|_| invalid("content is not base64"))
}

/// The one file of a batch's body.
pub(crate) fn batch(body: &Value) -> Result<String, Refused> {
    only(body, "", &["config", "configMask", "files", "recognitionOutputConfig", "processingStrategy"])?;
    config(&body["config"])?;
    let strategy = body.get("processingStrategy").map(|strategy| strategy.as_str().unwrap_or_default());
    if strategy.is_some_and(|strategy| strategy != "DYNAMIC_BATCHING") {
        return Err(invalid("processingStrategy is not known"));
    }
    let files = body["files"].as_array().ok_or_else(|| invalid("files is missing"))?;
    if files.is_empty() || files.len() > 15 {
        return Err(invalid("files are to be 1 to 15"));
    }
    let output = &body["recognitionOutputConfig"];
    only(output, "recognitionOutputConfig", &["inlineResponseConfig", "gcsOutputConfig"])?;
    if output.get("inlineResponseConfig").is_none_or(|inline| *inline != serde_json::json!({}))
        || files.len() != 1
    {
        return Err(invalid("inlineResponseConfig is for exactly one file"));
    }
    only(&files[0], "files", &["uri", "config", "configMask"])?;
    let uri = files[0]["uri"].as_str().unwrap_or_default();
    match uri.strip_prefix("gs://") {
        Some(rest) if rest.contains('/') => Ok(uri.to_owned()),
        _ => Err(invalid(format!("{uri} is no address of Cloud Storage"))),
    }
}

/// Why Chirp 3 takes no such recording, if it does not.
pub(crate) fn too_long(sound: &Sound, config: &Value) -> Option<String> {
    let has_times = config["features"]["enableWordTimeOffsets"] == true;
    let most_ms = if has_times { 20 * 60_000 } else { 60 * 60_000 };
    (sound.duration_ms < 60_000 || sound.duration_ms > most_ms)
        .then(|| format!("Audio of {} ms cannot be processed by chirp_3", sound.duration_ms))
}

fn config(config: &Value) -> Result<(), Refused> {
    let known = [
        "autoDecodingConfig",
        "explicitDecodingConfig",
        "model",
        "languageCodes",
        "features",
        "adaptation",
        "denoiserConfig",
        "transcriptNormalization",
        "translationConfig",
        "customPromptConfig",
    ];
    only(config, "config", &known)?;
    match (config.get("autoDecodingConfig"), config.get("explicitDecodingConfig")) {
        (Some(auto), None) => only(auto, "autoDecodingConfig", &[])?,
        (None, Some(explicit)) => decoding(explicit)?,
        _ => return Err(invalid("exactly one decoding config is to be set")),
    }
    if config["model"] != "chirp_3" {
        return Err(unknown(format!("The model {} does not exist in the location", config["model"])));
    }
    let languages = config["languageCodes"].as_array().ok_or_else(|| invalid("languageCodes is missing"))?;
    if languages.is_empty() || languages.iter().any(|language| !language.as_str().unwrap_or("").contains('-'))
    {
        return Err(invalid("languageCodes are BCP-47 tags"));
    }
    if let Some(denoiser) = config.get("denoiserConfig") {
        only(denoiser, "denoiserConfig", &["denoiseAudio", "snrThreshold"])?;
    }
    features(&config["features"])?;
    adaptation(config.get("adaptation"))
}

/// Samples without a header, of one to eight channels.
fn decoding(explicit: &Value) -> Result<(), Refused> {
    only(explicit, "explicitDecodingConfig", &["encoding", "sampleRateHertz", "audioChannelCount"])?;
    let number = |name: &str| explicit[name].as_i64().unwrap_or(0);
    let (rate_hz, channels) = (number("sampleRateHertz"), number("audioChannelCount"));
    match explicit["encoding"] == "LINEAR16"
        && (8_000..=48_000).contains(&rate_hz)
        && (1..=8).contains(&channels)
    {
        true => Ok(()),
        false => Err(invalid(format!("{explicit} is no decoding config"))),
    }
}

fn features(features: &Value) -> Result<(), Refused> {
    let known = [
        "profanityFilter",
        "enableWordTimeOffsets",
        "enableWordConfidence",
        "enableAutomaticPunctuation",
        "enableSpokenPunctuation",
        "enableSpokenEmojis",
        "multiChannelMode",
        "diarizationConfig",
        "maxAlternatives",
    ];
    only(features, "features", &known)?;
    let mode = features.get("multiChannelMode").map(|mode| mode.as_str().unwrap_or_default());
    if mode.is_some_and(|mode| mode != "SEPARATE_RECOGNITION_PER_CHANNEL") {
        return Err(invalid("multiChannelMode is not known"));
    }
    match features.get("diarizationConfig") {
        Some(diarization) => only(diarization, "diarizationConfig", &["minSpeakerCount", "maxSpeakerCount"]),
        None => Ok(()),
    }
}

fn adaptation(adaptation: Option<&Value>) -> Result<(), Refused> {
    let Some(adaptation) = adaptation else { return Ok(()) };
    only(adaptation, "adaptation", &["phraseSets", "customClasses"])?;
    let mut count = 0;
    for set in adaptation["phraseSets"].as_array().unwrap_or(&Vec::new()) {
        only(set, "phraseSets", &["phraseSet", "inlinePhraseSet"])?;
        only(&set["inlinePhraseSet"], "inlinePhraseSet", &["phrases", "boost"])?;
        for phrase in set["inlinePhraseSet"]["phrases"].as_array().unwrap_or(&Vec::new()) {
            only(phrase, "phrases", &["value", "boost"])?;
            count += 1;
            let text = phrase["value"].as_str().unwrap_or_default();
            let boost = phrase["boost"].as_f64().unwrap_or(0.0);
            if text.is_empty() || text.chars().count() > 100 || !(0.0..=20.0).contains(&boost) {
                return Err(invalid(format!("phrase {phrase} is not valid")));
            }
        }
    }
    if count > 1_000 { Err(invalid(format!("{count} phrases, at most 1000"))) } else { Ok(()) }
}

/// An object with no member that is not known.
fn only(value: &Value, name: &str, known: &[&str]) -> Result<(), Refused> {
    let members = value.as_object().ok_or_else(|| invalid(format!("{name:?} is no object")))?;
    match members.keys().find(|member| !known.contains(&member.as_str())) {
        Some(member) => Err(invalid(format!(
            "Invalid JSON payload received. Unknown name \"{member}\" at '{name}': Cannot find field."
        ))),
        None => Ok(()),
    }
}
