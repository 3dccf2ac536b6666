//! Runs one operator as the engine does, without the engine: each input is an epoch of its own.
//!
//! Rows are kept as the Avro that the state store would hold, so whatever an operator keeps elsewhere is lost between
//! inputs. Every input runs twice, the first time as an epoch that is aborted: both must do the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use leadline_operators::contract::{
    AnyRow, Cause, Context, DecodeRow, Effects, Fault, FreshRow, Operator, OperatorResult, Table, TableSpec,
    TimerKind,
};
use leadline_schemas::avro::{self, AvroRecord};
use leadline_schemas::partitioning::Key;
use leadline_schemas::reply::{Answered, FailureKind, JobFailed, JobRequest};
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{EventId, JobId, Millis};
use proptest::prelude::ProptestConfig;

/// Table and key of a row, and whose it is.
type Place = (u8, u16, Vec<u8>);
/// What names a timer, and whose it is.
type TimerName = (TimerKind, Vec<u8>, u16);
/// Whose rows are that all callers of a slot share.
const SLOT: u16 = u16::MAX;

fn place(table: &TableSpec, caller: u16, key: &[u8]) -> Place {
    let whose = if table.shared_by.is_some() { SLOT } else { caller };
    (table.number, whose, key.to_vec())
}

/// What is committed.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    /// Version of the writer, Avro datum, when it expires.
    rows: BTreeMap<Place, (u8, Vec<u8>, Option<i64>)>,
    timers: BTreeMap<TimerName, Millis>,
    pending: BTreeMap<JobId, (u16, JobRequest)>,
}

/// A job as an operator asked for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) request: JobRequest,
}

/// What one input did.
#[derive(Debug)]
pub(crate) struct Done<Out> {
    pub(crate) out: Vec<Out>,
    pub(crate) jobs: Vec<Job>,
    /// The event time that records emitted carry on.
    pub(crate) event_time: Millis,
}

/// One operator with its state, for the callers of one tenant's slot.
pub(crate) struct Driver<O: Operator> {
    operator: O,
    state: State,
    /// Whose turn it is.
    caller: u16,
    key: Key,
    pub(crate) settings: Arc<Settings>,
    pub(crate) now: Millis,
    fired: u64,
}

/// What is fed to an operator.
#[derive(Clone)]
enum Input<In> {
    Record(In),
    Reply(JobId, Result<Answered, JobFailed>),
    Timer(TimerKind, Vec<u8>, Millis),
}

