//! A bucket in place of the folder, on the real binary: what a start refuses, what it does not wait for, and recordings
//! through kill -9 on a real server of Google's interface.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use leadline_tests::google::GoogleServer;
use leadline_tests::{COMPANY, Instance, binary, free_port, get, until};
use serde_json::Value;

use crate::recordings::{CALL, Stalling, VOICE, add_call, connected, recorded, tell};

const PATIENT: Duration = Duration::from_secs(60);

/// Whether the binary knows buckets; one that was built without does not, said loudly.
fn knows_buckets() -> bool {
    let done =
        check(&[("AUDIO_STORAGE_BUCKET", "recordings"), ("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")]);
    let knows = !String::from_utf8_lossy(&done.stderr).contains("--features gcs");
    if !knows {
        let why = "the tests on buckets need a leadline with them: cargo build --bin leadline --features gcs";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("\nSKIPPED: {why}\n");
    }
    knows
}

fn check(env: &[(&str, &str)]) -> Output {
    Command::new(binary()).arg("check").env_clear().envs(env.iter().copied()).output().unwrap()
}

/// What `leadline run` ends with under this environment, and that `leadline check` says the same.
fn refused(env: &[(&str, &str)]) -> String {
    let checked = check(env);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(2), "{said}");
    let as_json = Command::new(binary())
        .args(["check", "--json"])
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let mistakes: Value = serde_json::from_slice(&as_json.stdout).unwrap();
    assert_eq!((&mistakes[0]["place"], &mistakes[0]["key"]), (&"environment".into(), &env[0].0.into()));

    let data = tempfile::tempdir().unwrap();
    let started = Command::new(binary())
        .args(["run", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let ended = String::from_utf8_lossy(&started.stderr).into_owned();
    assert_eq!(started.status.code(), Some(1), "{ended}");
    let what = mistakes[0]["what"].as_str().unwrap().to_owned();
    assert!(ended.contains(&what) && said.contains(&what), "{what}: {ended}: {said}");
    assert!(std::fs::read_dir(data.path()).unwrap().next().is_none(), "refused before anything is made");
    what
}

/// Google's metadata server with this answer to everything.
fn metadata(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4_096]);
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_bucket_that_cannot_be_used_is_refused_at_the_start_and_check_says_the_same() {
    if !knows_buckets() {
        return;
    }
    let bucket = ("AUDIO_STORAGE_BUCKET", "summit-audio");
    let home = tempfile::tempdir().unwrap();
    let home = ("HOME", home.path().to_str().unwrap());
    let nobody = format!("127.0.0.1:{}", free_port());
    for env in [
        [bucket, home, ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")],
        [bucket, home, ("GCE_METADATA_HOST", &nobody)],
        // A machine of Google's without a service account.
        [bucket, home, ("GCE_METADATA_HOST", &metadata("404 Not Found"))],
    ] {
        let why = refused(&env);
        for word in ["\"summit-audio\"", "no credentials", "GOOGLE_APPLICATION_CREDENTIALS"] {
            assert!(why.contains(word), "{word} in {why}");
        }
    }
    let Some(server) = GoogleServer::start() else { return };
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let why = refused(&[bucket, ("STORAGE_EMULATOR_HOST", &endpoint)]);
    assert!(why.contains("no such bucket") && why.contains("make it"), "{why}");
}

#[test]
fn a_bucket_that_is_away_for_the_moment_keeps_nobody_from_starting() {
    if !knows_buckets() {
        return;
    }
    let away = format!("http://127.0.0.1:{}", free_port());
    for env in [
        vec![("STORAGE_EMULATOR_HOST", away)],
        vec![("STORAGE_EMULATOR_HOST", format!("http://{}", metadata("503 Service Unavailable")))],
        vec![("GCE_METADATA_HOST", metadata("503 Service Unavailable")), ("HOME", "/nowhere".to_owned())],
    ] {
        let mut leadline = Instance::new();
        leadline.env = env;
        leadline.env.push(("AUDIO_STORAGE_BUCKET", "recordings".to_owned()));
        let env: Vec<_> = leadline.env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let checked = check(&env);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(checked.status.success() && said.contains("cannot be reached now"), "{said}");
        leadline.tenant("summit", COMPANY, &[]);
        leadline.start();
        assert_eq!(leadline.hook(&leadline_tests::call(COMPANY, 1)), Some(200), "events are taken");
        let log = leadline.log_text();
        assert!(log.contains("the blob store does not answer"), "{log}");
    }
}

/// A way to the server that mends the one thing that keeps uploads from it: Google's client names a host without its
/// port, and the server builds the address of an upload from that.
fn front(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(behind) = TcpStream::connect(("127.0.0.1", server)) else { continue };
            let (mut asks, mut asked) = (client.try_clone().unwrap(), behind.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut asks, &mut asked);
                let _ = asked.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || mend(behind, client, port));
        }
    });
    port
}

