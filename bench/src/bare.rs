//! The baseline of `ingest`: a bare axum handler that reads the body and answers 200, in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;

/// The hidden command that this binary runs itself with.
pub(crate) const COMMAND: &str = "bare-handler";

/// Serves until its input ends; prints its address first.
///
/// It is not killed, so that a build with counters counts what runs here as it does in leadline (`deploy/pgo.sh`).
pub(crate) fn serve() -> Result<()> {
    let (ended, input_ended) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let router =
            Router::new().route("/v1/callrail/webhook", post(|_body: Bytes| async { StatusCode::OK }));
        tokio::select! {
            served = axum::serve(listener, router).into_future() => Ok(served?),
            _ = input_ended => Ok(()),
        }
    })
}

/// A running bare handler; ended when dropped.
pub(crate) struct BareHandler {
    process: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl BareHandler {
    /// Starts it.
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("its output is a pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("the bare handler printed no address")?;
        Ok(Self { process, address })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for BareHandler {
    fn drop(&mut self) {
        let _ = self.process.wait(); // It closes the input first.
    }
}
