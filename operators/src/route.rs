//! route: who is told of a lead, and who else when nobody has reacted.

use leadline_schemas::delivery::escalated;
use leadline_schemas::score::Band;
use leadline_schemas::settings::{Integration, RouteRule};
use leadline_schemas::state::Routed;
use leadline_schemas::{LeadId, Millis};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec, TimerKind};
use crate::deliveries::DeliveryRequest;
use crate::leads::LeadChanged;
use crate::routing::{self, Matter};

/// Integrations that a lead was sent to: they hear of it again even when it falls below their band.
pub const ROUTED: Table<Routed> = Table::new(1, "routed", Some(25 * 31 * Millis::DAY));
const TABLES: &[TableSpec] = &[ROUTED.spec];
/// Bytes of a lead's id at the beginning of a timer's name; the rule's id follows.
const LEAD_ID_BYTES: usize = 16;

/// Chooses integrations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Route;

impl Operator for Route {
    const ID: OperatorId = OperatorId { number: 8, name: "route" };
    type In = LeadChanged;
    type Out = DeliveryRequest;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, DeliveryRequest>, changed: LeadChanged) -> OperatorResult {
        if changed.backfill && !changed.deliver_backfill {
            return Ok(());
        }
        let Some(tenant) = cx.tenant() else { return Ok(()) };
        let lead = &changed.lead;
        let key = lead.lead_id.as_bytes();
        let detail: Value = serde_json::from_str(&lead.detail)
            .map_err(|error| Fault::poison(format!("the lead's detail: {error}")))?;
        let rules = routing::holding(tenant, &matter(&changed, &detail), cx.now);
        let payload = payload(&changed, &detail);
        let before = cx.get(&ROUTED, key)?.cloned().unwrap_or_default();
        let mut routed = before.clone();
        // `backfill --deliver` fills CRMs; nobody is woken by old calls.
        let hears = |integration: &&Integration| {
            routing::is_there(integration)
                && !(changed.backfill && routing::is_read_by_people(&integration.kind))
        };
        for integration in tenant.integrations.iter().filter(hears) {
            let told = routed.integrations.contains(&integration.id);
            let is_wanted = match routing::is_ruled(tenant, integration) {
                true => routing::is_named(&rules, integration),
                false => rank(&lead.band) >= rank(&integration.band_min),
            };
            if !told && !is_wanted {
                continue;
            }
            if !told {
                routed.integrations.push(integration.id.clone());
            }
            cx.emit(DeliveryRequest {
                integration: integration.id.clone(),
                subject: lead.lead_id.to_string(),
                lead_id: Some(lead.lead_id),
                kind: "lead".to_owned(),
                revision: lead.revision,
                payload: payload.to_string(),
            });
        }
        routed.reacted |= !tenant.routes.is_empty() && has_reaction(&changed);
        if !changed.backfill && !routed.reacted {
            for rule in rules {
                watch(cx, &mut routed, lead.lead_id, rule)?;
            }
        }
        if !routed.rules.is_empty() {
            (routed.payload, routed.revision) = (payload.to_string(), lead.revision);
        }
        if routed != before {
            cx.put(&ROUTED, key, routed);
        }
        Ok(())
    }

    /// Nobody may have reacted to a lead.
    fn on_timer(
        &mut self,
        cx: &mut Context<'_, DeliveryRequest>,
        _: TimerKind,
        name: &[u8],
        _: Millis,
    ) -> OperatorResult {
        let Some((lead_id, rule_id)) = name.split_first_chunk::<LEAD_ID_BYTES>() else { return Ok(()) };
        let Some(routed) = cx.get(&ROUTED, lead_id)?.filter(|routed| !routed.reacted).cloned() else {
            return Ok(());
        };
        let Some(tenant) = cx.tenant() else { return Ok(()) };
        let Some(rule) = tenant.routes.iter().find(|rule| rule.id.as_bytes() == rule_id) else {
            return Ok(());
        };
        let mut payload: Value = serde_json::from_str(&routed.payload)
            .map_err(|error| Fault::poison(format!("what was told of the lead: {error}")))?;
        if let Some(fields) = payload.as_object_mut() {
            fields.insert("escalated_after_s".to_owned(), json!(rule.escalate_after_s));
        }
        let lead_id: Option<LeadId> = payload.get("lead_id").and_then(|id| LeadId::deserialize(id).ok());
        let Some(subject) = lead_id.map(|id| id.to_string()) else { return Ok(()) };
        for integration in routing::escalated_to(tenant, rule) {
            let request = escalation(cx.now, integration, &subject, "lead", &payload);
            cx.emit(DeliveryRequest { lead_id, ..request });
        }
        Ok(())
    }
}

