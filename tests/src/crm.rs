//! What the doubles of CRMs have in common: a real HTTP server on loopback whose answers can be replaced, lost after they
//! took effect, or withheld.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Decoded.
    pub query: Vec<(String, String)>,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What was answered; none when it was lost or withheld.
    pub status: Option<u16>,
}

/// What becomes of a request instead of its answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This is answered, and nothing happens.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// It takes effect, and the connection is cut before the answer.
    Lose,
    /// It has no effect, and no answer comes.
    Hang,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a double makes of a request.
pub type Handler<S> = fn(&mut S, &Asked) -> Reply;

struct Inner<S> {
    state: S,
    faults: Vec<(String, Fault)>,
    asked: Vec<Asked>,
}

/// A double's server; it ends with the test's process.
pub struct Server<S> {
    address: SocketAddr,
    inner: Arc<Mutex<Inner<S>>>,
}

impl<S> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self { address: self.address, inner: Arc::clone(&self.inner) }
    }
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as a form.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

impl Fault {
    /// An answer that is kept as a file: `VENDOR/STATUS_what.json` (or `.html`).
    pub fn golden(vendor: &str, name: &str) -> Self {
        let status = name.split('_').next().and_then(|status| status.parse().ok()).expect("STATUS_what");
        let body = std::fs::read(golden_folder(vendor).join(name)).unwrap();
        Self::Answer(status, Vec::new(), body)
    }

    pub fn answer(status: u16, body: &str) -> Self {
        Self::Answer(status, Vec::new(), body.as_bytes().to_vec())
    }
}

/// Where the answers of a vendor are kept.
pub fn golden_folder(vendor: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(vendor)
}

/// The names of a vendor's kept answers.
pub fn goldens(vendor: &str) -> Vec<String> {
    let files = std::fs::read_dir(golden_folder(vendor)).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl<S: Send + 'static> Server<S> {
    /// Starts one on a free port.
    pub fn start(state: S, handler: Handler<S>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner { state, faults: Vec::new(), asked: Vec::new() }));
        let server = Self { address, inner };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = serving.clone();
                std::thread::spawn(move || server.serve(stream, handler));
            }
        });
        server
    }

    /// Scheme and host.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap()
    }

    /// Looks at, or changes, what the double holds.
    pub fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.inner().state)
    }

    /// The next request with this in its method and path (`POST /crm`) fails like this.
    pub fn fail(&self, place: &str, fault: Fault) {
        self.inner().faults.push((place.to_owned(), fault));
    }

    /// Everything that was asked, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.inner().asked.clone()
    }

    /// How many requests had this in their method and path.
    pub fn count(&self, place: &str) -> usize {
        let has = |asked: &&Asked| format!("{} {}", asked.method, asked.path).contains(place);
        self.inner().asked.iter().filter(has).count()
    }

    fn serve(&self, mut stream: TcpStream, handler: Handler<S>) {
        let Some(mut asked) = read(&mut stream) else { return };
        let place = format!("{} {}", asked.method, asked.path);
        let reply = {
            let mut inner = self.inner();
            let at = inner.faults.iter().position(|(part, _)| place.contains(part.as_str()));
            let fault = at.map(|at| inner.faults.remove(at).1);
            let reply = match fault {
                None => Some(handler(&mut inner.state, &asked)),
                Some(Fault::Answer(status, headers, body)) => Some(Reply { status, headers, body }),
                Some(Fault::Lose) => {
                    handler(&mut inner.state, &asked);
                    None
                }
                Some(Fault::Hang) => {
                    inner.asked.push(asked);
                    drop(inner);
                    // Until the client goes away.
                    let _ = stream.read(&mut [0; 1]);
                    return;
                }
            };
            asked.status = reply.as_ref().map(|reply| reply.status);
            inner.asked.push(asked);
            reply
        };
        if let Some(reply) = reply {
            let mut head = format!(
                "HTTP/1.1 {} Status\r\ncontent-length: {}\r\nconnection: close\r\n",
                reply.status,
                reply.body.len()
            );
            reply.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
            let _ = stream.write_all(&[head.as_bytes(), b"\r\n", &reply.body].concat());
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .map_or(0, |(_, value)| value.parse().unwrap());
        let mut body = bytes.split_off(end + 4);
        while body.len() < length {
            let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            body.extend_from_slice(&piece[..count]);
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (path, query) = (path.to_owned(), pairs(query));
        return Some(Asked { method, path, query, headers, body, status: None });
    }
}

/// Pairs of a query or a form.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// Percent-decoded, with + as a blank.
pub fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = String::from_utf8(hex).unwrap();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
