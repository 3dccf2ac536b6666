//! Clock: the only source of time outside tests, so that a simulator can own it.

use leadline_schemas::Millis;

/// Tells the time. Called often; must be cheap and never block.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock. It may jump in either direction; the engine's `now` never goes back because of it.
    fn wall(&self) -> Millis;

    /// Milliseconds of a clock that never goes back and counts while the machine sleeps (boot-time clock).
    fn boot_ms(&self) -> u64;
}
