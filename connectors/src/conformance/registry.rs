//! A schema registry of a few lines, for suites and tests of what talks to one.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Who may ask.
pub const USER: &str = "leadline";
/// And the password.
pub const PASSWORD: &str = "secret";
/// Both as they come.
const CREDENTIALS: &str = "authorization: Basic bGVhZGxpbmU6c2VjcmV0";

/// Gives ids from 1 on; keeps no more than the tests need.
#[derive(Default)]
pub struct Registry {
    /// By id, less one.
    pub schemas: Mutex<Vec<String>>,
    /// By subject.
    pub newest: Mutex<BTreeMap<String, String>>,
    /// Whether it answers 503 to everything.
    pub is_down: AtomicBool,
    /// How many questions have come.
    pub asked: AtomicUsize,
}

impl Registry {
    /// Starts one on a free port of loopback; it ends with the test's process. Answers it and its address.
    pub fn start() -> (Arc<Self>, String) {
        let registry = Arc::<Self>::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/", listener.local_addr().unwrap());
        let serving = Arc::clone(&registry);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (head, body) = read_request(&mut stream);
                let (status, answer) = serving.answer(&head, &body);
                let length = answer.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
                );
            }
        });
        (registry, url)
    }

    fn answer(&self, head: &str, body: &str) -> (u16, String) {
        self.asked.fetch_add(1, SeqCst);
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        if self.is_down.load(SeqCst) {
            return (503, json!({"error_code": 50001, "message": "away"}).to_string());
        }
        if !head.contains(CREDENTIALS) {
            return (401, json!({"error_code": 401, "message": "who are you?"}).to_string());
        }
        if let Some(id) = path.strip_prefix("/api/schemas/ids/") {
            let schemas = self.schemas.lock().unwrap();
            let found = id.parse::<usize>().ok().and_then(|id| schemas.get(id.checked_sub(1)?).cloned());
            return match found {
                Some(schema) => (200, json!({ "schema": schema }).to_string()),
                None => (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string()),
            };
        }
        let subject = path.trim_start_matches("/api/subjects/").split('/').next().unwrap().to_owned();
        if path.ends_with("/latest") {
            return match self.newest.lock().unwrap().get(&subject) {
                Some(schema) => (200, json!({ "schema": schema }).to_string()),
                None => (404, json!({"error_code": 40401, "message": "Subject not found"}).to_string()),
            };
        }
        let body: Value = serde_json::from_str(body).unwrap();
        let schema = body["schema"].as_str().unwrap().to_owned();
        let id = self.add(&schema);
        self.newest.lock().unwrap().insert(subject, schema);
        (200, json!({ "id": id }).to_string())
    }

    /// Takes a schema in, unless it is there; its id.
    pub fn add(&self, schema: &str) -> u32 {
        let mut schemas = self.schemas.lock().unwrap();
        let known = schemas.iter().position(|known| known == schema);
        let index = known.unwrap_or_else(|| {
            schemas.push(schema.to_owned());
            schemas.len() - 1
        });
        u32::try_from(index + 1).unwrap()
    }
}

/// Head and body of a request; empty ones when it ends too early.
fn read_request(stream: &mut TcpStream) -> (String, String) {
    let (mut request, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let read = stream.read(&mut piece).unwrap_or(0);
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if read == 0 { return (String::new(), String::new()) } else { continue }
        };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
        });
        if read == 0 || body.len() >= length.unwrap_or(0) {
            return (head.to_owned(), body.to_owned());
        }
    }
}
