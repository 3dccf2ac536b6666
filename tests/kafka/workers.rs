//! Three workers, killed and frozen under load: each accepted call has its effect once.

use std::time::{Duration, Instant};

use leadline_tests::Receiver;
use leadline_tests::kafka::Cluster;

use crate::company::{Company, Senders, seconds};
use crate::oracle::check;

const PARTITIONS: u16 = 6;
const WORKERS: usize = 3;
/// How long calls are sent; `KAFKA_SECONDS` makes it ten minutes.
const SECONDS: u64 = 30;
/// Longer than the session's time-out of 6 s: others take over meanwhile.
const FROZEN: Duration = Duration::from_secs(9);

#[test]
fn three_workers_under_kills_and_freezes_count_each_accepted_call_once() {
    let Some(cluster) = Cluster::start(1) else { return };
    let receiver = Receiver::start(false);
    let mut company = Company::start(&cluster, PARTITIONS, WORKERS, &["--integration", &receiver.address]);
    let senders = Senders::start(company.webhook.port, 4, Duration::from_millis(10));
    let deadline = Instant::now() + seconds(SECONDS);
    // A fixed sequence, so that a failure can be looked at again.
    let (mut step, mut kills, mut freezes) = (5, 0, 0);
    while Instant::now() < deadline {
        step = (step * 7 + 3) % 23;
        let worker = &mut company.workers[step % WORKERS];
        if step % 4 == 0 {
            worker.signal("-STOP");
            std::thread::sleep(FROZEN);
            worker.signal("-CONT");
            freezes += 1;
        } else {
            worker.kill();
            worker.start();
            kills += 1;
        }
        std::thread::sleep(Duration::from_millis(200 + 50 * step as u64));
    }
    let accepted = senders.finish();
    println!("{} calls accepted, {kills} kills and {freezes} freezes", accepted.len());
    assert!(accepted.len() > 200, "only {} were accepted\n{}", accepted.len(), company.said());
    check(&company, &accepted, Some(&receiver));
    for worker in &mut company.workers {
        let took = worker.terminate();
        assert!(took < Duration::from_secs(12), "a worker took {took:?} to stop");
    }
}
