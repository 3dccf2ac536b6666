//! The wall clock jumps under a running process. The process is the real one; only its `clock_gettime` is ours.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use leadline_tests::{COMPANY, Instance, Receiver, call, until};
use serde_json::Value;

/// Preloaded before the C library: shifts the wall clock by the seconds in a file, and leaves the boot-time clock alone.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = (int)syscall(SYS_clock_gettime, clock, at);
    if (result == 0 && clock == CLOCK_REALTIME) {
        char text[32] = {0};
        int file = open(getenv("CLOCK_SHIFT_FILE"), O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) at->tv_sec += atol(text);
            close(file);
        }
    }
    return result;
}
"#;

pub(crate) struct Shifted {
    pub(crate) leadline: Instance,
    file: PathBuf,
}

impl Shifted {
    pub(crate) fn new() -> Self {
        let mut leadline = Instance::new();
        let folder = leadline.data.path();
        let (source, library) = (folder.join("shift.c"), folder.join("shift.so"));
        std::fs::write(&source, SHIFT).unwrap();
        let made =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output();
        let made = made.expect("a C compiler, which building leadline needs too");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let file = folder.join("shift");
        std::fs::write(&file, "0").unwrap();
        leadline.env.push(("LD_PRELOAD", library.display().to_string()));
        leadline.env.push(("CLOCK_SHIFT_FILE", file.display().to_string()));
        Self { leadline, file }
    }

    pub(crate) fn set(&self, seconds: i64) {
        // Replaced whole, for it is read all the time.
        let fresh = self.file.with_extension("fresh");
        std::fs::write(&fresh, seconds.to_string()).unwrap();
        std::fs::rename(fresh, &self.file).unwrap();
    }
}

/// The newest time of the epochs' clock that a call's record shows.
fn newest(calls: &[Value]) -> String {
    calls.iter().map(|call| call["updated_at"].as_str().unwrap().to_owned()).max().unwrap()
}

#[test]
fn a_clock_that_is_set_back_loses_nothing_and_timers_go_on_firing() {
    let receiver = Receiver::start(false);
    let mut shifted = Shifted::new();
    let alerts = ["--missed-call-timer-s", "2", "--integration", &receiver.address];
    let token = shifted.leadline.tenant("summit", COMPANY, &alerts);
    shifted.leadline.start();
    let send = |leadline: &Instance, numbers: std::ops::Range<u64>| {
        let count = numbers.end as usize;
        numbers.for_each(|n| assert_eq!(leadline.hook(&call(COMPANY, n)), Some(200)));
        until("all calls are there", Duration::from_secs(20), || {
            leadline.listing("summit", "calls", &token).len() == count
        });
        leadline.listing("summit", "calls", &token)
    };
    let calls = send(&shifted.leadline, 0..20);
    let before = newest(&calls);
    let first_received =
        calls.iter().map(|call| call["received_at"].as_str().unwrap().to_owned()).min().unwrap();

    shifted.set(-3_600);
    let calls = send(&shifted.leadline, 20..40);
    assert!(newest(&calls) >= before, "the epochs' clock never goes back");
    let late = calls.iter().filter(|call| call["received_at"].as_str().unwrap() < first_received.as_str());
    assert_eq!(late.count(), 20, "the process does see the clock that was set back");
    assert!(shifted.leadline.metric("leadline_clock_behind_ms") > 3_000_000.0, "and says so");

    // A phone rings and nobody answers; nothing else happens that could wake anybody.
    let mut ringing: Value = serde_json::from_str(&call(COMPANY, 1_000)).unwrap();
    ringing["answered"] = false.into();
    ringing["call_type"] = "missed".into();
    let ringing = ringing.to_string();
    let signature = leadline_tests::sign(&ringing);
    let headers = [("Signature", signature.as_str())];
    let path = "/v1/callrail/webhook/pre_call";
    assert_eq!(leadline_tests::post(shifted.leadline.port, path, &headers, &ringing).unwrap().0, 200);
    until("the missed call is told of", Duration::from_secs(20), || {
        receiver.seen.lock().unwrap().iter().any(|(_, body)| body.contains("\"missed_call\""))
    });

    // A restart does not believe the clock either, and nothing is processed again.
    shifted.leadline.kill();
    shifted.leadline.start();
    for n in 0..40 {
        assert_eq!(shifted.leadline.hook(&call(COMPANY, n)), Some(200));
    }
    let count = |leadline: &Instance| leadline.listing("summit", "requests", &token).len();
    until("all were judged", Duration::from_secs(20), || count(&shifted.leadline) == 81);
    let leads = shifted.leadline.listing("summit", "leads", &token);
    assert!(leads.iter().all(|lead| lead["revision"] == 1), "nothing is processed twice");
    let calls = shifted.leadline.listing("summit", "calls", &token);
    assert!(calls.len() == 41 && newest(&calls) >= before);

    shifted.set(0);
    assert_eq!(shifted.leadline.hook(&call(COMPANY, 41)), Some(200));
    until("the clock is right again", Duration::from_secs(20), || {
        shifted.leadline.listing("summit", "calls", &token).len() == 42
            && shifted.leadline.metric("leadline_clock_behind_ms") == 0.0
    });
    shifted.leadline.terminate();
}
