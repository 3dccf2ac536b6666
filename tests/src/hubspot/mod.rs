//! A strict double of HubSpot's CRM over real HTTP: contacts, notes, calls and contact properties of one account. What
//! HubSpot refuses is refused; so are unknown paths, members and properties.

mod objects;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::crm::{Asked, Reply, Server};

/// The version of its paths.
pub const VERSION: &str = "2026-03";
/// Properties that every account has.
const USUAL: [&str; 6] = ["firstname", "lastname", "phone", "email", "city", "hubspot_owner_id"];

/// The double.
pub type HubSpot = Server<State>;

/// Notes or calls by id: properties, and the contact.
pub type Engagements = BTreeMap<u64, (Map<String, Value>, u64)>;

/// An account.
pub struct State {
    pub token: String,
    /// Contact properties, by name; whether values are unique.
    pub properties: BTreeMap<String, bool>,
    pub contacts: BTreeMap<u64, Map<String, Value>>,
    pub notes: Engagements,
    pub calls: Engagements,
    /// In ten seconds.
    pub limit: usize,
    /// In a day.
    pub daily_limit: u64,
    pub daily_used: u64,
    recent: VecDeque<Instant>,
    next_id: u64,
}

/// Starts one with this token, and without any property of ours.
pub fn start(token: &str) -> HubSpot {
    let mut state = State {
        token: token.to_owned(),
        properties: USUAL.iter().map(|name| ((*name).to_owned(), *name == "email")).collect(),
        contacts: BTreeMap::new(),
        notes: BTreeMap::new(),
        calls: BTreeMap::new(),
        limit: 100,
        daily_limit: 250_000,
        daily_used: 0,
        recent: VecDeque::new(),
        next_id: 100,
    };
    state.properties.insert("createdate".to_owned(), false);
    Server::start(state, answer)
}

impl State {
    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// What setup makes.
    pub fn with_our_properties(&mut self) {
        self.properties.insert("leadline_key".to_owned(), true);
        for name in ["leadline_score", "leadline_band", "leadline_project_type"] {
            self.properties.insert(name.to_owned(), false);
        }
    }

    /// Adds a contact that people have entered.
    pub fn add_contact(&mut self, properties: &[(&str, &str)]) -> u64 {
        let id = self.id();
        let members = properties.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.contacts.insert(id, members);
        id
    }
}

fn answer(state: &mut State, asked: &Asked) -> Reply {
    if asked.header("authorization") != Some(&format!("Bearer {}", state.token)) {
        return failure(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired");
    }
    if let Some(refused) = limited(state) {
        return refused;
    }
    if ["POST", "PATCH"].contains(&asked.method.as_str())
        && asked.header("content-type") != Some("application/json")
    {
        return failure(415, "VALIDATION_ERROR", "content-type must be application/json");
    }
    let remaining = state.daily_limit - state.daily_used;
    objects::answer(state, asked)
        .header("x-hubspot-ratelimit-max", state.limit)
        .header("x-hubspot-ratelimit-interval-milliseconds", 10_000)
        .header("x-hubspot-ratelimit-daily", state.daily_limit)
        .header("x-hubspot-ratelimit-daily-remaining", remaining)
}

/// By ten seconds and by the day; without a word of when to come again.
fn limited(state: &mut State) -> Option<Reply> {
    let now = Instant::now();
    while state.recent.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(10)) {
        state.recent.pop_front();
    }
    let refused = |message: &str, policy: &str| {
        let body = json!({
            "status": "error", "message": message, "errorType": "RATE_LIMIT", "policyName": policy,
            "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24",
        });
        Reply::json(429, &body)
    };
    if state.recent.len() >= state.limit {
        return Some(refused("You have reached your ten_secondly_rolling limit.", "TEN_SECONDLY_ROLLING"));
    }
    if state.daily_used >= state.daily_limit {
        return Some(refused("You have reached your daily limit.", "DAILY"));
    }
    state.recent.push_back(now);
    state.daily_used += 1;
    None
}

pub(crate) fn failure(status: u16, category: &str, message: &str) -> Reply {
    let body = json!({
        "status": "error", "message": message, "category": category,
        "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24",
    });
    Reply::json(status, &body)
}
