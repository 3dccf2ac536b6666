//! What the double knows, and what it does with a request that may be made.

use axum::http::Method;
use serde_json::{Value, json};

use super::check::{self, Place};
use super::{Refused, answer, invalid, unknown};

/// What can go wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, `google.rpc` status and message; nothing is done.
    Status(u16, &'static str, &'static str),
    /// 429 with this Retry-After.
    Busy(&'static str),
    /// This status with a page that is no JSON.
    Page(u16),
    /// No answer; nothing is done.
    Hang,
    /// It is done, and the connection ends without a word.
    Cut,
    /// It is done, and the connection ends in the middle of the answer.
    Half,
    /// It is done, and the answer comes byte by byte.
    Slow,
    /// The token has ended on the way: this one is taken from now on.
    NewToken(&'static str),
    /// The operation ends with an error of this `google.rpc.Code`.
    OperationFails(i64),
    /// The operation ends well, and its file has an error of this code.
    FileFails(i64),
    /// The operation ends with the answer in a bucket.
    Elsewhere,
    /// The operation ends with nothing of the file.
    Nothing,
    /// The operation never ends.
    Hung,
}

/// One sentence of a recording.
#[derive(Clone, Debug)]
pub struct Line {
    /// From 1.
    pub channel: usize,
    /// Whose voice, as diarization tells it.
    pub voice: &'static str,
    pub from_ms: i64,
    pub to_ms: i64,
    pub text: &'static str,
}

/// What is heard in a recording.
#[derive(Clone, Debug)]
pub struct Sound {
    pub duration_ms: i64,
    pub channels: usize,
    pub lines: Vec<Line>,
}

pub(crate) struct State {
    pub(crate) region: String,
    pub(crate) token: String,
    pub(crate) by_address: bool,
    pub(crate) recordings: Vec<(String, Vec<u8>, Sound)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) faults: Vec<(String, Fault)>,
    pub(crate) started: Vec<String>,
    pub(crate) billed_s: i64,
    pub(crate) asked: Vec<String>,
    pub(crate) last_body: Value,
    pub(crate) polls: u32,
    count: u64,
}

/// An operation.
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) request: Value,
    /// How often it is asked about before it ends.
    left: u32,
    end: Value,
}

impl State {
    pub(crate) fn new(region: &str, token: &str) -> Self {
        Self {
            region: region.to_owned(),
            token: token.to_owned(),
            by_address: false,
            recordings: Vec::new(),
            operations: Vec::new(),
            faults: Vec::new(),
            started: Vec::new(),
            billed_s: 0,
            asked: Vec::new(),
            last_body: Value::Null,
            polls: 1,
            count: 0,
        }
    }

    pub(crate) fn answer(
        &mut self,
        method: &Method,
        place: &Place,
        body: &[u8],
        fault: &Option<Fault>,
    ) -> Result<Value, Refused> {
        if let Some(Fault::NewToken(token)) = fault {
            self.token = (*token).to_owned();
            return Err((
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials".to_owned(),
            ));
        }
        match (method.as_str(), place) {
            ("POST", Place::Recognize) => self.recognize(&json_of(body)?),
            ("POST", Place::Batch) => self.start(&json_of(body)?, fault),
            ("GET", Place::Operations { size, from }) => Ok(self.list(*size, *from)),
            ("GET", Place::Operation(name)) => self.poll(name),
            _ => Err(unknown(format!("{method} has no such method"))),
        }
    }

    fn recognize(&mut self, body: &Value) -> Result<Value, Refused> {
        self.last_body = body.clone();
        let content = check::recognize(body)?;
        let known = self.recordings.iter().find(|(_, bytes, _)| *bytes == content);
        let (uri, _, sound) =
            known.ok_or_else(|| invalid("Audio data does not appear to be in a supported encoding"))?;
        if sound.duration_ms > 60_000 {
            return Err(invalid("Audio can be of a maximum of 60 seconds."));
        }
        let (uri, sound) = (uri.clone(), sound.clone());
        let billed_s = self.bill(&uri, &sound, &body["config"]);
        let mut answer = answer::results(&sound, &body["config"]);
        answer["metadata"] =
            json!({ "requestId": "a-request", "totalBilledDuration": format!("{billed_s}s") });
        Ok(answer)
    }

