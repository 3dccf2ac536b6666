//! A slow tenant delays nobody, and nobody sees another's data.

use std::time::{Duration, Instant};

use leadline_tests::{COMPANY, Instance, KEY, Receiver, call, get, post, sign, until};

const OTHER: &str = "COM51b0c7a2f3e84d6e9a1d2c3b4a5f6e70";

/// The 99th percentile from webhook to record, over calls sent one by one.
fn p99_ms(leadline: &Instance, token: &str, from: u64) -> f64 {
    let mut took: Vec<f64> = (from..from + 60)
        .map(|n| {
            let started = Instant::now();
            assert_eq!(leadline.hook(&call(OTHER, n)), Some(200));
            let path = format!("/v1/tenants/other/calls/CAL{n:032x}");
            until("the record", Duration::from_secs(10), || {
                get(leadline.port, &path, token).is_some_and(|(status, _)| status == 200)
            });
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[took.len() * 99 / 100]
}

#[test]
fn a_provider_that_hangs_delays_only_its_own_jobs() {
    let provider = Receiver::start(true);
    // One partition, one worker: whoever could be held up is.
    let mut leadline = Instance::configured("partitions = 1\nworkers = 1\n");
    leadline.env.push(("AI_MODEL_ENDPOINT", provider.address.clone()));
    leadline.tenant("summit", COMPANY, &["--score-provider", "http"]);
    let token = leadline.tenant("other", OTHER, &[]);
    leadline.start();
    let (mut ratios, mut epochs, mut calls) = (Vec::new(), 0.0, 0.0);
    for pair in 0..5_u64 {
        let alone = p99_ms(&leadline, &token, 10_000 + pair * 1_000);
        // Calls of the tenant whose provider takes requests and never answers.
        for n in 0..30 {
            assert_eq!(leadline.hook(&call(COMPANY, pair * 100 + n)), Some(200));
        }
        until("the provider hangs", Duration::from_secs(10), || hanging(&leadline) >= 8.0);
        let commits = leadline.metric("leadline_commits_total");
        let beside = p99_ms(&leadline, &token, 10_500 + pair * 1_000);
        assert!(hanging(&leadline) >= 8.0, "it hung all the while");
        epochs += leadline.metric("leadline_commits_total") - commits;
        calls += 60.0;
        ratios.push(beside / alone);
    }
    // One call after the other, each waited for: had one epoch waited for a hanging job, none behind it would be there.
    assert!(epochs >= calls, "{epochs} epochs committed for {calls} calls");
    ratios.sort_by(f64::total_cmp);
    println!(
        "beside a provider that hangs: {epochs} epochs committed, none waited; p99 webhook to record {:.2}x (median of 5 pairs)",
        ratios[2]
    );
    assert!(ratios[2] < 2.0, "{ratios:?}");
}

/// Jobs that run, or wait for their next attempt.
fn hanging(leadline: &Instance) -> f64 {
    leadline.metric("leadline_jobs_running")
}

#[test]
fn tenants_never_see_each_other_and_nothing_tells_a_secret() {
    let mut leadline = Instance::new();
    let summit = leadline.tenant("summit", COMPANY, &[]);
    let other = leadline.tenant("other", OTHER, &[]);
    leadline.start();
    assert_eq!(leadline.hook(&call(COMPANY, 1)), Some(200));
    until("the record", Duration::from_secs(10), || leadline.listing("summit", "calls", &summit).len() == 1);
    assert!(leadline.listing("other", "calls", &other).is_empty());
    let crossed = get(leadline.port, "/v1/tenants/summit/calls", &other).unwrap();
    let nobody = get(leadline.port, "/v1/tenants/nobody/calls", &other).unwrap();
    assert_eq!(crossed.0, 401);
    assert_eq!(crossed, nobody, "an unknown tenant and another's answer alike");
    let (_, metrics) = get(leadline.port, "/metrics", "").unwrap();
    for text in [leadline.log_text(), metrics, crossed.1] {
        assert!([KEY, &summit, &other].iter().all(|secret| !text.contains(*secret)), "{text}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_and_nothing_is_written() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("boost", "155920786", &[]);
    leadline.start();
    let body = include_str!("../fixtures/callrail/webhook-vector.body.json");
    let signature = "UZAHbUdfm3GqL7qzilGozGzWV64=";
    assert_eq!(sign(body), signature);
    for at in (0..body.len()).step_by(97) {
        let mut flipped = body.as_bytes().to_vec();
        flipped[at] ^= 1;
        let flipped = String::from_utf8(flipped).unwrap();
        let (status, _) =
            post(leadline.port, "/v1/callrail/webhook", &[("Signature", signature)], &flipped).unwrap();
        assert_eq!(status, 401, "byte {at}");
    }
    assert!(leadline.listing("boost", "requests", &token).is_empty());
    let (status, _) = post(leadline.port, "/v1/callrail/webhook", &[("Signature", signature)], body).unwrap();
    assert_eq!(status, 200);
    until("the record", Duration::from_secs(10), || leadline.listing("boost", "calls", &token).len() == 1);
    assert_eq!(leadline.listing("boost", "calls", &token)[0]["call_id"], "766970532");
}
