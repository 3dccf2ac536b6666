//! Recordings, on the real binary: fetched from a strict double of CallRail or sent in, through kill -9.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use leadline_tests::callrail::{CallRail, Fault};
use leadline_tests::{COMPANY, Instance, get, until};
use serde_json::{Value, json};

const ACCOUNT: &str = "ACC8154748ae6bd4e278a7cddd38a662f4f";
const API_KEY: &str = "the-key-of-the-api-0123456789";
pub(crate) const CALL: &str = "CAL019fb93fce197a38a2788269bcf71b70";
const PATIENT: Duration = Duration::from_secs(60);
pub(crate) const VOICE: &[u8] = include_bytes!("../fixtures/audio/voice.mp3");

/// A company whose calls are recorded, and a leadline that is connected with it and fetches what was recorded.
pub(crate) fn connected() -> (CallRail, Instance, String) {
    let double = CallRail::start();
    double.account(ACCOUNT, API_KEY);
    double.company(ACCOUNT, COMPANY, "Summit Kitchens");
    let leadline = Instance::configured(&double.toml());
    let key = leadline.data.path().join("api.key");
    std::fs::write(&key, API_KEY).unwrap();
    let token = leadline.tenant("summit", COMPANY, &["--fetch-recordings"]);
    let url = format!("http://127.0.0.1:{}", leadline.port);
    let connect = ["tenant", "connect-callrail", "summit", "--api-key-file", key.to_str().unwrap()];
    let done = leadline.cli(&[&connect[..], &["--public-url", &url, "--apply"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    (double, leadline, token)
}

pub(crate) fn add_call(double: &CallRail, audio: &[u8]) {
    double.call(
        COMPANY,
        CALL,
        json!({"start_time": "2026-03-04T16:12:33.236Z", "created_at": "2026-03-04T16:12:33Z"}),
    );
    double.record(CALL, audio.to_vec());
}

pub(crate) fn tell(double: &CallRail, leadline: &Instance) {
    let sent = double.post_call(CALL);
    assert!(sent.iter().all(|sent| sent.status == Some(200)), "{sent:?}: {}", leadline.log_text());
}

fn call_of(leadline: &Instance, token: &str, id: &str) -> Option<Value> {
    let (status, body) = get(leadline.port, &format!("/v1/tenants/summit/calls/{id}"), token)?;
    (status == 200).then(|| serde_json::from_str(&body).unwrap())
}

/// The call once its recording is known, or why there is none.
pub(crate) fn recorded(leadline: &Instance, token: &str, id: &str) -> Value {
    let mut found = Value::Null;
    until("the recording", PATIENT, || {
        found = call_of(leadline, token, id).unwrap_or_default();
        !found["recording"]["blob"].is_null() || !found["recording"]["skip"].is_null()
    });
    found
}

/// Objects of the tenant and what lies half-written, by name.
fn files(leadline: &Instance) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, root: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            match path.is_dir() {
                true => walk(&path, root, into),
                false if name.contains('~') => {}
                false => {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    into.insert(name, std::fs::read(&path).unwrap());
                }
            }
        }
    }
    let root = leadline.data.path().join("blobs");
    let mut into = BTreeMap::new();
    for folder in ["summit", "~new"] {
        walk(&root.join(folder), &root, &mut into);
    }
    into
}

/// One request, its answer as bytes.
fn exchange(port: u16, request: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..head]).into_owned(), answer[head + 4..].to_vec())
}

