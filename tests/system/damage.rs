//! Torn tails are cut, a damaged log is refused with its place.

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
