//! What `integration add` is told: a pure change of a tenant's record.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use base64::Engine as _;
use leadline_connectors::contract::secrets::Secrets;
use leadline_connectors::crm;
use leadline_connectors::sink_email;
use leadline_connectors::sink_http::integration_secret_context;
use leadline_connectors::sink_webhook::{SECRET_PREFIX, key_of};
use leadline_operators::hours::{GATHERED, Gathering};
use leadline_operators::routing::is_read_by_people;
use leadline_schemas::settings::{Integration, Tenant};
use serde::{Deserialize, Serialize};

/// Kinds that are added here; the others have commands of their own.
const KINDS: [&str; 7] = ["http", "webhook", "slack", "email", "hubspot", "salesforce", "pipedrive"];
/// Kinds that have fields of their own, in which a lead is entered.
const CRMS: [&str; 3] = ["hubspot", "salesforce", "pipedrive"];
const BANDS: [&str; 4] = ["hot", "warm", "nurture", "cold"];
/// Longest id of an integration: it stands in addresses and in the key of each delivery.
const ID_CHARS_MAX: usize = 40;
const OPTION_CHARS_MAX: usize = 2_000;

/// What is told of an integration; what is not told stays, or has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntegrationSpec {
    /// Its id.
    pub id: String,
    /// `http`, `webhook`, `slack`, `email`, ...: needed for a new one.
    pub kind: Option<String>,
    /// Where to send.
    pub url: Option<String>,
    /// Token, key or secret address.
    pub secret: Option<String>,
    /// The lowest band it wants.
    pub band_min: Option<String>,
    /// Whether it wants missed calls and notices.
    pub alerts: Option<bool>,
    /// What its kind needs; an empty value takes one away.
    pub options: BTreeMap<String, String>,
    /// Fields of the other side to ours.
    pub fields: BTreeMap<String, String>,
    /// `21:00-08:00`, or `none`.
    pub quiet: Option<String>,
    /// Switch it off, or on again.
    pub disabled: Option<bool>,
}

impl IntegrationSpec {
    /// Takes it into the tenant's record. Answers a secret that was made, which is shown this once.
    pub(super) fn apply(
        &self,
        tenant: &mut Tenant,
        secrets: &dyn Secrets,
        random: &[u8; 32],
    ) -> anyhow::Result<Option<String>> {
        let (owner, known) = (tenant.tenant.clone(), tenant.integration(&self.id).cloned());
        let is_new = known.is_none();
        let mut next = match known {
            Some(known) => known,
            None => self.fresh()?,
        };
        if self.kind.as_ref().is_some_and(|kind| *kind != next.kind) {
            bail!("{} is of kind {}; remove it, or add another under a new id", self.id, next.kind);
        }
        self.change(&mut next)?;
        let is_made = is_new && next.kind == "webhook" && self.secret.is_none();
        let engine = base64::engine::general_purpose::STANDARD;
        let made = is_made.then(|| format!("{SECRET_PREFIX}{}", engine.encode(random)));
        if let Some(secret) = made.as_ref().or(self.secret.as_ref()) {
            if next.kind == "webhook" {
                key_of(secret).map_err(|why| anyhow!("--secret: {why}"))?;
            }
            let context = integration_secret_context(&owner, &next.id);
            next.secret = Some(secrets.seal(&context, secret.as_bytes())?);
        }
        check(&next, self.secret.as_deref())?;
        tenant.integrations.retain(|one| one.id != next.id || !is_new);
        match tenant.integrations.iter_mut().find(|one| one.id == next.id) {
            Some(there) => *there = next,
            None => tenant.integrations.push(next),
        }
        Ok(made)
    }

    fn fresh(&self) -> anyhow::Result<Integration> {
        let is_id = (1..=ID_CHARS_MAX).contains(&self.id.len())
            && self.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_id {
            bail!("id {:?} is not valid: use 1 to {ID_CHARS_MAX} letters, digits, - and _", self.id);
        }
        let kind = self.kind.as_deref().unwrap_or_default();
        if !KINDS.contains(&kind) {
            bail!("kind {kind:?} is not known: use {}", KINDS.join(", "));
        }
        let mut fresh = Integration::new(&self.id, kind, "");
        fresh.alerts = !CRMS.contains(&kind);
        if is_read_by_people(kind) {
            fresh.options.insert("unclear".to_owned(), "again".to_owned());
        }
        Ok(fresh)
    }