/// Passes answers on; a head comes in one piece.
fn mend(mut from: TcpStream, mut to: TcpStream, port: u16) {
    const BARE: &[u8] = b"//127.0.0.1/upload/";
    let mended = format!("//127.0.0.1:{port}/upload/");
    let mut piece = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        let piece = &piece[..read];
        let sent = match piece.windows(BARE.len()).position(|part| part == BARE) {
            Some(at) => to.write_all(&[&piece[..at], mended.as_bytes(), &piece[at + BARE.len()..]].concat()),
            None => to.write_all(piece),
        };
        if sent.is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// What the server tells of a path below the bucket; longer answers come in chunks.
fn told(server: &GoogleServer, path: &str) -> Value {
    let path = format!("/storage/v1/b/{}/{path}", server.bucket);
    let (status, body) = get(server.port, &path, "").unwrap();
    assert_eq!(status, 200, "{body}");
    if body.starts_with('{') {
        return serde_json::from_str(&body).unwrap();
    }
    let (mut rest, mut whole) = (body.as_str(), String::new());
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let (chunk, next) = behind.split_at(usize::from_str_radix(size, 16).unwrap());
        whole.push_str(chunk);
        rest = next.trim_start_matches("\r\n");
        if chunk.is_empty() {
            break;
        }
    }
    serde_json::from_str(&whole).unwrap()
}

/// Names in the bucket.
fn objects(server: &GoogleServer) -> Vec<String> {
    let list = told(server, "o");
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let names = items.iter().map(|item| item["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("summit/")).collect()
}

#[test]
fn kill_9_in_the_middle_of_a_recording_on_its_way_into_a_bucket_stores_it_once() {
    if !knows_buckets() {
        return;
    }
    let Some(server) = GoogleServer::start() else { return };
    let (double, mut leadline, token) = connected();
    leadline.env = vec![
        ("AUDIO_STORAGE_BUCKET", server.bucket.to_owned()),
        ("STORAGE_EMULATOR_HOST", format!("http://127.0.0.1:{}", front(server.port))),
    ];
    let storage = Stalling::start(Arc::new(VOICE.to_vec()));
    double.redirect_to(&format!("http://127.0.0.1:{}/a.mp3", storage.port));
    add_call(&double, b"elsewhere");
    for (kill, bytes) in [1, VOICE.len() / 2, VOICE.len() - 1].into_iter().enumerate() {
        storage.given.store(bytes, SeqCst);
        leadline.start();
        if kill == 0 {
            tell(&double, &leadline);
        }
        until("a recording that hangs", PATIENT, || storage.stalled.load(SeqCst) > kill);
        leadline.kill();
        assert_eq!(objects(&server), [""; 0], "half a recording has a name");
    }
    storage.given.store(VOICE.len(), SeqCst);
    leadline.start();
    let call = recorded(&leadline, &token, CALL);
    let name = format!("summit/2026/03/{CALL}");
    assert_eq!(call["recording"]["blob"], name, "{call}");
    assert_eq!(call["recording"]["audio"]["codec"], "mp3");
    assert_eq!(objects(&server), [name.clone(), format!("{name}.json")], "once, and nothing half-written");
    let object = told(&server, &format!("o/{}", name.replace('/', "%2F")));
    assert_eq!(object["size"], VOICE.len().to_string());
    assert_eq!(
        object["customTime"].as_str().map(|time| &time[..19]),
        Some("2026-03-04T16:12:33"),
        "the call's time"
    );
}
