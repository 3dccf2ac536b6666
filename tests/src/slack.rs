//! A strict double of Slack over real HTTP: `chat.postMessage`, `chat.update` and incoming webhooks. What Slack refuses is
//! refused here, and so are unknown fields, wrong paths, and more than a message a second and channel.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State as Shared;
use axum::http::{Request, Response, header};
use serde_json::{Value, json};

/// The token that may post.
pub const TOKEN: &str = "xoxb-1-double";
/// The path of the incoming webhook, which is its secret.
pub const HOOK: &str = "/services/T0/B0/s3cr3t-0f-the-hook";
/// Slack counts a second; a clock that is asked twice may be a little early.
const SECOND: Duration = Duration::from_millis(950);

/// A message as the channel shows it.
#[derive(Clone, Debug)]
pub struct Posted {
    pub channel: String,
    pub ts: String,
    pub text: String,
    pub blocks: Value,
    /// How often it was changed.
    pub changes: usize,
    /// When it came.
    pub at: Instant,
}

/// What becomes of a request instead.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This answer, and nothing is posted.
    Answer { status: u16, headers: Vec<(String, String)>, body: String },
    /// Nothing is posted, and nobody answers.
    Hang,
    /// It is posted, and nobody answers.
    HangAfter,
}

#[derive(Default)]
struct State {
    messages: Vec<Posted>,
    faults: VecDeque<Fault>,
    last: HashMap<String, Instant>,
    /// What was wrong with requests: a test that is right has none.
    complaints: Vec<String>,
    limited: usize,
    unlimited: bool,
}

