//! A recording in a request: streamed into the blob store, then an event like any other that names it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use leadline_schemas::EventId;
use leadline_schemas::direct::{self, Process};
use leadline_schemas::event::{CallEvent, Event};
use leadline_schemas::settings::Tenant;
use serde_json::{Map, Value};

use super::HttpSource;
use super::body::{BodyError, announced};
use super::limits::{
    BODY_TIMEOUT, RETRY_AFTER_S, SLOT_WAIT_MAX, UPLOAD_BYTES_MAX, UPLOAD_CALL_BYTES_MAX,
    UPLOAD_FRAME_BYTES_MAX,
};
use crate::contract::blob::{About, BlobError, BlobStream, Created, Stat};
use crate::http_server::Problem;
use crate::provider_recording::{BLOB_SCHEME, recording_name};

/// What a request's body is, by its media type.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// A recording alone.
    Audio(String),
    /// A form of a part `call`, the JSON of a call, and a part `audio`, in this order.
    Form(String),
}

/// Whether a request brings a recording, and how.
pub(super) fn uploaded(headers: &HeaderMap) -> Option<Uploaded> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    if let Ok(boundary) = multer::parse_boundary(content_type) {
        return Some(Uploaded::Form(boundary));
    }
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media.starts_with("audio/").then_some(Uploaded::Audio(media))
}

/// The pieces of a body.
type Pieces = BoxStream<'static, Result<Bytes, BodyError>>;

/// Stores the recording of a request; the body of an event that names it.
pub(super) async fn store(
    source: &HttpSource,
    tenant: &Tenant,
    id: EventId,
    (uploaded, headers): (Uploaded, &HeaderMap),
    body: Body,
) -> Result<Bytes, Problem> {
    let slot = tokio::time::timeout(SLOT_WAIT_MAX, source.uploads.acquire()).await;
    let Ok(Ok(_slot)) = slot else {
        return Err(Problem::unavailable("too many recordings at once; send it again", RETRY_AFTER_S));
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(BodyError::Encoded.into());
    }
    let announced = announced(headers);
    if announced.is_some_and(|bytes| bytes > UPLOAD_BYTES_MAX + UPLOAD_FRAME_BYTES_MAX) {
        source.bodies.discard(body, announced).await;
        return Err(too_large());
    }
    let pieces = pieces_of(body);
    match uploaded {
        Uploaded::Audio(media) => store_call(source, tenant, id, Map::new(), (media, pieces)).await,
        Uploaded::Form(boundary) => store_form(source, tenant, id, pieces, boundary).await,
    }
}

async fn store_form(
    source: &HttpSource,
    tenant: &Tenant,
    id: EventId,
    pieces: Pieces,
    boundary: String,
) -> Result<Bytes, Problem> {
    let malformed = |error: multer::Error| match error {
        multer::Error::StreamReadFailed(_) => Problem::from(BodyError::Broken),
        error => Problem::bad_request(format!("the multipart form cannot be read: {error}")),
    };
    let stream =
        pieces.map(|piece| piece.map_err(|_| std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
    let mut parts = multer::Multipart::new(stream, boundary);
    let mut call = Map::new();
    while let Some(mut part) = parts.next_field().await.map_err(malformed)? {
        match part.name() {
            Some("call") => {
                let mut json = Vec::new();
                while let Some(piece) = part.chunk().await.map_err(malformed)? {
                    json.extend_from_slice(&piece);
                    if json.len() > UPLOAD_CALL_BYTES_MAX {
                        return Err(BodyError::TooLarge { bytes_max: UPLOAD_CALL_BYTES_MAX }.into());
                    }
                }
                call = serde_json::from_slice(&json).map_err(|error| {
                    Problem::bad_request(format!("part `call` is no JSON object: {error}"))
                })?;
            }
            Some("audio") => {
                let media = part.content_type().map_or("application/octet-stream", |media| media.as_ref());
                let media = media.to_owned();
                let audio = part.map(|piece| piece.map_err(|_| BodyError::Broken)).boxed();
                return store_call(source, tenant, id, call, (media, audio)).await;
            }
            other => {
                let other: String = other.unwrap_or_default().chars().take(60).collect();
                return Err(Problem::bad_request(format!(
                    "part {other:?} is not known: send `call` (JSON, may be left out) and then `audio`"
                )));
            }
        }
    }
    Err(Problem::bad_request(
        "there is no part `audio`: send `call` (JSON, may be left out) and then `audio`",
    ))
}

/// Stores a call's recording under the call's name; the event's body.
async fn store_call(
    source: &HttpSource,
    tenant: &Tenant,
    id: EventId,
    mut call: Map<String, Value>,
    (media, audio): (String, Pieces),
) -> Result<Bytes, Problem> {
    for field in ["recording_url", "call_id"] {
        if call.contains_key(field) {
            return Err(Problem::bad_request(format!(
                "{field}: leave it out, the recording is in the request"
            )));
        }
    }
    call.insert("recording_url".to_owned(), BLOB_SCHEME.into());
    let known = known_call(&call, id)?;
    let audio = begun(audio).await?;
    let now = source.parts.clock.wall();
    let at = known.started_at.unwrap_or(now);
    let name = recording_name(&tenant.tenant, at, known.call_id.as_str());
    let about = About { content_type: media, custom_time: Some(at) };
    place(source, &name, about, audio).await?;
    call.insert("recording_url".to_owned(), format!("{BLOB_SCHEME}{name}").into());
    serde_json::to_vec(&call).map(Bytes::from).map_err(|error| Problem::bad_request(error.to_string()))
}

/// The call that the body makes, so that a mistake is told before the recording is taken.
fn known_call(call: &Map<String, Value>, id: EventId) -> Result<CallEvent, Problem> {
    let body = serde_json::to_vec(call).map_err(|error| Problem::bad_request(error.to_string()))?;
    match direct::process(&body, &id.to_string()) {
        Ok(Process::New(Event::CallEvent(call))) => Ok(*call),
        Ok(_) => Err(Problem::bad_request("part `call` must be a call")),
        Err(error) => Err(Problem::bad_request(format!("the request cannot be processed: {error}"))),
    }
}

/// The same, once something of it has come: an empty recording is a client's mistake, and nothing is made of it.
async fn begun(mut audio: Pieces) -> Result<Pieces, Problem> {
    while let Some(piece) = audio.next().await {
        let piece = piece.map_err(Problem::from)?;
        if !piece.is_empty() {
            return Ok(stream::iter([Ok(piece)]).chain(audio).boxed());
        }
    }
    Err(Problem::bad_request(
        "the recording is empty: send its bytes as the body, or as the part `audio` of a form",
    ))
}

/// Puts the recording into the store. One that is there already must be the same: a request that is sent again.
async fn place(source: &HttpSource, name: &str, about: About, audio: Pieces) -> Result<(), Problem> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut audio = watched(audio, Arc::clone(&seen));
    let blob = &source.parts.blob;
    let stat = match blob.stat(name).await.map_err(|error| not_stored(&error))? {
        Some(stat) => {
            while let Some(piece) = audio.next().await {
                piece.map_err(|error| of_seen(&seen, &error))?;
            }
            stat
        }
        None => {
            let created = blob.create_from(name, about, audio).await;
            let (created, stat) = created.map_err(|error| of_seen(&seen, &error))?;
            if created == Created::New {
                return Ok(());
            }
            stat
        }
    };
    let Stat { bytes, crc32c, .. } = stat;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match (bytes, crc32c) == (seen.bytes, seen.crc32c) {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::CONFLICT,
            "the call of this id has another recording already; send this one under another `id`",
        )),
    }
}

