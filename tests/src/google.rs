//! A real server of Google Cloud Storage's interface for tests: built by Go once, started on loopback, ended with the
//! test's process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::kafka::{has, janitor, target_folder};
use crate::{free_port, until};

/// The version of fsouza/fake-gcs-server, in the name of the folder that keeps it.
const VERSION: &str = "v1.56.1";
const START: Duration = Duration::from_secs(20);

/// A server with an empty bucket.
pub struct GoogleServer {
    pub port: u16,
    pub bucket: &'static str,
    process: Child,
    /// Ends the server when this process is gone, however it goes.
    _janitor: Child,
}

impl GoogleServer {
    /// Starts one; none, said loudly, where Go is missing. In CI that is a failure.
    pub fn start() -> Option<Self> {
        let program = program()?;
        let (port, bucket) = (free_port(), "recordings");
        let folder = tempfile::Builder::new().prefix("leadline-google-").tempdir().unwrap().keep();
        let janitor = janitor(&folder);
        std::fs::create_dir(folder.join("server")).unwrap();
        let output = std::fs::File::create(folder.join("server/output")).unwrap();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new(program)
            .args(["-scheme", "http", "-host", "127.0.0.1", "-backend", "memory", "-port", &port.to_string()])
            .args(["-public-host", &address, "-external-url", &format!("http://{address}")])
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .spawn()
            .unwrap();
        std::fs::write(folder.join("server/pid"), process.id().to_string()).unwrap();
        let server = Self { port, bucket, process, _janitor: janitor };
        until("a server of Google Cloud Storage's interface", START, || server.make_bucket());
        Some(server)
    }

    fn make_bucket(&self) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
            return false;
        };
        let body = format!("{{\"name\":\"{}\"}}", self.bucket);
        let request = format!(
            "POST /storage/v1/b?project=p HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut answer = String::new();
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }
}

impl Drop for GoogleServer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The server's program, beside what cargo builds.
fn program() -> Option<PathBuf> {
    let folder = target_folder().join("google").join(VERSION);
    let program = folder.join("fake-gcs-server");
    if program.exists() {
        return Some(program);
    }
    if !has("go", "version", "install Go 1.24 or later") {
        return None;
    }
    build(&folder);
    assert!(program.exists());
    Some(program)
}

fn build(folder: &Path) {
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let fresh = tempfile::Builder::new().prefix("building-").tempdir_in(folder.parent().unwrap()).unwrap();
    let done = Command::new("go")
        .args(["install", &format!("github.com/fsouza/fake-gcs-server@{VERSION}")])
        .env("GOBIN", fresh.path())
        .env("GOFLAGS", "-mod=mod")
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Another test may have been faster; then its folder is as good.
    let _ = std::fs::rename(fresh.path(), folder);
}
