//! A scoring provider that answers when it is told to.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use leadline_operators::rules;
use leadline_schemas::score::ScoreInput;
use leadline_tests::next_request;

/// Scores as the rules do. Requests wait until it is opened.
pub struct Provider {
    pub address: String,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    is_open: bool,
    /// The idempotency keys of all requests, in order.
    seen: Vec<String>,
}

impl Provider {
    /// A closed one.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/score", listener.local_addr().unwrap());
        let gate = Arc::<Gate>::default();
        let shared = Arc::clone(&gate);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let gate = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &gate));
            }
        });
        Self { address, gate }
    }

    /// From now on every request is answered at once, those that wait too.
    pub fn open(&self) {
        self.gate.state.lock().unwrap().is_open = true;
        self.gate.opened.notify_all();
    }

    pub fn seen(&self) -> Vec<String> {
        self.gate.state.lock().unwrap().seen.clone()
    }
}

fn answer(mut stream: TcpStream, gate: &Gate) {
    while let Some((key, body)) = next_request(&mut stream) {
        let mut state = gate.state.lock().unwrap();
        state.seen.push(key);
        drop(gate.opened.wait_while(state, |state| !state.is_open).unwrap());
        let input: ScoreInput = serde_json::from_str(&body).unwrap();
        let scored = serde_json::to_string(&rules::score(&input)).unwrap();
        let length = scored.len();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{scored}");
    }
}