/// What of a recording has come.
#[derive(Default)]
struct Seen {
    bytes: u64,
    crc32c: u32,
    failed: Option<BodyError>,
}

/// The same with its length and CRC32C taken down, ended where it is too long.
fn watched(audio: Pieces, seen: Arc<Mutex<Seen>>) -> BlobStream {
    Box::pin(audio.map(move |piece| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = piece.and_then(|piece| {
            seen.bytes = seen.bytes.saturating_add(piece.len() as u64);
            seen.crc32c = crc32c::crc32c_append(seen.crc32c, &piece);
            let bytes_max = usize::try_from(UPLOAD_BYTES_MAX).unwrap_or(usize::MAX);
            if seen.bytes > UPLOAD_BYTES_MAX { Err(BodyError::TooLarge { bytes_max }) } else { Ok(piece) }
        });
        piece.map_err(|error| {
            seen.failed = Some(error);
            BlobError::Source("the upload broke off".to_owned())
        })
    }))
}

/// What the client did wrong, else what the store did.
fn of_seen(seen: &Mutex<Seen>, error: &BlobError) -> Problem {
    let failed = seen.lock().unwrap_or_else(PoisonError::into_inner).failed;
    failed.map_or_else(|| not_stored(error), Problem::from)
}

fn not_stored(error: &BlobError) -> Problem {
    tracing::error!(%error, "a recording could not be stored");
    Problem::unavailable("the recording could not be stored; send it again", RETRY_AFTER_S)
}

fn too_large() -> Problem {
    BodyError::TooLarge { bytes_max: usize::try_from(UPLOAD_BYTES_MAX).unwrap_or(usize::MAX) }.into()
}

/// A body's data; one of which nothing comes for too long has ended.
fn pieces_of(body: Body) -> Pieces {
    let next = |mut data: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, axum::Error>> + Send>>| async move {
        match tokio::time::timeout(BODY_TIMEOUT, data.next()).await {
            Ok(piece) => piece.map(|piece| (piece.map_err(|_| BodyError::Broken), data)),
            Err(_) => Some((Err(BodyError::Slow), Box::pin(stream::empty()) as _)),
        }
    };
    let data: std::pin::Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(body.into_data_stream());
    stream::unfold(data, next).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_told_from_json_by_their_media_type() {
        let of = |text: &'static str| {
            let headers = [(header::CONTENT_TYPE, text.parse().unwrap())];
            uploaded(&headers.into_iter().collect())
        };
        assert_eq!(of("audio/mpeg"), Some(Uploaded::Audio("audio/mpeg".to_owned())));
        assert_eq!(of("Audio/WAV; rate=8000"), Some(Uploaded::Audio("audio/wav".to_owned())));
        assert_eq!(of("multipart/form-data; boundary=x"), Some(Uploaded::Form("x".to_owned())));
        for other in ["application/json", "text/plain", "multipart/form-data", ""] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
