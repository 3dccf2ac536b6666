//! How far a long command is, on standard error: a bar on a terminal, else a line now and then.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal: a log that a person reads later.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Between two looks of the spinner, while nothing can be counted.
const TICK: Duration = Duration::from_millis(200);

/// Shows steps, one after the other.
pub(super) struct Progress {
    bar: ProgressBar,
    /// When the last line was; none on a terminal.
    said: Option<Cell<Instant>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_seen = std::io::stderr().is_terminal();
        let bar = if is_seen { ProgressBar::new(0) } else { ProgressBar::hidden() };
        Self { bar, said: (!is_seen).then(|| Cell::new(Instant::now())) }
    }

    /// So many of so many are done; 0 of them = nobody knows how many.
    pub(super) fn show(&self, step: &str, done: u64, all: u64) {
        let of = |all: u64| if all == 0 { String::new() } else { format!(" of {all}") };
        self.say(|| format!("{done}{} {step}", of(all)));
        if self.bar.message() != step {
            let template = if all == 0 { "{pos} {msg}" } else { "{wide_bar} {pos}/{len} {msg}, {eta} left" };
            if let Ok(style) = ProgressStyle::with_template(template) {
                self.bar.set_style(style);
            }
            self.bar.reset();
            self.bar.set_message(step.to_owned());
        }
        self.bar.set_length(all);
        self.bar.set_position(done);
    }

    /// Something runs that cannot be counted.
    pub(super) fn wait(&self, step: &str) {
        self.say(|| step.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            self.bar.set_style(style);
        }
        self.bar.reset();
        self.bar.set_message(step.to_owned());
        self.bar.enable_steady_tick(TICK);
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Where there is no terminal: the line, when the last one is long ago. What ends within seconds says nothing.
    fn say(&self, line: impl FnOnce() -> String) {
        let Some(said) = &self.said else { return };
        if said.get().elapsed() >= LINE_EVERY {
            said.set(Instant::now());
            let _ = writeln!(std::io::stderr(), "leadline: {}", line());
        }
    }
}
