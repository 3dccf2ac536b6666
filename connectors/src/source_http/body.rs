//! Reading bodies: bounded in size, time and, all together, in memory.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{DISCARD_BYTES_MAX, LARGE_BODIES_BYTES_MAX, RETRY_AFTER_S, SMALL_BODY_BYTES_MAX};
use crate::http_server::Problem;

/// The memory for large bodies is shared in pieces of this size.
const SHARE_BYTES: usize = SMALL_BODY_BYTES_MAX;

/// Reads bodies within their bounds.
#[derive(Debug)]
pub(crate) struct BodyReader {
    timeout: Duration,
    /// One permit per `SHARE_BYTES` of a large body.
    shares: std::sync::Arc<Semaphore>,
}

/// A body that was read, with its share of the memory.
#[derive(Debug)]
pub(crate) struct ReadBody {
    /// The body.
    pub(crate) bytes: Bytes,
    /// Held until the request has been answered.
    _share: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Larger than allowed.
    TooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
    /// Not all of it came in time.
    Slow,
    /// The connection was cut, or the chunks make no sense.
    Broken,
    /// No memory for so large a body came free in time.
    NoRoom,
    /// It is compressed.
    Encoded,
}

impl BodyReader {
    /// A reader that gives each body so much time.
    pub(crate) fn new(timeout: Duration) -> Self {
        let shares = Semaphore::new(LARGE_BODIES_BYTES_MAX / SHARE_BYTES);
        Self { timeout, shares: std::sync::Arc::new(shares) }
    }

    /// Reads a body of at most `bytes_max`.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        bytes_max: usize,
    ) -> Result<ReadBody, BodyError> {
        let encoded = headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity") && !coding.is_empty());
        let announced = announced(headers);
        if encoded || announced.is_some_and(|bytes| bytes > bytes_max as u64) {
            Box::pin(self.discard(body, announced)).await;
            return Err(if encoded { BodyError::Encoded } else { BodyError::TooLarge { bytes_max } });
        }
        let first = first_if_there(&mut body).await?;
        if let Some(bytes) = first.as_ref().filter(|first| is_all(first, &body, bytes_max)) {
            return Ok(ReadBody { bytes: bytes.clone(), _share: None });
        }
        // In a box: what most requests never do would be moved about with each of them.
        Box::pin(self.read_on(first, body, bytes_max)).await
    }

    /// Reads what has not come yet, within its time.
    async fn read_on(
        &self,
        first: Option<Bytes>,
        mut body: Body,
        bytes_max: usize,
    ) -> Result<ReadBody, BodyError> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        let reading = self.read_frames(first, &mut body, bytes_max, deadline);
        match tokio::time::timeout_at(deadline, reading).await {
            Err(_) => Err(BodyError::Slow),
            Ok(Err(error)) => {
                if matches!(error, BodyError::TooLarge { .. }) {
                    self.discard(body, None).await;
                }
                Err(error)
            }
            Ok(read) => read,
        }
    }

    /// Reads what follows `first`, which is none where nothing has come so far.
    async fn read_frames(
        &self,
        first: Option<Bytes>,
        body: &mut Body,
        bytes_max: usize,
        deadline: tokio::time::Instant,
    ) -> Result<ReadBody, BodyError> {
        let first = match first {
            Some(first) => first,
            None => next(body).await?.unwrap_or_default(),
        };
        if is_all(&first, body, bytes_max) {
            return Ok(ReadBody { bytes: first, _share: None });
        }
        let mut whole = Whole { bytes: BytesMut::from(first), share: None };
        loop {
            if whole.bytes.len() > bytes_max {
                return Err(BodyError::TooLarge { bytes_max });
            }
            whole.reserve(&self.shares, deadline).await?;
            match next(body).await? {
                Some(data) => whole.bytes.extend_from_slice(&data),
                None => return Ok(ReadBody { bytes: whole.bytes.freeze(), _share: whole.share }),
            }
        }
    }

    /// Reads on and forgets, so that the client has sent all of it before it is answered.
    pub(super) async fn discard(&self, mut body: Body, announced: Option<u64>) {
        if announced.is_some_and(|bytes| bytes > DISCARD_BYTES_MAX) {
            return;
        }
        let reading = async {
            let mut left = DISCARD_BYTES_MAX;
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(self.timeout, reading).await;
    }
}

/// Whether this first piece is the whole body, and a small one: a slice of what the connection has read, which need
/// not be copied.
fn is_all(first: &Bytes, body: &Body, bytes_max: usize) -> bool {
    body.is_end_stream() && first.len() <= bytes_max.min(SMALL_BODY_BYTES_MAX)
}

/// The first piece, if it came together with the head, as most bodies do: then no timer has to be set and removed.
///
/// hyper gives it at the second look: the first one tells its connection that the body is wanted.
async fn first_if_there(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    let mut looked = false;
    let frame = std::future::poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending if looked => Poll::Ready(None),
        Poll::Pending => {
            looked = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    });
    frame.await.map_or(Ok(None), |frame| Ok(Some(data_of(frame)?.unwrap_or_default())))
}

/// The next piece; none at the end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    data_of(body.frame().await)
}

fn data_of(frame: Option<Result<Frame<Bytes>, axum::Error>>) -> Result<Option<Bytes>, BodyError> {
    match frame {
        None => Ok(None),
        // Trailers are not data.
        Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
        Some(Err(_)) => Err(BodyError::Broken),
    }
}

/// A body in the making.
struct Whole {
    bytes: BytesMut,
    share: Option<OwnedSemaphorePermit>,
}

impl Whole {
    /// Takes as many shares as the body has grown to need.
    async fn reserve(
        &mut self,
        shares: &std::sync::Arc<Semaphore>,
        deadline: tokio::time::Instant,
    ) -> Result<(), BodyError> {
        let need = self.bytes.len() / SHARE_BYTES;
        let have = self.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = u32::try_from(need.saturating_sub(have)).unwrap_or(u32::MAX);
        if missing == 0 {
            return Ok(());
        }
        let acquiring = std::sync::Arc::clone(shares).acquire_many_owned(missing);
        let Ok(Ok(more)) = tokio::time::timeout_at(deadline, acquiring).await else {
            return Err(BodyError::NoRoom);
        };
        match &mut self.share {
            Some(share) => share.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// The length that the client has announced; hyper has checked that it is one number.
pub(super) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { bytes_max } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than the {bytes_max} bytes that are taken here"),
            ),
            BodyError::Slow => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time; send it faster")
            }
            BodyError::Broken => Self::bad_request("the body ended early, or its chunks cannot be read"),
            BodyError::NoRoom => {
                Self::unavailable("too many large bodies at once; send it again", RETRY_AFTER_S)
            }
            BodyError::Encoded => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding: compressed bodies are not taken; send the body as it is",
            ),
        }
    }
}
