//! What is printed.

use super::baseline::Baseline;
use super::child::Measured;

/// One round in a line.
pub(super) fn round(round: u64, run: &Measured, baseline: &Baseline, events: u64) {
    let millions = events as f64 / 1e6;
    let least_s = baseline.read_s + baseline.parse_s;
    println!(
        "round {round}: {:.0} events/s, CPU {:.2} s; read and parse alone {:.2} s ({:.1}x); peak {:.0} MB; {:.0} commits, frames {:.0} MB; last window after {:.1} s",
        events as f64 / run.get("inputs_s"),
        run.get("cpu_s") / millions,
        least_s / millions,
        run.get("cpu_s") / least_s,
        run.get("peak_mb"),
        run.get("commits"),
        run.get("frame_mb"),
        run.get("all_s"),
    );
}

/// The share of each stage: threads from the plain runs, operators from the timed ones.
pub(super) fn shares(samples: &[(Baseline, Measured, Measured)], events: u64) {
    let millions = events as f64 / 1e6;
    for (baseline, plain, timed) in samples {
        println!(
            "loops: read {:.2} parse {:.2} envelope {:.2} decode {:.2}",
            baseline.read_s / millions,
            baseline.parse_s / millions,
            baseline.envelope_s / millions,
            baseline.decode_s / millions
        );
        for (name, s) in plain.threads() {
            if s > 0.005 {
                println!("  {name:<20} {:.2}", s / millions);
            }
        }
        println!("  log read {:.2}", plain.get("read_s") / millions);
        println!(
            "timed: cpu {:.2} decode {:.2} dedupe {:.2} window {:.2} worker {:.2}",
            timed.get("cpu_s") / millions,
            timed.get("decode") / millions,
            timed.get("dedupe") / millions,
            timed.get("window") / millions,
            timed.threads_s("worker") / millions
        );
    }
}
