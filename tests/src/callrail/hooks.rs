//! Integrations: one of type Webhooks a company, shared by all of the customer's tools.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::api::{only_get, page_of};
use super::state::{Integration, State};
use super::{Answer, Asking, CallRail, SIGNING_KEY, bad, not_found};

/// The lists that an integration has.
const LISTS: [&str; 9] = [
    "pre_call_webhook",
    "answered_call_webhook",
    "post_call_webhook",
    "updated_call_webhook",
    "sms_received_webhook",
    "sms_sent_webhook",
    "form_captured_webhook",
    "post_outbound_call_webhook",
    "updated_outbound_call_webhook",
];

impl CallRail {
    /// Gives a company the integration that the customer's other tools have made.
    pub fn integration(&self, company: &str, config: Value) {
        let mut state = self.state();
        let id = state.number();
        state.company_mut(company).integration = Some(Integration {
            id,
            state: "active".to_owned(),
            config: config.as_object().unwrap().clone(),
            signing_key: SIGNING_KEY.to_owned(),
        });
    }

    /// The configuration of a company's integration.
    pub fn config(&self, company: &str) -> Option<Value> {
        let mut state = self.state();
        let integration = state.company_mut(company).integration.as_ref()?;
        Some(Value::Object(integration.config.clone()))
    }

    /// The state of a company's integration.
    pub fn integration_state(&self, company: &str) -> Option<String> {
        self.state().company_mut(company).integration.as_ref().map(|integration| integration.state.clone())
    }

    /// CallRail, or somebody at its page, sets the state: `disabled`, `failed`, `active`.
    pub fn set_integration_state(&self, company: &str, to: &str) {
        self.state().company_mut(company).integration.as_mut().unwrap().state = to.to_owned();
    }

    /// Webhooks are signed with another key from now on.
    pub fn rotate_key(&self, company: &str, key: &str) {
        self.state().company_mut(company).integration.as_mut().unwrap().signing_key = key.to_owned();
    }

    /// The key that a company's webhooks are signed with.
    pub fn signing_key(&self, company: &str) -> String {
        self.state().company_mut(company).integration.as_ref().unwrap().signing_key.clone()
    }

    /// Adds a filter of events.
    pub fn filter(&self, company: &str, filter: Value) {
        self.state().company_mut(company).filters.push(filter);
    }
}

pub(super) fn answer(state: &mut State, account: &str, path: &[&str], asking: &Asking) -> Answer {
    match (path, &asking.method) {
        (["integrations"], &Method::GET) => list(state, account, asking),
        (["integrations"], &Method::POST) => create(state, account, asking),
        (["integrations", id], &Method::PUT) => update(state, account, id, asking),
        (["integration_triggers"], _) => {
            only_get(asking)?;
            let company = company_of(state, account, asking.parameter("company_id"))?;
            asking.only(&["company_id", "page", "per_page"])?;
            page_of(asking, "integration_triggers", state.company_mut(&company).filters.clone())
        }
        _ => Err(not_found()),
    }
}

fn company_of(state: &State, account: &str, company: Option<&str>) -> Result<String, (StatusCode, String)> {
    let company = company.ok_or_else(|| bad("company_id is required"))?;
    let found = state.companies.get(company).filter(|company| company.account == account);
    found.map(|_| company.to_owned()).ok_or_else(not_found)
}

fn told(integration: &Integration, with_key: bool) -> Value {
    let mut told = json!({
        "id": integration.id, "type": "Webhooks", "state": integration.state, "config": integration.config,
    });
    if with_key {
        told["signing_key"] = json!(integration.signing_key);
    }
    told
}

fn list(state: &mut State, account: &str, asking: &Asking) -> Answer {
    asking.only(&["company_id", "fields", "page", "per_page"])?;
    let company = company_of(state, account, asking.parameter("company_id"))?;
    let with_key = match asking.parameter("fields") {
        None => false,
        Some("signing_key") => true,
        Some(other) => return Err(bad(format!("{other} is not an allowed field"))),
    };
    let mut rows = vec![json!({"id": 9_999, "type": "GoogleAnalytics", "state": "active", "config": {}})];
    rows.extend(
        state.company_mut(&company).integration.as_ref().map(|integration| told(integration, with_key)),
    );
    page_of(asking, "integrations", rows)
}

fn create(state: &mut State, account: &str, asking: &Asking) -> Answer {
    let body = asking.json()?;
    let company = company_of(state, account, body["company_id"].as_str())?;
    if body["type"] != "Webhooks" {
        return Err(bad("type is invalid"));
    }
    let config = config_of(&body["config"])?;
    if state.company_mut(&company).integration.is_some() {
        let why = "This company already has a Webhooks integration";
        return Err((StatusCode::UNPROCESSABLE_ENTITY, why.to_owned()));
    }
    let id = state.number();
    let signing_key = format!("{id:032x}");
    let integration = Integration { id, state: "active".to_owned(), config, signing_key };
    let answer = told(&integration, true);
    state.company_mut(&company).integration = Some(integration);
    Ok((StatusCode::CREATED, answer))
}

/// Replaces the configuration as a whole.
fn update(state: &mut State, account: &str, id: &str, asking: &Asking) -> Answer {
    let body = asking.json()?;
    let company = state.companies.values_mut().find(|company| {
        company.account == account
            && company.integration.as_ref().is_some_and(|integration| integration.id.to_string() == id)
    });
    let company = company.ok_or_else(not_found)?;
    company.failures = 0;
    let integration = company.integration.as_mut().ok_or_else(not_found)?;
    integration.config = config_of(&body["config"])?;
    match body["state"].as_str() {
        Some(to @ ("active" | "disabled")) => integration.state = to.to_owned(),
        None => {}
        Some(_) => return Err(bad("state is invalid")),
    }
    Ok((StatusCode::OK, told(integration, false)))
}

fn config_of(config: &Value) -> Result<Map<String, Value>, (StatusCode, String)> {
    let config = config.as_object().ok_or_else(|| bad("config is no object"))?;
    for (name, value) in config.iter().filter(|(name, _)| LISTS.contains(&name.as_str())) {
        let addresses = value.as_array().ok_or_else(|| bad(format!("{name} is no list")))?;
        let is_address = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("http"));
        if !addresses.iter().all(is_address) {
            return Err(bad(format!("{name} has no addresses")));
        }
    }
    Ok(config.clone())
}
