//! Notes and calls of a contact: made once, by a mark that each carries.

use http::Method;
use serde_json::{Map, Value, json};

use super::client::{Session, id_of, with_method};
use super::config::{CALL_TO_CONTACT, Config, NOTE_CHARS_MAX, NOTE_TO_CONTACT};
use super::judge::Failure;
use crate::contract::provider::CallError;
use crate::contract::wire::WireRequest;
use crate::crm::Lead;

/// Engagements of a contact that are looked through: its newest ones.
const LOOKED_THROUGH_MAX: usize = 500;
/// Most inputs of a batch that is read.
const READ_MAX: usize = 100;

/// A note or a call.
pub(super) struct Engagement {
    /// `notes` or `calls`.
    pub(super) object: &'static str,
    /// The property that carries the mark.
    body_property: &'static str,
    association: u32,
    /// What tells it from all others of the contact.
    mark: String,
    properties: Map<String, Value>,
}

impl Engagement {
    /// A lead's note: one, which changes as the lead does.
    pub(super) fn note(config: &Config, lead: &Lead) -> Option<Self> {
        let mark = format!("[leadline {}]", lead.text("lead_id")?);
        let room = NOTE_CHARS_MAX - mark.len() - 1;
        let html = lead.summary().replace('&', "&amp;").replace('<', "&lt;").replace('\n', "<br>");
        let body: String = html.chars().take(room).collect();
        let at = lead.text("opened_at").or_else(|| lead.text("last_contact_at"))?;
        let properties = [("hs_timestamp", at.to_owned()), ("hs_note_body", format!("{body}<br>{mark}"))];
        Some(Self::new(config, "notes", mark, &properties))
    }

    /// A call; `missed` says that nobody took it.
    pub(super) fn call(config: &Config, lead: &Lead, missed: bool) -> Option<Self> {
        let call_id = lead.last_call_id()?;
        let mark = format!("[leadline {call_id}]");
        let (title, status) = match missed {
            true => (format!("Missed call from {}", lead.display_name()), "NO_ANSWER"),
            false => (format!("Call from {}", lead.display_name()), "COMPLETED"),
        };
        let mut properties = vec![
            ("hs_timestamp", lead.text("last_contact_at")?.to_owned()),
            ("hs_call_title", title),
            ("hs_call_body", mark.clone()),
            ("hs_call_direction", "INBOUND".to_owned()),
            ("hs_call_status", status.to_owned()),
        ];
        properties.extend(lead.text("phone").map(|phone| ("hs_call_from_number", phone.to_owned())));
        Some(Self::new(config, "calls", mark, &properties))
    }

    fn new(config: &Config, object: &'static str, mark: String, properties: &[(&str, String)]) -> Self {
        let owner = config.owner_id.iter().map(|id| ("hubspot_owner_id", id.clone()));
        let all = properties.iter().cloned().chain(owner);
        let properties = all.map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let (body_property, association) = match object {
            "notes" => ("hs_note_body", NOTE_TO_CONTACT),
            _ => ("hs_call_body", CALL_TO_CONTACT),
        };
        Self { object, body_property, association, mark, properties }
    }

    /// The request that makes it.
    pub(super) fn create(&self, config: &Config, contact_id: &str) -> WireRequest {
        let types =
            json!([{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": self.association }]);
        let body = json!({
            "properties": self.properties,
            "associations": [{ "to": { "id": contact_id }, "types": types }],
        });
        WireRequest::json(config.objects(self.object), &body)
    }
}

impl Session<'_> {
    /// Makes an engagement, or changes the one with this id. `may_be_there`: it is looked for first.
    pub(super) async fn engage(
        &mut self,
        engagement: &Engagement,
        contact_id: &str,
        known: Option<&str>,
        may_be_there: bool,
    ) -> Result<Option<String>, Failure> {
        let found = match known {
            Some(id) => Some(id.to_owned()),
            None if may_be_there => self.find(engagement, contact_id).await?,
            None => None,
        };
        if let Some(id) = found {
            match self.change(engagement, &id).await {
                // Somebody has deleted it: the lead is still worth a note.
                Err(Failure::NotFound(_)) => {}
                changed => return changed.map(|()| Some(id)),
            }
        }
        let wire = engagement.create(self.config, contact_id);
        let answer = self.ask(wire, &engagement.properties).await?;
        // What says 2xx has it, whatever else it says.
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok(body.get("id").and_then(id_of))
    }

    async fn change(&mut self, engagement: &Engagement, id: &str) -> Result<(), Failure> {
        if engagement.object == "calls" {
            return Ok(()); // A call was as it was.
        }
        let path = format!("{}/{id}", engagement.object);
        let wire =
            WireRequest::json(self.config.objects(&path), &json!({ "properties": engagement.properties }));
        self.ask(with_method(Method::PATCH, wire), &engagement.properties).await.map(|_| ())
    }

    /// The id of the contact's engagement with this mark. The contact's own list knows what was made a moment ago;
    /// search does not.
    async fn find(&mut self, engagement: &Engagement, contact_id: &str) -> Result<Option<String>, Failure> {
        let object = engagement.object;
        let path = format!("contacts/{contact_id}?associations={object}");
        let listed = self.read(WireRequest::new(Method::GET, self.config.objects(&path))).await?;
        let results = listed.pointer(&format!("/associations/{object}/results")).and_then(Value::as_array);
        let ids = results.into_iter().flatten().filter_map(|one| id_of(one.get("id")?));
        let mut ids: Vec<String> = ids.collect();
        ids.sort_by_key(|id| std::cmp::Reverse(id.parse::<u64>().unwrap_or(0)));
        ids.dedup();
        ids.truncate(LOOKED_THROUGH_MAX);
        for some in ids.chunks(READ_MAX) {
            let inputs: Vec<Value> = some.iter().map(|id| json!({ "id": id })).collect();
            let body = json!({ "properties": [engagement.body_property], "inputs": inputs });
            let path = format!("{object}/batch/read");
            let read = self.read(WireRequest::json(self.config.objects(&path), &body)).await?;
            let results = read.get("results").and_then(Value::as_array);
            let has_mark = |one: &&Value| {
                let text = one.pointer(&format!("/properties/{}", engagement.body_property));
                text.and_then(Value::as_str).is_some_and(|text| text.contains(&engagement.mark))
            };
            if let Some(id) =
                results.into_iter().flatten().find(has_mark).and_then(|one| id_of(one.get("id")?))
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// An answer that has to be read: with half of it nobody knows what is there.
    async fn read(&mut self, wire: WireRequest) -> Result<Value, Failure> {
        let answer = self.ask(wire, &Map::new()).await?;
        serde_json::from_slice(&answer.body).map_err(|_| {
            Failure::Call(CallError::Retry {
                after: None,
                why: "HubSpot's answer cannot be read; it is asked again".to_owned(),
            })
        })
    }
}