/// What goes out when nobody has reacted: once for each time that a rule says so.
pub(crate) fn escalation(
    now: Millis,
    integration: &Integration,
    subject: &str,
    kind: &str,
    payload: &Value,
) -> DeliveryRequest {
    DeliveryRequest {
        integration: integration.id.clone(),
        subject: escalated(subject),
        lead_id: None,
        kind: kind.to_owned(),
        revision: now.0,
        payload: payload.to_string(),
    }
}

/// Has a lead looked at again, once for each rule that says when.
fn watch(
    cx: &mut Context<'_, DeliveryRequest>,
    routed: &mut Routed,
    lead_id: LeadId,
    rule: &RouteRule,
) -> OperatorResult {
    let Some(after_ms) = routing::escalates_after_ms(rule).filter(|_| !routed.rules.contains(&rule.id))
    else {
        return Ok(());
    };
    routed.rules.push(rule.id.clone());
    let name = [lead_id.as_bytes().as_slice(), rule.id.as_bytes()].concat();
    cx.timer(TimerKind::Now, &name, cx.now.plus(after_ms))
}

/// Whether anybody of the company has talked or written to them, or has said what becomes of it.
fn has_reaction(changed: &LeadChanged) -> bool {
    changed.lead.contacted || changed.lead.status != "open"
}

fn matter<'a>(changed: &'a LeadChanged, detail: &'a Value) -> Matter<'a> {
    let lead = &changed.lead;
    Matter {
        kind: "lead",
        band: Some(&lead.band),
        project_type: lead.project_type.as_deref(),
        city: lead.city.as_deref(),
        postcode: detail.pointer("/extracted/postcode").and_then(Value::as_str),
        source: lead.attribution.source.as_deref(),
    }
}

/// Bands in order; an unknown one is the lowest.
fn rank(band: &str) -> u8 {
    Band::parse(band).map_or(0, |band| match band {
        Band::Cold => 0,
        Band::Nurture => 1,
        Band::Warm => 2,
        Band::Hot => 3,
    })
}

/// What an integration is told of a lead. Keys are sorted, so that equal leads are equal texts.
fn payload(changed: &LeadChanged, detail: &Value) -> Value {
    let lead = &changed.lead;
    json!({
        "type": "lead",
        "lead_id": lead.lead_id.to_string(),
        "revision": lead.revision,
        "status": lead.status,
        "score": lead.score,
        "band": lead.band,
        "class": lead.class,
        "name": lead.name,
        "phone": lead.phone,
        "email": lead.email,
        "city": lead.city,
        "project_type": lead.project_type,
        "source": lead.attribution.source,
        "budget_min": detail.get("budget_min"),
        "budget_max": detail.get("budget_max"),
        "timeline": detail.get("timeline"),
        "urgency": detail.get("urgency"),
        "appointment_set": detail.get("appointment_set"),
        "extracted": detail.get("extracted"),
        "factors": detail.get("factors"),
        "reasons": detail.get("reasons"),
        "evidence": detail.get("evidence"),
        "contact_ids": lead.contact_ids,
        "contacted": lead.contacted,
        "opened_at": lead.opened_at.to_string(),
        "last_contact_at": lead.last_contact_at.to_string(),
        "why": changed.why,
    })
}
