//! Where HubSpot is, what of it is used, and how much it may be asked.

use std::time::Duration;

use leadline_schemas::settings::Integration;

use crate::crm::fields::Mapping;
use crate::crm::limiter::Window;
use crate::crm::one_of;

/// The integration kind.
pub const KIND: &str = "hubspot";
/// HubSpot's own address.
pub const BASE_URL: &str = "https://api.hubapi.com";
/// The version that paths carry: one each March and September, supported for 18 months.
pub const VERSION: &str = "2026-03";
/// Most inputs of a batch.
pub(super) const BATCH_MAX: usize = 100;

/// The property that names a caller, unless `lead_key` says another.
pub(super) const LEAD_KEY: &str = "leadline_key";
/// Association of a call with its contact.
pub(super) const CALL_TO_CONTACT: u32 = 194;
/// Association of a note with its contact.
pub(super) const NOTE_TO_CONTACT: u32 = 202;
/// Most characters of a note.
pub(super) const NOTE_CHARS_MAX: usize = 65_536;

pub(super) const TEN_SECONDS_MS: u64 = 10_000;
pub(super) const DAY_MS: u64 = 86_400_000;
/// The least plan's: 100 in 10 s for an app, 250,000 a day for an account.
const PER_10_S: u32 = 100;
const PER_DAY: u32 = 250_000;
/// How long after "locked".
pub(super) const LOCKED: Duration = Duration::from_secs(2);

const OPTIONS: [&str; 6] = ["calls", "notes", "owner_id", "lead_key", "requests_per_10s", "requests_per_day"];

/// Contact properties to ours. Those that begin with `leadline_` are made by setup.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("firstname", "first_name"),
    ("lastname", "last_name"),
    ("phone", "phone"),
    ("email", "email"),
    ("city", "city"),
    ("leadline_score", "score"),
    ("leadline_band", "band"),
    ("leadline_project_type", "project_type"),
];

/// What an integration is configured to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Scheme and host.
    pub base: String,
    /// Contact properties.
    pub fields: Mapping,
    /// The unique property.
    pub lead_key: String,
    /// Whether leads leave notes.
    pub notes: bool,
    /// Whether calls are entered.
    pub calls: bool,
    /// Whose contacts, notes and calls they are.
    pub owner_id: Option<String>,
    /// The account's limits.
    pub windows: [Window; 2],
}

impl Config {
    /// Of an integration; what is wrong with it, in words.
    pub fn of(integration: &Integration) -> Result<Self, String> {
        use crate::crm::options::{base, number, yes};
        let options = &integration.options;
        one_of(KIND, options, &OPTIONS)?;
        let fields = Mapping::new(FIELDS, &integration.field_map)?;
        let lead_key = options.get("lead_key").cloned().unwrap_or_else(|| LEAD_KEY.to_owned());
        for name in fields.theirs().chain([lead_key.as_str()]) {
            let is_name =
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if !is_name || name.is_empty() {
                return Err(format!(
                    "{name:?} is no name of a HubSpot property: they have small letters, digits and _ (the internal name, not the label)"
                ));
            }
        }
        if fields.theirs().any(|name| name == lead_key) {
            return Err(format!(
                "property {lead_key:?} names the caller, and cannot be mapped to something else"
            ));
        }
        Ok(Self {
            base: base(integration, BASE_URL)?,
            fields,
            lead_key,
            notes: yes(options, "notes", true)?,
            calls: yes(options, "calls", true)?,
            owner_id: options.get("owner_id").cloned(),
            windows: [
                Window { length_ms: TEN_SECONDS_MS, most: number(options, "requests_per_10s", PER_10_S)? },
                Window { length_ms: DAY_MS, most: number(options, "requests_per_day", PER_DAY)? },
            ],
        })
    }

    /// The address of a path of the CRM's objects: `/crm/objects/VERSION` and what follows.
    pub(super) fn objects(&self, path: &str) -> String {
        format!("{}/crm/objects/{VERSION}/{path}", self.base)
    }

    /// The address of a path of contact properties.
    pub(super) fn properties(&self, path: &str) -> String {
        format!("{}/crm/properties/{VERSION}/contacts{path}", self.base)
    }
}
