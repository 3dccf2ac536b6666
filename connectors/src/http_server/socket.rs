//! A connection that does not wait for ever: for a head, for the next request, for a client that reads nothing.
//!
//! hyper has a timeout for heads, which makes and drops a timer for every request. Here a timer is touched only when
//! a client is slow: one runs per connection, and when it fires, a connection that has seen a request since is fine.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::ServerLimits;

/// Where a connection's requests are; shared by its socket and its service.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// A request is being answered.
    busy: AtomicBool,
    /// Requests so far.
    count: AtomicU64,
    /// The server is stopping: the next answer is this connection's last.
    stopping: AtomicBool,
}

impl Progress {
    pub(super) fn begin(&self) {
        self.busy.store(true, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.busy.store(false, Ordering::Relaxed);
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_last(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// A TCP connection with its timeouts. An expired one is an error of reading or writing, which ends the connection.
pub(super) struct Socket {
    stream: TcpStream,
    progress: Arc<Progress>,
    head_timeout: Duration,
    idle_timeout: Duration,
    /// The request count at the last look.
    seen: u64,
    /// Bytes of the next head have come.
    head_begun: bool,
    /// What `read_timer` measures.
    waiting: Waiting,
    read_timer: Option<Pin<Box<Sleep>>>,
    /// Runs while the client takes nothing.
    write_timer: Option<Pin<Box<Sleep>>>,
    write_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// For the next request; since this count of requests.
    Idle(u64),
    /// For the rest of the head after this count of requests.
    Head(u64),
}

impl Socket {
    pub(super) fn new(stream: TcpStream, progress: Arc<Progress>, limits: &ServerLimits) -> Self {
        Self {
            stream,
            progress,
            head_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            seen: 0,
            head_begun: false,
            waiting: Waiting::Idle(0),
            read_timer: None,
            write_timer: None,
            write_timeout: limits.write_timeout,
        }
    }

    /// The request count; a new request begins a new head.
    fn look(&mut self) -> u64 {
        let count = self.progress.count.load(Ordering::Relaxed);
        if count != self.seen {
            self.seen = count;
            self.head_begun = false;
        }
        count
    }

    /// Nothing has come. Ready when that has lasted too long.
    fn poll_waited(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.progress.busy.load(Ordering::Relaxed) {
            return Poll::Pending; // The body has its own time, and an answer may take long.
        }
        let count = self.look();
        let want = if self.head_begun { Waiting::Head(count) } else { Waiting::Idle(count) };
        let running = self.read_timer.as_ref().is_some_and(|timer| !timer.is_elapsed());
        match (self.waiting, want) {
            // It is left alone: most requests come and go without touching it.
            (Waiting::Idle(_), Waiting::Idle(_)) if running => return Poll::Pending,
            (before, now) if before == now && self.read_timer.is_some() && !running => {
                return Poll::Ready(());
            }
            (Waiting::Head(before), Waiting::Head(now)) if before == now && running => return Poll::Pending,
            _ => {}
        }
        // A client that has just connected owes a head.
        let timeout = match want {
            Waiting::Idle(1..) => self.idle_timeout,
            Waiting::Idle(0) | Waiting::Head(_) => self.head_timeout,
        };
        self.waiting = want;
        restart(&mut self.read_timer, timeout, cx)
    }
}

/// Sets a timer anew and has it wake this task.
fn restart(timer: &mut Option<Pin<Box<Sleep>>>, timeout: Duration, cx: &mut Context<'_>) -> Poll<()> {
    let deadline = Instant::now() + timeout;
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    timer.as_mut().reset(deadline);
    timer.as_mut().poll(cx)
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before && !this.progress.busy.load(Ordering::Relaxed) {
                    this.look();
                    this.head_begun = true;
                }
                Poll::Ready(result)
            }
            Poll::Pending => this.poll_waited(cx).map(|()| Err(timed_out())),
        }
    }
}

impl Socket {
    /// Passes on what a write has come to; one that does not move has its own timeout.
    fn written<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let timeout = self.write_timeout;
        match (result, &mut self.write_timer) {
            (Poll::Ready(result), timer) => {
                *timer = None;
                Poll::Ready(result)
            }
            (Poll::Pending, Some(timer)) => timer.as_mut().poll(cx).map(|()| Err(timed_out())),
            (Poll::Pending, none) => restart(none, timeout, cx).map(|()| Err(timed_out())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        this.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
