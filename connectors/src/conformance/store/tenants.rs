//! What a record store shows of tenants: the newest that was told, whoever told it late, and no integration that is gone.

use leadline_schemas::Millis;

use super::rows::tenant;
use crate::contract::store::RecordWriter;
use crate::contract::tenants::{IntegrationRow, TenantRow};

/// A row of tenants joined with their integrations; tenants without any have one all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The tenant's id.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its time zone.
    pub time_zone: String,
    /// When it was added, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// What it is.
    pub status: String,
    /// Id, kind, whether it is on, and why not.
    pub integration: Option<(String, String, bool, Option<String>)>,
}

fn row(id: &str, name: &str, integrations: &[(&str, Option<&str>)]) -> TenantRow {
    let integration = |(id, why): &(&str, Option<&str>)| IntegrationRow {
        integration: (*id).to_owned(),
        kind: "http".to_owned(),
        enabled: why.is_none(),
        disabled_reason: why.map(str::to_owned),
    };
    TenantRow {
        tenant: tenant(id),
        name: name.to_owned(),
        time_zone: "America/Denver".to_owned(),
        created_at: Millis(1_772_640_753_236),
        removed: false,
        integrations: integrations.iter().map(integration).collect(),
    }
}

fn shown(row: &TenantRow) -> Vec<Shown> {
    let one = |integration: Option<&IntegrationRow>| Shown {
        tenant: row.tenant.to_string(),
        name: row.name.clone(),
        time_zone: row.time_zone.clone(),
        created_at_ms: row.created_at.0,
        status: row.status().to_owned(),
        integration: integration
            .map(|one| (one.integration.clone(), one.kind.clone(), one.enabled, one.disabled_reason.clone())),
    };
    match row.integrations.is_empty() {
        true => vec![one(None)],
        false => row.integrations.iter().map(|integration| one(Some(integration))).collect(),
    }
}

/// Runs the suite on an empty store; `look` answers its rows, sorted by tenant and integration.
pub fn suite(writer: &mut dyn RecordWriter, look: &mut dyn FnMut() -> Vec<Shown>) {
    let quoted = "O'Neill & Söhne \"Roofs\"";
    let ridge = row("ridge", quoted, &[]);
    let before = row("summit", "Summit", &[("crm", None), ("sales", None)]);
    writer.put_tenants(5, &[ridge.clone(), before.clone()]).unwrap();
    let both = |summit: &TenantRow| [shown(&ridge), shown(summit)].concat();
    assert_eq!(look(), both(&before));

    // One goes, one is switched off, one comes; and the same is told again, as after a restart.
    let now = row("summit", "Summit Kitchens", &[("crm", Some("410 Gone")), ("slack", None)]);
    for _ in 0..2 {
        writer.put_tenants(8, std::slice::from_ref(&now)).unwrap();
        assert_eq!(look(), both(&now));
    }
    // Who was replaced tells what it knew.
    writer.put_tenants(5, std::slice::from_ref(&before)).unwrap();
    assert_eq!(look(), both(&now));

    let removed = TenantRow { removed: true, integrations: Vec::new(), ..now };
    writer.put_tenants(9, std::slice::from_ref(&removed)).unwrap();
    assert_eq!(look(), both(&removed));
    writer.put_tenants(9, &[]).unwrap();
    let many: Vec<TenantRow> = (100..450).map(|n| row(&format!("t-{n}"), "Many", &[("crm", None)])).collect();
    writer.put_tenants(10, &many).unwrap();
    assert_eq!(look().len(), 2 + many.len());
}
