//! Comparing a record store with what was committed: every record of both, by hashes of key and content.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::anyhow;
use leadline_connectors::contract::store::{AUDIT_LINES_MAX, Listed, Page, RecordReader, StoreError};
use leadline_schemas::avro::AvroError;
use leadline_schemas::frame::Output;
use leadline_schemas::window::WindowKind;
use leadline_schemas::{Millis, Partition, TenantId};
use xxhash_rust::xxh3::xxh3_64;

use super::record::{Outline, Record};
use crate::engine::CommittedRecords;

/// Differences that are named; others are counted.
const NAMED_MAX: usize = 1_000;
/// Windows are read by so much time at once.
const WINDOWS_READ_MS: i64 = 30 * Millis::DAY;
/// Lines of a lead's history that a store shows.
const HISTORY_MAX: usize = 1_000;

/// How long a store keeps what the log's compacted topics keep for ever, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Requests, after their receipt.
    pub requests_ms: i64,
    /// Dead letters, after they failed.
    pub dead_letters_ms: i64,
    /// Lines of the audit log.
    pub audit_ms: i64,
}

/// How a record differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Committed, and not in the store.
    Missing,
    /// In both, and not the same.
    Differs,
    /// In the store, or there twice, and never committed so.
    Unexpected,
}

/// One record that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Difference {
    /// The topic's name; `progress` where the store says that it has commits which are not there.
    pub topic: &'static str,
    /// How.
    pub what: What,
    /// Tenant and natural key, with blanks between them.
    pub record: String,
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Verified {
    /// Records that were committed.
    pub records: u64,
    /// Those that differ.
    pub differ: u64,
    /// Commits that the store has not taken yet: workers write them when they start.
    pub behind: u64,
    /// The first of those that differ, sorted.
    pub differences: Vec<Difference>,
}

/// How far a comparison is, told each so many records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// So many committed records were read.
    Read(u64),
    /// So many of so many were found in the store.
    Found(u64, u64),
}

/// Records between two times that somebody hears how far it is.
const TOLD_EACH: u64 = 1_000;

/// Compares a store with what was committed. `tenants` are those that may have records in the store beside those that have
/// some in the log. Nothing may be written meanwhile; `now` is what `kept` counts from.
pub fn verify(
    committed: &CommittedRecords,
    reader: &dyn RecordReader,
    tenants: &[TenantId],
    (kept, now): (Kept, Millis),
    seen: &mut dyn FnMut(Compared),
) -> anyhow::Result<Verified> {
    let partitions =
        (0..committed.log.partitions()).map(|partition| committed.partition(Partition(partition)));
    let partitions: Vec<_> = partitions.collect::<Result<_, _>>()?;
    let mut expected = Expected { kept, now, ..Expected::default() };
    for partition in &partitions {
        let mut unreadable = None;
        let mut each = |output: Output| {
            unreadable = unreadable.take().or(expected.take(&output).err());
            let taken = expected.records.len() as u64;
            if taken.is_multiple_of(TOLD_EACH) {
                seen(Compared::Read(taken));
            }
        };
        partition.each(&mut each).map_err(|why| anyhow!(why))?;
        if let Some(error) = unreadable {
            return Err(anyhow!("a committed record cannot be read: {error}"));
        }
    }
    expected.tenants.extend(tenants.iter().cloned());
    let mut verified = Verified { records: expected.records.len() as u64, ..Verified::default() };
    for partition in &partitions {
        let (stored, end) = (reader.stored_up_to(committed.generation, partition.number())?, partition.end);
        verified.behind += end.0.saturating_sub(stored.0);
        if stored > end {
            // The log was put back to what it once was: what comes next would be taken for what is there.
            let record =
                format!("partition {}: commit {stored}, and the newest is {end}", partition.number());
            verified.note("progress", What::Unexpected, record);
        }
    }
    expected.compare(reader, &mut Comparing { verified: &mut verified, seen, looked_at: 0 })?;
    // What was not found is named in a second reading: names of all records would not fit into memory.
    let rest = if expected.records.is_empty() { &[][..] } else { &partitions };
    for partition in rest {
        partition.each(&mut |output| expected.name(&output, &mut verified)).map_err(|why| anyhow!(why))?;
    }
    verified.differences.sort();
    Ok(verified)
}

