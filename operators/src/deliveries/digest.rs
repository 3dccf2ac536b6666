//! Digests: leads that are gathered and told of in one message at a time.
//!
//! A line that waits in a digest waits by itself, with a timer, as one does for the end of quiet hours. The first whose
//! timer fires makes the messages of all; each then looks for what came of the message that has it. What callers share is
//! in rows of the slot, for no operator reaches the rows of another caller.

use leadline_schemas::delivery::{Delivery, DeliveryStatus, about, digest_part};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed, Reply, ReplyOutcome};
use leadline_schemas::settings::Integration;
use leadline_schemas::state::{DeliveryState, Digest, DigestLine};
use leadline_schemas::{JobId, Millis};
use serde_json::{Value, json};

use super::settle::{AGAIN, settle};
use super::{DeliverJob, Deliveries, Hurry, LINES, job_of, send_next, wait};
use crate::contract::{Context, Fault, Operator as _, OperatorResult, Table, TimerKind};
use crate::hours;

/// Longer than any digest waits, and than a job is out.
const TTL_MS: i64 = 30 * Millis::DAY;
/// What is in each digest of an integration.
pub(super) const DIGESTS: Table<Digest> = Table::new(2, "digests", Some(TTL_MS)).shared_by(Deliveries::ID);
/// The lines that wait in one, until its messages are made.
pub const WAITING: Table<DeliveryState> =
    Table::new(3, "digest_lines", Some(TTL_MS)).shared_by(Deliveries::ID);
/// What came of each message, by its job.
pub(super) const ANSWERS: Table<Reply> =
    Table::new(4, "digest_answers", Some(TTL_MS)).shared_by(Deliveries::ID);

/// Leads of one message: what a person reads at one go, and some 50 KiB.
pub const MESSAGE_LEADS_MAX: usize = 50;
/// Leads of one digest, so that the row that names them stays small; more are in a digest of their own right behind.
pub const DIGEST_LEADS_MAX: usize = 500;
/// How often it is looked what came of a message.
const LOOK_FIRST_MS: i64 = 2 * Millis::SECOND;
const LOOK_LAST_MS: i64 = 5 * Millis::MINUTE;
/// Reasons that a digest tells of a lead.
const REASONS_MAX: usize = 3;
/// What a digest tells of a lead, by the names of its payload.
const TOLD: [&str; 11] = [
    "lead_id",
    "status",
    "score",
    "band",
    "name",
    "phone",
    "email",
    "city",
    "project_type",
    "last_contact_at",
    "contacted",
];

/// When the digest is due that a line belongs in; none where it is sent by itself. Alerts, notices and what nobody has
/// reacted to never wait. What has failed before is overdue, and gathered for a minute only.
pub(super) fn due(
    cx: &Context<'_, Delivery>,
    integration: Option<&Integration>,
    state: &DeliveryState,
) -> Option<Millis> {
    let line = &state.current;
    let is_lead = line.kind == "lead" && about(&line.subject) == line.subject;
    let (profile, integration) = (&cx.tenant()?.profile, integration.filter(|_| is_lead)?);
    let gathering = hours::gathering(integration)?;
    let due = match state.later {
        0 => hours::gathered_until(profile, gathering, cx.now),
        _ => Millis((cx.now.0.div_euclid(Millis::MINUTE) + 1) * Millis::MINUTE),
    };
    Some(hours::quiet_until(profile, integration, due).unwrap_or(due))
}

/// A digest's key within the slot's rows. A slot whose tenant is spread anew begins anew.
fn place(cx: &Context<'_, Delivery>, integration: &str, due: Millis) -> Vec<u8> {
    let spread = cx.tenant().map_or(1, |tenant| tenant.policy.spread);
    let mut place = integration.as_bytes().to_vec();
    place.push(0);
    place.extend_from_slice(&spread.to_be_bytes());
    place.extend_from_slice(&due.0.to_be_bytes());
    place
}

fn line_place(place: &[u8], subject: &str) -> Vec<u8> {
    [place, subject.as_bytes()].concat()
}

/// The time in a digest's name, for people.
fn called(cx: &Context<'_, Delivery>, due: Millis) -> String {
    let at = cx.tenant().map_or_else(|| due.to_string(), |tenant| hours::clock(&tenant.profile, due));
    format!("in the digest of {at}")
}

/// Lets a line wait in a digest.
pub(super) fn join(
    cx: &mut Context<'_, Delivery>,
    key: &[u8],
    state: &mut DeliveryState,
    mut due: Millis,
) -> OperatorResult {
    let line = state.current.clone();
    let mut in_it = place(cx, &line.integration, due);
    let is_full = |digest: &Digest| digest.is_closed || digest.lines.len() >= DIGEST_LEADS_MAX;
    while cx.get(&DIGESTS, &in_it)?.is_some_and(is_full) {
        due = due.plus(1);
        in_it = place(cx, &line.integration, due);
    }
    let subject = line.subject.clone();
    let waiting = line_place(&in_it, &subject);
    cx.update(&DIGESTS, &in_it, Digest::default, |digest| {
        digest.lines.push(DigestLine { subject, job_id: None });
    })?;
    let mut row = state.clone();
    (row.current.exchange, row.current.tries, row.queued_payload) = (None, Vec::new(), None);
    cx.put(&WAITING, &waiting, row);
    state.digest_due = due;
    let why = called(cx, due);
    wait::hold(cx, key, state, due, why)
}

