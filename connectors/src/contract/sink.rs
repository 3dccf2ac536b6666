//! Sink: carries a delivery (a lead, an alert) to a tenant's own system.
//!
//! At most one delivery per `DeliveryKey` is in flight. `idempotency_key` stays the same over attempts and
//! crashes; what that buys is the sink's declared guarantee.

use std::time::Duration;

use leadline_schemas::Millis;
use leadline_schemas::delivery::DeliveryKey;
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::Integration;

use super::BoxFuture;
use super::provider::CallError;
use super::wire::{Trace, WireRequest};

/// Delivers. An outcome is per delivery; a refused one never stops the next.
pub trait Sink: Send + Sync + 'static {
    /// The integration kind that it serves: `http`, `hubspot`, ...
    fn kind(&self) -> &str;

    /// What a repeated delivery of the same key and revision does at the other side.
    fn guarantee(&self) -> Guarantee;

    /// One attempt.
    fn deliver(
        &self,
        request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>>;

    /// The requests that a delivery would make, in order; nothing is sent. What only an answer would tell stands there as
    /// `{its name}`.
    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError>;
}

/// What a repeated delivery does at the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Nothing: it upserts by our key, or honours the idempotency key.
    Once,
    /// It happens again; so an attempt is noted as started first, and an unclear one is not simply repeated.
    AtLeastOnce,
    /// It would happen again, but the sink looks before it repeats; so an attempt is noted as started first, and whoever
    /// repeats it says that it may have arrived. What the other side does not show by then is made twice.
    Reconciled,
}

/// A delivery.
#[derive(Clone, Debug)]
pub struct SinkRequest {
    /// What it is about.
    pub key: DeliveryKey,
    /// Where its state lies: what a sink tells the dataflow of the delivery is filed under it.
    pub home: Key,
    /// The job's id: the same over all attempts.
    pub idempotency_key: String,
    /// The integration, its secret still sealed.
    pub integration: Integration,
    /// What to send (JSON).
    pub payload: String,
    /// The other side's id from an earlier delivery of the same key.
    pub remote_id: Option<String>,
    /// An earlier attempt may have taken effect, in whole or in part, and its answer is not known.
    pub may_have_arrived: bool,
    /// Since when the other side has not taken it, through all attempts; none for a first one.
    pub failing_since: Option<Millis>,
    /// Takes down what is sent and heard, for the ledger.
    pub trace: Trace,
}

/// A delivery that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkAnswer {
    /// The other side's id, where it has one.
    pub remote_id: Option<String>,
}
