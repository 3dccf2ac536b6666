//! The tenants of a run, and who answers for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use leadline::engine::Responders;
use leadline_connectors::contract::provider::Provider;
use leadline_connectors::contract::sink::Sink;
use leadline_schemas::settings::{Form, Integration, Policy, Profile, Tenant};
use leadline_schemas::{Millis, TenantId};

use crate::clock::BEGIN;
use crate::outside::{Callrail, Outside, Receiver, Scorer};

pub fn responders(outside: &Outside) -> Responders {
    let scorer: Arc<dyn Provider> = Arc::new(Scorer(outside.clone()));
    let callrail: Arc<dyn Provider> = Arc::new(Callrail(outside.clone()));
    let receiver = |kind| -> Arc<dyn Sink> { Arc::new(Receiver { outside: outside.clone(), kind }) };
    Responders {
        providers: HashMap::from([
            ("score".to_owned(), HashMap::from([("sim".to_owned(), scorer)])),
            ("get_call".to_owned(), HashMap::from([("callrail".to_owned(), callrail)])),
        ]),
        sinks: HashMap::from([
            ("http".to_owned(), receiver("http")),
            ("pager".to_owned(), receiver("pager")),
        ]),
        ..Responders::default()
    }
}

/// alpha: rules, two receivers. beta: a scoring provider. gamma: is switched off or removed. delta: provider and
/// several slots.
pub fn tenant(name: &str) -> Tenant {
    let integration =
        |kind: &str| Integration { alerts: true, ..Integration::new(format!("{kind}1"), kind, "") };
    let provider = if matches!(name, "beta" | "delta") { "sim" } else { "rules" };
    Tenant {
        forms: vec![Form {
            form_key: format!("{name}-form"),
            origins: Vec::new(),
            honeypot: None,
            field_map: BTreeMap::new(),
        }],
        integrations: match name {
            "alpha" => vec![integration("http"), integration("pager")],
            _ => vec![integration("http")],
        },
        profile: Profile {
            time_zone: "America/Denver".to_owned(),
            currency: "USD".to_owned(),
            ..Profile::default()
        },
        policy: Policy {
            spread: if name == "delta" { 4 } else { 1 },
            score_provider: provider.to_owned(),
            ..Policy::default()
        },
        ..Tenant::new(TenantId::new(name).unwrap(), name, Millis(BEGIN.0))
    }
}
