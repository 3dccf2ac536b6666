//! Where Pipedrive is, what is written to it, and how much it may be asked.

use std::time::Duration;

use leadline_schemas::settings::Integration;
use serde_json::{Map, Value, json};

use crate::crm::fields::Mapping;
use crate::crm::limiter::Window;
use crate::crm::{Lead, one_of};

/// The integration kind.
pub const KIND: &str = "pipedrive";
/// Where accounts are asked by an API token; a grant names its own address.
pub const BASE_URL: &str = "https://api.pipedrive.com";

const BURST_MS: u64 = 2_000;
const DAY_MS: u64 = 86_400_000;
/// The least plan's burst by API token; its tokens a day for one seat.
const REQUESTS_PER_2_S: u32 = 20;
const TOKENS_PER_DAY: u32 = 30_000;
/// How far search may be behind what was made.
pub(super) const SEARCH_LAG: Duration = Duration::from_secs(30);

/// What requests cost (the API reference's `x-token-cost`).
pub(super) mod cost {
    pub(in super::super) const PERSON: u32 = 5;
    pub(in super::super) const LEAD: u32 = 10;
    pub(in super::super) const NOTE: u32 = 10;
    pub(in super::super) const SEARCH: u32 = 20;
    pub(in super::super) const LIST: u32 = 20;
    pub(in super::super) const SELF: u32 = 2;
}

const OPTIONS: [&str; 5] = ["notes", "find_first", "owner_id", "requests_per_2s", "tokens_per_day"];
const FIELDS: &[(&str, &str)] = &[
    ("person.name", "display_name"),
    ("person.phones", "phone"),
    ("person.emails", "email"),
    ("lead.title", "title"),
];
/// Fields that Pipedrive has by itself; others are custom ones, under a hash.
const PERSON_FIELDS: [&str; 3] = ["name", "phones", "emails"];
const LEAD_FIELDS: [&str; 3] = ["title", "expected_close_date", "channel_id"];
/// The length of a custom field's hash.
const HASH_CHARS: usize = 40;

/// What an integration is configured to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Scheme and host, where no grant says another.
    pub base: String,
    /// `person.…` and `lead.…`.
    pub fields: Mapping,
    /// Whether leads have a note.
    pub notes: bool,
    /// Whether a person of the same number is looked for before one is made: 20 tokens more for each lead. So it is by itself
    /// where missed calls are told, for they make persons whose lead may come on another day.
    pub find_first: bool,
    /// Whose persons and leads they are.
    pub owner_id: Option<u64>,
    /// Requests.
    pub burst: Window,
    /// Tokens.
    pub day: Window,
}

impl Config {
    /// Of an integration; what is wrong with it, in words.
    pub fn of(integration: &Integration) -> Result<Self, String> {
        use crate::crm::options::{base, number, yes};
        let options = &integration.options;
        one_of(KIND, options, &OPTIONS)?;
        let fields = Mapping::new(FIELDS, &integration.field_map)?;
        fields.theirs().try_for_each(known)?;
        for (field, why) in [("person.name", "a person has"), ("lead.title", "a lead has")] {
            if !fields.theirs().any(|name| name == field) {
                return Err(format!("{field} cannot be left out: {why} to have one in Pipedrive"));
            }
        }
        let owner_id = options.get("owner_id").map(|text| {
            text.trim()
                .parse()
                .map_err(|_| format!("option owner_id: {text:?} is no number of a Pipedrive user"))
        });
        Ok(Self {
            base: base(integration, BASE_URL)?,
            fields,
            notes: yes(options, "notes", true)?,
            find_first: yes(options, "find_first", integration.alerts)?,
            owner_id: owner_id.transpose()?,
            burst: Window {
                length_ms: BURST_MS,
                most: number(options, "requests_per_2s", REQUESTS_PER_2_S)?,
            },
            day: Window { length_ms: DAY_MS, most: number(options, "tokens_per_day", TOKENS_PER_DAY)? },
        })
    }

    /// A person as version 2 takes it.
    pub(super) fn person(&self, lead: &Lead) -> Map<String, Value> {
        let (mut person, mut custom) = (Map::new(), Map::new());
        for (name, value) in self.filled(lead, "person.") {
            match name {
                "phones" => {
                    person.insert(
                        name.to_owned(),
                        json!([{ "value": value, "primary": true, "label": "mobile" }]),
                    );
                }
                "emails" => {
                    person.insert(
                        name.to_owned(),
                        json!([{ "value": value, "primary": true, "label": "work" }]),
                    );
                }
                name if PERSON_FIELDS.contains(&name) => {
                    person.insert(name.to_owned(), value);
                }
                hash => {
                    custom.insert(hash.to_owned(), value);
                }
            }
        }
        if !custom.is_empty() {
            person.insert("custom_fields".to_owned(), Value::Object(custom));
        }
        person.extend(self.owner_id.map(|id| ("owner_id".to_owned(), json!(id))));
        person
    }

    /// A lead as version 1 takes it, without its person.
    pub(super) fn lead(&self, lead: &Lead) -> Map<String, Value> {
        let filled = self.filled(lead, "lead.").map(|(name, value)| (name.to_owned(), value));
        let mut members: Map<String, Value> = filled.collect();
        members.extend(self.owner_id.map(|id| ("owner_id".to_owned(), json!(id))));
        members
    }

    fn filled<'a>(&'a self, lead: &Lead, of: &'static str) -> impl Iterator<Item = (&'a str, Value)> {
        let all = self.fields.fill(lead).into_iter();
        all.filter_map(move |(name, value)| Some((name.strip_prefix(of)?, value)))
    }
}

fn known(name: &str) -> Result<(), String> {
    let is_hash = |name: &str| name.len() == HASH_CHARS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_known = match (name.strip_prefix("person."), name.strip_prefix("lead.")) {
        (Some(field), _) => PERSON_FIELDS.contains(&field) || is_hash(field),
        (_, Some(field)) => LEAD_FIELDS.contains(&field) || is_hash(field),
        _ => false,
    };
    match is_known {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no field of Pipedrive: use person.{}, lead.{}, or person. and lead. with the {HASH_CHARS} digits of a custom field's API key",
            PERSON_FIELDS.join(", person."),
            LEAD_FIELDS.join(", lead.")
        )),
    }
}