/// The double; it ends with the test's process.
#[derive(Clone)]
pub struct Slack {
    address: std::net::SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Slack {
    /// Starts one.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let double = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let router = Router::new().fallback(handle).with_state(double.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        double
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What an integration's address has to be.
    pub fn api(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// The address of the incoming webhook; it posts to channel `hook`.
    pub fn hook(&self) -> String {
        format!("http://{}{HOOK}", self.address)
    }

    /// The next request comes to this.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// Messages may come at any rate: for tests of something else.
    pub fn unlimited(&self) {
        self.state().unlimited = true;
    }

    /// The messages, oldest first.
    pub fn messages(&self) -> Vec<Posted> {
        self.state().messages.clone()
    }

    /// Somebody deletes all messages.
    pub fn delete_all(&self) {
        self.state().messages.clear();
    }

    /// What was wrong with requests.
    pub fn complaints(&self) -> Vec<String> {
        self.state().complaints.clone()
    }

    /// How often somebody was told to be slower.
    pub fn limited(&self) -> usize {
        self.state().limited
    }
}

type Answer = (u16, Vec<(String, String)>, String);

async fn handle(Shared(double): Shared<Slack>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let fault = double.state().faults.pop_front();
    if let Some(Fault::Answer { status, headers, body }) = fault {
        return response((status, headers, body));
    }
    if matches!(fault, Some(Fault::Hang)) {
        std::future::pending::<()>().await;
    }
    let of = |name: header::HeaderName| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let asked = Asked {
        path: head.uri.path().to_owned(),
        content_type: of(header::CONTENT_TYPE),
        token: of(header::AUTHORIZATION),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let answer = double.state().answer(head.method.as_str(), &asked);
    if matches!(fault, Some(Fault::HangAfter)) {
        std::future::pending::<()>().await;
    }
    response(answer)
}

fn response((status, headers, body): Answer) -> Response<Body> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(Body::from(body)).unwrap()
}

struct Asked {
    path: String,
    content_type: String,
    token: String,
    body: Value,
}

fn ok_false(error: &str) -> Answer {
    (200, Vec::new(), json!({ "ok": false, "error": error }).to_string())
}

impl State {
    fn answer(&mut self, method: &str, asked: &Asked) -> Answer {
        let answer = match (method, asked.path.as_str()) {
            ("POST", "/api/chat.postMessage") => self.post(asked),
            ("POST", "/api/chat.update") => self.update(asked),
            ("POST", HOOK) => self.hook(asked),
            ("POST", path) if path.starts_with("/services/") => (404, Vec::new(), "no_service".to_owned()),
            (_, path) => {
                self.complaints.push(format!("{method} {path} is nothing that leadline should ask"));
                (404, Vec::new(), "nothing here".to_owned())
            }
        };
        if answer.2.contains("invalid") || answer.2.contains("too_long") {
            self.complaints.push(format!("{} {}: {}", asked.path, answer.2, asked.body));
        }
        answer
    }

    fn post(&mut self, asked: &Asked) -> Answer {
        if let Some(refused) = refused(asked, &["channel", "text", "blocks", "metadata", "unfurl_links"]) {
            return refused;
        }
        let channel = asked.body["channel"].as_str().unwrap_or_default().to_owned();
        match channel.as_str() {
            "C0ARCHIVED" => return ok_false("is_archived"),
            "C0FOREIGN" => return ok_false("not_in_channel"),
            id if !id.starts_with('C') => return ok_false("channel_not_found"),
            _ => {}
        }
        if let Some(slower) = self.slower(&channel) {
            return slower;
        }
        let ts = self.take(&channel, asked);
        (200, Vec::new(), json!({"ok": true, "channel": channel, "ts": ts, "message": {}}).to_string())
    }

    fn update(&mut self, asked: &Asked) -> Answer {
        if let Some(refused) = refused(asked, &["channel", "ts", "text", "blocks"]) {
            return refused;
        }
        let (channel, ts) = (asked.body["channel"].clone(), asked.body["ts"].clone());
        let found = self.messages.iter_mut().find(|message| channel == message.channel && ts == message.ts);
        let Some(message) = found else { return ok_false("message_not_found") };
        message.text = asked.body["text"].as_str().unwrap_or_default().to_owned();
        message.blocks = asked.body["blocks"].clone();
        message.changes += 1;
        (200, Vec::new(), json!({"ok": true, "channel": channel, "ts": ts, "text": ""}).to_string())
    }

    fn hook(&mut self, asked: &Asked) -> Answer {
        if !asked.content_type.starts_with("application/json") || !only(&asked.body, &["text", "blocks"]) {
            return (400, Vec::new(), "invalid_payload".to_owned());
        }
        if asked.body["text"].as_str().is_none_or(str::is_empty) {
            return (400, Vec::new(), "no_text".to_owned());
        }
        if let Some(error) = wrong_blocks(&asked.body["blocks"]) {
            return (400, Vec::new(), error.to_owned());
        }
        if let Some(slower) = self.slower("hook") {
            return slower;
        }
        self.take("hook", asked);
        (200, Vec::new(), "ok".to_owned())
    }

    fn slower(&mut self, channel: &str) -> Option<Answer> {
        let early = self.last.get(channel).is_some_and(|last| last.elapsed() < SECOND);
        if !early || self.unlimited {
            return None;
        }
        self.limited += 1;
        let headers = vec![("Retry-After".to_owned(), "1".to_owned())];
        Some((429, headers, json!({"ok": false, "error": "ratelimited"}).to_string()))
    }

    fn take(&mut self, channel: &str, asked: &Asked) -> String {
        self.last.insert(channel.to_owned(), Instant::now());
        let ts = format!("1772640000.{:06}", self.messages.len());
        self.messages.push(Posted {
            channel: channel.to_owned(),
            ts: ts.clone(),
            text: asked.body["text"].as_str().unwrap_or_default().to_owned(),
            blocks: asked.body["blocks"].clone(),
            changes: 0,
            at: Instant::now(),
        });
        ts
    }
}

fn refused(asked: &Asked, fields: &[&str]) -> Option<Answer> {
    if asked.token != format!("Bearer {TOKEN}") {
        return Some(ok_false(if asked.token.is_empty() { "not_authed" } else { "invalid_auth" }));
    }
    if asked.content_type != "application/json; charset=utf-8" {
        return Some(ok_false("invalid_form_data"));
    }
    if !only(&asked.body, fields) {
        return Some(ok_false("invalid_arguments"));
    }
    if asked.body["text"].as_str().is_none_or(str::is_empty) {
        return Some(ok_false("no_text"));
    }
    wrong_blocks(&asked.body["blocks"]).map(ok_false)
}

fn only(value: &Value, fields: &[&str]) -> bool {
    value.as_object().is_some_and(|object| object.keys().all(|key| fields.contains(&key.as_str())))
}

/// Slack's bounds of blocks (vendor facts, section 6).
fn wrong_blocks(blocks: &Value) -> Option<&'static str> {
    let Some(list) = blocks.as_array() else { return Some("invalid_blocks_format") };
    if list.len() > 50 || !list.iter().all(is_block) {
        return Some("invalid_blocks");
    }
    (blocks.to_string().chars().count() > 13_200).then_some("msg_blocks_too_long")
}

fn is_block(block: &Value) -> bool {
    let text = |value: &Value, kind: &str, most: usize| {
        let said = value["text"].as_str().unwrap_or_default();
        value["type"] == kind && only(value, &["type", "text"]) && (1..=most).contains(&said.chars().count())
    };
    let all = |value: &Value, most: usize, is_it: &dyn Fn(&Value) -> bool| {
        value.as_array().is_some_and(|list| (1..=most).contains(&list.len()) && list.iter().all(is_it))
    };
    match block["type"].as_str().unwrap_or_default() {
        "header" => only(block, &["type", "text"]) && text(&block["text"], "plain_text", 150),
        "section" if block.get("fields").is_some() => {
            only(block, &["type", "fields"]) && all(&block["fields"], 10, &|one| text(one, "mrkdwn", 2_000))
        }
        "section" => only(block, &["type", "text"]) && text(&block["text"], "mrkdwn", 3_000),
        "context" => {
            only(block, &["type", "elements"])
                && all(&block["elements"], 10, &|one| text(one, "mrkdwn", 3_000))
        }
        "actions" => {
            let is_button = |one: &Value| {
                one["type"] == "button"
                    && only(one, &["type", "text", "url"])
                    && text(&one["text"], "plain_text", 75)
                    && one["url"].as_str().is_some_and(|url| url.starts_with("http") && url.len() <= 3_000)
            };
            only(block, &["type", "elements"]) && all(&block["elements"], 25, &is_button)
        }
        _ => false,
    }
}
