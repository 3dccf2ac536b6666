//! Torn tails are cut, damage is refused with its place, lost stores are rebuilt.

use std::time::Duration;

use leadline_tests::{COMPANY, Instance, call, segments, until};

fn send(leadline: &Instance, numbers: std::ops::Range<u64>) {
    for n in numbers {
        assert_eq!(leadline.hook(&call(COMPANY, n)), Some(200));
    }
}

fn all_there(leadline: &Instance, token: &str, count: usize) {
    until("all calls are there", Duration::from_secs(30), || {
        leadline.listing("summit", "calls", token).len() == count
    });
}

#[test]
fn a_torn_tail_is_cut_and_a_flipped_bit_before_it_is_refused_with_its_place() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &[]);
    leadline.start();
    send(&leadline, 0..50);
    all_there(&leadline, &token, 50);
    leadline.kill();
    let newest = segments(leadline.data.path()).pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    // Behind the last frame, which may itself end in zeros.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 64;
    bytes[end..end + 500].fill(0x5a);
    std::fs::write(&newest, &bytes).unwrap();
    leadline.start();
    all_there(&leadline, &token, 50);
    send(&leadline, 50..60);
    all_there(&leadline, &token, 60);
    leadline.kill();

    let newest = segments(leadline.data.path()).pop().unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    let id = format!("CAL{:032x}", 51).into_bytes();
    let at = bytes.windows(id.len()).position(|window| window == id).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    let refused = leadline.command().output().unwrap();
    assert!(!refused.status.success());
    let why = leadline.log_text();
    assert!(why.contains("segment-") && why.contains("byte"), "{why}");
}

#[test]
fn a_deleted_or_corrupt_state_store_is_rebuilt_after_log_segments_were_dropped() {
    let mut leadline = Instance::new();
    let config = leadline.data.path().join("leadline.toml");
    std::fs::write(
        &config,
        "[log]\nsegment_bytes = 262144\nmax_bytes = 2000000\n[state]\nsnapshot_interval_s = 1\n",
    )
    .unwrap();
    let token = leadline.tenant("summit", COMPANY, &[]);
    let start = |leadline: &mut Instance| {
        leadline.process = Some(leadline.command().arg("--config").arg(&config).spawn().unwrap());
        leadline.wait_ready();
    };
    start(&mut leadline);
    let mut sent = 0;
    until("segments are dropped", Duration::from_secs(120), || {
        send(&leadline, sent..sent + 50);
        sent += 50;
        let oldest = segments(leadline.data.path()).remove(0);
        sent > 300 && !oldest.to_string_lossy().ends_with("00000000000000000001.log")
    });
    all_there(&leadline, &token, sent as usize);
    leadline.kill();
    std::fs::remove_dir_all(leadline.data.path().join("state")).unwrap();
    std::fs::remove_file(leadline.data.path().join("records.db")).unwrap();
    start(&mut leadline);
    all_there(&leadline, &token, sent as usize);
    // Dedupe's rows are back as well: the same calls change nothing.
    send(&leadline, 0..20);
    send(&leadline, sent..sent + 1);
    all_there(&leadline, &token, sent as usize + 1);
    let leads = leadline.listing("summit", "leads", &token);
    assert!(leads.iter().all(|lead| lead["revision"] == 1), "nothing was processed twice");
}
