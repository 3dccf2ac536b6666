//! kill -9 at any moment: what got 2xx is there once, with one lead and one delivery per key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline_tests::{COMPANY, Instance, Receiver, call, post, sign, until, within};
use serde_json::Value;

/// Kills of one run.
const KILLS: u64 = 50;
/// Connections that send at once.
const SENDERS: u64 = 4;

#[test]
fn fifty_kills_lose_nothing_and_double_nothing() {
    let receiver = Receiver::start(false);
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &["--integration", &receiver.address]);
    leadline.start();
    let (accepted, next) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicU64::new(1)));
    let stop = Arc::new(AtomicBool::new(false));
    let port = leadline.port;
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (accepted, next, stop) = (Arc::clone(&accepted), Arc::clone(&next), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let n = next.fetch_add(1, Relaxed);
                    let body = call(COMPANY, n);
                    match post(port, "/v1/callrail/webhook/post_call", &[("Signature", &sign(&body))], &body)
                    {
                        Some((200, _)) => {
                            accepted.lock().unwrap().insert(n);
                        }
                        _ => std::thread::sleep(Duration::from_millis(5)),
                    }
                }
            })
        })
        .collect();
    // A fixed sequence of pauses, so that a failure can be looked at again.
    let mut pause_ms = 17;
    for _ in 0..KILLS {
        pause_ms = (pause_ms * 37 + 11) % 150;
        std::thread::sleep(Duration::from_millis(30 + pause_ms));
        leadline.kill();
        leadline.start();
    }
    stop.store(true, Relaxed);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let accepted = accepted.lock().unwrap().clone();
    assert!(accepted.len() > 200, "only {} were accepted", accepted.len());

    let id_of = |n: &u64| format!("CAL{n:032x}");
    let wanted: BTreeSet<String> = accepted.iter().map(id_of).collect();
    let scored = |call: &Value| !call["lead_id"].is_null();
    let ids = |calls: &[Value]| -> Vec<String> {
        calls.iter().map(|call| call["call_id"].as_str().unwrap().to_owned()).collect()
    };
    let mut state = String::new();
    let whole = within(Duration::from_secs(60), || {
        let calls = leadline.listing("summit", "calls", &token);
        let there: BTreeSet<String> = ids(&calls).into_iter().collect();
        let missing: Vec<&String> = wanted.difference(&there).take(5).collect();
        let unscored = calls.iter().filter(|call| !scored(call)).count();
        state = format!(
            "{} of {} there, missing {missing:?}, {unscored} without a lead",
            there.len(),
            wanted.len()
        );
        missing.is_empty() && unscored == 0
    });
    assert!(whole, "{state}\n{}", leadline.log_text());
    let calls = ids(&leadline.listing("summit", "calls", &token));
    assert_eq!(calls.len(), calls.iter().collect::<BTreeSet<_>>().len(), "each call once");
    let leads = leadline.listing("summit", "leads", &token);
    assert_eq!(leads.len(), calls.len(), "each caller has one lead");
    assert!(leads.iter().all(|lead| lead["revision"] == 1), "each call had its effect once");

    // A delivery may be sent again after a kill, but then under the same key.
    until("every lead is delivered", Duration::from_secs(60), || {
        let lines = leadline.listing("summit", "deliveries", &token);
        lines.len() == leads.len() && lines.iter().all(|line| line["status"] == "done")
    });
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, body) in receiver.seen.lock().unwrap().iter() {
        let body: Value = serde_json::from_str(body).unwrap();
        let what = format!("{} {}", body["lead_id"], body["revision"]);
        keys.entry(what).or_default().insert(key.clone());
    }
    assert_eq!(keys.len(), leads.len());
    assert!(keys.values().all(|keys| keys.len() == 1), "one idempotency key for each lead and revision");
    leadline.terminate();
    let inspected = leadline.cli(&["log", "inspect"]);
    assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
}
