//! Changes of tenants: pure functions from a tenant's record to its next.

mod ai;
mod companies;
mod forms;
mod integrations;
#[cfg(test)]
mod tests;
mod transcription;

pub use ai::{AiSpec, Services, micros};
pub use companies::{add_company, rotate};

use jiff::tz::TimeZone;
use leadline_connectors::contract::secrets::{SecretError, Secrets};
use leadline_schemas::pull::ACCOUNT_PREFIX;
use leadline_schemas::score::ProjectType;
use leadline_schemas::settings::{Policy, Profile, Settings, Tenant};
use leadline_schemas::{Millis, TenantId};
use serde::{Deserialize, Serialize};

/// Longest name of anything, for people.
const NAME_CHARS_MAX: usize = 200;

/// What `tenant add` is told. Adding a tenant that exists changes what is given and keeps the rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantSpec {
    /// The tenant.
    pub tenant: String,
    /// Its name for people.
    pub name: Option<String>,
    /// CallRail company ids of both generations.
    pub company_ids: Vec<String>,
    /// The company's signing key.
    pub signing_key: Option<String>,
    /// Project types it offers.
    pub trades: Vec<String>,
    /// Cities it serves.
    pub cities: Vec<String>,
    /// Postcodes it serves.
    pub postcodes: Vec<String>,
    /// The smallest project it takes.
    pub min_budget: Option<i64>,
    /// IANA time zone.
    pub time_zone: Option<String>,
    /// Addresses that leads and alerts are POSTed to.
    pub integrations: Vec<String>,
    /// What deliveries are signed with.
    pub integration_secret: Option<String>,
    /// The lowest band that integrations want.
    pub band_min: Option<String>,
    /// Keys of web forms to accept.
    pub forms: Vec<String>,
    /// Origins that browsers may send these forms from; empty = any.
    pub form_origins: Vec<String>,
    /// The field of these forms that only robots fill in.
    pub form_honeypot: Option<String>,
    /// What these forms call our fields, as `OURS=THEIRS`.
    pub form_fields: Vec<String>,
    /// `rules` or `http`.
    pub score_provider: Option<String>,
    /// Chains, budgets and prompts.
    #[serde(flatten)]
    pub ai: AiSpec,
    /// Who transcribes calls that come without a transcript, the first who hears words; `none` = nobody.
    pub transcribe_providers: Vec<String>,
    /// What callers speak (BCP 47).
    pub language: Option<String>,
    /// No word leaves for an AI service.
    pub no_ai_processing: Option<bool>,
    /// Recordings are fetched, heard and kept.
    pub fetch_recordings: Option<bool>,
    /// For how many days a caller's next contact joins the same lead.
    pub lead_window_days: Option<i32>,
    /// Forms and direct events taken a second.
    pub rate_per_s: Option<i32>,
    /// Give it a new API token; the one before is refused from then on.
    pub new_token: bool,
    /// Seconds from a ring to asking whether the call was missed.
    pub missed_call_timer_s: Option<i32>,
    /// The tenant attests that callers are told of the recording.
    pub recording_disclosure_attested: Option<bool>,
}

/// Why a tenant was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A value cannot be.
    #[error("{0}")]
    Invalid(String),
    /// A secret could not be sealed.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

fn invalid(why: impl Into<String>) -> AdminError {
    AdminError::Invalid(why.into())
}

/// What a new tenant, or one that asks for it, gets at random.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Its API token, if it gets one.
    pub token: Option<String>,
    /// The secret part of its own webhook address, if it has none yet.
    pub source_key: String,
}

/// The tenant's next record.
pub fn apply(
    settings: &Settings,
    spec: &TenantSpec,
    random: &Fresh,
    secrets: &dyn Secrets,
    now: Millis,
) -> Result<Tenant, AdminError> {
    let id = TenantId::new(&spec.tenant).map_err(|error| invalid(error.to_string()))?;
    if id.as_str().starts_with(ACCOUNT_PREFIX) {
        let why = format!(
            "{id:?} cannot be a tenant: ids that begin with {ACCOUNT_PREFIX:?} are those of accounts"
        );
        return Err(invalid(why));
    }
    let mut tenant = match settings.tenant(&id) {
        Some(tenant) => (**tenant).clone(),
        None => fresh(id.clone(), now),
    };
    if let Some(name) = &spec.name {
        tenant.name = named("name", name)?;
    }
    if let Some(token) = &random.token {
        tenant.api_token_sha256 = token_sha256(token);
    }
    tenant.source_key.get_or_insert_with(|| random.source_key.clone());
    companies::add(settings, spec, &mut tenant, secrets)?;
    profile(spec, &mut tenant.profile)?;
    policy(spec, &mut tenant.policy)?;
    integrations::add(spec, &mut tenant, secrets)?;
    forms::add(settings, spec, &mut tenant)?;
    Ok(tenant)
}

