//! Tells a supervisor (systemd, `Type=notify`) how the process is: one line in one datagram, sd_notify(3).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Events are taken.
pub const READY: &str = "READY=1";
/// It ends, and finishes what was begun.
pub const STOPPING: &str = "STOPPING=1";
/// It is alive.
pub const WATCHDOG: &str = "WATCHDOG=1";

/// Says it, where somebody wants to know (`NOTIFY_SOCKET`); one that does not listen is no reason to stop.
pub fn tell(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(name.as_encoded_bytes(), state) {
        tracing::debug!(%error, state, "the supervisor was not told");
    }
}

fn send(name: &[u8], state: &str) -> std::io::Result<()> {
    let address = match name.split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(String::from_utf8_lossy(name).as_ref())?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}
