//! Source: what brings events in. A source answers its client only after [`Intake::accept`] has.

use std::sync::Arc;

use leadline_schemas::Offset;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::settings::Settings;

use super::BoxFuture;
use super::log::AppendError;

/// Something that accepts events: an HTTP endpoint, a pull of an API, a watched folder.
pub trait Source: Send + Sync + 'static {
    /// Its name in metrics and `topology`.
    fn name(&self) -> &'static str;

    /// Runs until `stop` resolves, then finishes what it has accepted. An error ends the process: a source that
    /// cannot run loses events.
    fn run(
        self: Arc<Self>,
        intake: Arc<dyn Intake>,
        stop: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<(), SourceError>>;
}

/// The one way in: settings to judge an event by, and the durable append.
pub trait Intake: Send + Sync + 'static {
    /// The settings as of now; cheap.
    fn settings(&self) -> Arc<Settings>;

    /// The settings after reading `settings` to its current end, at most 1 s. Asked before a webhook is refused
    /// for its signature or company; re-reads are shared and at most 10 a second.
    fn fresh_settings(&self) -> BoxFuture<'_, Arc<Settings>>;

    /// Makes an event durable in its partition of `inbound`. Only then may a client hear 2xx.
    fn accept(&self, event: Inbound) -> BoxFuture<'_, Result<Offset, AppendError>>;
}

/// Why a source ended.
#[derive(Debug, thiserror::Error)]
#[error("source {name} ended: {why}")]
pub struct SourceError {
    /// The source.
    pub name: &'static str,
    /// What happened.
    pub why: String,
}