/// Takes a line out of the digest that it waits in, if it does.
pub(super) fn leave(cx: &mut Context<'_, Delivery>, state: &mut DeliveryState) -> OperatorResult {
    let due = std::mem::take(&mut state.digest_due);
    if due == Millis(0) {
        return Ok(());
    }
    let left = place(cx, &state.current.integration, due);
    let Some(mut digest) = cx.get(&DIGESTS, &left)?.filter(|digest| !digest.is_closed).cloned() else {
        return Ok(());
    };
    cx.delete(&WAITING, &line_place(&left, &state.current.subject));
    digest.lines.retain(|line| line.subject != state.current.subject);
    match digest.lines.is_empty() {
        true => cx.delete(&DIGESTS, &left),
        false => cx.put(&DIGESTS, &left, digest),
    }
    Ok(())
}

/// Whether a message has the line, and nobody has looked yet what came of it.
pub(super) fn is_out(state: &DeliveryState) -> bool {
    state.digest_due != Millis(0) && state.current.held_until == Millis(0)
}

/// The time has come for a line to go out with its digest, or to look what came of that.
pub(super) fn on_timer(
    cx: &mut Context<'_, Delivery>,
    key: &[u8],
    mut state: DeliveryState,
) -> OperatorResult {
    if is_out(&state) {
        return look(cx, key, state);
    }
    if !wait::is_over(&state, cx.now) {
        return Ok(());
    }
    let Some(job_id) = carried_by(cx, &state)? else {
        // Nobody gathers for it any more: it is sent by itself, or the ledger says why not.
        return send_next(cx, key.to_vec(), wait::queued_again(state), Hurry::ByHand);
    };
    let line = &mut state.current;
    (line.status, line.job_id, line.held_until) = (DeliveryStatus::Sending, Some(job_id), Millis(0));
    line.updated_at = cx.now;
    cx.emit(line.clone());
    cx.put(&LINES, key, state);
    cx.timer(TimerKind::Now, key, cx.now.plus(LOOK_FIRST_MS))
}

/// The job of the message that has the line; the digest's messages are made where they are not yet.
fn carried_by(cx: &mut Context<'_, Delivery>, state: &DeliveryState) -> OperatorResult<Option<JobId>> {
    let line = &state.current;
    let place = place(cx, &line.integration, state.digest_due);
    let Some(mut digest) = cx.get(&DIGESTS, &place)?.cloned() else { return Ok(None) };
    if !digest.is_closed {
        let integration = cx.tenant().and_then(|tenant| tenant.integration(&line.integration));
        if !integration.is_some_and(|one| !one.disabled && hours::GATHERED.contains(&one.kind.as_str())) {
            return Ok(None);
        }
        close(cx, &place, &mut digest, state)?;
    }
    Ok(digest.lines.iter().find(|one| one.subject == line.subject).and_then(|one| one.job_id))
}

/// Makes a digest's messages, the best leads first.
fn close(
    cx: &mut Context<'_, Delivery>,
    place: &[u8],
    digest: &mut Digest,
    first: &DeliveryState,
) -> OperatorResult {
    let mut leads = Vec::new();
    for line in &digest.lines {
        let waiting = line_place(place, &line.subject);
        let Some(row) = cx.get(&WAITING, &waiting)? else { continue };
        let payload: Value = serde_json::from_str(&row.current.payload)
            .map_err(|error| Fault::poison(format!("what waits in a digest: {error}")))?;
        leads.push((line.subject.clone(), told(&payload, row.delivered_hash != 0)));
        cx.delete(&WAITING, &waiting);
    }
    let score = |lead: &Value| lead.get("score").and_then(Value::as_i64).unwrap_or_default();
    leads.sort_by(|(one, a), (other, b)| score(b).cmp(&score(a)).then_with(|| one.cmp(other)));
    let clock = cx.tenant().map(|tenant| hours::clock(&tenant.profile, first.digest_due));
    let parts = leads.len().div_ceil(MESSAGE_LEADS_MAX);
    for (part, of_it) in (1..).zip(leads.chunks(MESSAGE_LEADS_MAX)) {
        let told: Vec<&Value> = of_it.iter().map(|(_, lead)| lead).collect();
        let payload = message(clock.as_deref().unwrap_or_default(), (part, parts), &told);
        let mut row = first.clone();
        row.current.subject = digest_part(first.digest_due, part);
        row.current.payload = payload.to_string();
        (row.current.exchange, row.current.tries, row.sent_again) = (None, Vec::new(), false);
        let job_id = send(cx, row)?;
        for line in &mut digest.lines {
            if of_it.iter().any(|(subject, _)| *subject == line.subject) {
                line.job_id = Some(job_id);
            }
        }
    }
    digest.is_closed = true;
    cx.put(&DIGESTS, place, digest.clone());
    Ok(())
}

