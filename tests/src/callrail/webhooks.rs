//! Webhooks: signed, sent once, to all addresses of a list. An integration whose webhooks fail is given up.

use base64::Engine as _;
use ring::hmac;
use serde_json::{Map, Value, json};

use super::CallRail;
use super::state::State;
use crate::post;

/// After how many failures in a row an integration is given up.
const FAILURES_MAX: u32 = 5;

/// What became of one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub address: String,
    /// None where nobody answered.
    pub status: Option<u16>,
}

impl CallRail {
    /// Sends a call's webhook to every address of a list, as the call is now; `changes` overlays members first, such as a
    /// pre-call's.
    pub fn send(&self, list: &str, call: &str, changes: Value) -> Vec<Sent> {
        let (body, key, addresses, company) = {
            let mut state = self.state();
            let company = state.find(call).unwrap_or_else(|| panic!("no call {call}")).company.clone();
            let body = body_of(&mut state, call, &changes).to_string();
            let of_company = state.company_mut(&company);
            let Some(integration) = of_company.integration.as_ref() else { return Vec::new() };
            if integration.state != "active" {
                return Vec::new();
            }
            let listed = integration.config.get(list).and_then(Value::as_array);
            let addresses: Vec<String> =
                listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
            (body, integration.signing_key.clone(), addresses, company)
        };
        let sent: Vec<Sent> = addresses.into_iter().map(|address| deliver(address, &body, &key)).collect();
        let mut state = self.state();
        let company = state.company_mut(&company);
        for one in &sent {
            let is_taken = one.status.is_some_and(|status| (200..300).contains(&status));
            company.failures = if is_taken { 0 } else { company.failures + 1 };
        }
        if company.failures >= FAILURES_MAX
            && let Some(integration) = company.integration.as_mut()
        {
            integration.state = "failed".to_owned();
        }
        sent
    }

    /// The body of a call's post-call webhook.
    pub fn body(&self, call: &str) -> Value {
        body_of(&mut self.state(), call, &json!({}))
    }

    /// The pre-call that is sent for every call while it rings.
    pub fn pre_call(&self, call: &str) -> Vec<Sent> {
        let ringing = json!({
            "answered": false, "call_type": "missed", "duration": "0", "voicemail": false, "recording": null,
            "recording_duration": null, "transcription": null, "conversational_transcript": null,
        });
        self.send("pre_call_webhook", call, ringing)
    }

    /// The post-call.
    pub fn post_call(&self, call: &str) -> Vec<Sent> {
        self.send("post_call_webhook", call, json!({}))
    }

    /// What follows an edit, also one through the API.
    pub fn call_modified(&self, call: &str, changes: &[String]) -> Vec<Sent> {
        self.send("updated_call_webhook", call, json!({ "changes": changes }))
    }
}

/// A call as a webhook tells it: ids under other names, some values of other types, a link to the recording that needs
/// no key.
fn body_of(state: &mut State, id: &str, changes: &Value) -> Value {
    let call = state.find(id).unwrap_or_else(|| panic!("no call {id}"));
    let (company, mut body, is_recorded) = (call.company.clone(), call.members.clone(), call.audio.is_some());
    let numeric = state.company_mut(&company).numeric_id;
    body.remove("account_id");
    let rename = |body: &mut Map<String, Value>, from: &str, to: &str| {
        if let Some(value) = body.remove(from) {
            body.insert(to.to_owned(), value);
        }
    };
    match numeric {
        // The older generation knows numbers alone.
        Some(number) => {
            let digits =
                id.trim_start_matches(|letter: char| !letter.is_ascii_digit()).trim_start_matches('0');
            let own: u64 = u64::from_str_radix(&digits.chars().take(12).collect::<String>(), 16).unwrap_or(1);
            body.insert("id".to_owned(), json!(own));
            body.insert("company_id".to_owned(), json!(number));
            body.remove("person_id");
            body.remove("tracker_id");
        }
        None => {
            rename(&mut body, "id", "resource_id");
            rename(&mut body, "company_id", "company_resource_id");
            rename(&mut body, "person_id", "person_resource_id");
            rename(&mut body, "tracker_id", "tracker_resource_id");
        }
    }
    if let Some(duration) = body.get("duration").filter(|duration| duration.is_number()) {
        let text = duration.to_string();
        body.insert("duration".to_owned(), json!(text));
    }
    if let Some(seconds) =
        body.get("recording_duration").and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok())
    {
        body.insert("recording_duration".to_owned(), json!(seconds));
    }
    if is_recorded {
        body.insert("recording".to_owned(), json!(state.new_link(id)));
    }
    body.insert("timestamp".to_owned(), body.get("start_time").cloned().unwrap_or_default());
    body.insert("integration_data".to_owned(), json!([{"integration": "Webhooks", "data": null}]));
    body.extend(changes.as_object().unwrap().clone());
    Value::Object(body)
}

fn deliver(address: String, body: &str, key: &str) -> Sent {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(hmac::sign(&key, body.as_bytes()));
    let status = address.strip_prefix("http://127.0.0.1:").and_then(|rest| {
        let (port, path) = rest.split_once('/')?;
        let (status, _) = post(port.parse().ok()?, &format!("/{path}"), &[("Signature", &signature)], body)?;
        Some(status)
    });
    Sent { address, status }
}
