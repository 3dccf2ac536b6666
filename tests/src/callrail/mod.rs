//! A strict double of CallRail over real HTTP: its API, the host of its links, the storage that they redirect to, and its
//! webhooks. What CallRail's reference says is refused is refused here; unknown parameters and fields are too.

mod api;
mod calls;
mod hooks;
mod state;
mod storage;
mod webhooks;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

pub use self::state::{Asked, Fault, Limits};
use self::state::{State, links_of};
pub use self::webhooks::Sent;

/// A signing key as CallRail makes them.
pub const SIGNING_KEY: &str = "5f3d3ebe065cd800b8c154347437e958";

/// The double; it ends with the test's process.
#[derive(Clone)]
pub struct CallRail {
    state: Arc<Mutex<State>>,
}

/// What a handler makes of a request.
pub(crate) type Answer = Result<(StatusCode, Value), (StatusCode, String)>;

/// A request, whole.
pub(crate) struct Asking {
    pub method: Method,
    /// The path's parts, without `/v3` and `.json`.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Asking {
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Refuses parameters that are none: a misspelt filter would list everything.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), (StatusCode, String)> {
        match self.query.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(bad(format!("unknown parameter {key}"))),
            None => Ok(()),
        }
    }

    pub(crate) fn json(&self) -> Result<Value, (StatusCode, String)> {
        serde_json::from_slice(&self.body).map_err(|_| bad("the body is not JSON"))
    }
}

pub(crate) fn bad(why: impl Into<String>) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, why.into())
}

pub(crate) fn not_found() -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, "Not found".to_owned())
}

impl CallRail {
    /// Starts one: API and links on one port, storage on another.
    pub fn start() -> Self {
        let listen = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let (api, storage) = (listen(), listen());
        let state = State::new(api.local_addr().unwrap(), storage.local_addr().unwrap());
        let double = Self { state: Arc::new(Mutex::new(state)) };
        for (listener, is_storage) in [(api, false), (storage, true)] {
            let double = double.clone();
            let router = match is_storage {
                true => Router::new().fallback(stored).with_state(double),
                false => Router::new().fallback(handle).with_state(double),
            };
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    axum::serve(listener, router).await.unwrap();
                });
            });
        }
        double
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What `callrail.base_url` has to be.
    pub fn base_url(&self) -> String {
        self.state().base()
    }

    /// The section of a `leadline.toml` that leads here.
    pub fn toml(&self) -> String {
        format!("[callrail]\nbase_url = \"{}\"\n", self.base_url())
    }

    /// Adds an account with one key.
    pub fn account(&self, id: &str, key: &str) {
        self.state().account(id, key);
    }

    /// Marks an account as one under HIPAA: its recordings are given out as links of the storage.
    pub fn hipaa(&self, account: &str) {
        self.state().accounts.get_mut(account).unwrap().is_hipaa = true;
    }

    /// Adds a company.
    pub fn company(&self, account: &str, id: &str, name: &str) {
        self.state().company(account, id, name);
    }

    /// Makes a company send webhooks of the older generation, with this numeric id.
    pub fn older(&self, company: &str, numeric_id: u64) {
        self.state().company_mut(company).numeric_id = Some(numeric_id);
    }

    /// Sets an account's limits.
    pub fn limits(&self, account: &str, limits: Limits) {
        self.state().accounts.get_mut(account).unwrap().limits = limits;
    }

    /// Sets the time that limits, links and date ranges go by; without it, the machine's.
    pub fn set_now(&self, at_ms: i64) {
        self.state().now_ms = Some(at_ms);
    }

    /// Adds a call of a company. What `call` does not say is that of an answered call of now.
    pub fn call(&self, company: &str, id: &str, call: Value) {
        self.state().add_call(company, id, call);
    }

    /// Changes members of a call.
    pub fn change(&self, id: &str, changes: Value) {
        self.state().change(id, &changes);
    }

    /// A call as it is.
    pub fn the_call(&self, id: &str) -> Option<Value> {
        let state = self.state();
        state.find(id).map(|call| Value::Object(call.members.clone()))
    }

    /// Adds a form or a conversation of texts, as the API lists it.
    pub fn listed(&self, company: &str, kind: &'static str, row: Value) {
        self.state().listed.push((company.to_owned(), kind, row));
    }

    /// Gives a call a recording.
    pub fn record(&self, id: &str, audio: Vec<u8>) {
        self.state().record(id, audio);
    }

    /// All links given out so far stop working.
    pub fn expire_links(&self) {
        self.state().links.clear();
    }

    /// Makes redirects of recordings lead to this address instead of the storage.
    pub fn redirect_to(&self, address: &str) {
        self.state().redirect_to = Some(address.to_owned());
    }

    /// Lets a field of calls be unknown from now on.
    pub fn forget_field(&self, name: &str) {
        self.state().forgotten_fields.push(name.to_owned());
    }

    /// Every caller is marked as a good lead already, although the call does not say so yet.
    pub fn refuse_good_leads(&self) {
        self.state().refuses_good_leads = true;
    }

    /// Next requests whose path has this in it fail like this, one each.
    pub fn fail(&self, path: &str, fault: Fault) {
        self.state().faults.push((path.to_owned(), fault));
    }

    /// Everything that was asked, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// How many requests had this in their path.
    pub fn count(&self, path: &str) -> usize {
        self.state().asked.iter().filter(|asked| asked.path.contains(path)).count()
    }
}

/// Answers the API and the host of links.
async fn handle(Shared(double): Shared<CallRail>, request: Request<Body>) -> Response<Body> {
    let asking = asking(request).await;
    let path = format!("/{}", asking.path.join("/"));
    let fault = double.state().fault(&path);
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Answer(status, body)) => {
            double.state().note(&asking, &path, status);
            return plain(status, body.into_bytes());
        }
        None => {}
    }
    if asking.path.first().is_some_and(|part| part == "calls") {
        return double.state().link(&asking);
    }
    let (answer, echo) = {
        let mut state = double.state();
        let answer = api::answer(&mut state, &asking);
        let status = match &answer {
            Ok((status, _)) | Err((status, _)) => status.as_u16(),
        };
        state.note(&asking, &path, status);
        (answer, std::mem::take(&mut state.echoes))
    };
    // Its own time passes between an answer and the webhook that it causes.
    for (call, changes) in echo {
        let double = double.clone();
        std::thread::spawn(move || double.call_modified(&call, &changes));
    }
    match answer {
        Ok((status, body)) => plain(status.as_u16(), body.to_string().into_bytes()),
        Err((status, why)) => plain(status.as_u16(), json!({ "error": why }).to_string().into_bytes()),
    }
}

/// Answers the storage.
async fn stored(Shared(double): Shared<CallRail>, request: Request<Body>) -> Response<Body> {
    let asking = asking(request).await;
    double.state().stored(&asking)
}

async fn asking(request: Request<Body>) -> Asking {
    let (head, body) = request.into_parts();
    let query = links_of(head.uri.query().unwrap_or_default());
    let path = head.uri.path().trim_start_matches('/').to_owned();
    Asking {
        method: head.method,
        path: path.split('/').map(str::to_owned).collect(),
        query,
        headers: head.headers,
        body: to_bytes(body, 16 << 20).await.unwrap_or_default().to_vec(),
    }
}

pub(crate) fn plain(status: u16, body: Vec<u8>) -> Response<Body> {
    let builder =
        Response::builder().status(status).header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    builder.body(Body::from(body)).unwrap()
}
