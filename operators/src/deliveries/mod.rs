//! deliveries: outbox and ledger. One delivery in flight per key, in order; the newest revision wins.
//!
//! What must wait (quiet hours, a digest, a pause after failures) waits as a line and a timer, and costs nobody anything.

pub mod digest;
mod settle;
mod wait;

pub use self::wait::LATER_MS;

use leadline_schemas::command::Command;
use leadline_schemas::delivery::{Delivery, DeliveryKey, DeliveryStatus, Exchanged};
use leadline_schemas::reply::{Answered, JobFailed, JobRequest};
use leadline_schemas::state::DeliveryState;
use leadline_schemas::{JobId, LeadId, Millis, TenantId};
use serde::{Deserialize, Serialize};

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec, TimerKind};
use crate::routing;

/// Each key's line of the ledger, and what waits behind it; under a job's id, the key that it delivers.
pub const LINES: Table<DeliveryState> = Table::new(1, "lines", Some(25 * 31 * Millis::DAY));
const TABLES: &[TableSpec] = &[LINES.spec, digest::DIGESTS.spec, digest::WAITING.spec, digest::ANSWERS.spec];

/// Sends and keeps the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deliveries;

/// Something to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRequest {
    /// The integration it goes to.
    pub integration: String,
    /// What it is about.
    pub subject: String,
    /// The lead, when it is about one.
    pub lead_id: Option<LeadId>,
    /// `lead`, `missed_call` or `notice`.
    pub kind: String,
    /// A newer revision replaces an older one that still waits.
    pub revision: i64,
    /// What is sent (JSON).
    pub payload: String,
}

/// What comes in.
#[derive(Clone, Debug)]
pub enum DeliveryIn {
    /// Something to deliver.
    Request(DeliveryRequest),
    /// A person's word about a delivery.
    Command(Command),
}

/// What goes out: a line of the ledger as it stands.
pub type DeliveryOut = Delivery;

/// What a `deliver` job asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverJob {
    /// What it is about.
    pub subject: String,
    /// What is sent (JSON).
    pub payload: String,
    /// The other side's id from before.
    pub remote_id: Option<String>,
    /// The delivery before this one ended with nobody knowing what of it arrived.
    #[serde(default)]
    pub may_have_arrived: bool,
    /// Since when the other side has not taken it.
    #[serde(default)]
    pub failing_since: Option<Millis>,
}

impl DeliverJob {
    /// The key it belongs to.
    pub fn key(&self, tenant: &TenantId, integration: &str) -> DeliveryKey {
        let (tenant, integration) = (tenant.clone(), integration.to_owned());
        DeliveryKey { tenant, integration, subject: self.subject.clone() }
    }
}

/// What a `deliver` job answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The other side's id.
    #[serde(default)]
    pub remote_id: Option<String>,
    /// What was sent and heard last.
    #[serde(default)]
    pub exchange: Option<Exchanged>,
}

impl Operator for Deliveries {
    const ID: OperatorId = OperatorId { number: 10, name: "deliveries" };
    type In = DeliveryIn;
    type Out = DeliveryOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, Delivery>, record: DeliveryIn) -> OperatorResult {
        match record {
            DeliveryIn::Request(request) => queue(cx, request),
            DeliveryIn::Command(Command::RetryDelivery { integration, subject }) => {
                retry(cx, &integration, &subject)
            }
            DeliveryIn::Command(Command::SkipDelivery { integration, subject }) => {
                skip(cx, &integration, &subject)
            }
            DeliveryIn::Command(Command::Notice { subject, at, is_trouble, text }) => {
                notice(cx, &subject, at, is_trouble, &text)
            }
            DeliveryIn::Command(_) => Ok(()),
        }
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, Delivery>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let by_job = cx.get(&LINES, job_id.as_bytes())?.cloned();
        cx.delete(&LINES, job_id.as_bytes());
        let by_job = by_job
            .ok_or_else(|| Fault::poison(format!("job {job_id} was answered, but it delivers nothing")))?;
        if by_job.digest_due != Millis(0) {
            return digest::answered(cx, job_id, by_job, answer);
        }
        let key = key_of(&by_job.current.integration, &by_job.current.subject);
        let Some(mut state) = cx.get(&LINES, &key)?.cloned() else { return Ok(()) };
        if state.current.job_id != Some(job_id) {
            return Ok(()); // The line has expired, and a new one under its key is on its way.
        }
        settle::settle(cx, &key, &mut state, answer)?;
        cx.emit(state.current.clone());
        send_next(cx, key, state, Hurry::No)
    }

    /// A line has waited long enough.
    fn on_timer(
        &mut self,
        cx: &mut Context<'_, Delivery>,
        _: TimerKind,
        key: &[u8],
        _: Millis,
    ) -> OperatorResult {
        match cx.get(&LINES, key)?.cloned() {
            Some(state) if state.digest_due != Millis(0) => digest::on_timer(cx, key, state),
            Some(state) if wait::is_over(&state, cx.now) => {
                send_next(cx, key.to_vec(), wait::queued_again(state), Hurry::No)
            }
            _ => Ok(()),
        }
    }
}

