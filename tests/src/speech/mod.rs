//! A strict double of Google Speech-to-Text v2 over real HTTP: `recognize`, `batchRecognize` and its operations. What the
//! published interface does not have is refused: unknown fields, another host, region, path, model or project. Each start
//! is billed, a second one of the same recording too.

mod answer;
mod check;
mod state;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State as Shared;
use axum::http::{Request, Response, StatusCode, header};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use self::state::State;
pub use self::state::{Fault, Line, Sound};

/// The project that it knows.
pub const PROJECT: &str = "my-project";
/// The pause before each byte of a slow answer.
const SLOW: Duration = Duration::from_millis(200);

/// The double; it ends with the test's process.
#[derive(Clone)]
pub struct Speech {
    state: Arc<Mutex<State>>,
    pub address: SocketAddr,
}

/// An error as Google tells it: status, `google.rpc` status, message.
pub(crate) type Refused = (u16, &'static str, String);

pub(crate) fn invalid(why: impl Into<String>) -> Refused {
    (400, "INVALID_ARGUMENT", why.into())
}

pub(crate) fn unknown(why: impl Into<String>) -> Refused {
    (404, "NOT_FOUND", why.into())
}

impl Speech {
    /// Starts one of a region, that takes this token.
    pub fn start(region: &str, token: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let double = Self { state: Arc::new(Mutex::new(State::new(region, token))), address };
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

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Where it is asked under the name of its host, which has to be resolved to `address`.
    pub fn named(&self) -> String {
        format!("http://{}:{}", self.host(), self.address.port())
    }

    /// The host of its region.
    pub fn host(&self) -> String {
        format!("{}-speech.googleapis.com", self.state().region)
    }

    /// Where it is asked by processes whose resolver nobody can change.
    pub fn by_address(&self) -> String {
        self.state().by_address = true;
        format!("http://{}", self.address)
    }

    /// Puts a recording into a bucket, with `*` for whatever its name begins with; a request may also bring these bytes. The first
    /// that fits counts.
    pub fn recording(&self, uri: &str, bytes: Vec<u8>, sound: Sound) {
        self.state().recordings.push((uri.to_owned(), bytes, sound));
    }

    /// What is said in a recording that was put into a bucket.
    pub fn lines(&self, uri: &str) -> Vec<Line> {
        let state = self.state();
        let known = state.recordings.iter().find(|(known, ..)| known == uri);
        known.map(|(.., sound)| sound.lines.clone()).unwrap_or_default()
    }

    /// From now on only this token is taken.
    pub fn expect_token(&self, token: &str) {
        self.state().token = token.to_owned();
    }

    /// The next request whose method and path have this in them fails like this.
    pub fn fail(&self, path: &str, fault: Fault) {
        self.state().faults.push((path.to_owned(), fault));
    }

    /// Operations run until this many polls, from now on.
    pub fn polls(&self, count: u32) {
        self.state().polls = count;
    }

    /// All operations are forgotten.
    pub fn forget(&self) {
        self.state().operations.clear();
    }

    /// Which recordings were started, oldest first.
    pub fn started(&self) -> Vec<String> {
        self.state().started.clone()
    }

    /// Seconds that were billed.
    pub fn billed_s(&self) -> i64 {
        self.state().billed_s
    }

    /// What was asked, as method and path with query, oldest first.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// The last body of a start or a request.
    pub fn last_body(&self) -> Value {
        self.state().last_body.clone()
    }

    /// How many requests had this in their method and path.
    pub fn count(&self, part: &str) -> usize {
        self.state().asked.iter().filter(|asked| asked.contains(part)).count()
    }
}

async fn handle(Shared(double): Shared<Speech>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 64 << 20).await.unwrap_or_default();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let line = format!("{} {path}", parts.method);
    let fault = {
        let mut state = double.state();
        state.asked.push(line.clone());
        let at = state.faults.iter().position(|(part, _)| line.contains(part.as_str()));
        at.map(|at| state.faults.remove(at).1)
    };
    match &fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Status(status, name, message)) => {
            return told((*status, *name, (*message).to_owned()), &[]);
        }
        Some(Fault::Busy(after)) => {
            let error = (429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric".to_owned());
            return told(error, &[("retry-after", after)]);
        }
        Some(Fault::Page(status)) => return bytes(*status, b"<html>bad gateway</html>".to_vec()),
        _ => {}
    }
    let answer = {
        let mut state = double.state();
        let allowed = check::known(&state, &parts.headers, &path);
        allowed.and_then(|place| state.answer(&parts.method, &place, &body, &fault))
    };
    match (answer, fault) {
        (_, Some(Fault::Cut)) => cut(Vec::new()),
        (Ok(answer), Some(Fault::Half)) => {
            let text = answer.to_string().into_bytes();
            cut(text[..text.len() / 2].to_vec())
        }
        (Ok(answer), Some(Fault::Slow)) => slow(answer.to_string().into_bytes()),
        (Ok(answer), _) => bytes(200, answer.to_string().into_bytes()),
        (Err(refused), _) => told(refused, &[]),
    }
}

fn told((status, name, message): Refused, headers: &[(&str, &str)]) -> Response<Body> {
    let body = json!({ "error": { "code": status, "status": name, "message": message, "details": [
        { "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name, "domain": "speech.googleapis.com" },
    ] } });
    let mut answer = bytes(status, body.to_string().into_bytes());
    for (name, value) in headers {
        answer.headers_mut().insert(header::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    answer
}

fn bytes(status: u16, body: Vec<u8>) -> Response<Body> {
    let answer = Response::builder().status(StatusCode::from_u16(status).unwrap());
    answer.header(header::CONTENT_TYPE, "application/json; charset=UTF-8").body(Body::from(body)).unwrap()
}

/// An answer whose connection ends before it does.
fn cut(beginning: Vec<u8>) -> Response<Body> {
    let pieces = stream::iter([Ok(beginning), Err(std::io::Error::other("cut"))]);
    Response::builder().status(200).body(Body::from_stream(pieces)).unwrap()
}

/// An answer of which a byte comes now and then.
fn slow(body: Vec<u8>) -> Response<Body> {
    let pieces = stream::iter(body).then(|byte| async move {
        tokio::time::sleep(SLOW).await;
        Ok::<_, std::io::Error>(vec![byte])
    });
    Response::builder().status(200).body(Body::from_stream(pieces)).unwrap()
}