    fn change(&self, next: &mut Integration) -> anyhow::Result<()> {
        if let Some(url) = &self.url {
            next.url.clone_from(url);
        }
        if let Some(band) = &self.band_min {
            if !BANDS.contains(&band.as_str()) {
                bail!("band {band:?} is not valid: use {}", BANDS.join(", "));
            }
            next.band_min.clone_from(band);
        }
        next.alerts = self.alerts.unwrap_or(next.alerts);
        if let Some(disabled) = self.disabled {
            (next.disabled, next.disabled_why) = (disabled, None);
        }
        for (from, into) in [(&self.options, &mut next.options), (&self.fields, &mut next.field_map)] {
            for (name, value) in from {
                if value.chars().count() > OPTION_CHARS_MAX {
                    bail!("{name} has more than {OPTION_CHARS_MAX} characters");
                }
                match value.as_str() {
                    "" => into.remove(name),
                    value => into.insert(name.clone(), value.to_owned()),
                };
            }
        }
        if let Some(quiet) = &self.quiet {
            (next.quiet_from_min, next.quiet_to_min) = quiet_hours(quiet)?.unzip();
        }
        Ok(())
    }
}

/// What each kind cannot do without.
fn check(one: &Integration, secret: Option<&str>) -> anyhow::Result<()> {
    let is_address = |text: &str| {
        reqwest::Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
    };
    let has = |name: &str| one.options.contains_key(name);
    crm::check(one).map_err(|why| anyhow!(why))?;
    check_digest(one)?;
    check_options(one)?;
    match one.kind.as_str() {
        "http" | "webhook" if !is_address(&one.url) => {
            bail!("--url {:?} is no address: use one such as https://crm.example.com/leads", one.url)
        }
        "slack" if has("channel") => {
            if one.secret.is_none() && one.grant.is_none() {
                bail!("a Slack channel needs the app's token: --secret xoxb-...")
            }
            if !one.url.is_empty() && !is_address(&one.url) {
                bail!("--url {:?} is no address; leave it out for Slack's own", one.url)
            }
        }
        // The address of an incoming webhook is a secret: whoever knows it can post.
        "slack" if one.secret.is_none() || secret.is_some_and(|secret| !is_address(secret)) => {
            bail!(
                "name a channel with --option channel=C..., or give an incoming webhook's address as --secret"
            )
        }
        "email" => sink_email::check(one).map_err(|why| anyhow!(why))?,
        _ => {}
    }
    Ok(())
}

/// What would silently be without effect.
fn check_options(one: &Integration) -> anyhow::Result<()> {
    let known: Option<&[&str]> = match one.kind.as_str() {
        "slack" => Some(&["channel", "link", "unclear"]),
        "http" | "webhook" => Some(&["unclear"]),
        _ => None, // Each checks its own.
    };
    if let Some(known) = known {
        crm::one_of(&one.kind, &one.options, known).map_err(|why| anyhow!(why))?;
    }
    if let Some(what) = one.options.get("unclear").filter(|what| *what != "again") {
        bail!(
            "option unclear: {what:?} is not valid: use again, or nothing for what may have arrived to wait for you"
        );
    }
    if !one.field_map.is_empty() && !CRMS.contains(&one.kind.as_str()) {
        bail!("--field is for CRMs: {} has no fields of its own", one.kind);
    }
    Ok(())
}

/// Whether leads can be gathered as is wished.
fn check_digest(one: &Integration) -> anyhow::Result<()> {
    let Some(text) = one.options.get("digest") else { return Ok(()) };
    if !GATHERED.contains(&one.kind.as_str()) {
        bail!("option digest is for {}: {} is told of each lead at once", GATHERED.join(", "), one.kind);
    }
    match Gathering::parse(text) {
        Some(_) => Ok(()),
        None => bail!(
            "option digest: {text:?} is not valid: use hourly, daily 07:30, or nothing for each lead at once"
        ),
    }
}

/// Minutes of the day of `21:00-08:00`.
fn quiet_hours(text: &str) -> anyhow::Result<Option<(i32, i32)>> {
    if text == "none" {
        return Ok(None);
    }
    let minutes = |clock: &str| {
        let (hour, minute) = clock.trim().split_once(':')?;
        let (hour, minute) = (hour.parse::<i32>().ok()?, minute.parse::<i32>().ok()?);
        ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 60 + minute)
    };
    let parsed = text.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
    let parsed = parsed.filter(|(from, to)| from != to);
    parsed.map(Some).ok_or_else(|| anyhow!("quiet hours {text:?} are not valid: use 21:00-08:00, or none"))
}