/// Whether a person asked for it: then it does not wait for quiet hours to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hurry {
    No,
    ByHand,
}

/// The line's key within a caller's rows.
pub fn key_of(integration: &str, subject: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(integration.len() + subject.len() + 1);
    key.extend_from_slice(integration.as_bytes());
    key.push(0);
    key.extend_from_slice(subject.as_bytes());
    key
}

/// The hash of the payload that the other side has when one of several may have arrived: no payload's, for those are odd.
const NOBODY_KNOWS_WHICH: i64 = 2;

fn hash_of(payload: &str) -> i64 {
    let id = leadline_schemas::EventId::of(&[payload.as_bytes()]);
    i64::from_be_bytes(*id.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8])) | 1
}

fn queue(cx: &mut Context<'_, Delivery>, request: DeliveryRequest) -> OperatorResult {
    let key = key_of(&request.integration, &request.subject);
    let known = cx.get(&LINES, &key)?.cloned();
    let mut state = match known {
        Some(state) => {
            let newest = state.current.revision.max(state.queued_revision);
            if request.revision <= newest {
                return Ok(()); // A newer revision is under way or done.
            }
            state
        }
        None => DeliveryState {
            current: line_of(cx, &request),
            queued_payload: None,
            queued_revision: 0,
            delivered_hash: 0,
            remote_id: None,
            failing_since: Millis(0),
            later: 0,
            sent_again: false,
            digest_due: Millis(0),
        },
    };
    state.queued_revision = request.revision;
    state.queued_payload = Some(request.payload);
    state.sent_again = false;
    if in_flight(cx, &state)? {
        cx.put(&LINES, &key, state);
        return Ok(());
    }
    send_next(cx, key, state, Hurry::No)
}

/// Tells whoever the tenant's rules name, or wants alerts. When it was found is its revision and not part of what is sent: who was
/// told already, before a restart, is not told again.
fn notice(
    cx: &mut Context<'_, Delivery>,
    subject: &str,
    at: Millis,
    is_trouble: bool,
    text: &str,
) -> OperatorResult {
    let Some(tenant) = cx.tenant() else { return Ok(()) };
    let payload =
        serde_json::json!({ "type": "notice", "subject": subject, "trouble": is_trouble, "text": text })
            .to_string();
    for integration in routing::noticed(tenant, cx.now) {
        let request = DeliveryRequest {
            integration: integration.id.clone(),
            subject: subject.to_owned(),
            lead_id: None,
            kind: "notice".to_owned(),
            revision: at.0,
            payload: payload.clone(),
        };
        queue(cx, request)?;
    }
    Ok(())
}

/// Whether a job of this line is out: then nothing else of its key is sent. A line that a person skips on its way
/// is in flight until its answer comes, for a request cannot be called back.
fn in_flight(cx: &mut Context<'_, Delivery>, state: &DeliveryState) -> OperatorResult<bool> {
    if digest::is_out(state) {
        return Ok(true);
    }
    match (state.current.status, state.current.job_id) {
        (DeliveryStatus::Sending, _) => Ok(true),
        (DeliveryStatus::Skipped, Some(job_id)) => Ok(cx.get(&LINES, job_id.as_bytes())?.is_some()),
        _ => Ok(false),
    }
}

fn line_of(cx: &Context<'_, Delivery>, request: &DeliveryRequest) -> Delivery {
    Delivery {
        tenant: cx.key.tenant.clone(),
        integration: request.integration.clone(),
        subject: request.subject.clone(),
        lead_id: request.lead_id,
        kind: request.kind.clone(),
        revision: 0,
        status: DeliveryStatus::Queued,
        reason: None,
        job_id: None,
        attempts: 0,
        remote_id: None,
        payload: String::new(),
        queued_at: cx.now,
        updated_at: cx.now,
        exchange: None,
        tries: Vec::new(),
        held_until: Millis(0),
    }
}

