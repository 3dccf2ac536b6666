//! Tenants and what they have configured: topic `settings`.

mod integration;
mod prices;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::avro::{self, AvroError, avro_record};
use crate::layout::{LayoutRecord, Shape};
use crate::{Millis, TenantId};

pub use self::integration::{Grant, Integration, RouteRule};
pub use self::prices::{SpeechPrice, SpeechPrices};

/// A secret as it stands in records: sealed by the `Secrets` contract, base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

/// One tenant, whole. A record of `settings` replaces the tenant's last one. `schemas/avro/tenant/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name for people.
    pub name: String,
    /// Whether it was removed; its webhooks are refused.
    pub removed: bool,
    /// SHA-256 of its API token, in hex.
    pub api_token_sha256: String,
    /// Its CallRail companies.
    pub companies: Vec<Company>,
    /// The secret part of its own webhook address.
    pub source_key: Option<String>,
    /// Its web forms.
    pub forms: Vec<Form>,
    /// Where leads and alerts go.
    pub integrations: Vec<Integration>,
    /// What it sells, and where.
    pub profile: Profile,
    /// How contacts are handled.
    pub policy: Policy,
    /// When it was first added.
    pub created_at: Millis,
    /// Its account at CallRail.
    pub callrail: Option<CallRail>,
    /// Who is told of what: every rule that holds counts; without rules each integration by its own `band_min` and
    /// `alerts`.
    #[serde(default)]
    pub routes: Vec<RouteRule>,
}

avro_record!(Tenant, "tenant", ["v1", "v2", "v3"]);

/// A tenant's account at CallRail, as onboarding found it. Several tenants may share one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRail {
    /// `ACC...`: CallRail's limits count per account, whoever shares it.
    pub account_id: String,
    /// The key of its API.
    pub api_key: Sealed,
    /// Where CallRail reaches leadline: what the installed addresses begin with, without a slash at the end.
    pub public_url: String,
    /// Whether scores are written to its calls.
    pub write_back: bool,
    /// When it was connected: calls from before are for a backfill.
    pub connected_at: Millis,
}

/// A CallRail company: ids of both generations and the keys its webhooks are signed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Company {
    /// `COM...` and numeric ids, all as text.
    pub ids: Vec<String>,
    /// The key in use.
    pub signing_key: Sealed,
    /// The key before it; still accepted.
    pub previous_signing_key: Option<Sealed>,
    /// What CallRail calls it, for people.
    pub name: Option<String>,
    /// Its Webhooks integration at CallRail, where leadline has installed its addresses.
    pub integration_id: Option<String>,
}

/// A web form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Form {
    /// The secret part of its address.
    pub form_key: String,
    /// Origins that browsers may send it from; empty = any.
    pub origins: Vec<String>,
    /// A field that people do not see; whoever fills it is a robot.
    pub honeypot: Option<String>,
    /// Our names (`name`, `email`, `phone`, `message`) to the site's.
    pub field_map: BTreeMap<String, String>,
}

/// What a tenant sells, and where: the frame of every score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Offered project types (scoring vocabulary); empty = all.
    pub trades: Vec<String>,
    /// Cities served; empty together with `postcodes` = everywhere.
    pub cities: Vec<String>,
    /// Postcodes served.
    pub postcodes: Vec<String>,
    /// The smallest project taken, in `currency`.
    pub min_budget: Option<i64>,
    /// ISO 4217.
    pub currency: String,
    /// IANA time zone.
    pub time_zone: String,
    /// What callers speak (BCP 47); none = `en-US`.
    pub language: Option<String>,
    /// When somebody is there; empty = always.
    pub hours: Vec<OpenHours>,
}

/// When somebody is there, on one day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHours {
    /// 1 = Monday to 7 = Sunday.
    pub weekday: i32,
    /// From this minute of the day.
    pub opens_min: i32,
    /// Before this minute of the day.
    pub closes_min: i32,
}

