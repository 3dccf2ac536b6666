//! Stops, pauses and hand-overs.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use leadline_tests::{COMPANY, Instance, binary, call, post, sign, until};

fn count(leadline: &Instance, token: &str) -> usize {
    leadline.listing("summit", "calls", token).len()
}

#[test]
fn sigterm_ends_within_five_seconds_under_load_and_nothing_accepted_is_lost() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    let (stop, accepted, port) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), leadline.port);
    let sender = {
        let (stop, accepted) = (Arc::clone(&stop), Arc::clone(&accepted));
        std::thread::spawn(move || {
            for n in 1.. {
                if stop.load(Relaxed) {
                    return;
                }
                let body = call(COMPANY, n);
                if matches!(
                    post(port, "/v1/callrail/webhook", &[("Signature", &sign(&body))], &body),
                    Some((200, _))
                ) {
                    accepted.fetch_add(1, Relaxed);
                }
            }
        })
    };
    until("some events", Duration::from_secs(20), || accepted.load(Relaxed) > 50);
    let took = leadline.terminate();
    stop.store(true, Relaxed);
    sender.join().unwrap();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(!leadline.data.path().join("running").exists(), "a clean end leaves no mark");
    leadline.start();
    let accepted = accepted.load(Relaxed) as usize;
    until("all are there", Duration::from_secs(20), || count(&leadline, &token) >= accepted);
}

#[test]
fn a_restart_behind_a_handed_in_socket_refuses_no_connection() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    leadline.port = listener.local_addr().unwrap().port();
    let start = |leadline: &mut Instance| {
        // A shell moves the socket to descriptor 3, as systemd would.
        let socket: OwnedFd = listener.try_clone().unwrap().into();
        let script = "exec 3<&0 0</dev/null; exec \"$@\"";
        let _ = socket.as_raw_fd();
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(binary()).args(["run", "--listen", "fd:3", "--data"]);
        command.arg(leadline.data.path()).env("LISTEN_FDS", "1").env_remove("LISTEN_PID");
        command.stdin(Stdio::from(socket)).stdout(Stdio::null());
        command.stderr(std::fs::File::create(leadline.log_path()).unwrap());
        leadline.process = Some(command.spawn().unwrap());
        leadline.wait_ready();
    };
    start(&mut leadline);
    let (stop, port) = (Arc::new(AtomicBool::new(false)), leadline.port);
    let sender = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let (mut sent, mut refused) = (0, 0);
            while !stop.load(Relaxed) {
                let body = call(COMPANY, sent);
                match post(port, "/v1/callrail/webhook", &[("Signature", &sign(&body))], &body) {
                    Some((200, _)) => sent += 1,
                    // A graceful stop answers what it has read and closes the rest unread; those are sent again.
                    _ => refused += 1,
                }
            }
            (sent, refused)
        })
    };
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(300));
        leadline.terminate();
        start(&mut leadline);
    }
    stop.store(true, Relaxed);
    let (sent, refused) = sender.join().unwrap();
    assert_eq!(refused, 0, "of {sent}");
    until("all are there", Duration::from_secs(20), || count(&leadline, &token) == sent as usize);
}