fn noise(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

#[test]
fn a_recording_is_fetched_heard_and_shown_by_a_link_that_ends() {
    let (double, mut leadline, token) = connected();
    leadline.start();
    add_call(&double, VOICE);
    // The link of the webhook works no more: the API is asked for another.
    double.fail("/recording/redirect", Fault::Answer(404, "{}".to_owned()));
    tell(&double, &leadline);
    let call = recorded(&leadline, &token, CALL);
    let recording = &call["recording"];
    assert_eq!(recording["blob"], format!("summit/2026/03/{CALL}"), "{recording}: {}", leadline.log_text());
    assert_eq!((&recording["audio"]["codec"], &recording["audio"]["channels"]), (&json!("mp3"), &json!(1)));
    assert!((10_000..12_000).contains(&recording["audio"]["duration_ms"].as_i64().unwrap()), "{recording}");
    assert_eq!(double.count("/recording.json"), 1);
    let storage: Vec<_> =
        double.asked().into_iter().filter(|asked| asked.path.starts_with("/recordings/")).collect();
    assert!(storage.len() == 1 && storage[0].authorization.is_none(), "the key is shown to the API alone");

    let link = recording["link"]["url"].as_str().unwrap();
    let ask = |link: &str| {
        exchange(
            leadline.port,
            format!("GET {link} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
        )
    };
    let (head, body) = ask(link);
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("audio/mpeg") && body == VOICE, "{head}");
    assert!(ask(&link.replace("summit", "other")).0.starts_with("HTTP/1.1 403"));

    // A later payload of the call fetches nothing.
    let before = double.asked().len();
    double.change(CALL, json!({"note": "called back"}));
    assert!(double.call_modified(CALL, &["note".to_owned()]).iter().all(|sent| sent.status == Some(200)));
    until("the note", PATIENT, || {
        call_of(&leadline, &token, CALL).is_some_and(|call| call["note"] == "called back")
    });
    assert_eq!(recorded(&leadline, &token, CALL)["recording"]["blob"], recording["blob"]);
    let more = double.asked().split_off(before);
    assert!(more.iter().all(|asked| !asked.path.contains("recording")), "{more:?}");
    assert_eq!(files(&leadline).len(), 2, "the recording and what is known of it");
}

/// A storage that gives so many bytes of a recording and hangs.
pub(crate) struct Stalling {
    pub(crate) port: u16,
    pub(crate) given: Arc<AtomicUsize>,
    pub(crate) stalled: Arc<AtomicUsize>,
}

impl Stalling {
    pub(crate) fn start(audio: Arc<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (given, stalled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (gives, stalls) = (Arc::clone(&given), Arc::clone(&stalled));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (gives, stalls, audio) = (Arc::clone(&gives), Arc::clone(&stalls), Arc::clone(&audio));
                std::thread::spawn(move || {
                    let mut request = [0; 8_192];
                    let _ = stream.read(&mut request);
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nConnection: close\r\n";
                    let bytes = gives.load(SeqCst).min(audio.len());
                    let sent = stream
                        .write_all(format!("{head}Content-Length: {}\r\n\r\n", audio.len()).as_bytes())
                        .and_then(|()| stream.write_all(&audio[..bytes]));
                    if bytes < audio.len() && sent.is_ok() {
                        stalls.fetch_add(1, SeqCst);
                        // Until the other side is gone.
                        let _ = stream.read(&mut request);
                    }
                });
            }
        });
        Self { port, given, stalled }
    }
}

#[test]
fn kill_9_in_the_middle_of_a_download_loses_no_recording_and_stores_it_once() {
    let (double, mut leadline, token) = connected();
    let audio = Arc::new(noise(6 << 20));
    let storage = Stalling::start(Arc::clone(&audio));
    double.redirect_to(&format!("http://127.0.0.1:{}/a.mp3", storage.port));
    add_call(&double, b"elsewhere");
    leadline.start();
    tell(&double, &leadline);
    for (kill, bytes) in [0, 300_000, 3 << 20, audio.len() - 1].into_iter().enumerate() {
        storage.given.store(bytes, SeqCst);
        if kill > 0 {
            leadline.start();
        }
        until("a download that hangs", PATIENT, || storage.stalled.load(SeqCst) > kill);
        leadline.kill();
        let left = files(&leadline);
        assert!(
            left.keys().all(|name| name.starts_with("~new/")),
            "half a recording has a name: {:?}",
            left.keys()
        );
    }
    storage.given.store(audio.len(), SeqCst);
    leadline.start();
    let call = recorded(&leadline, &token, CALL);
    let name = format!("summit/2026/03/{CALL}");
    assert_eq!(call["recording"]["blob"], name);
    assert!(call["recording"]["skip"].as_str().unwrap().contains("cannot be read as audio"), "it is noise");
    let files = files(&leadline);
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [&name, &format!("{name}.json")],
        "once, and nothing half-written"
    );
    assert!(files[&name] == *audio, "a byte is wrong");
}

