//! The socket that HTTP comes in by.

use std::net::TcpListener;

use anyhow::{Context as _, anyhow};

/// Connections that the kernel keeps while they wait to be accepted; Linux caps it at `net.core.somaxconn`, 4,096.
const BACKLOG: i32 = 4_096;

/// The address to listen on, or a socket that a parent handed in.
pub(crate) fn listener(listen: &str) -> anyhow::Result<TcpListener> {
    if let Some(fd) = listen.strip_prefix("fd:") {
        let fd: i32 = fd.parse().with_context(|| format!("--listen {listen}: use fd:3"))?;
        return inherited(fd);
    }
    let listener = TcpListener::bind(listen).with_context(|| {
        format!("{listen} cannot be listened on; is another process there? choose another --listen")
    })?;
    // The standard library asks for 128: a burst of webhooks would wait a second for its second SYN.
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

/// A socket that systemd (or a test) has bound: it keeps connections queued while leadline restarts.
fn inherited(fd: i32) -> anyhow::Result<TcpListener> {
    let index =
        usize::try_from(fd - 3).with_context(|| format!("fd:{fd}: handed-in sockets begin at fd:3"))?;
    let taken = listenfd::ListenFd::from_env().take_tcp_listener(index)?;
    taken.ok_or_else(|| {
        anyhow!(
            "fd:{fd} was not handed in: LISTEN_FDS names no such socket; start leadline from a .socket unit"
        )
    })
}
