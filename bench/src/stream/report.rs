//! What is printed: a line per round, and the share of each stage.

use super::baseline::Baseline;
use super::child::Measured;
use crate::stats::median;

/// What one round has shown.
pub(super) struct Round {
    pub(super) baseline: Baseline,
    pub(super) engine: Measured,
    /// CPU seconds of encoding the frames once more.
    pub(super) frames_s: f64,
}

impl Round {
    /// What an engine pays at the least.
    fn least_s(&self) -> f64 {
        self.baseline.read_s + self.baseline.parse_s
    }

    /// A line of it.
    pub(super) fn print(&self, number: u64, events: u64) {
        let millions = events as f64 / 1e6;
        println!(
            "round {number}: {:.0} events/s, CPU {:.2} s; read and parse alone {:.2} s (ratio {:.2}); peak {:.0} MB, {:.0} commits, frames {:.0} MB",
            events as f64 / self.engine.get("inputs_s"),
            self.engine.get("cpu_s") / millions,
            self.least_s() / millions,
            self.engine.get("cpu_s") / self.least_s(),
            self.engine.get("peak_mb"),
            self.engine.get("commits"),
            self.engine.get("frame_mb"),
        );
    }

    /// Stages in the order of the data path, with their CPU seconds.
    fn stages(&self) -> Vec<(&'static str, f64)> {
        let engine = &self.engine;
        let worker_s = engine.threads_s("worker");
        let log_write_s = engine.threads_s("log");
        let state_s = engine.threads_s("applier") + engine.threads_s("fjall");
        let told_s = ["read_s", "decode", "dedupe", "window"].map(|name| engine.get(name));
        let epoch_s = worker_s - told_s.iter().sum::<f64>() - self.baseline.envelope_s - self.frames_s;
        let [read_s, decode_s, dedupe_s, window_s] = told_s;
        let rest_s = engine.get("cpu_s") - worker_s - log_write_s - state_s;
        vec![
            ("read the log", read_s),
            ("Avro envelope (measured in a loop)", self.baseline.envelope_s),
            ("decode", decode_s),
            ("dedupe, with look-ups in the store", dedupe_s),
            ("windows", window_s),
            ("graph, feed, settle and order rows", epoch_s),
            ("encode frames (measured in a loop)", self.frames_s),
            ("write and sync the log", log_write_s),
            ("apply to the state store, merge its files", state_s),
            ("start, stop, the rest", rest_s),
        ]
    }
}

/// The share of each stage, and the loops beside them; medians over the rounds.
pub(super) fn shares(rounds: &[Round], events: u64) {
    let millions = events as f64 / 1e6;
    let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value)) / millions;
    let total_s = of(&|round| round.engine.get("cpu_s"));
    println!("{:<44} {:>8} {:>6}", "stage", "CPU s/1M", "share");
    let names: Vec<&str> =
        rounds.first().map(Round::stages).unwrap_or_default().iter().map(|(name, _)| *name).collect();
    for (at, name) in names.iter().enumerate() {
        let stage_s = of(&|round| round.stages().get(at).map_or(0.0, |(_, seconds)| *seconds));
        println!("{name:<44} {stage_s:>8.2} {:>5.0}%", 100.0 * stage_s / total_s);
    }
    println!("{:<44} {total_s:>8.2}   100%", "all");
    println!("{:<44} {:>8.2}", "beside it: read the log alone", of(&|round| round.baseline.read_s));
    println!(
        "{:<44} {:>8.2}",
        "parse each body into a serde_json::Value",
        of(&|round| round.baseline.parse_s)
    );
    println!(
        "{:<44} {:>8.2}",
        "each body as a canonical event, in a loop",
        of(&|round| round.baseline.decode_s)
    );
}
