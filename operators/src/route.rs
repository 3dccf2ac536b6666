//! route: who is told of a lead.

use leadline_schemas::score::Band;
use leadline_schemas::state::Routed;

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec};
use crate::deliveries::DeliveryRequest;
use crate::leads::LeadChanged;

/// Integrations that a lead was sent to: they hear of it again even when it falls below their band.
pub const ROUTED: Table<Routed> = Table::new(1, "routed", Some(25 * 31 * leadline_schemas::Millis::DAY));
const TABLES: &[TableSpec] = &[ROUTED.spec];

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
        let mut routed = cx.get(&ROUTED, key)?.cloned().unwrap_or_default();
        let known = routed.integrations.len();
        for integration in tenant.integrations.iter().filter(|integration| !integration.disabled) {
            let told = routed.integrations.contains(&integration.id);
            if !told && rank(&lead.band) < rank(&integration.band_min) {
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
                payload: payload(&changed)?,
            });
        }
        if routed.integrations.len() != known {
            cx.put(&ROUTED, key, routed);
        }
        Ok(())
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
fn payload(changed: &LeadChanged) -> OperatorResult<String> {
    let lead = &changed.lead;
    let detail: serde_json::Value = serde_json::from_str(&lead.detail)
        .map_err(|error| Fault::poison(format!("the lead's detail: {error}")))?;
    let body = serde_json::json!({
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
        "factors": detail.get("factors"),
        "reasons": detail.get("reasons"),
        "evidence": detail.get("evidence"),
        "contact_ids": lead.contact_ids,
        "contacted": lead.contacted,
        "opened_at": lead.opened_at.to_string(),
        "last_contact_at": lead.last_contact_at.to_string(),
        "why": changed.why,
    });
    Ok(body.to_string())
}