impl<O: Operator + Default> Driver<O>
where
    O::In: Clone,
    O::Out: Debug,
{
    /// A driver for the first caller of `tenant`, at `now`.
    pub(crate) fn new(tenant: Tenant, now: Millis) -> Self {
        let key = Key::new(tenant.tenant.clone(), "+13035550142", tenant.policy.spread);
        let settings = Arc::new(Settings::default().with(tenant, 1));
        Self { operator: O::default(), state: State::default(), caller: 0, key, settings, now, fired: 0 }
    }

    /// What comes next is another caller's.
    pub(crate) fn of_caller(&mut self, caller: u16) {
        self.caller = caller;
        let number = format!("+1303555{:04}", 142 + caller);
        let spread = self.settings.tenant(&self.key.tenant).map_or(1, |tenant| tenant.policy.spread);
        self.key = Key::new(self.key.tenant.clone(), &number, spread);
    }

    /// Replaces the tenant's settings.
    pub(crate) fn set_tenant(&mut self, tenant: Tenant) {
        self.settings = Arc::new(self.settings.with(tenant, self.settings.version + 1));
    }

    /// Feeds a record of this event.
    pub(crate) fn record(&mut self, event_id: EventId, record: O::In) -> OperatorResult<Done<O::Out>> {
        let now = self.now;
        self.feed(Cause::Event(event_id), now, Input::Record(record))
    }

    /// Feeds a reply as it comes out of the log: what is pending no longer was answered before, and is dropped.
    pub(crate) fn reply(
        &mut self,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> Option<OperatorResult<Done<O::Out>>> {
        let (caller, _) = self.state.pending.remove(&job_id)?;
        self.of_caller(caller);
        let now = self.now;
        Some(self.feed(Cause::Job(job_id), now, Input::Reply(job_id, answer)))
    }

    /// Feeds a reply to a job that this operator has not asked for.
    pub(crate) fn unasked(
        &mut self,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult<Done<O::Out>> {
        let now = self.now;
        self.feed(Cause::Job(job_id), now, Input::Reply(job_id, answer))
    }

    /// Lets time pass, and fires the timers that fall due, in their order.
    pub(crate) fn advance(&mut self, by_ms: i64) -> Vec<Done<O::Out>> {
        let until = self.now.plus(by_ms);
        let mut done = Vec::new();
        while let Some((at, name)) = self.next_timer().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.state.timers.remove(&name);
            self.of_caller(name.2);
            self.fired += 1;
            let cause = Cause::Timer(EventId::of(&[&name.1, &at.0.to_be_bytes(), &self.fired.to_be_bytes()]));
            let event_time = if name.0 == TimerKind::Event { at } else { self.now };
            let fed = self.feed(cause, event_time, Input::Timer(name.0, name.1, at));
            done.push(fed.expect("no timer of ours is poison"));
        }
        self.now = until;
        done
    }

    /// Fires a timer of this name now, whether one was set or not.
    pub(crate) fn timer(&mut self, name: &[u8]) -> OperatorResult<Done<O::Out>> {
        let (now, cause) = (self.now, Cause::Timer(EventId::of(&[name])));
        self.feed(cause, now, Input::Timer(TimerKind::Now, name.to_vec(), now))
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<(Millis, TimerName)> {
        self.state.timers.iter().map(|(name, at)| (*at, name.clone())).min()
    }

    /// The jobs that nobody has answered.
    pub(crate) fn pending(&self) -> Vec<Job> {
        self.state
            .pending
            .iter()
            .map(|(id, (_, request))| Job { id: *id, request: request.clone() })
            .collect()
    }

    /// How many rows a table holds, expired ones not counted.
    pub(crate) fn rows<T: AvroRecord + 'static>(&self, table: &Table<T>) -> usize {
        let live = |expires: &Option<i64>| expires.is_none_or(|at| at > self.now.0);
        let of_table = |(place, (_, _, expires)): &(&Place, &(u8, Vec<u8>, Option<i64>))| {
            place.0 == table.spec.number && live(expires)
        };
        self.state.rows.iter().filter(of_table).count()
    }

    /// A row as it is committed, expired or not.
    pub(crate) fn row<T: AvroRecord + 'static>(&self, table: &Table<T>, key: &[u8]) -> Option<T> {
        let (version, datum, _) = self.state.rows.get(&place(&table.spec, self.caller, key))?;
        Some(avro::decode_datum(*version, datum).unwrap())
    }

    /// Takes a row away, as if it had never been written.
    pub(crate) fn forget<T: AvroRecord + 'static>(&mut self, table: &Table<T>, key: &[u8]) {
        assert!(self.state.rows.remove(&place(&table.spec, self.caller, key)).is_some());
    }

    /// Puts a row there as another part of leadline would have.
    pub(crate) fn seed<T: AvroRecord + 'static>(&mut self, table: &Table<T>, key: &[u8], row: &T) {
        let mut datum = Vec::new();
        avro::append_datum(row, &mut datum).unwrap();
        let expires = table.spec.ttl_ms.map(|ttl| self.now.0 + ttl);
        let place = place(&table.spec, self.caller, key);
        self.state.rows.insert(place, (table.spec.version, datum, expires));
    }

    fn feed(
        &mut self,
        cause: Cause,
        event_time: Millis,
        input: Input<O::In>,
    ) -> OperatorResult<Done<O::Out>> {
        let (aborted, would_be) = self.run(&cause, event_time, input.clone());
        let (done, state) = self.run(&cause, event_time, input);
        assert_eq!(format!("{aborted:?}"), format!("{done:?}"), "an input that ran again did something else");
        assert_eq!(would_be, state, "an input that ran again left other rows");
        let done = done?;
        self.state = state;
        Ok(done)
    }

    fn run(
        &mut self,
        cause: &Cause,
        event_time: Millis,
        input: Input<O::In>,
    ) -> (OperatorResult<Done<O::Out>>, State) {
        // Built anew each time: an operator keeps nothing outside its tables.
        self.operator = O::default();
        let mut epoch = Epoch {
            state: self.state.clone(),
            caller: self.caller,
            live: BTreeMap::new(),
            touched: BTreeSet::new(),
            now: self.now,
            origin: (self.key.tenant.as_str().to_owned(), O::ID.name, *cause.bytes()),
            jobs: Vec::new(),
        };
        let mut out = Vec::new();
        let times = (self.now, event_time);
        let mut cx = Context::new(&self.key, cause, times, &self.settings, &mut epoch, &mut out);
        let result = match input {
            Input::Record(record) => self.operator.on_record(&mut cx, record),
            Input::Reply(job_id, answer) => self.operator.on_reply(&mut cx, job_id, answer),
            Input::Timer(kind, name, at) => self.operator.on_timer(&mut cx, kind, &name, at),
        };
        let event_time = cx.event_time;
        let jobs = epoch.jobs.clone();
        let state = epoch.finish();
        (result.map(|()| Done { out, jobs, event_time }), state)
    }
}

