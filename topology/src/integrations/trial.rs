//! A trial: what a delivery would send, shown and not sent; or one sample sent.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use leadline_connectors::contract::provider::CallError;
use leadline_connectors::contract::sink::{Sink, SinkRequest};
use leadline_connectors::contract::wire::Trace;
use leadline_operators::deliveries::digest;
use leadline_operators::hours;
use leadline_schemas::Millis;
use leadline_schemas::delivery::{DeliveryKey, digest_part, missed_call};
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::{Integration, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::control::{Admin, random};
use crate::work;

/// How long a sample may take: the person waits.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// A number that nobody has (North America keeps 555-01xx free for examples).
const NOBODY: &str = "+13035550142";

/// What an integration is told of for a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// A hot lead.
    #[default]
    Lead,
    /// A missed call.
    MissedCall,
    /// Trouble.
    Notice,
}

impl Sample {
    fn subject(self) -> String {
        match self {
            Self::Lead => "0190a5b0-5a3c-8000-8000-00000000d0d0".to_owned(),
            Self::MissedCall => missed_call("CALSAMPLE"),
            Self::Notice => "integration:sample".to_owned(),
        }
    }

    fn payload(self, now: &str) -> Value {
        match self {
            Self::Lead => json!({
                "type": "lead", "lead_id": self.subject(), "revision": 1, "status": "open", "score": 92, "band": "hot",
                "class": "lead", "name": "Sample of leadline", "phone": NOBODY, "email": "sample@example.com",
                "city": "Denver", "project_type": "kitchen", "source": "a trial", "budget_min": 40_000,
                "budget_max": 60_000, "timeline": "1_3mo", "urgency": "planned", "appointment_set": false,
                "extracted": {"caller_name": "Sample of leadline", "city": "Denver", "postcode": "80202"},
                "factors": {"budget": 22, "timeline": 22, "scope_area": 25, "authority": 23},
                "reasons": ["This is a trial: nobody has called."],
                "evidence": [{"field": "budget_min", "quote": "forty to sixty thousand", "turn": 3}],
                "contact_ids": ["CALSAMPLE"], "contacted": false, "opened_at": now, "last_contact_at": now,
                "why": "A trial.",
            }),
            Self::MissedCall => json!({
                "type": "missed_call", "call_id": "CALSAMPLE", "caller": NOBODY, "rang_at": now, "confirmed": false,
                "note": "This is a trial: nobody has called.",
            }),
            Self::Notice => json!({
                "type": "notice", "subject": self.subject(), "trouble": false, "text": "This is a trial.",
            }),
        }
    }
}

/// What the integration would be told, and about what; a lead by a digest, where it gathers them.
fn told(sample: Sample, tenant: &Tenant, integration: &Integration, now: Millis) -> (String, Value) {
    let payload = sample.payload(&now.to_string());
    match hours::gathering(integration).filter(|_| sample == Sample::Lead) {
        Some(gathering) => {
            let due = hours::gathered_until(&tenant.profile, gathering, now);
            let clock = hours::clock(&tenant.profile, due);
            (digest_part(due, 1), digest::sample(&clock, &payload))
        }
        None => (sample.subject(), payload),
    }
}

pub(super) async fn test(
    admin: &Admin,
    tenant: &Tenant,
    integration: &Integration,
    sample: Sample,
    send: bool,
) -> anyhow::Result<Value> {
    let sinks = work::sinks(admin)?;
    let sink: &Arc<dyn Sink> = sinks
        .iter()
        .find(|sink| sink.kind() == integration.kind)
        .ok_or_else(|| anyhow!("this leadline has no sink of kind {:?}", integration.kind))?;
    let (subject, payload) = told(sample, tenant, integration, admin.clock.wall());
    let id: String = random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = SinkRequest {
        home: Key::new(tenant.tenant.clone(), NOBODY, tenant.policy.spread),
        key: DeliveryKey { tenant: tenant.tenant.clone(), integration: integration.id.clone(), subject },
        idempotency_key: format!("trial-{id}"),
        integration: integration.clone(),
        payload: payload.to_string(),
        remote_id: None,
        may_have_arrived: false,
        failing_since: None,
        trace: Trace::default(),
    };
    let previewed = sink.preview(&request).map_err(|error| anyhow!(words(&error)))?;
    let requests: Vec<String> = previewed.iter().map(|wire| wire.shown()).collect();
    if !send {
        return Ok(json!({ "sent": false, "requests": requests }));
    }
    let came_of_it = tokio::time::timeout(TRIAL_TIMEOUT, sink.deliver(request.clone(), TRIAL_TIMEOUT)).await;
    let exchanges: Vec<Value> = request
        .trace
        .take()
        .into_iter()
        .map(|exchange| json!({ "request": exchange.request, "answer": exchange.answer }))
        .collect();
    match came_of_it {
        Ok(Ok(answer)) => Ok(json!({ "sent": true, "remote_id": answer.remote_id, "exchanges": exchanges })),
        Ok(Err(error)) => Err(anyhow!("it did not arrive: {}", words(&error))),
        Err(_) => Err(anyhow!("there was no answer within {TRIAL_TIMEOUT:?}")),
    }
}

fn words(error: &CallError) -> String {
    match error {
        CallError::Retry { why, .. } | CallError::Reject { why } | CallError::Unclear { why } => why.clone(),
    }
}