/// Starts what waits behind a line that is not in flight.
fn send_next(
    cx: &mut Context<'_, Delivery>,
    key: Vec<u8>,
    mut state: DeliveryState,
    hurry: Hurry,
) -> OperatorResult {
    let Some(payload) = state.queued_payload.take() else {
        cx.put(&LINES, &key, state);
        return Ok(());
    };
    state.current.revision = std::mem::take(&mut state.queued_revision);
    state.current.payload = payload;
    state.current.reason = None;
    state.current.updated_at = cx.now;
    wait::release(cx, &key, &mut state)?;
    let integration = cx.tenant().and_then(|tenant| tenant.integration(&state.current.integration));
    let gone = match integration {
        None => Some("the integration was removed".to_owned()),
        Some(integration) if integration.disabled => Some(match &integration.disabled_why {
            Some(why) => format!("the integration is switched off: {why}"),
            None => "the integration is switched off".to_owned(),
        }),
        Some(_) => None,
    };
    if let Some(why) = gone {
        state.current.status = DeliveryStatus::Skipped;
        state.current.reason = Some(why);
    } else if hash_of(&state.current.payload) == state.delivered_hash {
        state.current.status = DeliveryStatus::Done;
        state.current.reason = Some("nothing has changed since the last delivery".to_owned());
    } else if let Some(due) = digest::due(cx, integration, &state).filter(|_| hurry == Hurry::No) {
        digest::join(cx, &key, &mut state, due)?;
    } else if let Some((until, why)) = wait::quiet(cx, integration).filter(|_| hurry == Hurry::No) {
        wait::hold(cx, &key, &mut state, until, why)?;
    } else {
        send(cx, &mut state)?;
    }
    cx.emit(state.current.clone());
    cx.put(&LINES, &key, state);
    Ok(())
}

/// Asks for a delivery to an integration.
fn job_of(
    cx: &mut Context<'_, Delivery>,
    integration: &str,
    revision: i64,
    job: &DeliverJob,
) -> OperatorResult<JobId> {
    let payload = serde_json::to_vec(job).map_err(|error| Fault::poison(error.to_string()))?;
    Ok(cx.job(JobRequest {
        kind: "deliver".to_owned(),
        target: integration.to_owned(),
        payload: payload.into(),
        not_before: Millis(0),
        revision,
    }))
}

fn send(cx: &mut Context<'_, Delivery>, state: &mut DeliveryState) -> OperatorResult {
    let line = &mut state.current;
    let job = DeliverJob {
        subject: line.subject.clone(),
        payload: line.payload.clone(),
        remote_id: state.remote_id.clone(),
        may_have_arrived: line.attempts > 0 && line.status != DeliveryStatus::Done,
        failing_since: Some(state.failing_since).filter(|since| since.0 != 0),
    };
    let job_id = job_of(cx, &line.integration, line.revision, &job)?;
    line.status = DeliveryStatus::Sending;
    line.job_id = Some(job_id);
    let mut by_job = state.clone();
    by_job.current.payload = String::new(); // The line itself has it; this row only leads to the line.
    by_job.queued_payload = None;
    (by_job.current.exchange, by_job.current.tries) = (None, Vec::new());
    cx.put(&LINES, job_id.as_bytes(), by_job);
    Ok(())
}

fn retry(cx: &mut Context<'_, Delivery>, integration: &str, subject: &str) -> OperatorResult {
    let key = key_of(integration, subject);
    let Some(mut state) = cx.get(&LINES, &key)?.cloned() else { return Ok(()) };
    if state.current.status == DeliveryStatus::Sending || state.current.payload.is_empty() {
        return Ok(());
    }
    if in_flight(cx, &state)? {
        state.current.status = DeliveryStatus::Sending; // Skipped, and wanted again before it has arrived.
        state.current.reason = None;
        state.current.updated_at = cx.now;
        cx.emit(state.current.clone());
        cx.put(&LINES, &key, state);
        return Ok(());
    }
    if state.queued_payload.is_none() {
        state.queued_payload = Some(state.current.payload.clone());
        state.queued_revision = state.current.revision;
    }
    state.delivered_hash = 0; // A person who asks again wants it sent, changed or not.
    (state.later, state.sent_again) = (0, false);
    send_next(cx, key, state, Hurry::ByHand)
}

fn skip(cx: &mut Context<'_, Delivery>, integration: &str, subject: &str) -> OperatorResult {
    let key = key_of(integration, subject);
    let Some(mut state) = cx.get(&LINES, &key)?.cloned() else { return Ok(()) };
    if state.current.status == DeliveryStatus::Done {
        return Ok(());
    }
    state.current.status = DeliveryStatus::Skipped;
    state.current.reason = Some("skipped by hand".to_owned());
    state.current.updated_at = cx.now;
    state.queued_payload = None;
    state.queued_revision = 0;
    wait::release(cx, &key, &mut state)?;
    cx.emit(state.current.clone());
    cx.put(&LINES, &key, state);
    Ok(())
}
