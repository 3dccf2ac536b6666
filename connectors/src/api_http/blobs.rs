//! Objects of a folder by link: for whoever was given one, as long as it lasts.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::lists::parameters;
use crate::blob_folder::{LINK_PATH, LinkSigner};
use crate::contract::blob::{Blob, BlobError, Content};
use crate::contract::clock::Clock;
use crate::http_server::Problem;

/// What answers links.
pub struct LinkedBlobs {
    /// Where the objects lie.
    pub blob: Arc<dyn Blob>,
    /// Knows its own links.
    pub links: LinkSigner,
    /// Says when one has ended.
    pub clock: Arc<dyn Clock>,
}

/// The route that answers the links of a folder store.
pub fn link_routes(linked: LinkedBlobs) -> Router {
    Router::new().route(&format!("{LINK_PATH}{{*name}}"), get(object)).with_state(Arc::new(linked))
}

/// `GET /v1/blobs/{name}?expires=..&signature=..`, with one range, as players ask.
async fn object(
    State(linked): State<Arc<LinkedBlobs>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (mut expires_s, mut signature) = (0, String::new());
    for (key, value) in parameters(query)? {
        match key.as_str() {
            "expires" => expires_s = value.parse().unwrap_or(0),
            "signature" => signature = value,
            _ => {}
        }
    }
    if !linked.links.admits(&name, expires_s, &signature, linked.clock.wall()) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "the link has ended, or is none of ours: ask for a new one",
        ));
    }
    let refused = |error: BlobError| Problem::unavailable(error.to_string(), 2);
    let Some(stat) = linked.blob.stat(&name).await.map_err(refused)? else { return Err(gone()) };
    let asked = match headers.get(header::RANGE).and_then(|range| range.to_str().ok()) {
        Some(range) => one_range(range, stat.bytes),
        None => Asked::Whole,
    };
    let range = match asked {
        Asked::Whole => None,
        Asked::Part(first, last) => Some(first..last.saturating_add(1)),
        Asked::Nowhere => return Ok(nowhere(stat.bytes)),
    };
    let is_part = range.is_some();
    let opened = linked.blob.open(&name, range).await.map_err(refused)?;
    opened.map(|content| shown(content, is_part)).ok_or_else(gone)
}

fn gone() -> Problem {
    Problem::not_found("there is nothing behind this link any more")
}

/// What of an object was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    /// The first and the last byte.
    Part(u64, u64),
    /// Bytes that it does not have.
    Nowhere,
}

/// Reads a Range header (RFC 9110, section 14); what is not one range of bytes asks for everything.
fn one_range(header: &str, bytes: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Whole;
    };
    let end = bytes.saturating_sub(1);
    let range = match (first.trim().parse::<u64>(), last.trim()) {
        (Ok(first), "") => Some((first, end)),
        (Ok(first), last) => {
            last.parse::<u64>().ok().filter(|last| *last >= first).map(|last| (first, last.min(end)))
        }
        // The last so many bytes.
        (Err(_), last) if first.trim().is_empty() => match last.parse::<u64>() {
            Ok(0) => Some((bytes, end)),
            Ok(count) => Some((bytes.saturating_sub(count), end)),
            Err(_) => None,
        },
        _ => None,
    };
    match range {
        None => Asked::Whole,
        Some((first, _)) if first >= bytes => Asked::Nowhere,
        Some((first, last)) => Asked::Part(first, last),
    }
}

fn nowhere(bytes: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    set(&mut response, header::CONTENT_RANGE, &format!("bytes */{bytes}"));
    response
}

fn shown(content: Content, is_part: bool) -> Response {
    let Content { stat, range, stream } = content;
    let mut response = Response::new(Body::from_stream(stream));
    set(&mut response, header::CONTENT_LENGTH, &(range.end - range.start).to_string());
    // Somebody else wrote it: a browser may play it, and is not to take it for a page of ours.
    let media = &stat.about.content_type;
    let plays = media.starts_with("audio/");
    set(&mut response, header::CONTENT_TYPE, if plays { media } else { "application/octet-stream" });
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::CACHE_CONTROL, "private, no-store");
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    if is_part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = range.end.saturating_sub(1);
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {}-{last}/{}", range.start, stat.bytes));
    }
    response
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::Asked::{Nowhere, Part, Whole};
    use super::*;

    #[test]
    fn one_range_of_bytes_is_understood_and_anything_else_is_everything() {
        let cases = [
            ("bytes=0-", Part(0, 9)),
            ("bytes=3-5", Part(3, 5)),
            ("bytes=3-50", Part(3, 9)),
            ("bytes=-4", Part(6, 9)),
            ("bytes=-40", Part(0, 9)),
            ("bytes=10-", Nowhere),
            ("bytes=-0", Nowhere),
            ("bytes=5-3", Whole),
            ("bytes=0-1,4-5", Whole),
            ("items=0-1", Whole),
            ("bytes=x-1", Whole),
            ("", Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(one_range(header, 10), expected, "{header:?}");
        }
        assert_eq!(one_range("bytes=0-", 0), Nowhere);
    }
}
