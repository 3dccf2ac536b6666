//! The Webhooks integration of a company: one, shared with the customer's other tools.
//!
//! A PUT replaces whole lists of addresses, so what is there is read, ours is merged in or taken out, and the whole is
//! written. It is never deleted, and an address that is not ours is never touched.

use std::collections::BTreeMap;

use http::Method;
use leadline_schemas::inbound::EventKind;
use serde_json::{Map, Value, json};

use super::CallRailClient;
use super::access::Access;
use super::client::{Ask, segment};
use super::error::CallRailError;
use super::pages::odd;
use super::row::Row;

/// Which list of the integration brings which event (v3 reference, "Webhook Configuration Object").
pub const LISTS: [(&str, EventKind); 9] = [
    ("pre_call_webhook", EventKind::PreCall),
    ("answered_call_webhook", EventKind::CallRoutingComplete),
    ("post_call_webhook", EventKind::PostCall),
    ("updated_call_webhook", EventKind::CallModified),
    ("post_outbound_call_webhook", EventKind::OutboundPostCall),
    ("updated_outbound_call_webhook", EventKind::OutboundCallModified),
    ("sms_received_webhook", EventKind::TextReceived),
    ("sms_sent_webhook", EventKind::TextSent),
    ("form_captured_webhook", EventKind::FormSubmission),
];

/// Largest configuration that is taken apart; a company's has some KiB.
const CONFIG_BYTES_MAX: usize = 256 << 10;
/// What the integration is called by its type.
const TYPE: &str = "Webhooks";

/// A company's Webhooks integration.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhooks {
    /// Its id.
    pub id: String,
    /// `active`, `disabled`, `pending`, or `failed` where CallRail has given it up.
    pub state: String,
    /// Its lists of addresses, and whatever else is configured, as it came.
    pub config: Map<String, Value>,
    /// What its webhooks are signed with.
    pub signing_key: Option<String>,
}

impl Webhooks {
    /// Whether it sends anything.
    pub fn is_active(&self) -> bool {
        self.state == "active"
    }

    /// The addresses of one list.
    pub fn addresses(&self, list: &str) -> Vec<&str> {
        addresses(&self.config, list)
    }

    fn read(row: &Row<'_>) -> Option<Self> {
        let config = row.members().find(|(name, _)| *name == "config").map(|(_, text)| text);
        let config = config.filter(|text| text.len() <= CONFIG_BYTES_MAX);
        let config = config.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Some(Self {
            id: row.text("id")?,
            state: row.text("state").unwrap_or_default(),
            config,
            signing_key: row.text("signing_key"),
        })
    }
}

fn addresses<'c>(config: &'c Map<String, Value>, list: &str) -> Vec<&'c str> {
    match config.get(list) {
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) if !one.is_empty() => vec![one],
        _ => Vec::new(),
    }
}

/// One change of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which list.
    pub list: &'static str,
    /// The address.
    pub address: String,
    /// Whether it is added; else it is removed.
    pub adds: bool,
}

/// The configuration with `ours` in it and no other address that `is_ours`, and what differs from `config`. What is not ours
/// stays, in its order.
pub fn merged(
    config: &Map<String, Value>,
    ours: &BTreeMap<&'static str, String>,
    is_ours: impl Fn(&str) -> bool,
) -> (Map<String, Value>, Vec<Change>) {
    let (mut next, mut changes) = (config.clone(), Vec::new());
    for (list, _) in LISTS {
        let before = addresses(config, list);
        let wanted = ours.get(list);
        let stays = |address: &&str| !is_ours(address) || wanted.is_some_and(|wanted| wanted == *address);
        let mut after: Vec<&str> = Vec::new();
        for address in before.iter().copied().filter(|address| stays(address)) {
            // One that stands there twice is asked twice for each event.
            if !(is_ours(address) && after.contains(&address)) {
                after.push(address);
            }
        }
        let change = |address: &str, adds| Change { list, address: address.to_owned(), adds };
        let removed = before.iter().filter(|address| !stays(address)).map(|address| change(address, false));
        changes.extend(removed);
        if let Some(wanted) = wanted.filter(|wanted| !after.contains(&wanted.as_str())) {
            changes.push(change(wanted, true));
            after.push(wanted);
        }
        if before != after {
            next.insert(list.to_owned(), json!(after));
        }
    }
    (next, changes)
}

/// A filter of a company's events: what it keeps from us never arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What it says, as `name=value`.
    pub words: Vec<String>,
}

impl Filter {
    /// What may keep events back; anything unknown is told too.
    fn read(row: &Row<'_>) -> Option<Self> {
        const SAYS_NOTHING: [&str; 7] =
            ["id", "name", "company_id", "created_at", "updated_at", "integrations", "type"];
        let is_any = |value: &str| matches!(value, "null" | "\"\"" | "[]" | "{}" | "\"all\"" | "0" | "false");
        let words = row
            .members()
            .filter(|(name, value)| !SAYS_NOTHING.contains(name) && !is_any(value))
            .map(|(name, value)| format!("{name}={}", value.chars().take(100).collect::<String>()));
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then_some(Self { words })
    }
}

