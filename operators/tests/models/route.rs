//! route: who is told of a lead, and goes on hearing of it.

use std::collections::{BTreeMap, BTreeSet};

use leadline_operators::leads::LeadChanged;
use leadline_operators::route::Route;
use leadline_schemas::LeadId;
use leadline_schemas::call::Channel;
use leadline_schemas::event::Attribution;
use leadline_schemas::lead::Lead;
use leadline_schemas::settings::Integration;
use proptest::prelude::*;

use crate::driver::{Driver, cases, is_poison};
use crate::inputs::{CALLER, NOON, event_id, integration, tenant, tenant_id};

pub(crate) const BANDS: [&str; 4] = ["cold", "nurture", "warm", "hot"];

pub(crate) fn lead(which: u8, band: usize, revision: i64) -> Lead {
    Lead {
        tenant: tenant_id(),
        lead_id: LeadId::of(&[&[which]]),
        caller: CALLER.to_owned(),
        name: Some("Ana Núñez".to_owned()),
        phone: Some(CALLER.to_owned()),
        email: None,
        city: None,
        status: "open".to_owned(),
        score: 25 * i32::try_from(band).unwrap(),
        band: BANDS[band].to_owned(),
        class: "lead".to_owned(),
        project_type: None,
        detail: r#"{"reasons":["because"],"factors":{"budget":20}}"#.to_owned(),
        scored_by: None,
        first_channel: Channel::Call,
        attribution: Attribution::default(),
        contact_ids: vec!["CAL1".to_owned()],
        contacted: false,
        opened_at: NOON,
        last_contact_at: NOON,
        contacted_at: None,
        updated_at: NOON,
        revision,
        feedback: None,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Change {
        which: u8,
        band: usize,
        backfill: bool,
        deliver: bool,
    },
    /// An integration's lowest band, or that it is off or gone.
    Configure {
        integration: usize,
        band_min: Option<usize>,
        disabled: bool,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, 0..4_usize, prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(which, band, backfill, deliver)| Step::Change { which, band, backfill, deliver }),
        1 => (0..3_usize, prop::option::weighted(0.8, 0..4_usize), prop::bool::weighted(0.2)).prop_map(
            |(integration, band_min, disabled)| Step::Configure { integration, band_min, disabled }
        ),
    ]
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn who_was_told_of_a_lead_hears_of_every_change_others_when_it_is_good_enough_and_people_of_nothing_old(
        steps in prop::collection::vec(any_step(), 1..40)
    ) {
        let mut tenant = tenant();
        // Of the three, people read one.
        let integration = |id: &str, band_min: &str| {
            let kind = if id == "b" { "slack" } else { "http" };
            Integration { kind: kind.to_owned(), ..integration(id, band_min) }
        };
        tenant.integrations = vec![integration("a", "cold"), integration("b", "warm")];
        let mut driver = Driver::<Route>::new(tenant.clone(), NOON);
        let mut told: BTreeMap<u8, BTreeSet<String>> = BTreeMap::new();
        for (number, step) in (1..).zip(&steps) {
            match step {
                Step::Configure { integration: which, band_min, disabled } => {
                    let id = ["a", "b", "c"][*which];
                    tenant.integrations.retain(|integration| integration.id != id);
                    if let Some(band_min) = band_min {
                        let mut integration = integration(id, BANDS[*band_min]);
                        integration.disabled = *disabled;
                        tenant.integrations.push(integration);
                    }
                    driver.set_tenant(tenant.clone());
                }
                Step::Change { which, band, backfill, deliver } => {
                    let lead = lead(*which, *band, number);
                    let told = told.entry(*which).or_default();
                    let mut wanted = BTreeSet::new();
                    for integration in tenant.integrations.iter().filter(|integration| !integration.disabled) {
                        let enough = BANDS.iter().position(|name| *name == integration.band_min) <= Some(*band);
                        let hears = !backfill || (*deliver && integration.kind != "slack");
                        if hears && (enough || told.contains(&integration.id)) {
                            wanted.insert(integration.id.clone());
                        }
                    }
                    told.extend(wanted.iter().cloned());
                    let changed = LeadChanged {
                        lead: lead.clone(),
                        why: "A call.".to_owned(),
                        backfill: *backfill,
                        deliver_backfill: *deliver,
                    };
                    let done = driver.record(event_id(number.unsigned_abs()), changed).unwrap();
                    prop_assert!(done.jobs.is_empty());
                    let got: BTreeSet<String> = done.out.iter().map(|out| out.integration.clone()).collect();
                    prop_assert_eq!(got.len(), done.out.len(), "told twice of one change");
                    prop_assert_eq!(got, wanted);
                    for request in done.out {
                        prop_assert_eq!(request.lead_id, Some(lead.lead_id));
                        prop_assert_eq!(&request.subject, &lead.lead_id.to_string());
                        prop_assert_eq!((request.kind.as_str(), request.revision), ("lead", number));
                        let payload: serde_json::Value = serde_json::from_str(&request.payload).unwrap();
                        prop_assert_eq!(&payload["band"], BANDS[*band]);
                        prop_assert_eq!(&payload["reasons"][0], "because");
                        prop_assert_eq!(&payload["phone"], CALLER);
                    }
                }
            }
        }
    }
}

#[test]
fn a_removed_tenant_is_told_of_nothing_and_a_lead_that_cannot_be_read_is_poison() {
    let mut gone = tenant();
    gone.integrations = vec![integration("a", "cold")];
    let mut driver = Driver::<Route>::new(gone.clone(), NOON);
    let changed =
        LeadChanged { lead: lead(1, 3, 1), why: String::new(), backfill: false, deliver_backfill: false };
    let mut unreadable = changed.clone();
    unreadable.lead.detail = "{".to_owned();
    assert!(is_poison(&driver.record(event_id(1), unreadable).unwrap_err()));
    gone.removed = true;
    driver.set_tenant(gone);
    assert!(driver.record(event_id(2), changed).unwrap().out.is_empty());
}
