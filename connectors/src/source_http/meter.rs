//! Counters of the sources, looked up once. No label ever names a tenant: anybody may read the metrics.

use leadline_schemas::inbound::Origin;
use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};

/// Handles to the metrics of all HTTP sources.
pub(crate) struct Meters {
    webhook: Counter,
    form: Counter,
    direct: Counter,
    process: Counter,
    command: Counter,
    /// Receipt to durable.
    pub(crate) accept_s: Histogram,
    pub(crate) bad_signature: Counter,
    pub(crate) rate: Counter,
    pub(crate) no_slot: Counter,
    pub(crate) log: Counter,
    pub(crate) honeypot: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe_counter!("leadline_events_accepted_total", "Events made durable, by origin");
        describe_counter!("leadline_events_refused_total", "Events refused, by reason");
        describe_histogram!("leadline_event_accept_seconds", "From the whole body to the durable event");
        let accepted = |origin| counter!("leadline_events_accepted_total", "origin" => origin);
        let refused = |reason| counter!("leadline_events_refused_total", "reason" => reason);
        Self {
            webhook: accepted("callrail_webhook"),
            form: accepted("form"),
            direct: accepted("direct"),
            process: accepted("process"),
            command: accepted("command"),
            accept_s: histogram!("leadline_event_accept_seconds"),
            bad_signature: refused("bad_signature"),
            rate: refused("rate"),
            no_slot: refused("no_slot"),
            log: refused("log"),
            honeypot: refused("honeypot"),
        }
    }

    pub(crate) fn accepted(&self, origin: Origin) -> &Counter {
        match origin {
            Origin::CallrailWebhook | Origin::CallrailPull => &self.webhook,
            Origin::Form => &self.form,
            Origin::Direct => &self.direct,
            Origin::Process => &self.process,
            Origin::Command => &self.command,
        }
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
