//! Where Salesforce is, what is written to it, and how much it may be asked.

use leadline_schemas::settings::Integration;
use serde_json::{Map, Value, json};

use crate::crm::fields::Mapping;
use crate::crm::{Lead, one_of};

/// The integration kind.
pub const KIND: &str = "salesforce";
/// Where to sign in, unless the organisation has an address of its own.
pub const LOGIN_URL: &str = "https://login.salesforce.com";
/// The version that paths carry.
pub const VERSION: &str = "v66.0";
/// Most records of a collection.
pub(super) const COLLECTION_MAX: usize = 200;

pub(super) const DAY_MS: u64 = 86_400_000;
/// What an organisation is sure to have left for one integration.
const REQUESTS_PER_DAY: u32 = 5_000;
/// The external id, of leads and of tasks.
const KEY: &str = "LeadlineKey__c";
/// Longest subject of a task.
const SUBJECT_CHARS_MAX: usize = 255;

const OPTIONS: [&str; 10] = [
    "client_id",
    "username",
    "login_url",
    "audience",
    "lead_key",
    "task_key",
    "tasks",
    "owner_id",
    "allow_duplicates",
    "requests_per_day",
];
const FIELDS: &[(&str, &str)] = &[
    ("LastName", "family_name"),
    ("FirstName", "first_name"),
    ("Company", "household"),
    ("Phone", "phone"),
    ("Email", "email"),
    ("City", "city"),
    ("Rating", "band"),
    ("Description", "summary"),
    ("LeadSource", "=Phone Inquiry"),
];
/// Ours that stand in for a name that is not known.
const STAND_INS: [&str; 3] = ["family_name", "household", "display_name"];

/// How leadline signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// As this user, by a key: the secret is the private key in PEM.
    Jwt {
        /// The user.
        username: String,
        /// For whom the assertion is.
        audience: String,
    },
    /// As the application's own user: the secret is the application's.
    ClientCredentials,
}

/// What an integration is configured to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How to sign in, where there is no grant.
    pub sign_in: SignIn,
    /// Where.
    pub login_url: String,
    /// The application.
    pub client_id: Option<String>,
    /// Fields of a Lead.
    pub fields: Mapping,
    /// The external id of leads.
    pub lead_key: String,
    /// The external id of tasks.
    pub task_key: String,
    /// Whether calls become tasks.
    pub tasks: bool,
    /// Whose leads and tasks they are.
    pub owner_id: Option<String>,
    /// Whether leads are saved that a duplicate rule takes for another's.
    pub allow_duplicates: bool,
    /// Requests in 24 hours.
    pub requests_per_day: u32,
}

/// A lead, and its call if it has one, as they are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) lead: Map<String, Value>,
    /// The same without what stands in for an unknown name; none where the name is known.
    pub(super) known: Option<Map<String, Value>>,
    /// External id and fields, without the lead that it belongs to.
    pub(super) task: Option<(String, Map<String, Value>)>,
}

impl Config {
    /// Of an integration; what is wrong with it, in words.
    pub fn of(integration: &Integration) -> Result<Self, String> {
        use crate::crm::options::{base, number, yes};
        let options = &integration.options;
        one_of(KIND, options, &OPTIONS)?;
        let fields = Mapping::new(FIELDS, &integration.field_map)?;
        let key = |name: &str| options.get(name).cloned().unwrap_or_else(|| KEY.to_owned());
        let (lead_key, task_key) = (key("lead_key"), key("task_key"));
        for name in fields.theirs().chain([lead_key.as_str(), task_key.as_str()]) {
            let is_name = name.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_name {
                return Err(format!("{name:?} is no API name of a Salesforce field, such as Budget__c"));
            }
        }
        if let Some(name) =
            ["LastName", "Company"].iter().find(|name| !fields.theirs().any(|own| own == **name))
        {
            return Err(format!("{name} cannot be left out: Salesforce takes no lead without one"));
        }
        if fields.theirs().any(|name| name == lead_key) {
            return Err(format!(
                "field {lead_key:?} names the caller, and cannot be mapped to something else"
            ));
        }
        let login = Integration {
            url: options.get("login_url").unwrap_or(&integration.url).clone(),
            ..integration.clone()
        };
        let login_url = base(&login, LOGIN_URL)?;
        let client_id = options.get("client_id").cloned();
        let sign_in = match options.get("username") {
            Some(username) => {
                let audience = options.get("audience").cloned().unwrap_or_else(|| audience(&login_url));
                SignIn::Jwt { username: username.clone(), audience }
            }
            None => SignIn::ClientCredentials,
        };
        if integration.grant.is_none() && integration.secret.is_some() {
            if client_id.is_none() {
                return Err(
                    "option client_id is missing: the consumer key of the External Client App".to_owned()
                );
            }
            if sign_in == SignIn::ClientCredentials && login_url == LOGIN_URL {
                return Err(
                    "option login_url is missing: client credentials need the organisation's own address, such as https://summit.my.salesforce.com; with option username leadline signs in by JWT"
                        .to_owned(),
                );
            }
        }
        Ok(Self {
            sign_in,
            login_url,
            client_id,
            fields,
            lead_key,
            task_key,
            tasks: yes(options, "tasks", true)?,
            owner_id: options.get("owner_id").cloned(),
            allow_duplicates: yes(options, "allow_duplicates", false)?,
            requests_per_day: number(options, "requests_per_day", REQUESTS_PER_DAY)?,
        })
    }

    /// What is written of a lead; `missed` says that nobody took its last call.
    pub(super) fn record(&self, lead: &Lead, missed: bool) -> Record {
        let owner = || self.owner_id.iter().map(|id| ("OwnerId".to_owned(), json!(id)));
        let filled = self.fields.fill(lead).into_iter();
        let all: Map<String, Value> =
            filled.map(|(name, value)| (name.to_owned(), value)).chain(owner()).collect();
        let stands_in = |name: &str| self.fields.ours(name).is_some_and(|ours| STAND_INS.contains(&ours));
        let known = lead.text("name").is_none().then(|| {
            all.iter()
                .filter(|(name, _)| !stands_in(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        });
        let task = lead.last_call_id().filter(|_| self.tasks).map(|call_id| {
            let words = if missed { "Missed call from" } else { "Call from" };
            let subject = format!("{words} {}", lead.display_name());
            let mut task: Map<String, Value> = [
                ("Subject", json!(subject.chars().take(SUBJECT_CHARS_MAX).collect::<String>())),
                ("Status", json!("Completed")),
                ("TaskSubtype", json!("Call")),
                ("CallType", json!("Inbound")),
                ("CallObject", json!(call_id)),
            ]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(owner())
            .collect();
            // A date, without its time.
            let day = lead.text("last_contact_at").and_then(|at| at.get(..10));
            task.extend(day.map(|day| ("ActivityDate".to_owned(), json!(day))));
            (format!("{}:{call_id}", lead.key().split(':').next().unwrap_or_default()), task)
        });
        Record { key: lead.key(), lead: all, known, task }
    }
}

/// Assertions are for the common address, whatever the organisation's own is.
fn audience(login_url: &str) -> String {
    match login_url.contains("test.salesforce.com") || login_url.contains(".sandbox.") {
        true => "https://test.salesforce.com".to_owned(),
        false => LOGIN_URL.to_owned(),
    }
}