impl Verified {
    fn note(&mut self, topic: &'static str, what: What, record: String) {
        self.differ += 1;
        if self.differences.len() < NAMED_MAX {
            self.differences.push(Difference { topic, what, record });
        }
    }
}

/// What comes of it, and who hears how far it is.
struct Comparing<'a> {
    verified: &'a mut Verified,
    seen: &'a mut dyn FnMut(Compared),
    looked_at: u64,
}

impl Comparing<'_> {
    fn looked(&mut self) {
        self.looked_at += 1;
        if self.looked_at.is_multiple_of(TOLD_EACH) {
            (self.seen)(Compared::Found(self.looked_at, self.verified.records));
        }
    }
}

/// What was committed and not found yet.
#[derive(Default)]
struct Expected {
    /// Content by topic and key, both hashed.
    records: HashMap<u64, u64>,
    tenants: BTreeSet<TenantId>,
    leads: HashSet<(TenantId, String)>,
    /// Start of the first window, and of the last.
    windows: Option<(Millis, Millis)>,
    kept: Kept,
    now: Millis,
}

impl Default for Kept {
    fn default() -> Self {
        Self { requests_ms: i64::MAX, dead_letters_ms: i64::MAX, audit_ms: i64::MAX }
    }
}

fn key_hash(output: &Output) -> u64 {
    xxh3_64(&[&[output.topic.number()], &*output.key].concat())
}

impl Expected {
    fn take(&mut self, output: &Output) -> Result<(), AvroError> {
        let Some(outline) = Outline::of(output)? else { return Ok(()) };
        if let Some(start) = outline.window {
            let (first, last) = self.windows.unwrap_or((start, start));
            self.windows = Some((first.min(start), last.max(start)));
        }
        if let Some(tenant) = outline.tenant {
            if let Some(lead_id) = outline.lead_id {
                self.leads.insert((tenant.clone(), lead_id.to_string()));
            }
            if !self.tenants.contains(&tenant) {
                self.tenants.insert(tenant);
            }
        }
        let (key, content) = match outline.is_newest {
            true => (key_hash(output), xxh3_64(&output.value)),
            // As it would be committed now.
            false => {
                let Some(record) = Record::of(output)? else { return Ok(()) };
                let output = record.output()?;
                (key_hash(&output), xxh3_64(&output.value))
            }
        };
        self.records.insert(key, content);
        Ok(())
    }

    /// Compares all that the store has.
    fn compare(&mut self, reader: &dyn RecordReader, comparing: &mut Comparing<'_>) -> anyhow::Result<()> {
        for tenant in self.tenants.clone() {
            self.list(comparing, Record::Request, |page| reader.requests(&tenant, page))?;
            self.list(comparing, Record::Call, |page| reader.calls(&tenant, page))?;
            self.list(comparing, Record::Lead, |page| reader.leads(&tenant, page))?;
            self.list(comparing, Record::Delivery, |page| reader.deliveries(&tenant, page))?;
            self.list(comparing, Record::DeadLetter, |page| reader.dead_letters(Some(&tenant), page))?;
            self.audit(reader, &tenant, comparing)?;
            self.windows(reader, &tenant, comparing)?;
        }
        self.list(comparing, Record::DeadLetter, |page| reader.dead_letters(None, page))?;
        for (tenant, lead_id) in std::mem::take(&mut self.leads) {
            let lines = reader.lead_events(&tenant, &lead_id)?;
            let is_whole = lines.len() < HISTORY_MAX;
            for line in lines {
                self.found(&Record::LeadEvent(line), comparing)?;
            }
            if !is_whole {
                // Lines beyond what a store shows are looked for nowhere.
                self.leads.insert((tenant, lead_id));
            }
        }
        Ok(())
    }

