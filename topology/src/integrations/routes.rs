//! Who is told of what, as a tenant writes it down: rules, and hours of the week.

use anyhow::{anyhow, bail};
use jiff::tz::TimeZone;
use leadline_schemas::score::ProjectType;
use leadline_schemas::settings::{OpenHours, RouteRule, Tenant};
use serde::{Deserialize, Serialize};

/// Rules of a tenant at most: each is looked at for each lead.
const RULES_MAX: usize = 100;
/// Names in a rule's list at most.
const NAMES_MAX: usize = 1_000;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A tenant's rules, and when somebody is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// Every rule that holds counts; without rules each integration goes by its own band and alerts.
    pub routes: Vec<RouteRule>,
    /// `mon 08:00-17:30`, one day each; empty = always.
    pub hours: Vec<String>,
}

impl Routing {
    pub(super) fn of(tenant: &Tenant) -> Self {
        Self { routes: tenant.routes.clone(), hours: tenant.profile.hours.iter().map(written).collect() }
    }

    /// Takes it into the tenant's record.
    pub(super) fn set(&self, tenant: &mut Tenant) -> anyhow::Result<()> {
        if self.routes.len() > RULES_MAX {
            bail!("there are {} rules: {RULES_MAX} are enough", self.routes.len());
        }
        for rule in &self.routes {
            check(rule, tenant).map_err(|error| anyhow!("rule {:?}: {error}", rule.id))?;
        }
        let mut ids: Vec<&str> = self.routes.iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair.first() == pair.last()) {
            bail!("two rules have the id {:?}", pair.first().copied().unwrap_or_default());
        }
        let hours = self.hours.iter().map(|text| read(text));
        tenant.profile.hours = hours.collect::<anyhow::Result<_>>()?;
        tenant.routes.clone_from(&self.routes);
        Ok(())
    }
}

fn check(rule: &RouteRule, tenant: &Tenant) -> anyhow::Result<()> {
    let projects: Vec<&str> = ProjectType::ALL.iter().map(|one| one.as_str()).collect();
    if rule.id.is_empty() || rule.id.len() > 40 || rule.id.contains('\0') {
        bail!("an id has 1 to 40 characters");
    }
    for (what, names, allowed) in [
        ("kinds", &rule.kinds, &["lead", "missed_call", "notice"][..]),
        ("bands", &rule.bands, &["hot", "warm", "nurture", "cold"]),
        ("project_types", &rule.project_types, &projects),
    ] {
        if let Some(name) = names.iter().find(|name| !allowed.contains(&name.as_str())) {
            bail!("{what} has {name:?}: use {}", allowed.join(", "));
        }
    }
    if [&rule.territories, &rule.sources].iter().any(|names| names.len() > NAMES_MAX) {
        bail!("a list has more than {NAMES_MAX} names");
    }
    if let Some(hours) = rule.hours.as_deref().filter(|hours| !["open", "closed"].contains(hours)) {
        bail!("hours is {hours:?}: use open or closed");
    }
    if rule.hours.is_some() && TimeZone::get(&tenant.profile.time_zone).is_err() {
        bail!("hours need the tenant's time zone: `leadline tenant add {} --time-zone ...`", tenant.tenant);
    }
    if rule.to.is_empty() {
        bail!("it names nobody in \"to\"");
    }
    if let Some(id) = rule.to.iter().chain(&rule.escalate_to).find(|id| tenant.integration(id).is_none()) {
        bail!("there is no integration {id:?}: `leadline integration list {}` shows them", tenant.tenant);
    }
    if rule.escalate_after_s.is_some_and(|after_s| !(1..=7 * 86_400).contains(&after_s)) {
        bail!("escalate_after_s is 1 to {}", 7 * 86_400);
    }
    if rule.escalate_after_s.is_some() == rule.escalate_to.is_empty() {
        bail!("escalate_after_s and escalate_to belong together");
    }
    Ok(())
}

fn written(hours: &OpenHours) -> String {
    let day = usize::try_from(hours.weekday - 1).ok().and_then(|day| DAYS.get(day)).copied().unwrap_or("?");
    let clock = |minute: i32| format!("{:02}:{:02}", minute / 60, minute % 60);
    format!("{day} {}-{}", clock(hours.opens_min), clock(hours.closes_min))
}

fn read(text: &str) -> anyhow::Result<OpenHours> {
    let minutes = |clock: &str| {
        let (hour, minute) = clock.split_once(':')?;
        let minutes =
            hour.parse::<i32>().ok()? * 60 + minute.parse::<i32>().ok().filter(|minute| *minute < 60)?;
        (0..=24 * 60).contains(&minutes).then_some(minutes)
    };
    let parsed = text.split_once(' ').and_then(|(day, times)| {
        let weekday = i32::try_from(DAYS.iter().position(|name| *name == day)?).ok()? + 1;
        let (opens, closes) = times.split_once('-')?;
        let hours = OpenHours { weekday, opens_min: minutes(opens)?, closes_min: minutes(closes)? };
        (hours.opens_min < hours.closes_min).then_some(hours)
    });
    parsed.ok_or_else(|| anyhow!("hours {text:?} are not valid: use a day such as \"mon 08:00-17:30\""))
}