fn profile(spec: &TenantSpec, profile: &mut Profile) -> Result<(), AdminError> {
    for trade in &spec.trades {
        let known = ProjectType::parse(trade).ok_or_else(|| {
            let all: Vec<&str> = ProjectType::ALL.iter().map(|one| one.as_str()).collect();
            invalid(format!("trade {trade:?} is not known: use {}", all.join(", ")))
        })?;
        extend(&mut profile.trades, &[known.as_str().to_owned()]);
    }
    for (what, from, into) in
        [("city", &spec.cities, &mut profile.cities), ("postcode", &spec.postcodes, &mut profile.postcodes)]
    {
        for value in from {
            extend(into, &[named(what, value)?]);
        }
    }
    if let Some(min_budget) = spec.min_budget {
        profile.min_budget = Some(within("the smallest budget", min_budget, 0, 1_000_000_000)?);
    }
    if let Some(time_zone) = &spec.time_zone {
        if TimeZone::get(time_zone).is_err() {
            return Err(invalid(format!(
                "time zone {time_zone:?} is not known: use an IANA name such as America/Denver"
            )));
        }
        profile.time_zone.clone_from(time_zone);
    }
    if let Some(language) = &spec.language {
        profile.language = Some(transcription::language(language)?);
    }
    Ok(())
}

fn policy(spec: &TenantSpec, policy: &mut Policy) -> Result<(), AdminError> {
    if let Some(provider) = &spec.score_provider {
        policy.score_provider.clone_from(provider);
    }
    spec.ai.apply(policy)?;
    transcription::set(&spec.transcribe_providers, policy)?;
    let bounded = |what, value: Option<i32>, now: i32, most| match value {
        Some(value) => within(what, value, 1, most),
        None => Ok(now),
    };
    policy.missed_call_timer_s =
        bounded("the missed-call timer", spec.missed_call_timer_s, policy.missed_call_timer_s, 3_600)?;
    policy.lead_window_days =
        bounded("the lead window", spec.lead_window_days, policy.lead_window_days, 730)?;
    policy.rate_per_s = bounded("the rate", spec.rate_per_s, policy.rate_per_s, 100_000)?;
    policy.fetch_recordings = spec.fetch_recordings.unwrap_or(policy.fetch_recordings);
    policy.no_ai_processing = spec.no_ai_processing.unwrap_or(policy.no_ai_processing);
    policy.recording_disclosure_attested =
        spec.recording_disclosure_attested.unwrap_or(policy.recording_disclosure_attested);
    Ok(())
}

/// A text that says something, and not too much.
fn named(what: &str, text: &str) -> Result<String, AdminError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NAME_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(invalid(format!("{what} {text:?} is not valid: use 1 to {NAME_CHARS_MAX} characters")));
    }
    Ok(text.to_owned())
}

fn within<N: PartialOrd + std::fmt::Display>(
    what: &str,
    value: N,
    least: N,
    most: N,
) -> Result<N, AdminError> {
    if value < least || value > most {
        return Err(invalid(format!("{what} is {value}: use {least} to {most}")));
    }
    Ok(value)
}

fn fresh(id: TenantId, now: Millis) -> Tenant {
    let name = id.to_string();
    Tenant {
        profile: Profile {
            currency: "USD".to_owned(),
            time_zone: "America/New_York".to_owned(),
            ..Profile::default()
        },
        ..Tenant::new(id, name, now)
    }
}

fn extend(into: &mut Vec<String>, from: &[String]) {
    for value in from {
        if !into.contains(value) {
            into.push(value.clone());
        }
    }
}

/// What is kept of a token.
pub fn token_sha256(token: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
