//! One run of a command: what it said, and that nothing of it remains.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::contract::provider::CallError;
use crate::http_client::one_line;
use crate::speech::reject;

/// The largest output that is read: a transcript of an hour has some 200 KiB as JSON.
const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// What is kept of the end of its complaints.
const COMPLAINT_BYTES_MAX: usize = 2 << 10;

/// How a command ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// The last line that it wrote to its standard error.
    pub(super) complaint: String,
}

/// Ends a process group unless it was let go.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            // It may have ended by itself; then there is nobody to end.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs it to its end. Who drops this, as a deadline does, ends the command and all that it has started.
pub(super) async fn run(mut command: Command) -> Result<Ended, CallError> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let spawned = command.spawn();
    let mut child = spawned.map_err(|error| reject(format!("the command cannot be started: {error}")))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // Behind the child, so that it is dropped before: until the child is waited for nobody else has its number.
    let mut group = Group(id);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // The first that fails ends both: a command that says too much may be stopped in the middle of it.
    let (stdout, complaint) = tokio::try_join!(output(stdout), last_words(stderr))?;
    let status = child.wait().await.map_err(|error| reject(format!("the command was lost: {error}")))?;
    group.0 = None;
    Ok(Ended { status, stdout, complaint })
}

async fn output(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, CallError> {
    let (mut all, Some(from)) = (Vec::new(), from) else { return Ok(Vec::new()) };
    let read = from.take(OUTPUT_BYTES_MAX as u64 + 1).read_to_end(&mut all).await;
    read.map_err(|error| reject(format!("the command's output cannot be read: {error}")))?;
    if all.len() > OUTPUT_BYTES_MAX {
        return Err(reject(format!("the command said more than {OUTPUT_BYTES_MAX} bytes and was ended")));
    }
    Ok(all)
}

/// Reads all of it, for a full pipe would stop the command, and keeps the last line.
async fn last_words(from: Option<impl AsyncRead + Unpin>) -> Result<String, CallError> {
    let (mut last, Some(mut from)) = (Vec::new(), from) else { return Ok(String::new()) };
    let mut piece = [0; 4 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        last.extend_from_slice(piece.get(..count).unwrap_or_default());
        let too_many = last.len().saturating_sub(COMPLAINT_BYTES_MAX);
        last.drain(..too_many);
    }
    let text = String::from_utf8_lossy(&last);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    Ok(one_line(line.as_bytes()))
}
