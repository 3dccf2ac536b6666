//! Rows of the operators' state tables that are not records of a topic as well.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::delivery::Delivery;
use crate::window::WindowMetrics;
use crate::{JobId, Millis};

/// State of dedupe: what was seen of one call, text or form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The id it goes by: the first `CAL` id seen, else what it came under.
    pub subject_id: String,
    /// Content hashes of the last payloads, newest last.
    pub hashes: Vec<i64>,
    /// How many contents were told apart: the number of the newest.
    pub contents: i64,
    /// By which event each of the hashes came first: the last 8 bytes of its id. Shorter, or 0, where an earlier leadline
    /// wrote the hash.
    pub events: Vec<i64>,
    /// Whether a webhook has told how it ended; until then nothing but a listing of CallRail's API may have.
    pub is_told: bool,
}

/// State of dedupe: what leadline itself has written to a call at CallRail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteBack {
    /// Names of the fields written.
    pub fields: Vec<String>,
    /// When, by the epoch's clock.
    pub at: Millis,
}

/// State of window: one window's metrics and whether they wait to be published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowState {
    /// The metrics.
    pub metrics: WindowMetrics,
    /// Whether a timer will publish them.
    pub pending: bool,
}

/// State of route: the integrations that a lead was sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    /// Their ids.
    pub integrations: Vec<String>,
    /// What was told last (JSON); empty where nobody would be told later.
    pub payload: String,
    /// Its revision.
    pub revision: i64,
    /// Whether anybody of the company has reacted.
    pub reacted: bool,
    /// Ids of the rules that held for it and tell others when nobody reacts.
    pub rules: Vec<String>,
}

/// State of alert: when the company last reacted to a caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// When, by the epoch's clock.
    pub at: Millis,
}

/// State of alert: a call that rang.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ringing {
    /// The call.
    pub call_id: String,
    /// The company, for asking CallRail.
    pub company_id: Option<String>,
    /// Who called.
    pub caller: String,
    /// When it rang.
    pub rang_at: Millis,
    /// How often CallRail was asked.
    pub asked: i32,
    /// Alerted, answered or known not to need an alert.
    pub settled: bool,
    /// Where the caller came from, as the tracking says.
    pub source: Option<String>,
    /// The city of the caller's number.
    pub city: Option<String>,
}

/// State of deliveries: one key's line in flight and the one behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryState {
    /// The newest line of the ledger.
    pub current: Delivery,
    /// What to send after the one in flight.
    pub queued_payload: Option<String>,
    /// Its revision; 0 = none.
    pub queued_revision: i64,
    /// Hash of the payload the other side has; 0 = none; even = one of several, nobody knows which.
    pub delivered_hash: i64,
    /// The other side's id.
    pub remote_id: Option<String>,
    /// Since when the other side has not taken it; 0 = it does.
    pub failing_since: Millis,
    /// How often it was put off since.
    pub later: i32,
    /// Whether an unclear one was sent again by itself.
    pub sent_again: bool,
    /// When the digest is due that it waits in, or whose message has it; 0 = none.
    pub digest_due: Millis,
}

/// State of deliveries: what an integration is told of at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Whether its messages are made: nothing joins or leaves it.
    pub is_closed: bool,
    /// What is in it, as it came.
    pub lines: Vec<DigestLine>,
}

/// A delivery that is in a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestLine {
    /// What it is about.
    pub subject: String,
    /// The job that carries its message.
    pub job_id: Option<JobId>,
}

/// State of score: who is asked about a contact, and what became of those asked before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who is asked now.
    pub provider: String,
    /// Who is asked after it, in order.
    pub next: Vec<String>,
    /// What the answers so far have cost, in millionths of the tenant's currency.
    pub cost_micros: i64,
    /// Why those before were not enough.
    pub why: Vec<String>,
    /// What of the day's budget is kept for the answer.
    pub reserved_micros: i64,
}

/// State of score: what AI services have cost a tenant's slot, by day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The last days on which anything was spent, oldest first.
    pub days: Vec<SpentDay>,
    /// Kept for answers that are awaited.
    pub reserved_micros: i64,
    /// The first day on which anything was spent; 0 = none yet.
    pub first_day: i64,
    /// The last day on which somebody was told that it is much; 0 = none yet.
    pub alerted_day: i64,
}

/// What a day has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentDay {
    /// Days since 1970 in UTC.
    pub day: i64,
    /// Millionths of the tenant's currency.
    pub micros: i64,
    /// Scores that were paid for; an earlier leadline counted transcripts among them.
    pub answers: i64,
    /// What of it transcripts have cost.
    #[serde(default)]
    pub speech_micros: i64,
}

avro_record!(Seen, "seen", ["v1", "v2", "v3", "v4"]);
avro_record!(WriteBack, "write_back", ["v1"]);
avro_record!(WindowState, "window_state", ["v1"]);
avro_record!(Asked, "asked", ["v1"]);
avro_record!(Spent, "spent", ["v1", "v2"]);
avro_record!(Routed, "routed", ["v1", "v2"]);
avro_record!(Ringing, "ringing", ["v1", "v2"]);
avro_record!(DeliveryState, "delivery_state", ["v1", "v2", "v3"]);
avro_record!(Digest, "digest", ["v1"]);
avro_record!(Reaction, "reaction", ["v1"]);