/// How a tenant's contacts are handled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Over how many slots its callers are spread; 1 for all but the largest.
    pub spread: u16,
    /// For how many days after the last contact a caller's next one joins the same lead.
    pub lead_window_days: i32,
    /// How long after a ring an answer may take before CallRail is asked.
    pub missed_call_timer_s: i32,
    /// No payload leaves for an AI service.
    pub no_ai_processing: bool,
    /// The tenant attests that callers are told of the recording.
    pub recording_disclosure_attested: bool,
    /// `rules`, or a provider's name.
    pub score_provider: String,
    /// Fetch recordings.
    pub fetch_recordings: bool,
    /// Transcribe calls that come without a transcript: a provider's name.
    pub transcribe_provider: Option<String>,
    /// Direct events, forms and bad signatures a second; over it 429.
    pub rate_per_s: i32,
    /// Who scores when `score_provider` fails, in order; the rules come last by themselves.
    pub score_fallbacks: Vec<String>,
    /// Who transcribes when `transcribe_provider` fails, in order.
    pub transcribe_fallbacks: Vec<String>,
    /// Spent on a day, in millionths of the currency: from there on the last of a chain is asked first, for it is the
    /// cheapest.
    pub ai_budget_soft_micros: Option<i64>,
    /// Spent on a day, in millionths of the currency: from there on only the rules score, and nothing is transcribed.
    pub ai_budget_hard_micros: Option<i64>,
    /// The scoring prompt; none = the newest.
    pub prompt_version: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            spread: 1,
            lead_window_days: 30,
            missed_call_timer_s: 45,
            no_ai_processing: false,
            recording_disclosure_attested: false,
            score_provider: "rules".to_owned(),
            fetch_recordings: false,
            transcribe_provider: None,
            rate_per_s: 100,
            score_fallbacks: Vec::new(),
            transcribe_fallbacks: Vec::new(),
            ai_budget_soft_micros: None,
            ai_budget_hard_micros: None,
            prompt_version: None,
        }
    }
}

/// What a record of topic `settings` is.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingsRecord {
    /// A tenant, under its id.
    Tenant(Box<Tenant>),
    /// The layout, under [`crate::layout::LAYOUT_KEY`].
    Layout(LayoutRecord),
}

impl SettingsRecord {
    /// Reads a record's value.
    pub fn decode(bytes: &[u8]) -> Result<Self, AvroError> {
        match avro::decode(bytes) {
            Ok(tenant) => Ok(Self::Tenant(Box::new(tenant))),
            Err(unknown @ AvroError::UnknownSchema { .. }) => {
                avro::decode(bytes).map(Self::Layout).map_err(|_| unknown)
            }
            Err(error) => Err(error),
        }
    }
}

/// All settings as of one version: immutable, shared, and part of every epoch.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The first offset of `settings` that is not in it.
    pub version: u64,
    tenants: HashMap<TenantId, Arc<Tenant>>,
    companies: HashMap<String, TenantId>,
    source_keys: HashMap<String, TenantId>,
    form_keys: HashMap<String, TenantId>,
    layout: Option<Arc<LayoutRecord>>,
    speech_prices: Arc<SpeechPrices>,
}

impl Settings {
    /// These settings with one more record of the topic taken in.
    #[must_use]
    pub fn with(&self, mut tenant: Tenant, version: u64) -> Self {
        let mut next = self.clone();
        next.version = version;
        let id = tenant.tenant.clone();
        // A spread never changes in place: what a layout says of it counts.
        if let Some(spread) = self.layout.as_ref().and_then(|layout| layout.shape.spread(&id)) {
            tenant.policy.spread = spread;
        }
        next.companies.retain(|_, owner| *owner != id);
        next.source_keys.retain(|_, owner| *owner != id);
        next.form_keys.retain(|_, owner| *owner != id);
        if tenant.removed {
            next.tenants.remove(&id);
            return next;
        }
        for company in &tenant.companies {
            for company_id in &company.ids {
                next.companies.insert(company_id.clone(), id.clone());
            }
        }
        if let Some(key) = &tenant.source_key {
            next.source_keys.insert(key.clone(), id.clone());
        }
        for form in &tenant.forms {
            next.form_keys.insert(form.form_key.clone(), id.clone());
        }
        next.tenants.insert(id, Arc::new(tenant));
        next
    }