    fn list<T>(
        &mut self,
        comparing: &mut Comparing<'_>,
        as_record: impl Fn(T) -> Record,
        read: impl Fn(&Page) -> Result<Listed<T>, StoreError>,
    ) -> anyhow::Result<()> {
        let mut page = Page { limit: 200, ..Page::default() };
        loop {
            let listed = read(&page)?;
            for row in listed.items {
                self.found(&as_record(row), comparing)?;
            }
            page.cursor = listed.next_cursor;
            if page.cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn audit(
        &mut self,
        reader: &dyn RecordReader,
        tenant: &TenantId,
        comparing: &mut Comparing<'_>,
    ) -> anyhow::Result<()> {
        let mut before = Millis(i64::MAX);
        loop {
            let mut lines = reader.audit(tenant, None, Millis(i64::MIN), before)?;
            let is_cut = lines.len() == AUDIT_LINES_MAX;
            if let Some(oldest) = lines.last().map(|line| line.at).filter(|_| is_cut) {
                // Lines of that time may be cut off: they are read once more, alone.
                lines.retain(|line| line.at != oldest);
                lines.extend(reader.audit(tenant, None, oldest, oldest.plus(1))?);
                before = oldest;
            }
            for line in lines {
                self.found(&Record::Audit(line), comparing)?;
            }
            if !is_cut {
                return Ok(());
            }
        }
    }

    fn windows(
        &mut self,
        reader: &dyn RecordReader,
        tenant: &TenantId,
        comparing: &mut Comparing<'_>,
    ) -> anyhow::Result<()> {
        let (first, last) = self.windows.unwrap_or((Millis(0), Millis(0)));
        let kinds = [WindowKind::Minute, WindowKind::Hour, WindowKind::Day, WindowKind::Sliding2h];
        for kind in kinds {
            // Before the first and behind the last there should be none.
            let mut ranges = vec![(Millis(i64::MIN), first), (last.plus(1), Millis(i64::MAX))];
            let mut from = first;
            while from <= last {
                let to = from.plus(WINDOWS_READ_MS).min(last.plus(1));
                ranges.push((from, to));
                from = to;
            }
            for (from, to) in ranges {
                for row in reader.windows(tenant, kind, from, to)? {
                    self.found(&Record::Window(row), comparing)?;
                }
            }
        }
        Ok(())
    }

    /// The store has this.
    fn found(&mut self, record: &Record, comparing: &mut Comparing<'_>) -> anyhow::Result<()> {
        let output = record.output()?;
        comparing.looked();
        match self.records.remove(&key_hash(&output)) {
            Some(content) if content == xxh3_64(&output.value) => {}
            Some(_) => comparing.verified.note(output.topic.name(), What::Differs, record.name()),
            None => comparing.verified.note(output.topic.name(), What::Unexpected, record.name()),
        }
        Ok(())
    }

    /// Notes a committed record that the store does not have, unless its time there is over.
    fn name(&mut self, output: &Output, verified: &mut Verified) {
        let Ok(Some(record)) = Record::of(output) else { return };
        let Ok(output) = record.output() else { return };
        if self.records.remove(&key_hash(&output)).is_some() && !self.is_excused(&record) {
            verified.note(output.topic.name(), What::Missing, record.name());
        }
    }

    fn is_excused(&self, record: &Record) -> bool {
        let is_over = |since: Millis, kept_ms: i64| since.0.saturating_add(kept_ms) <= self.now.0;
        match record {
            Record::Request(row) => is_over(row.received_at, self.kept.requests_ms),
            Record::DeadLetter(row) => is_over(row.failed_at, self.kept.dead_letters_ms),
            Record::Audit(row) => is_over(row.at, self.kept.audit_ms),
            Record::LeadEvent(row) => self.leads.contains(&(row.tenant.clone(), row.lead_id.to_string())),
            _ => false,
        }
    }
}
