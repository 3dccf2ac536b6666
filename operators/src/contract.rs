//! The contract of an operator, and all that it can see and do.
//!
//! The engine calls an operator with one input at a time, inside an epoch. Whatever the operator does through its
//! [`Context`] takes effect when the epoch commits, as a whole, once. An operator keeps nothing outside its
//! tables: the same input may be run again after an abort, and its fields may be built anew at any time.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use leadline_schemas::avro::{AvroError, AvroRecord, append_datum, decode_datum};
use leadline_schemas::partitioning::Key;
use leadline_schemas::reply::{Answered, JobFailed, JobRequest};
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{EventId, JobId, Millis};

/// An operator of the pipeline.
pub trait Operator: 'static {
    /// Its number in state keys and its name in metrics, dead letters and `topology`. Never reused.
    const ID: OperatorId;
    /// What its tables, timers and jobs are filed under.
    const SCOPE: Scope = Scope::Caller;
    /// What flows in.
    type In: 'static;
    /// What flows out.
    type Out: 'static;

    /// Its tables. The engine owns their life: it restores, expires, snapshots and migrates them.
    fn tables() -> &'static [TableSpec];

    /// A record has come in.
    fn on_record(&mut self, cx: &mut Context<'_, Self::Out>, record: Self::In) -> OperatorResult;

    /// A job of this operator has ended. Each job ends once, by an answer or by failure; giving up is a reply too.
    fn on_reply(
        &mut self,
        _cx: &mut Context<'_, Self::Out>,
        job_id: JobId,
        _answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        Err(Fault::poison(format!("operator {} asked for no job, but {job_id} was answered", Self::ID.name)))
    }

    /// A timer of this operator is due. Setting the same name again replaced it; a cancelled one does not come.
    fn on_timer(
        &mut self,
        _cx: &mut Context<'_, Self::Out>,
        _kind: TimerKind,
        _name: &[u8],
        _at: Millis,
    ) -> OperatorResult {
        Ok(())
    }
}

/// Number and name of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperatorId {
    /// In state keys; 1 to 199 (the engine's own tables lie above).
    pub number: u8,
    /// In metrics, dead letters and `topology`.
    pub name: &'static str,
}

/// What rows are filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A caller's bucket: a caller's rows, timers and jobs move together.
    Caller,
    /// A tenant's slot: rows that all callers of the slot share (windows).
    Slot,
}

/// Which clock a timer runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// The epochs' `now`.
    Now,
    /// Event time: due when the watermark has passed it.
    Event,
}

/// Why an input could not be processed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// This input is at fault, and would be again: it becomes a dead letter, alone.
    #[error("{0}")]
    Poison(String),
    /// The engine is at fault (a row could not be read): the partition is restored and runs again.
    #[error("{0}")]
    Engine(String),
}

impl Fault {
    /// A fault of the input: what was wrong, with which value.
    pub fn poison(why: impl Into<String>) -> Self {
        Self::Poison(why.into())
    }
}

impl From<AvroError> for Fault {
    fn from(error: AvroError) -> Self {
        Self::Engine(error.to_string())
    }
}

/// What an operator's methods answer.
pub type OperatorResult<T = ()> = Result<T, Fault>;

/// A table as the engine knows it.
#[derive(Clone, Copy, Debug)]
pub struct TableSpec {
    /// In state keys; unique within the operator, never reused.
    pub number: u8,
    /// In `topology` and `plan`.
    pub name: &'static str,
    /// The schema of its values: a record of `leadline_schemas`.
    pub record: &'static str,
    /// The schema's version that this binary writes.
    pub version: u8,
    /// How long a row lives after its last write, by the epochs' `now`; none = until deleted.
    pub ttl_ms: Option<i64>,
    /// The number of the operator that its rows are filed under, in the tenant's slot, whoever uses it; none = they are
    /// the user's own, in its scope.
    pub shared_by: Option<u8>,
}

/// A table with the type of its rows; declared as a constant beside its operator.
#[derive(Debug)]
pub struct Table<T> {
    /// The untyped part.
    pub spec: TableSpec,
    rows: PhantomData<fn() -> T>,
}

impl<T: Row> Table<T> {
    /// Declares a table.
    pub const fn new(number: u8, name: &'static str, ttl_ms: Option<i64>) -> Self {
        let spec = TableSpec {
            number,
            name,
            record: T::NAME,
            version: T::VERSIONS.len() as u8,
            ttl_ms,
            shared_by: None,
        };
        Self { spec, rows: PhantomData }
    }

    /// One whose rows all callers of a slot share, and all operators that use it. `owner` declares it.
    pub const fn shared_by(mut self, owner: OperatorId) -> Self {
        self.spec.shared_by = Some(owner.number);
        self
    }
}

/// What can be a row of a table.
pub trait Row: AvroRecord + 'static {}

impl<T: AvroRecord + 'static> Row for T {}

/// A row whose type only the operator knows.
pub trait AnyRow: Any {
    /// Appends the row as an Avro datum of its table's version.
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), AvroError>;
    /// For downcasts.
    fn as_any(&self) -> &dyn Any;
    /// For downcasts.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Row> AnyRow for T {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), AvroError> {
        append_datum(self, into)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Reads a row back: version of the writer, datum.
pub type DecodeRow = fn(u8, &[u8]) -> Result<Box<dyn AnyRow>, AvroError>;

/// Makes a row, once.
pub type FreshRow<'a> = &'a mut dyn FnMut() -> Option<Box<dyn AnyRow>>;