    /// These settings where recognition costs so much: what the process is configured with, no record says it.
    #[must_use]
    pub fn with_speech_prices(&self, prices: SpeechPrices) -> Self {
        Self { speech_prices: Arc::new(prices), ..self.clone() }
    }

    /// What recognition costs at a provider; none where it is not configured.
    pub fn speech_price(&self, provider: &str) -> Option<SpeechPrice> {
        self.speech_prices.get(provider).copied()
    }

    /// These settings with one more record of the topic, whatever it is.
    #[must_use]
    pub fn with_record(&self, record: SettingsRecord, version: u64) -> Self {
        match record {
            SettingsRecord::Tenant(tenant) => self.with(*tenant, version),
            SettingsRecord::Layout(layout) => self.with_layout(layout, version),
        }
    }

    /// These settings under another layout.
    #[must_use]
    pub fn with_layout(&self, layout: LayoutRecord, version: u64) -> Self {
        let mut next = self.clone();
        next.version = version;
        next.spread_as(&layout.shape);
        next.layout = Some(Arc::new(layout));
        next
    }

    /// The layout, if any change has ever been made.
    pub fn layout(&self) -> Option<&Arc<LayoutRecord>> {
        self.layout.as_ref()
    }

    /// These settings as they are for those who still work in the layout before; none for any older one.
    pub fn of_generation(&self, generation: u32) -> Option<Self> {
        let Some(layout) = &self.layout else { return (generation == 1).then(|| self.clone()) };
        let shape = layout.of_generation(generation)?;
        let mut settings = self.clone();
        settings.spread_as(shape);
        Some(settings)
    }

    fn spread_as(&mut self, shape: &Shape) {
        for one in &shape.spreads {
            if let Some(tenant) = self.tenants.get_mut(&one.tenant) {
                Arc::make_mut(tenant).policy.spread = one.spread;
            }
        }
    }

    /// The tenant of this id.
    pub fn tenant(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }

    /// All tenants, in no order.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// The tenant of a CallRail company, by any of its ids.
    pub fn by_company(&self, company_id: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.companies.get(company_id)?)
    }

    /// The tenant of a webhook address of its own.
    pub fn by_source_key(&self, key: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.source_keys.get(key)?)
    }

    /// The tenant of a form.
    pub fn by_form_key(&self, key: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.form_keys.get(key)?)
    }
}

impl Company {
    /// A company that leadline has installed nothing at yet.
    pub fn new(ids: Vec<String>, signing_key: Sealed) -> Self {
        Self { ids, signing_key, previous_signing_key: None, name: None, integration_id: None }
    }
}

impl Tenant {
    /// One with nothing configured.
    pub fn new(tenant: TenantId, name: impl Into<String>, created_at: Millis) -> Self {
        Self {
            tenant,
            name: name.into(),
            removed: false,
            api_token_sha256: String::new(),
            companies: Vec::new(),
            source_key: None,
            forms: Vec::new(),
            integrations: Vec::new(),
            profile: Profile::default(),
            policy: Policy::default(),
            created_at,
            callrail: None,
            routes: Vec::new(),
        }
    }

    /// The company with this id.
    pub fn company(&self, company_id: &str) -> Option<&Company> {
        self.companies.iter().find(|company| company.ids.iter().any(|id| id == company_id))
    }

    /// The form with this key.
    pub fn form(&self, form_key: &str) -> Option<&Form> {
        self.forms.iter().find(|form| form.form_key == form_key)
    }

    /// The integrations that are told of missed calls and of trouble.
    pub fn alerted(&self) -> impl Iterator<Item = &Integration> {
        self.integrations.iter().filter(|integration| integration.alerts && !integration.disabled)
    }

    /// The integration with this id.
    pub fn integration(&self, id: &str) -> Option<&Integration> {
        self.integrations.iter().find(|integration| integration.id == id)
    }
}