#[test]
fn kill_9_in_the_middle_of_an_upload_leaves_nothing_and_the_same_request_stores_it_once() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    let audio = noise(4 << 20);
    let head = |port: u16| {
        format!(
            "POST /v1/tenants/summit/process HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: audio/mpeg\r\nContent-Length: {}\r\nIdempotency-Key: once\r\nConnection: close\r\n\r\n",
            audio.len()
        )
    };
    let mut stream = TcpStream::connect(("127.0.0.1", leadline.port)).unwrap();
    stream.write_all(head(leadline.port).as_bytes()).unwrap();
    stream.write_all(&audio[..3 << 20]).unwrap();
    until("half of it on the disk", PATIENT, || files(&leadline).values().any(|half| half.len() > 1 << 20));
    leadline.kill();
    assert!(files(&leadline).keys().all(|name| name.starts_with("~new/")));
    leadline.start();
    assert!(files(&leadline).is_empty(), "swept");

    let request = [head(leadline.port).as_bytes(), &audio].concat();
    let (first, body) = exchange(leadline.port, &request);
    assert!(first.starts_with("HTTP/1.1 200"), "{first}: {}", leadline.log_text());
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let id = answer["request"]["request_id"].as_str().unwrap();
    let blob = answer["call"]["recording"]["blob"].as_str().unwrap();
    assert!(blob.starts_with("summit/20") && blob.ends_with(id), "{answer}");
    let (again, body) = exchange(leadline.port, &request);
    assert!(again.starts_with("HTTP/1.1 200"), "{again}");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["request"]["request_id"], id);
    let files = files(&leadline);
    assert_eq!(files.keys().collect::<Vec<_>>(), [blob, &format!("{blob}.json")]);
    assert!(files[blob] == audio, "a byte is wrong");
}

#[test]
fn what_keeps_recordings_is_said_before_anything_is_changed() {
    let leadline = Instance::new();
    for command in ["plan", "apply"] {
        let done = leadline.cli(&["storage", command]);
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && text.contains("2557 days"), "{text}");
    }
}

/// What `processAudioFile` was: a file that somebody puts down becomes a call.
#[test]
fn a_file_in_the_watched_folder_becomes_a_call_once() {
    let mut leadline = Instance::new();
    let watched = leadline.data.path().join("audio");
    let toml = format!("[blobs]\nwatched_folder = {:?}\n", watched.to_str().unwrap());
    std::fs::write(leadline.data.path().join("leadline.toml"), toml).unwrap();
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    std::fs::create_dir_all(watched.join("summit")).unwrap();
    std::fs::write(watched.join("summit/monday.mp3"), VOICE).unwrap();
    let mut calls = Vec::new();
    until("a call of it", PATIENT, || {
        calls = leadline.listing("summit", "calls", &token);
        calls.first().is_some_and(|call| !call["recording"]["blob"].is_null())
    });
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    let blob = call["recording"]["blob"].as_str().unwrap();
    assert_eq!(call["recording"]["audio"]["codec"], "mp3");
    assert!(files(&leadline)[blob] == VOICE);
    assert!(std::fs::read_dir(watched.join("summit")).unwrap().next().is_none(), "taken");
}

/// A picture's link is short-lived and there is no other.
#[test]
fn what_is_sent_with_a_text_is_kept_while_its_link_works() {
    const TEXT: &str = "SCI019fb93fce197a38a2788269bcf71b71";
    let (double, mut leadline, token) = connected();
    leadline.start();
    add_call(&double, b"the kitchen floor");
    let link = double.body(CALL)["recording"].clone();
    let text = json!({
        "resource_id": TEXT, "company_resource_id": COMPANY, "source_number": "303-555-0142",
        "destination_number": "303-555-0100", "content": "Can you do this floor?", "message_type": "mms",
        "media_urls": [link, "https://evil.example/a.jpg"], "timestamp": "2026-03-04T16:20:00.000Z",
    });
    assert_eq!(leadline.hook(&text.to_string()), Some(200), "{}", leadline.log_text());
    let media = |text: &Value| text["media"].as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    until("the picture", PATIENT, || {
        found = call_of(&leadline, &token, TEXT).as_ref().map(media).unwrap_or_default();
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["blob"], format!("summit/2026/03/{TEXT}/1"));
    let address = found[0]["link"]["url"].as_str().unwrap();
    let (head, body) = exchange(
        leadline.port,
        format!("GET {address} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    assert!(head.starts_with("HTTP/1.1 200") && body == b"the kitchen floor", "{head}");
    until("what is missing is told of", PATIENT, || {
        let list = ["audit", "list", "--tenant", "summit", "--kind", "medium_not_fetched"];
        let told = String::from_utf8_lossy(&leadline.cli(&list).stdout).into_owned();
        told.contains(TEXT) && told.contains("evil.example")
    });
    assert!(
        double.asked().iter().all(|asked| asked.authorization.is_none() || asked.path.starts_with("/v3/"))
    );
}