fn decode_row<T: Row>(version: u8, datum: &[u8]) -> Result<Box<dyn AnyRow>, AvroError> {
    Ok(Box::new(decode_datum::<T>(version, datum)?))
}

/// What the engine does for a context. Operators never see it.
pub trait Effects {
    /// The row, from this epoch's changes, the commits not yet applied, or the store; rows past their TTL are absent.
    fn row(
        &mut self,
        table: &TableSpec,
        key: &[u8],
        decode: DecodeRow,
    ) -> OperatorResult<Option<&mut dyn AnyRow>>;
    /// As `row`, for a row that is about to change: made by `fresh`, called at most once, where there is none. Its
    /// TTL starts anew.
    fn change(
        &mut self,
        table: &TableSpec,
        key: &[u8],
        decode: DecodeRow,
        fresh: FreshRow<'_>,
    ) -> OperatorResult<&mut dyn AnyRow>;
    /// Puts or deletes a row.
    fn put(&mut self, table: &TableSpec, key: &[u8], row: Option<Box<dyn AnyRow>>);
    /// Files a job and names it.
    fn job(&mut self, request: JobRequest) -> JobId;
    /// Sets a timer, or cancels it.
    fn timer(&mut self, kind: TimerKind, name: &[u8], at: Option<Millis>) -> OperatorResult;
}

/// What caused the current call, for audit and ids.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// An accepted event.
    Event(EventId),
    /// The reply to a job.
    Job(JobId),
    /// A timer, and its number: hash of key, name, time and firing.
    Timer(EventId),
}

impl Cause {
    /// The id behind it.
    pub fn bytes(&self) -> &[u8; 16] {
        match self {
            Self::Event(id) | Self::Timer(id) => id.as_bytes(),
            Self::Job(id) => id.as_bytes(),
        }
    }

    /// As the id of an event, for records that name their cause.
    pub fn event_id(&self) -> EventId {
        match self {
            Self::Event(id) | Self::Timer(id) => *id,
            Self::Job(id) => EventId(id.0),
        }
    }
}

/// All that an operator can see and do.
pub struct Context<'a, Out> {
    /// What the input is keyed by.
    pub key: &'a Key,
    /// What caused the call.
    pub cause: &'a Cause,
    /// The epoch's clock: the only one.
    pub now: Millis,
    /// Event time of the input. Who finds out better (decode) sets it: the records emitted then carry it on, and
    /// the watermark learns of it.
    pub event_time: Millis,
    /// The settings of the epoch.
    pub settings: &'a Arc<Settings>,
    effects: &'a mut dyn Effects,
    out: &'a mut Vec<Out>,
}

impl<'a, Out> Context<'a, Out> {
    /// Made by the engine (and by tests) for one call.
    pub fn new(
        key: &'a Key,
        cause: &'a Cause,
        (now, event_time): (Millis, Millis),
        settings: &'a Arc<Settings>,
        effects: &'a mut dyn Effects,
        out: &'a mut Vec<Out>,
    ) -> Self {
        Self { key, cause, now, event_time, settings, effects, out }
    }

    /// The tenant's settings, unless it was removed.
    pub fn tenant(&self) -> Option<&'a Arc<Tenant>> {
        self.settings.tenant(&self.key.tenant)
    }

    /// Sends a record to the operators behind, with this input's key, cause and event time.
    pub fn emit(&mut self, record: Out) {
        self.out.push(record);
    }

    /// Reads a row.
    pub fn get<T: Row>(&mut self, table: &Table<T>, key: &[u8]) -> OperatorResult<Option<&T>> {
        let row = self.effects.row(&table.spec, key, decode_row::<T>)?;
        Ok(row.and_then(|row| row.as_any().downcast_ref()))
    }

    /// Changes a row in place, made by `or` if there is none; encoded once per epoch, however often it changes.
    pub fn update<T: Row, R>(
        &mut self,
        table: &Table<T>,
        key: &[u8],
        or: impl FnOnce() -> T,
        change: impl FnOnce(&mut T) -> R,
    ) -> OperatorResult<R> {
        let mut or = Some(or);
        let mut fresh = || or.take().map(|or| Box::new(or()) as Box<dyn AnyRow>);
        let row = self.effects.change(&table.spec, key, decode_row::<T>, &mut fresh)?;
        let Some(row) = row.as_any_mut().downcast_mut() else {
            return Err(Fault::Engine(format!("table {} has a row of another type", table.spec.name)));
        };
        Ok(change(row))
    }

    /// Writes a row.
    pub fn put<T: Row>(&mut self, table: &Table<T>, key: &[u8], row: T) {
        self.effects.put(&table.spec, key, Some(Box::new(row)));
    }

    /// Deletes a row.
    pub fn delete<T: Row>(&mut self, table: &Table<T>, key: &[u8]) {
        self.effects.put(&table.spec, key, None);
    }

    /// Asks for a remote call. It starts after the epoch has committed; the answer comes to `on_reply`.
    pub fn job(&mut self, request: JobRequest) -> JobId {
        self.effects.job(request)
    }

    /// Sets the timer of this name, replacing one of the same kind and name.
    pub fn timer(&mut self, kind: TimerKind, name: &[u8], at: Millis) -> OperatorResult {
        self.effects.timer(kind, name, Some(at))
    }

    /// Cancels the timer of this name, if there is one.
    pub fn cancel_timer(&mut self, kind: TimerKind, name: &[u8]) -> OperatorResult {
        self.effects.timer(kind, name, None)
    }
}
