//! Drives the real leadline binary from outside: its command line, its HTTP, its signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

pub mod ai;
pub mod callrail;
pub mod cassandra;
pub mod crm;
pub mod google;
pub mod hubspot;
pub mod kafka;
pub mod oauth;
pub mod pipedrive;
pub mod proxy;
pub mod registry;
pub mod salesforce;
pub mod slack;
pub mod smtp;
#[cfg(feature = "spanner")]
pub mod spanner;
pub mod speech;
pub mod tls;
pub mod whisper;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use ring::hmac;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const COMPANY: &str = "COM338e6107d0eb4712af2d4f2f8a18c900";
pub const KEY: &str = "072e77e426f92738a72fe23c4d1953b4";

/// The binary, built by the same profile into the same target folder as these tests.
pub fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let profile = here.parent().unwrap().parent().unwrap();
    let binary = profile.join("leadline");
    assert!(
        binary.exists(),
        "{} is missing: run `make test`, or `cargo build --bin leadline`",
        binary.display()
    );
    binary
}

/// A free port that stays free while nobody listens on it: not one of those that the system gives to connections, from
/// 32,768 on, and nobody's twice. An instance that was killed would otherwise not get its own again at times.
pub fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    loop {
        // Processes of tests that run at the same time begin at different places.
        let place = std::process::id().wrapping_mul(37) + u32::from(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(11_000 + place % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// One leadline on its own data folder. A `leadline.toml` in the folder is its configuration.
pub struct Instance {
    pub data: TempDir,
    pub port: u16,
    pub process: Option<Child>,
    pub env: Vec<(&'static str, String)>,
    /// More of its command line.
    pub args: Vec<String>,
}

impl Instance {
    pub fn new() -> Self {
        Self {
            data: tempfile::tempdir().unwrap(),
            port: free_port(),
            process: None,
            env: Vec::new(),
            args: Vec::new(),
        }
    }

    /// One with a configuration of its own.
    pub fn configured(toml: &str) -> Self {
        let instance = Self::new();
        std::fs::write(instance.data.path().join("leadline.toml"), toml).unwrap();
        instance
    }

    /// A stopped one on a copy of this data folder.
    pub fn copy_of(folder: &Path) -> Self {
        let instance = Self::new();
        let from = format!("{}/.", folder.display());
        let done = Command::new("cp").args(["-a", &from]).arg(instance.data.path()).status().unwrap();
        assert!(done.success());
        instance
    }

    fn config_args(&self) -> Vec<PathBuf> {
        let config = self.data.path().join("leadline.toml");
        if config.exists() { vec!["--config".into(), config] } else { Vec::new() }
    }

    pub fn cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(args).arg("--data").arg(self.data.path()).args(self.config_args());
        command.output().unwrap()
    }

    /// Adds a tenant; answers its token.
    pub fn tenant(&self, name: &str, company: &str, more: &[&str]) -> String {
        let mut args =
            vec!["tenant", "add", name, "--name", name, "--company-id", company, "--signing-key", KEY];
        args.extend(more);
        let done = self.cli(&args);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
        answer["api_token"].as_str().unwrap_or_default().to_owned()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        command
            .args(["run", "--listen", &format!("127.0.0.1:{}", self.port), "--data"])
            .arg(self.data.path())
            .args(self.config_args())
            .args(&self.args)
            .env("LOG_LEVEL", "info")
            .envs(self.env.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
    }

    pub fn log_path(&self) -> PathBuf {
        self.data.path().join("stderr.log")
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Starts it and waits until it takes events; answers how long that took.
    pub fn start(&mut self) -> Duration {
        let started = Instant::now();
        self.spawn();
        self.wait_ready();
        started.elapsed()
    }

    /// Starts it.
    pub fn spawn(&mut self) {
        self.process = Some(self.command().spawn().unwrap());
    }

    /// Waits until it has ended by itself; answers whether all was well.
    pub fn wait_end(&mut self, time: Duration) -> bool {
        let process = self.process.as_mut().unwrap();
        let mut status = None;
        until("its end", time, || {
            status = process.try_wait().unwrap();
            status.is_some()
        });
        self.process = None;
        status.is_some_and(|status| status.success())
    }

    pub fn wait_ready(&mut self) {
        until("ready", Duration::from_secs(60), || {
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().unwrap()) {
                panic!("leadline ended with {status}: {}", self.log_text());
            }
            get(self.port, "/ready", "").is_some_and(|(status, _)| status == 200)
        });
    }

    pub fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    /// SIGTERM; answers how long it took to end.
    pub fn terminate(&mut self) -> Duration {
        self.signal("-TERM");
        let started = Instant::now();
        let mut process = self.process.take().unwrap();
        let status = process.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log_text());
        started.elapsed()
    }

    pub fn hook(&self, body: &str) -> Option<u16> {
        Some(post(self.port, "/v1/callrail/webhook", &[("Signature", &sign(body))], body)?.0)
    }

    /// All items of a listing.
    pub fn listing(&self, tenant: &str, what: &str, token: &str) -> Vec<Value> {
        self.try_listing(tenant, what, token).expect("an answer")
    }

    /// All items of a listing; none when nobody answered.
    pub fn try_listing(&self, tenant: &str, what: &str, token: &str) -> Option<Vec<Value>> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/tenants/{tenant}/{what}?limit=200{cursor}");
            let (status, body) = get(self.port, &path, token)?;
            assert_eq!(status, 200, "{path}: {body}");
            let page: Value = serde_json::from_str(&body).unwrap();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(items),
            }
        }
    }

    /// A value of `/metrics`, 0 when it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let Some((_, text)) = get(self.port, "/metrics", "") else { return 0.0 };
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value).unwrap_or(0.0)
    }

    /// What a supervisor does: starts it again when it has ended. Answers whether it had.
    pub fn supervise(&mut self) -> bool {
        let running = self.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none());
        if !running {
            self.process = Some(self.command().spawn().unwrap());
        }
        !running
    }
}

