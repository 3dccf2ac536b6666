//! What operators do in an epoch: rows, jobs, timers and output records of one partition.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use leadline_operators::contract::{
    AnyRow, Cause, DecodeRow, Effects, Fault, FreshRow, OperatorId, OperatorResult, Scope, TableSpec,
    TimerKind,
};
use leadline_schemas::avro;
use leadline_schemas::frame::Output;
use leadline_schemas::partitioning::{Key, key_group, slot};
use leadline_schemas::reply::{JobRequest, PendingJob};
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::settings::Settings;
use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};

use super::clock::Watermark;
use super::keys;
use super::overlay::Overlay;

/// The open epoch of one partition: what the operators' contexts write to.
pub(super) struct Epoch {
    pub(super) overlay: Overlay,
    pub(super) now: Millis,
    watermark: Watermark,
    pub(super) settings: Arc<Settings>,
    pub(super) outputs: Vec<Output>,
    /// The first fault of the inputs that are in the graph.
    pub(super) fault: Option<(&'static str, Fault)>,
    /// How many jobs each cause has asked for, per operator: part of the job's id.
    jobs_asked: HashMap<(u8, [u8; 16]), u32>,
    /// Earliest time at which each kind of timer may be due; looked up again when it has passed.
    pub(super) next_due: [Option<i64>; 2],
    pipeline: &'static str,
}

impl Epoch {
    pub(super) fn new(overlay: Overlay, watermark: Watermark, pipeline: &'static str) -> Self {
        Self {
            overlay,
            now: Millis(0),
            watermark,
            settings: Arc::default(),
            outputs: Vec::new(),
            fault: None,
            jobs_asked: HashMap::new(),
            // Due at once: the store may hold timers of before the start.
            next_due: [Some(i64::MIN); 2],
            pipeline,
        }
    }

    /// Ends what belongs to one epoch only.
    pub(super) fn finish(&mut self) {
        self.jobs_asked.clear();
        self.fault = None;
    }

    /// What its outputs hold so far.
    pub(super) fn output_bytes(&self) -> usize {
        self.outputs.iter().map(|output| output.key.len() + output.value.len()).sum()
    }

    /// The epoch's clock and watermark.
    pub(super) fn times(&mut self) -> (Millis, Millis) {
        (self.now, self.watermark.at(self.now))
    }

    /// Forgets what the inputs of a dropped epoch said of event time.
    pub(super) fn rewind(&mut self, committed: Millis) {
        self.watermark.rewind(committed);
    }

    /// An operator has found out when something really happened.
    pub(super) fn observe(&mut self, event_time: Millis, received_at: Millis) {
        self.watermark.observe(event_time, received_at, self.now);
    }

    pub(super) fn fail(&mut self, operator: &'static str, fault: Fault) {
        // An engine fault outranks poison: the inputs are not to blame then.
        let engine = matches!(fault, Fault::Engine(_));
        if self.fault.is_none() || engine {
            self.fault = Some((operator, fault));
        }
    }

    /// The slot of a key under this epoch's settings.
    pub(super) fn slot(&self, key: &Key) -> u16 {
        let spread = self.settings.tenant(&key.tenant).map_or(1, |tenant| tenant.policy.spread);
        slot(key.bucket, spread)
    }

    /// The key group of a tenant's bucket or slot under this epoch's settings: a dead letter may be older than the layout.
    pub(super) fn key_group(&self, tenant: &TenantId, bucket_or_slot: u8) -> KeyGroup {
        let key = Key { key_group: KeyGroup(0), tenant: tenant.clone(), bucket: Bucket(bucket_or_slot) };
        key_group(tenant, self.slot(&key))
    }

    /// Takes a pending job out, if it is there.
    pub(super) fn take_job(&mut self, key: &Key, job_id: JobId) -> OperatorResult<Option<PendingJob>> {
        let row_key = keys::job(key, job_id);
        let Some(stored) = self.overlay.get_raw(&row_key)? else { return Ok(None) };
        let job = decode_job(&stored)?;
        self.overlay.put_raw(ready_entry(&job, &row_key), None);
        if !sabotage::on(Bug::ReplyTwice) {
            self.overlay.put_raw(row_key, None);
        }
        Ok(Some(job))
    }

    /// Writes a pending job and its index entry.
    pub(super) fn put_job(&mut self, key: &Key, job: &PendingJob) -> OperatorResult {
        let row_key = keys::job(key, job.job_id);
        let value = job_value(job)?;
        let ready = ready_entry(job, &row_key);
        self.overlay.put_raw(ready, Some(Bytes::new()));
        self.overlay.put_raw(row_key, Some(Bytes::from(value)));
        Ok(())
    }

