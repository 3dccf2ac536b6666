//! Strict doubles of services that score: Gemini on Vertex AI and OpenAI's chat completions, over real HTTP. What their
//! references say is refused is refused here; unknown fields are too. Every answer is counted, for each is billed.

mod chat;
mod fields;
mod gemini;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State as Shared;
use axum::http::{Request, Response, header};
use serde_json::{Value, json};

/// The vendor whose manners a double has.
#[derive(Clone, Debug)]
pub enum Vendor {
    /// `generateContent` of this project and location.
    Gemini { project: String, location: String },
    /// `/v1/chat/completions`.
    Chat,
}

/// How an answer comes.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The model says this, of so many tokens.
    Says(String),
    /// The whole body of an answer, whatever it says.
    Whole(u16, Value),
    /// As `Says`, and the connection breaks in its middle.
    Half(String),
    /// As `Says`, a byte at a time, with this between them.
    Slow(String, Duration),
    /// Nothing, for ever.
    Hang,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
    pub body: Value,
    pub status: u16,
}

#[derive(Debug)]
struct State {
    vendor: Vendor,
    models: Vec<String>,
    tokens: Vec<String>,
    /// What it is called, with its port.
    hosts: Vec<String>,
    replies: VecDeque<Reply>,
    /// What is said when no reply is set.
    usual: Option<String>,
    asked: Vec<Asked>,
    billed: usize,
}

/// A double; it ends with the test's process.
#[derive(Clone)]
pub struct AiDouble {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A refusal in the vendor's own words.
pub(crate) struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub why: String,
}

pub(crate) fn bad(why: impl Into<String>) -> Refusal {
    Refusal { status: 400, code: "INVALID_ARGUMENT", why: why.into() }
}

impl AiDouble {
    /// Starts one that has these models and takes these tokens.
    pub fn start(vendor: Vendor, models: &[&str], tokens: &[&str]) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let address = listener.local_addr().unwrap();
        let state = State {
            vendor,
            hosts: vec![address.to_string()],
            models: owned(models),
            tokens: owned(tokens),
            replies: VecDeque::new(),
            usual: None,
            asked: Vec::new(),
            billed: 0,
        };
        let double = Self { address, state: Arc::new(Mutex::new(state)) };
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

    /// Scheme and host.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it is, for what stands before it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stands before it, as requests name it.
    pub fn is_behind(&self, url: &str) {
        let host = url.split("://").last().unwrap_or_default();
        self.state().hosts.push(host.to_owned());
    }

    /// Says how the next request is answered that is right.
    pub fn next(&self, reply: Reply) {
        self.state().replies.push_back(reply);
    }

    /// What the model says to whatever else it is asked.
    pub fn usually(&self, text: impl Into<String>) {
        self.state().usual = Some(text.into());
    }

    /// Retires a model.
    pub fn retire(&self, model: &str) {
        self.state().models.retain(|known| known != model);
    }

    /// Takes these tokens from now on and no others.
    pub fn take_tokens(&self, tokens: &[&str]) {
        self.state().tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
    }

    /// All requests, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// How many answers were given that are paid for.
    pub fn billed(&self) -> usize {
        self.state().billed
    }
}

/// What a good answer of these words looks like, for its vendor.
fn said(vendor: &Vendor, model: &str, text: &str) -> Value {
    match vendor {
        Vendor::Gemini { .. } => gemini::said(model, text),
        Vendor::Chat => chat::said(model, text),
    }
}

async fn handle(Shared(double): Shared<AiDouble>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap_or_default();
    let path = head.uri.to_string();
    let authorization =
        head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let json: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let host =
        head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let vendor = double.state().vendor.clone();
    let judged = {
        let state = double.state();
        let is_json = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let token = authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
        if !state.hosts.contains(&host) {
            Err(Refusal { status: 404, code: "NOT_FOUND", why: format!("{host:?} is not this host") })
        } else if head.method != "POST" || !is_json {
            Err(bad("POST application/json is what this takes"))
        } else if !token.is_some_and(|token| state.tokens.iter().any(|known| known == token)) {
            Err(Refusal {
                status: 401,
                code: "UNAUTHENTICATED",
                why: "Request had invalid authentication credentials.".to_owned(),
            })
        } else {
            match &vendor {
                Vendor::Gemini { project, location } => {
                    gemini::judge(&path, &json, (project, location), &state.models)
                }
                Vendor::Chat => chat::judge(&path, &json, &state.models),
            }
        }
    };
    let (reply, status) = match &judged {
        Ok(_) => {
            let mut state = double.state();
            let usual = state.usual.clone().map(Reply::Says);
            let reply = state.replies.pop_front().or(usual).expect("a reply was set for every request");
            state.billed += usize::from(!matches!(&reply, Reply::Whole(status, _) if *status != 200));
            let status = if let Reply::Whole(status, _) = &reply { *status } else { 200 };
            (Some(reply), status)
        }
        Err(refusal) => (None, refusal.status),
    };
    double.state().asked.push(Asked { path, authorization, body: json, status });
    let model = match judged {
        Ok(model) => model,
        Err(refusal) => {
            let error = json!({ "error": { "code": refusal.status, "status": refusal.code, "message": refusal.why } });
            let error = if matches!(vendor, Vendor::Chat) { chat::error(&refusal) } else { error };
            return whole(refusal.status, error.to_string().into_bytes());
        }
    };
    let text = |text: &str| said(&vendor, &model, text).to_string().into_bytes();
    match reply {
        Some(Reply::Says(words)) => whole(200, text(&words)),
        Some(Reply::Whole(status, body)) => whole(status, body.to_string().into_bytes()),
        Some(Reply::Half(words)) => {
            let bytes = text(&words);
            let half = bytes[..bytes.len() / 2].to_vec();
            streamed(vec![Ok(Bytes::from(half)), Err(std::io::Error::other("cut"))], Duration::ZERO)
        }
        Some(Reply::Slow(words, between)) => {
            streamed(text(&words).into_iter().map(|byte| Ok(Bytes::from(vec![byte]))).collect(), between)
        }
        Some(Reply::Hang) | None => std::future::pending().await,
    }
}

fn whole(status: u16, body: Vec<u8>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json; charset=UTF-8")
        .body(Body::from(body))
        .unwrap()
}

/// A body in pieces, with time between them.
fn streamed(pieces: Vec<std::io::Result<Bytes>>, between: Duration) -> Response<Body> {
    let stream = futures_util::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let piece = pieces.next()?;
        tokio::time::sleep(between).await;
        Some((piece, pieces))
    });
    Response::builder().status(200).body(Body::from_stream(stream)).unwrap()
}
