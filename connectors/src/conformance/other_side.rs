//! The other side of a call: a real server on loopback that answers as a suite tells it, or does not.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of the next request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// An answer with status, headers as lines, and body.
    Answer(u16, &'static str, Vec<u8>),
    /// Nothing, for ever.
    Hang,
    /// The connection is closed before an answer.
    Cut,
    /// The connection is closed in the middle of an answer with this status.
    CutInside(u16),
    /// An answer with this status whose body does not end.
    Flood(u16),
}

/// How a double behaves that has no other side, but does as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It answers.
    Answers,
    /// It is asked too often.
    Refuses,
    /// It takes the request and never answers.
    Hangs,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The request line and all headers, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of a header, if it came once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let (_, value) = lines.find(|(header, _)| *header == name)?;
        Some(value)
    }
}

/// The server; it ends with its runtime.
#[derive(Clone)]
pub struct OtherSide {
    address: SocketAddr,
    script: Arc<Mutex<VecDeque<Behaviour>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl OtherSide {
    /// Starts one on a free port of loopback.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let other = Self { address, script: Arc::default(), seen: Arc::default() };
        let server = other.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                // A client may go away at any time.
                tokio::spawn(async move { _ = server.serve(stream).await });
            }
        });
        other
    }

    /// Its address, with something in it that must not be told to anybody.
    pub fn url(&self) -> String {
        format!("http://{}/hook/{SECRET}?token={SECRET}", self.address)
    }

    /// Scheme and host alone, for who makes paths of its own.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An address at which nobody listens.
    pub fn nobody() -> String {
        format!("http://127.0.0.1:1/hook/{SECRET}?token={SECRET}")
    }

    /// Says what becomes of the next request; those after the last one hang.
    pub fn next(&self, behaviour: Behaviour) {
        self.script.lock().unwrap().push_back(behaviour);
    }

    /// The requests that have come, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(request) = read_request(&mut stream).await? else { return Ok(()) };
        self.seen.lock().unwrap().push(request);
        let behaviour = self.script.lock().unwrap().pop_front().unwrap_or(Behaviour::Hang);
        match behaviour {
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Cut => Ok(()),
            Behaviour::Answer(status, headers, body) => {
                let head = format!(
                    "HTTP/1.1 {status} Status\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(&[head.as_bytes(), &body].concat()).await?;
                stream.shutdown().await
            }
            Behaviour::CutInside(status) => {
                let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: 1000\r\n\r\n{{\"id\":");
                stream.write_all(head.as_bytes()).await
            }
            Behaviour::Flood(status) => {
                let head = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n\r\n{{\"id\":\"");
                stream.write_all(head.as_bytes()).await?;
                loop {
                    stream.write_all(&[b'x'; 64 << 10]).await?;
                }
            }
        }
    }
}

/// What addresses and secrets hold that must not come out in an error.
pub const SECRET: &str = "s3cr3t-0f-the-tenant";

async fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Seen>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await?;
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if count == 0 {
                return Ok(None);
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let body = bytes.split_off(end + 4);
        let mut seen = Seen { head, body };
        let length = seen.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        while seen.body.len() < length {
            let count = stream.read(&mut buffer).await?;
            if count == 0 {
                return Ok(None);
            }
            seen.body.extend_from_slice(&buffer[..count]);
        }
        return Ok(Some(seen));
    }
}

/// The longest that a call with `deadline` may take: it bounds its own time, and a busy machine has some slack.
pub fn slack(deadline: Duration) -> Duration {
    deadline + Duration::from_secs(20)
}

/// What holds of every reason: one line, not too long, nothing that must not be told.
pub fn check_why(why: &str) {
    assert!(!why.trim().is_empty(), "a reason says something");
    assert!(!why.contains(|letter: char| letter.is_control()), "a reason is one line: {why:?}");
    assert!(why.len() <= 1_000, "a reason of {} bytes", why.len());
    assert!(!why.contains(SECRET), "a reason tells a secret: {why:?}");
}
