//! What an epoch is fed: records, replies and timers, kept until the commit so that they can run again.

use std::rc::Rc;

use bytes::Bytes;
use leadline_connectors::contract::log::{Log, Record as LogRecord};
use leadline_operators::contract::{Cause, Fault, OperatorResult, TimerKind};
use leadline_schemas::avro;
use leadline_schemas::command::Command;
use leadline_schemas::dead_letter::{DeadLetter, InputKind};
use leadline_schemas::frame::Output;
use leadline_schemas::inbound::{self, Inbound};
use leadline_schemas::partitioning::Key;
use leadline_schemas::reply::{JobFailed, Reply, ReplyOutcome};
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::{Bucket, CommitNumber, EventId, KeyGroup, Millis, Offset, Partition, TenantId, Topic};

use super::effects::Epoch;
use super::graph::{Inputs, Item, Origin, Signal, SignalKind};
use super::keys;
use super::limits::{DEAD_LETTER_INPUT_BYTES_MAX, READ_BYTES_MAX};

/// What a dead letter says of its input: tenant, kind, receipt, attempt.
type Buried = (Option<TenantId>, InputKind, Option<Millis>, i32);

/// One input of an epoch.
#[derive(Debug)]
pub(super) struct Fed {
    /// Where it came from; -1 for timers.
    pub(super) offset: i64,
    /// The input as it was read, for a dead letter. Of a record in the graph it is empty: the log still has it.
    pub(super) bytes: Bytes,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Record(Record),
    Reply(Box<Reply>),
    Timer {
        kind: TimerKind,
        at: Millis,
        row_key: Bytes,
    },
    /// A signal of a dead letter, fed once more.
    Replayed {
        operator: String,
        letter: Letter,
        inner: Box<What>,
    },
    /// A record of a dead letter, fed once more.
    ReplayedRecord {
        letter: Letter,
        inbound: Box<Inbound>,
    },
    /// Bytes that are no record.
    Malformed {
        why: String,
    },
}

/// The dead letter that a replay is of.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    id: String,
    input: Bytes,
}

/// A record of `inbound`. It goes into the graph as it is; to run again it is decoded again, which is rare.
pub(super) struct Record {
    /// What goes into the graph; gone once it has.
    item: Option<Rc<Item<Inbound>>>,
    /// Bytes of the record in the log.
    bytes_len: usize,
    /// A body by reference, which is not in the input's bytes.
    fetched: Option<Bytes>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Record")
    }
}

impl Record {
    fn new(inbound: Inbound, bytes_len: usize) -> Self {
        let fetched = inbound.body_ref.is_some().then(|| inbound.body.clone());
        Self { item: Some(Item::accepted(inbound)), bytes_len, fetched }
    }

    /// The record once more, out of the input's bytes.
    fn again(&self, bytes: &Bytes) -> OperatorResult<Inbound> {
        let mut inbound = Inbound::decode(bytes)?;
        if let Some(body) = &self.fetched {
            inbound.body = body.clone();
        }
        Ok(inbound)
    }
}

/// How the operators of a pipeline are found by number and name.
pub(super) trait Operators {
    fn name_of(&self, number: u8) -> Option<&'static str>;
    fn known(&self, name: &str) -> Option<&'static str>;
}

impl Fed {
    pub(super) fn bytes_len(&self) -> usize {
        let in_log = if let What::Record(record) = &self.what { record.bytes_len } else { self.bytes.len() };
        in_log + 64
    }

    /// A record of `inbound`; commands that concern the engine are taken apart here.
    pub(super) fn record(offset: Offset, bytes: Bytes, inbound: Inbound) -> Self {
        let what = if inbound.origin == inbound::Origin::Command { replay(&inbound) } else { None };
        match what {
            Some(what) => Self { offset: signed(offset), bytes, what },
            // Its bytes are let go: an epoch's worth of them for each partition would be most of the memory.
            None => {
                let what = What::Record(Record::new(inbound, bytes.len()));
                Self { offset: signed(offset), bytes: Bytes::new(), what }
            }
        }
    }

