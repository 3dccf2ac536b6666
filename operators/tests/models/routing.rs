//! routing: rules as data say who is told, and who else when nobody reacts; without rules nothing changes.

use std::collections::BTreeSet;

use leadline_operators::alert::{Alert, AlertOut};
use leadline_operators::deliveries::{Deliveries, DeliveryIn};
use leadline_operators::leads::LeadChanged;
use leadline_operators::route::Route;
use leadline_schemas::Millis;
use leadline_schemas::command::Command;
use leadline_schemas::event::Direction;
use leadline_schemas::inbound::EventKind;
use leadline_schemas::settings::{OpenHours, RouteRule, Tenant};
use proptest::prelude::*;

use crate::driver::{Driver, cases};
use crate::inputs::{NOON, call_contact, call_event, event_id, integration, tenant};
use crate::route::{BANDS, lead};

const IDS: [&str; 3] = ["a", "b", "c"];
const PROJECTS: [&str; 2] = ["kitchen", "bath"];
const CITIES: [&str; 2] = ["Denver", "Boulder"];
const SOURCES: [&str; 2] = ["Google Ads", "Yelp"];

/// Which of a few values a rule names; a set bit is a name.
#[derive(Clone, Debug)]
struct Rule {
    kinds: u8,
    bands: u8,
    projects: u8,
    cities: u8,
    sources: u8,
    hours: Option<bool>,
    to: u8,
    escalate_to: u8,
}

#[derive(Clone, Debug)]
struct Change {
    band: usize,
    project: Option<usize>,
    city: Option<usize>,
    source: Option<usize>,
    /// Hours after noon in UTC.
    hours: i64,
    contacted: bool,
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let few = || prop::sample::select(vec![0_u8, 0, 1, 2, 3]);
    let kinds = prop::sample::select(vec![0_u8, 1, 1, 2, 3]);
    (kinds, few(), few(), few(), few(), prop::option::of(any::<bool>()), 0..8_u8, 0..8_u8).prop_map(
        |(kinds, bands, projects, cities, sources, hours, to, escalate_to)| Rule {
            kinds,
            bands: bands << 2, // Warm and hot.
            projects,
            cities,
            sources,
            hours,
            to,
            escalate_to,
        },
    )
}

fn any_change() -> impl Strategy<Value = Change> {
    let some = || prop::option::weighted(0.8, 0..2_usize);
    (0..4_usize, some(), some(), some(), 0..30_i64, prop::bool::weighted(0.1)).prop_map(
        |(band, project, city, source, hours, contacted)| Change {
            band,
            project,
            city,
            source,
            hours,
            contacted,
        },
    )
}

fn picked(bits: u8, of: &[&str]) -> Vec<String> {
    (0..of.len()).filter(|index| bits >> index & 1 == 1).map(|index| of[index].to_owned()).collect()
}

fn route_rule(number: usize, rule: &Rule) -> RouteRule {
    RouteRule {
        id: format!("rule-{number}"),
        kinds: picked(rule.kinds, &["lead", "missed_call"]),
        bands: picked(rule.bands, &BANDS),
        project_types: picked(rule.projects, &PROJECTS),
        territories: picked(rule.cities, &CITIES),
        sources: picked(rule.sources, &SOURCES),
        hours: rule.hours.map(|open| if open { "open" } else { "closed" }.to_owned()),
        to: picked(rule.to, &IDS),
        escalate_after_s: Some(600),
        escalate_to: picked(rule.escalate_to, &IDS),
    }
}

/// Somebody is there from 09:00 to 17:00 in UTC, on every day.
fn ruled(rules: &[Rule]) -> Tenant {
    let mut tenant = tenant();
    "UTC".clone_into(&mut tenant.profile.time_zone);
    tenant.profile.hours =
        (1..=7).map(|weekday| OpenHours { weekday, opens_min: 9 * 60, closes_min: 17 * 60 }).collect();
    tenant.integrations = IDS.map(|id| integration(id, "hot")).to_vec();
    tenant.routes = rules.iter().enumerate().map(|(number, rule)| route_rule(number, rule)).collect();
    tenant
}

