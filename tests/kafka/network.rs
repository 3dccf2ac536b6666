//! A network with faults between leadline and its broker, and a broker that starts again.

use std::time::{Duration, Instant};

use leadline_schemas::Topic;
use leadline_schemas::call::CallRecord;
use leadline_tests::kafka::Cluster;
use leadline_tests::until;

use crate::company::{Company, Senders, seconds};

/// How long calls are sent; `KAFKA_SECONDS` makes it longer.
const SECONDS: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn latency_cuts_resets_silence_and_a_restarted_broker_lose_nothing_and_count_nothing_twice() {
    let Some(mut cluster) = Cluster::behind_network() else { return };
    let company = Company::start(&cluster, 4, 2, &[]);
    let senders = Senders::start(company.webhook.port, 4, Duration::from_millis(10));
    until("calls come out", PATIENCE, || !company.records::<CallRecord>(Topic::Calls).is_empty());
    let deadline = Instant::now() + seconds(SECONDS);
    let (mut round, mut restarted) = (0, false);
    while Instant::now() < deadline {
        let network = cluster.network();
        match round % 5 {
            0 => network.set_delay(Duration::from_millis(40)),
            1 => network.reset(),
            2 => network.cut(),
            3 => {
                // Longer than the time-outs of requests and of the group's session.
                network.set_silent(true);
                std::thread::sleep(Duration::from_secs(7));
                network.set_silent(false);
                network.set_delay(Duration::ZERO);
            }
            _ => {
                network.set_down(true);
                network.reset();
                std::thread::sleep(Duration::from_secs(2));
                network.set_down(false);
            }
        }
        std::thread::sleep(Duration::from_millis(700));
        round += 1;
        if !restarted && Instant::now() + seconds(SECONDS) / 2 > deadline {
            cluster.kill(0);
            cluster.restart(0);
            restarted = true;
        }
    }
    cluster.network().set_delay(Duration::ZERO);
    let accepted = senders.finish();
    assert!(
        restarted && accepted.len() > 100,
        "only {} in {round} rounds\n{}",
        accepted.len(),
        company.said()
    );
    println!("{}", company.counts_each_once(&accepted));
}