impl CallRailClient {
    /// A company's Webhooks integration with its signing key; none where the company has none. One request a page.
    pub async fn webhooks(
        &self,
        access: &Access,
        company_id: &str,
    ) -> Result<Option<Webhooks>, CallRailError> {
        let path = self.integrations(access)?;
        let filters = [
            ("company_id", segment("a company", company_id)?.to_owned()),
            ("fields", "signing_key".to_owned()),
        ];
        let read = |row: &Row<'_>| {
            let is_it = row.text("type").is_some_and(|kind| kind == TYPE);
            is_it.then(|| Webhooks::read(row)).flatten()
        };
        let found = self.all(access, (&format!("{path}.json"), "integrations"), &filters, read).await?;
        Ok(found.into_iter().next())
    }

    /// Creates a company's Webhooks integration; CallRail refuses a second one. One request.
    pub async fn create_webhooks(
        &self,
        access: &Access,
        company_id: &str,
        config: &Map<String, Value>,
    ) -> Result<Webhooks, CallRailError> {
        let path = format!("{}.json", self.integrations(access)?);
        let body = json!({ "type": TYPE, "company_id": segment("a company", company_id)?, "config": config });
        self.write_webhooks(access, Method::POST, path, &body).await
    }

    /// Replaces the configuration of a Webhooks integration, and its state where one is given: `active`. One request.
    pub async fn update_webhooks(
        &self,
        access: &Access,
        id: &str,
        config: &Map<String, Value>,
        state: Option<&str>,
    ) -> Result<Webhooks, CallRailError> {
        let path = format!("{}/{}.json", self.integrations(access)?, segment("an integration", id)?);
        let body = match state {
            Some(state) => json!({ "state": state, "config": config }),
            None => json!({ "config": config }),
        };
        self.write_webhooks(access, Method::PUT, path, &body).await
    }

    /// The filters of a company, which hold for an integration that has none of its own. One request a page.
    pub async fn filters(&self, access: &Access, company_id: &str) -> Result<Vec<Filter>, CallRailError> {
        let path = format!("/a/{}/integration_triggers.json", segment("an account", &access.account_id)?);
        let filters = [("company_id", segment("a company", company_id)?.to_owned())];
        self.all(access, (&path, "integration_triggers"), &filters, Filter::read).await
    }

    fn integrations(&self, access: &Access) -> Result<String, CallRailError> {
        Ok(format!("/a/{}/integrations", segment("an account", &access.account_id)?))
    }

    async fn write_webhooks(
        &self,
        access: &Access,
        method: Method,
        path: String,
        body: &Value,
    ) -> Result<Webhooks, CallRailError> {
        let ask =
            Ask { method, path, query: &[], body: Some(body.to_string()), what: "integration".to_owned() };
        let answer = self.ask(access, ask).await?;
        let text = String::from_utf8_lossy(&answer);
        let written = Row::parse(&text).and_then(|row| Webhooks::read(&row));
        written.ok_or_else(|| odd("it tells nothing of the integration"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "https://hooks.example/v1/sources/abc/callrail/";

    fn is_ours(address: &str) -> bool {
        address.contains("/v1/sources/abc/")
    }

    fn ours() -> BTreeMap<&'static str, String> {
        LISTS.iter().map(|(list, kind)| (*list, format!("{OURS}{}", kind.name()))).collect()
    }

    fn config(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_others_have_installed_stays_word_for_word_and_in_its_order() {
        let before = config(
            r#"{"post_call_webhook":["https://crm.example/b","https://crm.example/a"],"pre_call_webhook":"https://one.example/x",
                "sms_sent_webhook":null,"unknown_webhook":["https://new.example/"],"tracker_ids":[1,2]}"#,
        );
        let (after, changes) = merged(&before, &ours(), is_ours);
        assert_eq!(changes.len(), LISTS.len());
        assert!(changes.iter().all(|change| change.adds));
        let hook = |name: &str| format!("{OURS}{name}");
        assert_eq!(
            after["post_call_webhook"],
            json!(["https://crm.example/b", "https://crm.example/a", hook("post_call")])
        );
        assert_eq!(after["pre_call_webhook"], json!(["https://one.example/x", hook("pre_call")]));
        assert_eq!(after["sms_sent_webhook"], json!([hook("text_sent")]));
        assert_eq!(
            (&after["unknown_webhook"], &after["tracker_ids"]),
            (&before["unknown_webhook"], &before["tracker_ids"])
        );
        // Once more changes nothing.
        assert_eq!(merged(&after, &ours(), is_ours), (after.clone(), Vec::new()));
        // And out again leaves what was there, but for lists that were no lists.
        let (out, changes) = merged(&after, &BTreeMap::new(), is_ours);
        assert!(changes.len() == LISTS.len() && changes.iter().all(|change| !change.adds));
        assert_eq!(out["post_call_webhook"], before["post_call_webhook"]);
        assert_eq!(out["sms_sent_webhook"], json!([]));
    }

    #[test]
    fn an_address_of_ours_that_moved_or_stands_there_twice_is_mended() {
        let old = "https://old.example/v1/sources/abc/callrail/post_call";
        let mut before = Map::new();
        let now = format!("{OURS}post_call");
        before.insert("post_call_webhook".to_owned(), json!([old, now, "https://crm.example/a", now]));
        let (after, changes) = merged(&before, &ours(), is_ours);
        assert_eq!(after["post_call_webhook"], json!([now, "https://crm.example/a"]));
        let of_list: Vec<_> = changes.iter().filter(|change| change.list == "post_call_webhook").collect();
        assert_eq!((of_list.len(), of_list[0].address.as_str(), of_list[0].adds), (1, old, false));
    }
}