    /// Puts this input into the graph.
    pub(super) fn send(
        &mut self,
        epoch: &mut Epoch,
        inputs: &mut Inputs,
        operators: &dyn Operators,
        number: CommitNumber,
    ) -> OperatorResult {
        match &mut self.what {
            What::Record(record) => {
                let item = match record.item.take() {
                    Some(item) => item,
                    None => Item::accepted(record.again(&self.bytes)?),
                };
                inputs.inbound.send(item);
                Ok(())
            }
            What::ReplayedRecord { letter, inbound } => {
                epoch.outputs.push(letter_gone(&letter.id));
                let key_group = epoch.key_group(&inbound.tenant, inbound.bucket.0);
                inputs.inbound.send(Item::accepted(Inbound { key_group, ..(**inbound).clone() }));
                Ok(())
            }
            What::Reply(reply) => send_reply(epoch, inputs, operators, reply),
            What::Timer { kind, at, row_key } => {
                if !sabotage::on(Bug::TimerNotRemoved) {
                    epoch.set_timer(*kind, row_key.to_vec(), None)?;
                }
                send_timer(inputs, operators, epoch.now, (*kind, *at, row_key), number)
            }
            What::Replayed { operator, letter, inner } => {
                epoch.outputs.push(letter_gone(&letter.id));
                match &**inner {
                    What::Timer { kind, at, row_key } => {
                        let row_key = &of_this_layout(epoch, row_key);
                        send_timer(inputs, operators, epoch.now, (*kind, *at, row_key), number)
                    }
                    What::Reply(reply) => {
                        let operator = operators.known(operator).ok_or_else(|| unknown_operator(operator))?;
                        let key_group = epoch.key_group(&reply.tenant, reply.bucket.0);
                        let key = Key { key_group, ..reply_key(reply) };
                        if let Some(answer) = answer_of(&reply.outcome) {
                            inputs.signals.send(Rc::new(Signal {
                                operator,
                                origin: Rc::new(Origin { key, cause: Cause::Job(reply.job_id) }),
                                event_time: epoch.now,
                                what: SignalKind::Reply(reply.job_id, answer),
                            }));
                        }
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            What::Malformed { why } => Err(Fault::Poison(why.clone())),
        }
    }

    /// What remains of this input when it is poison: its job or timer is gone, and a dead letter tells of it.
    pub(super) fn bury(
        &self,
        epoch: &mut Epoch,
        partition: Partition,
        operator: &str,
        why: &str,
    ) -> OperatorResult {
        let (tenant, kind, received_at, attempt) = match &self.what {
            What::Record(record) => bury_record(epoch, &record.again(&self.bytes)?, why),
            What::ReplayedRecord { inbound, .. } => bury_record(epoch, inbound, why),
            What::Reply(reply) => {
                epoch.take_job(&reply_key(reply), reply.job_id)?;
                (Some(reply.tenant.clone()), InputKind::Reply, None, 0)
            }
            What::Timer { kind, row_key, .. } => {
                epoch.set_timer(*kind, row_key.to_vec(), None)?;
                (timer_tenant(row_key), InputKind::Timer, None, 0)
            }
            What::Replayed { inner, .. } => match &**inner {
                What::Timer { row_key, .. } => (timer_tenant(row_key), InputKind::Timer, None, 1),
                What::Reply(reply) => (Some(reply.tenant.clone()), InputKind::Reply, None, 1),
                _ => (None, InputKind::Record, None, 1),
            },
            What::Malformed { .. } => (None, InputKind::Record, None, 0),
        };
        if sabotage::on(Bug::PoisonSkipped) {
            return Ok(());
        }
        let (id, input) = self.letter(operator);
        let fits = input.len() <= DEAD_LETTER_INPUT_BYTES_MAX;
        let letter = DeadLetter {
            id,
            tenant,
            operator: operator.to_owned(),
            reason: why.to_owned(),
            input_kind: kind,
            schema: format!("{:016x}", avro::fingerprint_of(&input).unwrap_or(0)),
            input: fits.then_some(input),
            partition: i32::from(partition.0),
            offset: self.offset,
            received_at,
            failed_at: epoch.now,
            attempt,
            status: "open".to_owned(),
        };
        metrics::counter!("leadline_dead_letters_total", "operator" => operator.to_owned()).increment(1);
        tracing::warn!(operator, why, partition = partition.0, offset = self.offset, "dead letter");
        epoch.outputs.push(Output {
            topic: Topic::DeadLetters,
            key: Bytes::from(letter.id.to_string()),
            value: Bytes::from(avro::encode(&letter)?),
        });
        Ok(())
    }
}

impl Fed {
    /// A replayed record whose body, too large for a record, must be fetched first.
    pub(super) fn replayed(&mut self) -> Option<&mut Inbound> {
        match &mut self.what {
            What::ReplayedRecord { inbound, .. } => Some(inbound),
            _ => None,
        }
    }

    /// Number and input of the dead letter of this input. What fails again when it is replayed stays one letter.
    fn letter(&self, operator: &str) -> (EventId, Bytes) {
        let known = match &self.what {
            What::Replayed { letter, .. } | What::ReplayedRecord { letter, .. } => Some(letter),
            _ => None,
        };
        match known.and_then(|letter| Some((EventId(letter.id.parse().ok()?), letter.input.clone()))) {
            Some(known) => known,
            None => (EventId::of(&[&self.bytes, operator.as_bytes()]), self.bytes.clone()),
        }
    }
}

/// Reads the records among some inputs from the log once more, so that they can run again and be buried. Inputs come
/// in the order of their offsets; the log keeps them until they are committed.
pub(super) fn recall(log: &dyn Log, partition: Partition, fed: &mut [Fed]) -> OperatorResult {
    let mut read = Vec::new().into_iter();
    for input in fed.iter_mut().filter(|input| matches!(input.what, What::Record(_))) {
        let from = Offset(u64::try_from(input.offset).unwrap_or_default());
        let mut found = read.find(|record: &LogRecord| record.offset >= from);
        if found.is_none() {
            let chunk = log.read(Topic::Inbound, partition, from, READ_BYTES_MAX);
            read = chunk.map_err(|error| Fault::Engine(error.to_string()))?.records.into_iter();
            found = read.next();
        }
        match found {
            Some(record) if record.offset == from => input.bytes = record.value,
            _ => return Err(Fault::Engine(format!("record {from} cannot be read from the log again"))),
        }
    }
    Ok(())
}

/// A replay command as what it replays; none when it is another command, or cannot be read (then decode says why).
fn replay(inbound: &Inbound) -> Option<What> {
    let Ok(Command::Replay { dead_letter, operator, input_kind, input }) =
        serde_json::from_slice(&inbound.body)
    else {
        return None;
    };
    let why = format!("the input of dead letter {dead_letter} cannot be read");
    let what = replayed(dead_letter, operator, input_kind, input);
    // No operator knows this command, so it would end without a word.
    Some(what.unwrap_or(What::Malformed { why }))
}

/// What a replay feeds; none when its input is not what it is said to be.
fn replayed(dead_letter: String, operator: String, input_kind: InputKind, input: Bytes) -> Option<What> {
    let inner = match input_kind {
        InputKind::Record => {
            let mut origin: Inbound = avro::decode(&input).ok()?;
            origin.attempt += 1;
            let letter = Letter { id: dead_letter, input: Bytes::from(avro::encode(&origin).ok()?) };
            return Some(What::ReplayedRecord { letter, inbound: Box::new(origin) });
        }
        InputKind::Reply => What::Reply(Box::new(avro::decode(&input).ok()?)),
        InputKind::Timer => parse_timer_bytes(&input)?,
    };
    let letter = Letter { id: dead_letter, input };
    Some(What::Replayed { operator, letter, inner: Box::new(inner) })
}

/// A timer as bytes: kind, time, row key.
pub(super) fn timer_bytes(kind: TimerKind, at: Millis, row_key: &[u8]) -> Bytes {
    let mut bytes = vec![keys::timer_table(kind)];
    bytes.extend_from_slice(&at.0.to_be_bytes());
    bytes.extend_from_slice(row_key);
    Bytes::from(bytes)
}

fn parse_timer_bytes(bytes: &Bytes) -> Option<What> {
    let kind = [TimerKind::Now, TimerKind::Event]
        .into_iter()
        .find(|kind| bytes.first() == Some(&keys::timer_table(*kind)))?;
    let at = i64::from_be_bytes(bytes.get(1..9)?.try_into().ok()?);
    Some(What::Timer { kind, at: Millis(at), row_key: bytes.slice(9..) })
}

/// The request of a buried record has failed; answers what a dead letter says of the record.
fn bury_record(epoch: &mut Epoch, inbound: &Inbound, why: &str) -> Buried {
    fail_request(epoch, inbound, why);
    (Some(inbound.tenant.clone()), InputKind::Record, Some(inbound.received_at), inbound.attempt)
}

fn send_reply(
    epoch: &mut Epoch,
    inputs: &mut Inputs,
    operators: &dyn Operators,
    reply: &Reply,
) -> OperatorResult {
    let key = reply_key(reply);
    let Some(mut job) = epoch.take_job(&key, reply.job_id)? else {
        metrics::counter!("leadline_duplicate_replies_total").increment(1);
        return Ok(());
    };
    if let ReplyOutcome::Started(started) = &reply.outcome {
        job.started_attempt = started.attempt;
        return epoch.put_job(&key, &job);
    }
    let operator = operators.known(&job.operator).ok_or_else(|| unknown_operator(&job.operator))?;
    if let Some(answer) = answer_of(&reply.outcome) {
        inputs.signals.send(Rc::new(Signal {
            operator,
            origin: Rc::new(Origin { key, cause: Cause::Job(reply.job_id) }),
            event_time: job.event_time,
            what: SignalKind::Reply(reply.job_id, answer),
        }));
    }
    Ok(())
}

fn send_timer(
    inputs: &mut Inputs,
    operators: &dyn Operators,
    now: Millis,
    (kind, at, row_key): (TimerKind, Millis, &Bytes),
    number: CommitNumber,
) -> OperatorResult {
    let parsed =
        keys::parse_row(row_key).ok_or_else(|| Fault::Engine("a timer's row key is cut".to_owned()))?;
    let operator = operators
        .name_of(parsed.operator)
        .ok_or_else(|| Fault::poison(format!("no operator has number {}", parsed.operator)))?;
    let tenant = TenantId::new(parsed.tenant).map_err(|error| Fault::Engine(error.to_string()))?;
    let key = Key { key_group: KeyGroup(parsed.key_group), tenant, bucket: Bucket(parsed.bucket) };
    let cause = Cause::Timer(EventId::of(&[row_key, &at.0.to_be_bytes(), &number.0.to_be_bytes()]));
    inputs.signals.send(Rc::new(Signal {
        operator,
        origin: Rc::new(Origin { key, cause }),
        event_time: if kind == TimerKind::Event { at } else { now },
        what: SignalKind::Timer(kind, parsed.key.to_vec(), at),
    }));
    Ok(())
}

/// The row key of a dead letter's timer; the letter may be older than the layout.
fn of_this_layout(epoch: &Epoch, row_key: &Bytes) -> Bytes {
    let Some(row) = keys::parse_row(row_key) else { return row_key.clone() };
    let Ok(tenant) = TenantId::new(row.tenant) else { return row_key.clone() };
    Bytes::from(keys::in_group(row_key, epoch.key_group(&tenant, row.bucket)))
}

fn reply_key(reply: &Reply) -> Key {
    Key { key_group: reply.key_group, tenant: reply.tenant.clone(), bucket: reply.bucket }
}

fn answer_of(outcome: &ReplyOutcome) -> Option<Result<leadline_schemas::reply::Answered, JobFailed>> {
    match outcome {
        ReplyOutcome::Started(_) => None,
        ReplyOutcome::Answered(answered) => Some(Ok(answered.clone())),
        ReplyOutcome::JobFailed(failed) => Some(Err(failed.clone())),
    }
}

fn unknown_operator(name: &str) -> Fault {
    Fault::poison(format!("this binary has no operator {name:?}: a newer or older leadline asked for it"))
}

fn timer_tenant(row_key: &[u8]) -> Option<TenantId> {
    TenantId::new(keys::parse_row(row_key)?.tenant).ok()
}

fn letter_gone(id: &str) -> Output {
    Output { topic: Topic::DeadLetters, key: Bytes::from(id.to_owned()), value: Bytes::new() }
}

fn fail_request(epoch: &mut Epoch, inbound: &Inbound, why: &str) {
    let request = Request {
        tenant: inbound.tenant.clone(),
        request_id: inbound.event_id,
        origin: inbound.origin,
        kind: inbound.kind,
        status: RequestStatus::Failed,
        reason: Some(why.to_owned()),
        call_id: None,
        lead_id: None,
        received_at: inbound.received_at,
        updated_at: epoch.now,
    };
    match leadline_operators::publish::Publish::publish(&request) {
        Some(Ok(output)) => epoch.outputs.push(output),
        Some(Err(error)) => tracing::error!(%error, "a failed request could not be encoded"),
        None => {}
    }
}

fn signed(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}
