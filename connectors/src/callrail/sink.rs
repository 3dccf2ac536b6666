//! Write-back: what leadline found out about a lead, on its last call in CallRail.
//!
//! What people have written there is theirs: a note keeps its words, and leadline's line stands below them; tags are
//! appended; a lead status that somebody has chosen stays. `spam` is never set, for it cannot be undone and takes the call
//! away. Nothing is written where nothing differs, so a write-back whose echo is heard ends there. The echo itself is
//! announced to the dataflow before the request is sent: whatever becomes of it, what comes back is known.
//!
//! No `value` is written: a budget that a caller has named is no revenue, and CallRail's reports add it up as such.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use leadline_schemas::callrail::decode;
use leadline_schemas::command::Command;
use leadline_schemas::event::{CallEvent, Event};
use leadline_schemas::inbound::{EventKind, Inbound};
use leadline_schemas::{EventId, Millis};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::Access;
use super::budget::Priority;
use super::client::{Ask, segment};
use super::{CallRailClient, CallRailError};
use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::source::Intake;
use crate::contract::wire::WireRequest;

/// What leadline's line of a note begins with.
const MARK: &str = "[leadline]";
/// Longest line that is written.
const LINE_CHARS_MAX: usize = 300;

/// Writes to calls.
pub struct WriteBackSink {
    client: CallRailClient,
    secrets: Arc<dyn Secrets>,
    intake: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
}

/// What is known of the lead; other deliveries have no calls to write to.
#[derive(Deserialize)]
struct Lead {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    contact_ids: Vec<String>,
    #[serde(default)]
    band: String,
    #[serde(default)]
    score: i64,
    #[serde(default)]
    status: String,
    #[serde(default)]
    project_type: Option<String>,
    #[serde(default)]
    reasons: Option<Vec<String>>,
}

impl Lead {
    /// Its last call.
    fn call_id(&self) -> Option<&str> {
        self.contact_ids.iter().rev().find(|id| id.starts_with("CAL")).map(String::as_str)
    }

    fn is_good(&self) -> bool {
        self.status != "not_a_lead" && ["hot", "warm"].contains(&self.band.as_str())
    }

    /// One line for a person.
    fn line(&self) -> String {
        let reasons = self.reasons.as_deref().unwrap_or_default().iter().map(String::as_str);
        let words: Vec<&str> = self.project_type.as_deref().into_iter().chain(reasons).collect();
        let line = format!("{MARK} {} {}: {}", self.band, self.score, words.join(" "));
        let one_line: Vec<&str> = line.split_whitespace().collect();
        one_line.join(" ").trim_end_matches(':').chars().take(LINE_CHARS_MAX).collect()
    }

    /// What differs from the call as it is.
    fn changes(&self, call: &CallEvent) -> Map<String, Value> {
        let mut body = Map::new();
        let before = call.note.as_deref().unwrap_or_default();
        let theirs = before.lines().filter(|line| !line.starts_with(MARK));
        let own = self.line();
        let note: Vec<&str> = theirs.chain([own.as_str()]).collect();
        let note = note.join("\n");
        if note != before {
            body.insert("note".to_owned(), json!(note));
        }
        let tag = format!("leadline-{}", self.band);
        if self.is_good() && !call.tags.contains(&tag) {
            body.insert("tags".to_owned(), json!([tag]));
            body.insert("append_tags".to_owned(), json!(true));
        }
        if call.lead_status.is_none() {
            let status = match (self.status == "not_a_lead", self.is_good()) {
                (true, _) => Some("not_a_lead"),
                (false, true) => Some("good_lead"),
                (false, false) => None,
            };
            body.extend(status.map(|status| ("lead_status".to_owned(), json!(status))));
        }
        body
    }
}