/// The effects of one input.
struct Epoch {
    state: State,
    caller: u16,
    live: BTreeMap<Place, (TableSpec, Option<Box<dyn AnyRow>>)>,
    touched: BTreeSet<Place>,
    now: Millis,
    /// Tenant, operator and cause: what a job's id is made of.
    origin: (String, &'static str, [u8; 16]),
    jobs: Vec<Job>,
}

impl Epoch {
    /// Writes changed rows back, as an epoch does when it closes.
    fn finish(mut self) -> State {
        for place in self.touched {
            let Some((spec, row)) = self.live.remove(&place) else { continue };
            match row {
                Some(row) => {
                    let mut datum = Vec::new();
                    row.encode(&mut datum).expect("every row of ours can be encoded");
                    let expires = spec.ttl_ms.map(|ttl| self.now.0 + ttl);
                    self.state.rows.insert(place, (spec.version, datum, expires));
                }
                None => {
                    self.state.rows.remove(&place);
                }
            }
        }
        self.state
    }
}

impl Effects for Epoch {
    fn row(
        &mut self,
        table: &TableSpec,
        key: &[u8],
        decode: DecodeRow,
    ) -> OperatorResult<Option<&mut dyn AnyRow>> {
        let place = place(table, self.caller, key);
        if !self.live.contains_key(&place) {
            let stored = self.state.rows.get(&place);
            let stored = stored.filter(|(_, _, expires)| expires.is_none_or(|at| at > self.now.0));
            let row = stored.map(|(version, datum, _)| decode(*version, datum)).transpose()?;
            self.live.insert(place.clone(), (*table, row));
        }
        let row = self.live.get_mut(&place).and_then(|(_, row)| row.as_mut());
        Ok(row.map(|row| &mut **row as &mut dyn AnyRow))
    }

    fn change(
        &mut self,
        table: &TableSpec,
        key: &[u8],
        decode: DecodeRow,
        fresh: FreshRow<'_>,
    ) -> OperatorResult<&mut dyn AnyRow> {
        if self.row(table, key, decode)?.is_none() {
            self.put(table, key, fresh());
        }
        let place = place(table, self.caller, key);
        self.touched.insert(place.clone());
        let row = self.live.get_mut(&place).and_then(|(_, row)| row.as_mut());
        Ok(&mut **row.ok_or_else(|| Fault::Engine("a fresh row is not there".to_owned()))?)
    }

    fn put(&mut self, table: &TableSpec, key: &[u8], row: Option<Box<dyn AnyRow>>) {
        let place = place(table, self.caller, key);
        self.live.insert(place.clone(), (*table, row));
        self.touched.insert(place);
    }

    fn job(&mut self, request: JobRequest) -> JobId {
        let (tenant, operator, cause) = &self.origin;
        let n = u32::try_from(self.jobs.len()).unwrap().to_be_bytes();
        let id = JobId::of(&[b"leadline", tenant.as_bytes(), operator.as_bytes(), cause, &n]);
        self.state.pending.insert(id, (self.caller, request.clone()));
        self.jobs.push(Job { id, request });
        id
    }

    fn timer(&mut self, kind: TimerKind, name: &[u8], at: Option<Millis>) -> OperatorResult {
        match at {
            Some(at) => self.state.timers.insert((kind, name.to_vec(), self.caller), at),
            None => self.state.timers.remove(&(kind, name.to_vec(), self.caller)),
        };
        Ok(())
    }
}

/// An answer with this body.
pub(crate) fn answered(body: impl Into<Vec<u8>>) -> Result<Answered, JobFailed> {
    Ok(Answered { body: body.into().into(), attempts: 1, cost_micros: 7 })
}

/// A failure of this kind.
pub(crate) fn failed(kind: FailureKind) -> Result<Answered, JobFailed> {
    let why = "the other side did not take it".to_owned();
    Err(JobFailed { kind, why, attempts: 3, exchange: None })
}

/// Whether a fault is the input's.
pub(crate) fn is_poison(fault: &Fault) -> bool {
    matches!(fault, Fault::Poison(_))
}

/// So many cases; what fails is printed whole, and becomes a test of its own.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}
