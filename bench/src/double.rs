//! A receiver of deliveries that answers at once and notes when which call came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;

use crate::payload::number_of_call;

/// When the first delivery about each call came, by the call's number.
type Seen = Arc<Mutex<HashMap<u64, Instant>>>;

/// A running receiver.
pub(crate) struct Double {
    /// Where it listens.
    address: SocketAddr,
    seen: Seen,
}

impl Double {
    /// Starts it, on a thread of its own.
    pub(crate) fn start() -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let seen = Seen::default();
        let router = Router::new().route("/hook", post(note)).with_state(Arc::clone(&seen));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("double".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router).await
            })
        })?;
        Ok(Self { address, seen })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// How many calls it has heard of.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// When it heard of each call; forgets them.
    pub(crate) fn take(&self) -> HashMap<u64, Instant> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn note(axum::extract::State(seen): axum::extract::State<Seen>, body: Bytes) -> StatusCode {
    let now = Instant::now();
    if let Some(number) = number_of_call(&body) {
        seen.lock().unwrap_or_else(PoisonError::into_inner).entry(number).or_insert(now);
    }
    StatusCode::OK
}