impl WriteBackSink {
    /// By this client; what it writes is announced to `intake`.
    pub fn new(
        client: CallRailClient,
        secrets: Arc<dyn Secrets>,
        intake: Arc<dyn Intake>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client, secrets, intake, clock }
    }

    async fn write(&self, request: SinkRequest, deadline: Duration) -> Result<SinkAnswer, CallError> {
        let until = tokio::time::Instant::now() + deadline;
        let reject = |why: String| CallError::Reject { why };
        let lead: Lead = serde_json::from_str(&request.payload)
            .map_err(|error| reject(format!("the delivery cannot be read: {error}")))?;
        // Texts and forms have nothing to write to, and alerts are for people.
        let Some(call_id) = lead.call_id().filter(|_| lead.kind == "lead") else {
            return Ok(SinkAnswer::default());
        };
        let settings = self.intake.settings();
        let tenant = settings
            .tenant(&request.key.tenant)
            .ok_or_else(|| reject("the tenant was removed".to_owned()))?;
        let access = Access::of(tenant, &*self.secrets, Priority::Background)?
            .ok_or_else(|| {
                reject("the tenant has no account at CallRail any more: connect it, or switch the integration off".to_owned())
            })?
            .within(deadline);
        let remote_id = Some(call_id.to_owned());
        let told = self.client.call(&access, call_id).await?;
        let call = match decode(Some(EventKind::PostCall), &told.body) {
            Ok((_, Event::CallEvent(call))) => call,
            _ => return Err(reject(format!("CallRail's answer tells nothing of call {call_id}"))),
        };
        let mut body = lead.changes(&call);
        if body.is_empty() {
            return Ok(SinkAnswer { remote_id });
        }
        self.announce(&request, settings.version, call_id, &body).await?;
        let access = access.within(until.saturating_duration_since(tokio::time::Instant::now()));
        match self.client.update_call(&access, call_id, &body).await {
            // Somebody has marked the caller meanwhile: that is what was wanted.
            Err(CallRailError::Refused { status: 400, .. }) if body.remove("lead_status").is_some() => {
                if !body.is_empty() {
                    let left = until.saturating_duration_since(tokio::time::Instant::now());
                    self.client.update_call(&access.within(left), call_id, &body).await?;
                }
            }
            answer => answer?,
        }
        Ok(SinkAnswer { remote_id })
    }

    /// Makes durable what is about to be written, in front of what comes back of it.
    async fn announce(
        &self,
        request: &SinkRequest,
        settings_version: u64,
        call_id: &str,
        body: &Map<String, Value>,
    ) -> Result<(), CallError> {
        let mut fields: Vec<String> = body.keys().filter(|name| *name != "append_tags").cloned().collect();
        if body.contains_key("tags") {
            fields.push("tag".to_owned()); // It names them twice.
        }
        let command = Command::WroteBack { call_id: call_id.to_owned(), fields };
        let received_at: Millis = self.clock.wall();
        let id = [request.idempotency_key.as_bytes(), b"write-back", &received_at.0.to_be_bytes()];
        let (key, at) = (request.home.clone(), (received_at, settings_version));
        let event = Inbound::command(EventId::of(&id), key, call_id, &command, at)
            .map_err(|error| CallError::Reject { why: error.to_string() })?;
        let accepted = self.intake.accept(event).await;
        accepted
            .map(|_| ())
            .map_err(|error| CallError::Retry { after: None, why: format!("not announced: {error}") })
    }
}

impl CallRailClient {
    /// Changes what is named of a call, and nothing else. One request; the same again changes nothing more.
    pub async fn update_call(
        &self,
        access: &Access,
        call_id: &str,
        changes: &Map<String, Value>,
    ) -> Result<(), CallRailError> {
        let account = segment("an account", &access.account_id)?;
        let path = format!("/a/{account}/calls/{}.json", segment("a call", call_id)?);
        let body = Some(Value::Object(changes.clone()).to_string());
        let ask = Ask { method: Method::PUT, path, query: &[], body, what: format!("call {call_id}") };
        self.ask(access, ask).await.map(|_| ())
    }
}