/// Whether a rule holds, said in other words than in the code.
fn holds(rule: &Rule, change: &Change, at: Millis) -> bool {
    let open = (9..17).contains(&(at.0.rem_euclid(Millis::DAY) / Millis::HOUR));
    let among =
        |bits: u8, value: Option<usize>| bits == 0 || value.is_some_and(|value| bits >> value & 1 == 1);
    among(rule.kinds, Some(0))
        && among(rule.bands, Some(change.band))
        && among(rule.projects, change.project)
        && among(rule.cities, change.city)
        && among(rule.sources, change.source)
        && rule.hours.is_none_or(|wanted| wanted == open)
}

fn changed(change: &Change, revision: i64) -> LeadChanged {
    let mut lead = lead(1, change.band, revision);
    lead.project_type = change.project.map(|which| PROJECTS[which].to_owned());
    lead.city = change.city.map(|which| CITIES[which].to_uppercase());
    lead.attribution.source = change.source.map(|which| SOURCES[which].to_owned());
    lead.contacted = change.contacted;
    LeadChanged { lead, why: "A call.".to_owned(), backfill: false, deliver_backfill: false }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_lead_goes_to_all_whom_a_rule_names_that_holds_and_on_to_others_when_nobody_reacts(
        rules in prop::collection::vec(any_rule(), 1..4),
        changes in prop::collection::vec(any_change(), 1..8)
    ) {
        let mut driver = Driver::<Route>::new(ruled(&rules), NOON);
        let (mut told, mut reacted) = (BTreeSet::new(), false);
        let mut watched: Vec<usize> = Vec::new();
        for (revision, change) in (1_i64..).zip(&changes) {
            // Ten minutes go by between changes: whoever is to be told when nobody reacts is told in between.
            let due: BTreeSet<String> =
                watched.drain(..).filter(|_| !reacted).flat_map(|rule| picked(rules[rule].escalate_to, &IDS)).collect();
            let escalated: Vec<_> = driver.advance(change.hours * Millis::HOUR + 601_000).into_iter().flat_map(|done| done.out).collect();
            let names: BTreeSet<String> = escalated.iter().map(|out| out.integration.clone()).collect();
            prop_assert_eq!(names, due);
            for out in escalated {
                prop_assert!(out.subject.starts_with("escalated:") && out.payload.contains("\"escalated_after_s\":600"));
            }

            let done = driver.record(event_id(revision.unsigned_abs()), changed(change, revision)).unwrap();
            let holding: Vec<usize> =
                (0..rules.len()).filter(|rule| holds(&rules[*rule], change, driver.now)).collect();
            told.extend(holding.iter().flat_map(|rule| picked(rules[*rule].to, &IDS)));
            let got: BTreeSet<String> = done.out.iter().map(|out| out.integration.clone()).collect();
            prop_assert_eq!(&got, &told);
            reacted |= change.contacted;
            let before = driver.next_timer();
            if reacted {
                prop_assert_eq!(before, None);
            } else {
                // A rule tells others once for each lead.
                watched.extend(holding.iter().filter(|rule| rules[**rule].escalate_to != 0));
                let known: BTreeSet<usize> = rules_seen(&changes[..(revision - 1) as usize], &rules);
                watched.retain(|rule| !known.contains(rule));
            }
        }
    }
}

/// The rules that have held for one of these changes, at the times at which the test made them.
fn rules_seen(changes: &[Change], rules: &[Rule]) -> BTreeSet<usize> {
    let (mut now, mut seen) = (NOON, BTreeSet::new());
    for change in changes {
        now = now.plus(change.hours * Millis::HOUR + 601_000);
        seen.extend((0..rules.len()).filter(|rule| holds(&rules[*rule], change, now)));
    }
    seen
}