impl Default for Instance {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Polls until it holds, or panics.
pub fn until(what: &str, time: Duration, holds: impl FnMut() -> bool) {
    assert!(within(time, holds), "not within {time:?}: {what}");
}

/// Polls until it holds; answers whether it did in time.
pub fn within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + time;
    while !holds() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

pub fn sign(body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, KEY.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, body.as_bytes()))
}

/// When all calls of a run have started: now, for old calls are backfills that nobody is told of, and always the same,
/// for a call that is sent twice must be the same call.
fn started() -> &'static str {
    static STARTED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    STARTED.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        leadline_schemas::Millis(i64::try_from(now).unwrap()).to_string()
    })
}

/// A post-call of caller `n`.
pub fn call(company: &str, n: u64) -> String {
    json!({
        "resource_id": format!("CAL{n:032x}"), "company_resource_id": company, "company_name": "Summit",
        "answered": true, "voicemail": false, "call_type": "answered", "direction": "inbound", "duration": "412",
        "first_call": true, "customer_name": "DENVER CO", "customer_phone_number": format!("+1303{:07}", 5_550_000 + n % 1_000_000),
        "customer_city": "Denver", "customer_state": "CO", "tracking_phone_number": "+13035550100", "recording": null,
        "transcription": "Agent: Summit Kitchens. Caller: Hi, we own our home in Denver and want to remodel the kitchen next month, our budget is sixty thousand dollars.",
        "tags": [], "start_time": started(), "timestamp": started(),
    })
    .to_string()
}

pub fn get(port: u16, path: &str, token: &str) -> Option<(u16, String)> {
    request(
        port,
        &format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        ),
    )
}

pub fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &str) -> Option<(u16, String)> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    request(
        port,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
        ),
    )
}

/// One request on a connection of its own; none when the connection broke: then nobody knows what happened.
pub fn request(port: u16, text: &str) -> Option<(u16, String)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Some((status, body))
}

/// A receiver of deliveries: notes idempotency keys and bodies; or takes requests and never answers.
pub struct Receiver {
    pub address: String,
    pub seen: std::sync::Arc<std::sync::Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    pub fn start(hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen = std::sync::Arc::<std::sync::Mutex<Vec<_>>>::default();
        let noted = std::sync::Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let noted = std::sync::Arc::clone(&noted);
                std::thread::spawn(move || answer(stream, hangs, &noted));
            }
        });
        Self { address, seen }
    }
}

fn answer(mut stream: TcpStream, hangs: bool, noted: &std::sync::Mutex<Vec<(String, String)>>) {
    while let Some(request) = next_request(&mut stream) {
        noted.lock().unwrap().push(request);
        if hangs {
            std::thread::sleep(Duration::from_secs(3_600));
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    }
}

/// Idempotency key and body of the next request of leadline's on a connection; none when it has ended.
pub fn next_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
    loop {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
            line.map(|line| line[name.len() + 1..].trim().to_owned()).unwrap_or_default()
        };
        if body.len() >= header("content-length").parse().unwrap_or(0) {
            return Some((header("idempotency-key"), body.to_owned()));
        }
    }
}

/// Segment files of an instance, oldest first.
pub fn segments(data: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("segment-")).collect();
    files.sort();
    files
}