impl Sink for WriteBackSink {
    fn kind(&self) -> &str {
        "callrail"
    }

    /// What is written names the whole of it: once more changes nothing.
    fn guarantee(&self) -> Guarantee {
        Guarantee::Once
    }

    fn deliver(
        &self,
        request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        Box::pin(async move { self.write(request, deadline).await })
    }

    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        let lead: Lead = serde_json::from_str(&request.payload)
            .map_err(|error| CallError::Reject { why: format!("the delivery cannot be read: {error}") })?;
        let Some(call_id) = lead.call_id().filter(|_| lead.kind == "lead") else { return Ok(Vec::new()) };
        let settings = self.intake.settings();
        let account = settings.tenant(&request.key.tenant).and_then(|tenant| tenant.callrail.as_ref());
        let account = account.map_or("{account}", |callrail| &callrail.account_id);
        let url = self.client.shared.guard.base().join(&format!("/v3/a/{account}/calls/{call_id}.json"));
        let url = url.map_err(|error| CallError::Reject { why: format!("call {call_id:?}: {error}") })?;
        // What is written is what differs from the call as it is then; shown is what differs from an untouched one.
        let untouched = json!({ "id": call_id }).to_string();
        let body = match decode(Some(EventKind::PostCall), untouched.as_bytes()) {
            Ok((_, Event::CallEvent(call))) => Value::Object(lead.changes(&call)),
            _ => return Ok(Vec::new()),
        };
        let write = WireRequest { method: Method::PUT, ..WireRequest::json(url.as_str(), &body) };
        Ok(vec![WireRequest::new(Method::GET, url), write])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(band: &str, status: &str) -> Lead {
        serde_json::from_value(json!({
            "type": "lead", "contact_ids": ["CAL1", "FRM1"], "band": band, "score": 92, "status": status,
            "project_type": "kitchen", "reasons": ["Budget of\n$60,000.", "x".repeat(1_000)],
        }))
        .unwrap()
    }

    fn call(note: &str, tags: &[&str], lead_status: Option<&str>) -> CallEvent {
        let body = json!({"id": "CAL1", "note": note, "tags": tags, "lead_status": lead_status}).to_string();
        match decode(Some(EventKind::PostCall), body.as_bytes()).unwrap() {
            (_, Event::CallEvent(call)) => *call,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_people_have_written_stays_and_leadlines_line_is_the_newest_alone() {
        let hot = lead("hot", "open");
        let first = hot.changes(&call("Ask for Dana.\nTwice.", &["vip"], None));
        let note = first["note"].as_str().unwrap();
        assert!(
            note.starts_with("Ask for Dana.\nTwice.\n[leadline] hot 92: kitchen Budget of $60,000."),
            "{note}"
        );
        assert_eq!((note.lines().count(), &first["tags"]), (3, &json!(["leadline-hot"])));
        assert_eq!((&first["append_tags"], &first["lead_status"]), (&json!(true), &json!("good_lead")));
        assert!(!first.contains_key("spam") && !first.contains_key("value"));
        // As it is then, there is nothing to write.
        let written = call(note, &["vip", "leadline-hot"], Some("good_lead"));
        assert!(hot.changes(&written).is_empty());
        let cooler = lead("nurture", "open").changes(&written);
        assert_eq!(cooler.keys().collect::<Vec<_>>(), ["note"], "a status once set is a person's");
        assert_eq!(cooler["note"].as_str().unwrap().matches(MARK).count(), 1);
        for theirs in ["not_a_lead", "previously_marked_good_lead"] {
            assert!(!hot.changes(&call("", &[], Some(theirs))).contains_key("lead_status"), "{theirs}");
        }
        assert_eq!(lead("hot", "not_a_lead").changes(&call("", &[], None))["lead_status"], "not_a_lead");
        assert!(!lead("cold", "open").changes(&call("", &[], None)).contains_key("lead_status"));
    }
}