    fn start(&mut self, body: &Value, fault: &Option<Fault>) -> Result<Value, Refused> {
        self.last_body = body.clone();
        let uri = check::batch(body)?;
        self.count += 1;
        let name = format!("projects/{}/locations/{}/operations/{}", super::PROJECT, self.region, self.count);
        let known = |known: &str| match known.strip_prefix('*') {
            Some(end) => uri.ends_with(end),
            None => known == uri,
        };
        let sound = self.recordings.iter().find(|(uri, ..)| known(uri)).map(|(.., sound)| sound.clone());
        let file = match &sound {
            None => json!({ "error": { "code": 5, "message": format!("{uri} was not found") } }),
            Some(sound) => {
                if let Some(why) = check::too_long(sound, &body["config"]) {
                    return Err(invalid(why));
                }
                let billed_s = self.bill(&uri, sound, &body["config"]);
                json!({
                    "metadata": { "totalBilledDuration": format!("{billed_s}s") },
                    "inlineResult": { "transcript": answer::results(sound, &body["config"]) },
                })
            }
        };
        let left = if matches!(fault, Some(Fault::Hung)) { u32::MAX } else { self.polls };
        let end = answer::end(&uri, file, fault);
        self.operations.push(Operation { name: name.clone(), request: body.clone(), left, end });
        Ok(json!({ "name": name, "metadata": self.metadata(body, 0) }))
    }

    /// A start is billed when it is made: each of them.
    fn bill(&mut self, uri: &str, sound: &Sound, config: &Value) -> i64 {
        let channels = if answer::is_separate(config) { sound.channels } else { 1 };
        let billed_s = (sound.duration_ms + 999) / 1_000 * i64::try_from(channels).unwrap();
        self.billed_s += billed_s;
        self.started.push(uri.to_owned());
        billed_s
    }

    fn metadata(&self, request: &Value, percent: u32) -> Value {
        let mut metadata = json!({
            "@type": "type.googleapis.com/google.cloud.speech.v2.OperationMetadata",
            "method": "google.cloud.speech.v2.Speech.BatchRecognize",
            "createTime": "2026-03-04T16:12:33.236Z",
            "batchRecognizeRequest": request,
        });
        if percent > 0 {
            metadata["progressPercent"] = json!(percent);
        }
        metadata
    }

    fn list(&self, size: usize, from: usize) -> Value {
        let newest = self.operations.iter().rev().skip(from).take(size);
        let operations: Vec<Value> = newest
            .map(|operation| json!({ "name": operation.name, "metadata": self.metadata(&operation.request, 0) }))
            .collect();
        let behind = from + operations.len();
        match behind < self.operations.len() {
            true => json!({ "operations": operations, "nextPageToken": format!("{behind}") }),
            false if operations.is_empty() => json!({}),
            false => json!({ "operations": operations }),
        }
    }

    fn poll(&mut self, name: &str) -> Result<Value, Refused> {
        let at = self.operations.iter().position(|operation| operation.name == name);
        let at = at.ok_or_else(|| unknown(format!("Operation {name} was not found")))?;
        let operation = &mut self.operations[at];
        let request = operation.request.clone();
        if operation.left > 0 {
            operation.left -= 1;
            return Ok(json!({ "name": name, "metadata": self.metadata(&request, 40) }));
        }
        let mut answer = self.operations[at].end.clone();
        answer["name"] = json!(name);
        answer["done"] = json!(true);
        answer["metadata"] = self.metadata(&request, 100);
        Ok(answer)
    }
}

fn json_of(body: &[u8]) -> Result<Value, Refused> {
    serde_json::from_slice(body).map_err(|_| invalid("Invalid JSON payload received."))
}
