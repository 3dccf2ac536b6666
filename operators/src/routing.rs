//! routing: which of a tenant's rules hold, and whom they name. Pure; `route`, `alert` and `deliveries` ask.

use leadline_schemas::Millis;
use leadline_schemas::settings::{Integration, RouteRule, Tenant};

use crate::hours;

/// What somebody may have to be told of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matter<'a> {
    /// `lead`, `missed_call` or `notice`.
    pub kind: &'a str,
    /// The band, of a lead.
    pub band: Option<&'a str>,
    /// The project, of a lead.
    pub project_type: Option<&'a str>,
    /// The city.
    pub city: Option<&'a str>,
    /// The postcode.
    pub postcode: Option<&'a str>,
    /// Where the caller came from, as the tracking says.
    pub source: Option<&'a str>,
}

/// Integrations that only the tenant's records are kept in: no rule is needed for them, and none takes them away.
const RECORDS_ONLY: [&str; 1] = ["callrail"];

/// Kinds that people read: alerts go there, old leads do not, and one that is unclear is rather sent twice than not at all.
const READ_BY_PEOPLE: [&str; 2] = ["slack", "email"];

/// Whether what is sent to this kind of integration is read by people, as it comes.
pub fn is_read_by_people(kind: &str) -> bool {
    READ_BY_PEOPLE.contains(&kind)
}

/// Whether rules say who is told; without them, and for what keeps records only, each integration says so itself.
pub fn is_ruled(tenant: &Tenant, integration: &Integration) -> bool {
    !tenant.routes.is_empty() && !RECORDS_ONLY.contains(&integration.kind.as_str())
}

/// Whether deliveries are made out to an integration. To one that leadline itself has switched off they are: the ledger
/// then has what it misses, to be replayed once it is mended.
pub fn is_there(integration: &Integration) -> bool {
    !integration.disabled || integration.disabled_why.is_some()
}

/// The rules that hold. All that a rule names must; what a matter does not have, it cannot be.
pub fn holding<'t>(tenant: &'t Tenant, matter: &Matter<'_>, now: Millis) -> Vec<&'t RouteRule> {
    let is_open = hours::is_open(&tenant.profile, now);
    tenant.routes.iter().filter(|rule| holds(rule, matter, is_open)).collect()
}

fn holds(rule: &RouteRule, matter: &Matter<'_>, is_open: bool) -> bool {
    let in_hours = match rule.hours.as_deref() {
        None => true,
        Some("open") => is_open,
        Some("closed") => !is_open,
        Some(_) => false,
    };
    in_hours
        && names(&rule.kinds, Some(matter.kind))
        && names(&rule.bands, matter.band)
        && names(&rule.project_types, matter.project_type)
        && names(&rule.sources, matter.source)
        && (rule.territories.is_empty() || rule.territories.iter().any(|place| lies_in(place, matter)))
}

fn names(list: &[String], value: Option<&str>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.iter().any(|name| same(name, value)))
}

fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

fn lies_in(place: &str, matter: &Matter<'_>) -> bool {
    let begins = |postcode: &str| {
        let plain = |text: &str| text.replace(' ', "").to_ascii_uppercase();
        place.contains(|letter: char| letter.is_ascii_digit()) && plain(postcode).starts_with(&plain(place))
    };
    matter.city.is_some_and(|city| same(place, city)) || matter.postcode.is_some_and(begins)
}

/// Whether any of the rules names the integration.
pub fn is_named(rules: &[&RouteRule], integration: &Integration) -> bool {
    rules.iter().any(|rule| rule.to.contains(&integration.id))
}

/// Who is told of a missed call, in the tenant's order.
pub fn alerted<'t>(tenant: &'t Tenant, rules: &[&RouteRule]) -> Vec<&'t Integration> {
    let there = tenant.integrations.iter().filter(|integration| is_there(integration));
    match tenant.routes.is_empty() {
        true => there.filter(|integration| integration.alerts).collect(),
        false => there.filter(|integration| is_named(rules, integration)).collect(),
    }
}

/// Who is told of trouble: as [`alerted`], but where no rule takes it, whoever wants alerts. Trouble that nobody hears of
/// stays.
pub fn noticed(tenant: &Tenant, now: Millis) -> Vec<&Integration> {
    let rules = holding(tenant, &Matter { kind: "notice", ..Matter::default() }, now);
    let mut named = alerted(tenant, &rules);
    named.retain(|integration| !integration.disabled); // An old notice is no news once it is mended.
    if named.is_empty() { tenant.alerted().collect() } else { named }
}

/// Whom a rule names when nobody has reacted, in the tenant's order.
pub fn escalated_to<'t>(tenant: &'t Tenant, rule: &RouteRule) -> impl Iterator<Item = &'t Integration> {
    let there = tenant.integrations.iter().filter(|integration| is_there(integration));
    there.filter(move |integration| rule.escalate_to.contains(&integration.id))
}

/// After how many ms a rule tells others; none when it does not.
pub fn escalates_after_ms(rule: &RouteRule) -> Option<i64> {
    let after_s = rule.escalate_after_s.filter(|_| !rule.escalate_to.is_empty())?;
    Some(i64::from(after_s.max(1)) * Millis::SECOND)
}