    /// Sets or cancels the timer of `row_key`.
    pub(super) fn set_timer(
        &mut self,
        kind: TimerKind,
        row_key: Vec<u8>,
        at: Option<Millis>,
    ) -> OperatorResult {
        if let Some(old) = self.overlay.get_raw(&row_key)? {
            let old_at = decode_timer(&old)?;
            if at.is_some_and(|at| at.0 == old_at) {
                return Ok(());
            }
            self.overlay.put_raw(keys::due(kind, old_at, &row_key), None);
        } else if at.is_none() {
            return Ok(());
        }
        if let Some(at) = at {
            if let Some(next) = self.next_due.get_mut(kind as usize) {
                *next = Some(next.map_or(at.0, |next| next.min(at.0)));
            }
            self.overlay.put_raw(keys::due(kind, at.0, &row_key), Some(Bytes::new()));
        }
        self.overlay.put_raw(row_key, at.map(timer_value));
        Ok(())
    }
}

/// The index entry of a pending job.
pub(super) fn ready_entry(job: &PendingJob, row_key: &[u8]) -> Vec<u8> {
    keys::ready(job.tenant.as_str(), &lane(&job.request), job.request.not_before.0, row_key)
}

/// What a job queues for: its kind and target. Zero bytes would end the text in keys.
pub(super) fn lane(request: &JobRequest) -> String {
    format!("{}:{}", request.kind, request.target).replace('\0', "")
}

/// The stored form of the engine's rows: no expiry, version 1.
pub(super) fn engine_value() -> Vec<u8> {
    let mut value = vec![0; 8];
    value.push(1);
    value
}

/// A pending job as it is stored.
pub(super) fn job_value(job: &PendingJob) -> OperatorResult<Vec<u8>> {
    let mut value = engine_value();
    avro::append_datum(job, &mut value)?;
    Ok(value)
}

fn timer_value(at: Millis) -> Bytes {
    let mut value = engine_value();
    value.extend_from_slice(&at.0.to_be_bytes());
    Bytes::from(value)
}

/// When a stored timer is due.
pub(super) fn decode_timer(stored: &[u8]) -> OperatorResult<i64> {
    let (_, _, datum) = super::overlay::split_value(stored)?;
    let at = datum.try_into().map_err(|_| Fault::Engine("a stored timer is cut".to_owned()))?;
    Ok(i64::from_be_bytes(at))
}

/// A stored job.
pub(super) fn decode_job(stored: &[u8]) -> OperatorResult<PendingJob> {
    let (_, version, datum) = super::overlay::split_value(stored)?;
    Ok(avro::decode_datum(version, datum)?)
}

/// The effects of one call of one operator.
pub(super) struct Call<'a> {
    pub(super) epoch: &'a mut Epoch,
    pub(super) operator: OperatorId,
    pub(super) scope: Scope,
    pub(super) key: &'a Key,
    pub(super) cause: &'a Cause,
    pub(super) event_time: Millis,
    /// The prefix of this operator's row keys, then room for table and key.
    pub(super) buffer: &'a mut Vec<u8>,
    pub(super) prefix_bytes: usize,
}

impl Call<'_> {
    fn row_key(&mut self, table: u8, key: &[u8]) {
        self.buffer.truncate(self.prefix_bytes);
        self.buffer.push(table);
        self.buffer.extend_from_slice(key);
    }

    /// The key of a row that all operators and callers of the tenant's slot share.
    fn shared_key(&self, owner: u8, table: u8, key: &[u8]) -> Vec<u8> {
        let mut prefix = Vec::new();
        keys::row_prefix(&mut prefix, self.key, Scope::Slot, self.epoch.slot(self.key));
        keys::row(&prefix, owner, table, key)
    }
}

impl Effects for Call<'_> {
    fn row(
        &mut self,
        table: &TableSpec,
        key: &[u8],
        decode: DecodeRow,
    ) -> OperatorResult<Option<&mut dyn AnyRow>> {
        let now = self.epoch.now.0;
        if let Some(owner) = table.shared_by {
            let shared = self.shared_key(owner, table.number, key);
            return self.epoch.overlay.cell(&shared, decode, now);
        }
        self.row_key(table.number, key);
        self.epoch.overlay.cell(self.buffer, decode, now)
    }

    fn change(
        &mut self,
        table: &TableSpec,
        key: &[u8],
        decode: DecodeRow,
        fresh: FreshRow<'_>,
    ) -> OperatorResult<&mut dyn AnyRow> {
        let now = self.epoch.now.0;
        if let Some(owner) = table.shared_by {
            let shared = self.shared_key(owner, table.number, key);
            return self.epoch.overlay.change(table, &shared, decode, fresh, now);
        }
        self.row_key(table.number, key);
        self.epoch.overlay.change(table, self.buffer, decode, fresh, now)
    }

    fn put(&mut self, table: &TableSpec, key: &[u8], row: Option<Box<dyn AnyRow>>) {
        let now = self.epoch.now.0;
        if let Some(owner) = table.shared_by {
            let shared = self.shared_key(owner, table.number, key);
            return self.epoch.overlay.put(table, &shared, row, now);
        }
        self.row_key(table.number, key);
        self.epoch.overlay.put(table, self.buffer, row, now);
    }

    fn job(&mut self, request: JobRequest) -> JobId {
        let asked = self.epoch.jobs_asked.entry((self.operator.number, *self.cause.bytes())).or_insert(0);
        let n = *asked;
        *asked += 1;
        // A commit that runs again has another clock, as it may have another number.
        let n = if sabotage::on(Bug::JobIdReused) { 0 } else { n };
        let job_id = JobId::of(&[
            self.epoch.pipeline.as_bytes(),
            self.key.tenant.as_str().as_bytes(),
            self.operator.name.as_bytes(),
            self.cause.bytes(),
            &n.to_be_bytes(),
        ]);
        // A slot-wide operator's jobs are filed under the slot, so that its answers find its rows again.
        let mut key = self.key.clone();
        if self.scope == Scope::Slot {
            key.bucket.0 = (self.epoch.slot(&key) & 0xff) as u8;
        }
        let job = PendingJob {
            job_id,
            tenant: key.tenant.clone(),
            key_group: key.key_group,
            bucket: key.bucket,
            operator: self.operator.name.to_owned(),
            request,
            asked_at: self.epoch.now,
            event_time: self.event_time,
            started_attempt: 0,
        };
        if let Err(fault) = self.epoch.put_job(&key, &job) {
            self.epoch.fail(self.operator.name, fault);
        }
        job_id
    }

    fn timer(&mut self, kind: TimerKind, name: &[u8], at: Option<Millis>) -> OperatorResult {
        self.row_key(keys::timer_table(kind), name);
        let row_key = self.buffer.clone();
        self.epoch.set_timer(kind, row_key, at)
    }
}
