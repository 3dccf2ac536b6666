//! A blob stream as Google's client wants it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use google_cloud_storage::streaming_source::{SizeHint, StreamingSource};

use crate::contract::blob::{BlobError, BlobStream};
use futures_util::StreamExt;

/// What the stream itself broke off with: the client only says that something did.
#[derive(Clone, Default)]
pub(super) struct Failed(Arc<Mutex<Option<BlobError>>>);

impl Failed {
    pub(super) fn take(&self) -> Option<BlobError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Of unknown length, and read once.
pub(super) struct Source {
    /// Never waited for: it only lends the stream to one thread at a time.
    stream: Mutex<BlobStream>,
    failed: Failed,
}

impl Source {
    pub(super) fn new(stream: BlobStream) -> (Self, Failed) {
        let failed = Failed::default();
        (Self { stream: Mutex::new(stream), failed: failed.clone() }, failed)
    }
}

impl StreamingSource for Source {
    type Error = BlobError;

    async fn next(&mut self) -> Option<Result<Bytes, BlobError>> {
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let piece = stream.next().await;
        if let Some(Err(error)) = &piece {
            *self.failed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        }
        piece
    }

    async fn size_hint(&self) -> Result<SizeHint, BlobError> {
        Ok(SizeHint::default())
    }
}