fn missed(driver: &mut Driver<Alert>, number: u64) -> Vec<String> {
    let mut call = call_event(&format!("CAL{number}"));
    (call.answered, call.call_type) = (Some(false), Some("missed".to_owned()));
    call.attribution.source = Some("Yelp".to_owned());
    let contact = call_contact(number, call);
    told(driver.record(contact.event_id, contact).unwrap().out)
}

fn told(out: Vec<AlertOut>) -> Vec<String> {
    out.into_iter()
        .map(|AlertOut::Delivery(request)| format!("{} {}", request.integration, request.subject))
        .collect()
}

#[test]
fn a_missed_call_goes_where_the_rules_say_and_on_when_the_company_does_not_call_back() {
    let rule =
        Rule { kinds: 2, bands: 0, projects: 0, cities: 0, sources: 2, hours: None, to: 1, escalate_to: 6 };
    let other = Rule { sources: 1, to: 4, ..rule.clone() };
    let leads = Rule { kinds: 1, to: 2, sources: 0, ..rule.clone() };
    for calls_back in [None, Some(EventKind::OutboundPostCall), Some(EventKind::PostCall)] {
        let mut driver = Driver::<Alert>::new(ruled(&[rule.clone(), other.clone(), leads.clone()]), NOON);
        assert_eq!(missed(&mut driver, 1), ["a missed:CAL1"]);
        driver.advance(300_000);
        if let Some(kind) = calls_back {
            let mut call = call_event("CAL9");
            (call.kind, call.started_at) = (kind, Some(driver.now));
            let outbound = kind == EventKind::OutboundPostCall;
            call.direction = Some(if outbound { Direction::Outbound } else { Direction::Inbound });
            let mut contact = call_contact(9, call);
            contact.event_time = driver.now;
            assert!(driver.record(contact.event_id, contact).unwrap().out.is_empty());
        }
        let escalated: Vec<_> = driver.advance(301_000).into_iter().flat_map(|done| told(done.out)).collect();
        match calls_back {
            None => assert_eq!(escalated, ["b escalated:missed:CAL1", "c escalated:missed:CAL1"]),
            Some(_) => assert!(escalated.is_empty(), "{escalated:?}"),
        }
        assert_eq!(driver.next_timer(), None);
    }
}

#[test]
fn without_rules_no_call_is_watched_and_nobody_is_told_later() {
    let mut driver = Driver::<Alert>::new(ruled(&[]), NOON);
    assert_eq!(missed(&mut driver, 1), ["a missed:CAL1", "b missed:CAL1", "c missed:CAL1"]);
    let mut call = call_event("CAL9");
    call.direction = Some(Direction::Outbound);
    let contact = call_contact(9, call);
    driver.record(contact.event_id, contact).unwrap();
    assert_eq!((driver.next_timer(), driver.rows(&leadline_operators::alert::REACTIONS)), (None, 0));
}

#[test]
fn a_write_back_needs_no_rule() {
    let mut tenant = ruled(&[Rule {
        kinds: 1,
        bands: 8,
        projects: 0,
        cities: 0,
        sources: 0,
        hours: None,
        to: 1,
        escalate_to: 0,
    }]);
    tenant.integrations.push(leadline_schemas::settings::Integration::new("callrail", "callrail", ""));
    let mut driver = Driver::<Route>::new(tenant, NOON);
    let cold = Change { band: 0, project: None, city: None, source: None, hours: 0, contacted: false };
    let out = driver.record(event_id(1), changed(&cold, 1)).unwrap().out;
    assert_eq!(out.iter().map(|out| out.integration.as_str()).collect::<Vec<_>>(), ["callrail"]);
}