/// What a digest tells of a lead.
fn told(payload: &Value, is_known: bool) -> Value {
    let members = TOLD.iter().filter_map(|name| Some(((*name).to_owned(), payload.get(name)?.clone())));
    let mut told: serde_json::Map<String, Value> = members.collect();
    let reasons = payload.get("reasons").and_then(Value::as_array).into_iter().flatten();
    told.insert("reasons".to_owned(), reasons.take(REASONS_MAX).cloned().collect());
    told.insert("told_before".to_owned(), json!(is_known));
    Value::Object(told)
}

/// A message of so many leads: its time, which of how many it is.
fn message(clock: &str, (part, parts): (usize, usize), leads: &[&Value]) -> Value {
    json!({ "type": "digest", "clock": clock, "part": part, "parts": parts, "leads": leads })
}

/// The digest that would tell of this one lead, for a trial.
pub fn sample(clock: &str, lead: &Value) -> Value {
    message(clock, (1, 1), &[&told(lead, false)])
}

/// Sends a message; its row is that of no line, and says what to send again.
fn send(cx: &mut Context<'_, Delivery>, row: DeliveryState) -> OperatorResult<JobId> {
    let job = DeliverJob {
        subject: row.current.subject.clone(),
        payload: row.current.payload.clone(),
        remote_id: None,
        may_have_arrived: row.sent_again,
        failing_since: None,
    };
    let job_id = job_of(cx, &row.current.integration, row.digest_due.0, &job)?;
    cx.put(&LINES, job_id.as_bytes(), row);
    Ok(job_id)
}

/// A message has ended. One that may have arrived is sent once more, the same under the same id, where the tenant wants it;
/// else its lines find what came of it.
pub(super) fn answered(
    cx: &mut Context<'_, Delivery>,
    job_id: JobId,
    mut row: DeliveryState,
    answer: Result<Answered, JobFailed>,
) -> OperatorResult {
    let integration = cx.tenant().and_then(|tenant| tenant.integration(&row.current.integration));
    let is_unclear = answer.as_ref().is_err_and(|failed| failed.kind == FailureKind::Unclear);
    let is_wanted =
        integration.is_some_and(|one| one.options.get("unclear").is_some_and(|what| what == AGAIN));
    if is_unclear && is_wanted && !row.sent_again {
        row.sent_again = true;
        let place = place(cx, &row.current.integration, row.digest_due);
        let next = send(cx, row)?;
        return cx.update(&DIGESTS, &place, Digest::default, |digest| {
            for line in digest.lines.iter_mut().filter(|line| line.job_id == Some(job_id)) {
                line.job_id = Some(next);
            }
        });
    }
    let outcome = match answer {
        Ok(answered) => ReplyOutcome::Answered(answered),
        Err(failed) => ReplyOutcome::JobFailed(failed),
    };
    let (tenant, key_group, bucket) = (cx.key.tenant.clone(), cx.key.key_group, cx.key.bucket);
    let reply = Reply { job_id, tenant, key_group, bucket, outcome, at: cx.now };
    cx.put(&ANSWERS, job_id.as_bytes(), reply);
    Ok(())
}

/// Looks what came of the message that has the line, and lets the line end so.
fn look(cx: &mut Context<'_, Delivery>, key: &[u8], mut state: DeliveryState) -> OperatorResult {
    let place = place(cx, &state.current.integration, state.digest_due);
    let digest = cx.get(&DIGESTS, &place)?;
    let is_known = digest.is_some();
    let mut lines = digest.into_iter().flat_map(|digest| &digest.lines);
    let line = lines.find(|line| line.subject == state.current.subject);
    let job_id = line.and_then(|line| line.job_id).or(state.current.job_id);
    let answer = match job_id {
        Some(job_id) => cx.get(&ANSWERS, job_id.as_bytes())?.map(|reply| reply.outcome.clone()),
        None => None,
    };
    let answer = match answer {
        Some(ReplyOutcome::Answered(answered)) => Ok(answered),
        Some(ReplyOutcome::JobFailed(failed)) => Err(failed),
        Some(ReplyOutcome::Started(_)) | None if is_known => {
            let pause_ms = cx.now.since(state.digest_due).clamp(LOOK_FIRST_MS, LOOK_LAST_MS);
            return cx.timer(TimerKind::Now, key, cx.now.plus(pause_ms));
        }
        Some(ReplyOutcome::Started(_)) | None => Err(JobFailed {
            kind: FailureKind::Unclear,
            why: "nobody knows any more what came of the digest that it was in".to_owned(),
            attempts: 0,
            exchange: None,
        }),
    };
    let was = called(cx, state.digest_due);
    (state.digest_due, state.current.job_id) = (Millis(0), job_id);
    state.sent_again = true; // The message was, where the tenant wants that; its lines are not.
    settle(cx, key, &mut state, answer)?;
    state.sent_again = false;
    if state.current.status == DeliveryStatus::Done {
        state.current.reason = Some(was);
    }
    cx.emit(state.current.clone());
    send_next(cx, key.to_vec(), state, Hurry::No)
}