/// A rule names postcodes by their beginnings, and no city begins with a digit.
#[test]
fn a_territory_is_a_city_or_the_beginning_of_a_postcode() {
    let rule =
        Rule { kinds: 0, bands: 0, projects: 0, cities: 0, sources: 0, hours: None, to: 1, escalate_to: 0 };
    let mut tenant = ruled(&[rule]);
    tenant.routes[0].territories = vec!["802".to_owned(), "SW1A 1".to_owned(), "golden".to_owned()];
    let mut driver = Driver::<Route>::new(tenant, NOON);
    let places = [
        (Some("Golden"), None, true),
        (None, Some("80211"), true),
        (None, Some("sw1a1aa"), true),
        (Some("Golden Valley"), Some("80311"), false),
        (None, None, false),
    ];
    for (number, (city, postcode, is_in)) in (1_u8..).zip(places) {
        let mut changed = changed(
            &Change { band: 1, project: None, city: None, source: None, hours: 0, contacted: false },
            1,
        );
        changed.lead.lead_id = leadline_schemas::LeadId::of(&[&[number]]);
        changed.lead.city = city.map(str::to_owned);
        changed.lead.detail = serde_json::json!({ "extracted": { "postcode": postcode } }).to_string();
        let out = driver.record(event_id(number.into()), changed).unwrap().out;
        assert_eq!(out.len(), usize::from(is_in), "{city:?} {postcode:?}");
    }
}

#[test]
fn a_notice_follows_the_rules_but_never_reaches_nobody() {
    let kinds = |name: &str, to: u8| {
        let rule =
            Rule { kinds: 0, bands: 0, projects: 0, cities: 0, sources: 0, hours: None, to, escalate_to: 0 };
        let mut tenant = ruled(&[rule]);
        tenant.routes[0].kinds = vec![name.to_owned()];
        tenant
    };
    for (tenant, wanted) in [(kinds("notice", 4), vec!["c"]), (kinds("lead", 4), vec!["a", "b", "c"])] {
        let mut driver = Driver::<Deliveries>::new(tenant, NOON);
        let command = Command::Notice {
            subject: "callrail:COM1".to_owned(),
            at: NOON,
            is_trouble: true,
            text: "nothing comes".to_owned(),
        };
        let out = driver.record(event_id(1), DeliveryIn::Command(command)).unwrap().out;
        assert_eq!(out.iter().map(|line| line.integration.as_str()).collect::<Vec<_>>(), wanted);
    }
}

/// What a dead integration misses is in the ledger; one that a person has switched off is not made out to.
#[test]
fn who_was_switched_off_by_leadline_goes_on_being_told_in_the_ledger() {
    let mut tenant = ruled(&[]);
    for (which, why) in [(0, Some("token_revoked".to_owned())), (1, None)] {
        let integration = &mut tenant.integrations[which];
        (integration.disabled, integration.disabled_why, integration.band_min) =
            (true, why, "cold".to_owned());
    }
    let cold = Change { band: 0, project: None, city: None, source: None, hours: 0, contacted: false };
    let mut route = Driver::<Route>::new(tenant.clone(), NOON);
    let out = route.record(event_id(1), changed(&cold, 1)).unwrap().out;
    assert_eq!(out.iter().map(|out| out.integration.as_str()).collect::<Vec<_>>(), ["a"]);
    let mut deliveries = Driver::<Deliveries>::new(tenant, NOON);
    let done = deliveries.record(event_id(1), DeliveryIn::Request(out[0].clone())).unwrap();
    assert!(done.jobs.is_empty());
    assert_eq!(done.out[0].reason.as_deref(), Some("the integration is switched off: token_revoked"));
    let mut alert = Driver::<Alert>::new(alert_tenant(), NOON);
    assert_eq!(missed(&mut alert, 1), ["a missed:CAL1", "c missed:CAL1"]);
}

/// Three that want alerts: the first dead, the second switched off by a person.
fn alert_tenant() -> Tenant {
    let mut tenant = ruled(&[]);
    tenant.integrations[0].disabled_why = Some("gone".to_owned());
    tenant.integrations[0].disabled = true;
    tenant.integrations[1].disabled = true;
    tenant
}
