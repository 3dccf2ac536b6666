//! Hand-over: how a partition's rows come from one layout to the next.
//!
//! A partition that has done everything of its layout says so in its last frame (`drained`), then writes a snapshot
//! like any other, and last a note that names it. A partition of the next layout starts from the notes of all the
//! partitions that its rows come from; until it has committed for the first time it can do so again.

use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::contract::blob::{Blob, BlobError};
use leadline_connectors::contract::state::{Change as RowChange, PartitionState, StateView};
use leadline_schemas::layout::Change;
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, KeyGroup, Millis, Partition, TenantId, Topic};
use serde::{Deserialize, Serialize};

use super::effects::{decode_job, engine_value, job_value};
use super::keys;
use super::partition::Position;
use super::placing::{Named, Places, tenant_of};
use super::restore::{NOTHING, Owner, Parts, RestoreError, bring_up, index_entry};
use super::snapshot::{self, Shelf};

/// Rows that are brought in at a time.
const FILL_ROWS: usize = 2_000;

/// Where a drained partition stood: what the next layout goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The last commit, and so the snapshot that has everything.
    number: CommitNumber,
    now: Millis,
    settings_version: u64,
    watermark: Millis,
}

fn folder(generation: u32) -> String {
    format!("handover/g{generation}/")
}

fn note_name(generation: u32, partition: Partition) -> String {
    format!("{}{partition}.json", folder(generation))
}

/// Writes a drained partition's snapshot, and then the note that it is there. Done twice it changes nothing.
pub(super) async fn write(
    blob: &dyn Blob,
    generation: u32,
    partition: Partition,
    position: &Position,
    view: &dyn StateView,
) -> Result<(), RestoreError> {
    let Position { number, now, settings_version, watermark, .. } = *position;
    let applied = view.applied()?;
    if applied != number {
        return Err(RestoreError::Snapshot(format!("the store is at commit {applied}, not {number}")));
    }
    let mut shelf = Shelf::find(blob, generation, partition).await?;
    snapshot::take(blob, generation, partition, view, &mut shelf).await?;
    let note = Note { number, now, settings_version, watermark };
    let json = serde_json::to_vec_pretty(&note).map_err(|error| RestoreError::Snapshot(error.to_string()))?;
    blob.create(&note_name(generation, partition), Bytes::from(json)).await.map_err(away)?;
    Ok(())
}

/// The row that says that records are told again from this one on.
pub(super) fn retold_up_to(row_key: &[u8]) -> Vec<u8> {
    let mut value = engine_value();
    value.extend_from_slice(row_key);
    value
}

/// How many partitions of a layout have handed their rows over.
pub async fn count(blob: &dyn Blob, generation: u32) -> Result<usize, BlobError> {
    let names = blob.list(&folder(generation)).await?;
    Ok(names.iter().filter(|name| name.ends_with(".json")).count())
}

/// Fills an empty store with the rows that a partition of the next layout gets, and answers where it starts.
pub(super) async fn restore(
    blob: &dyn Blob,
    change: &Change,
    settings: &Settings,
    partition: Partition,
    store: &dyn PartitionState,
) -> Result<Position, RestoreError> {
    let generation = change.from.generation;
    let mut notes = Vec::new();
    for origin in change.origins(partition) {
        notes.push((origin, read_note(blob, generation, origin).await?));
    }
    for (origin, last) in &notes {
        let mut batch = Vec::new();
        let mut moving = Moving { change, settings, from: *origin, to: partition, places: Places::default() };
        if moving.has_spread_tenants() {
            let mut note = |key: Bytes, value: Bytes| moving.note(&key, &value);
            snapshot::each_row(blob, generation, *origin, last.number, &mut note).await?;
        }
        snapshot::each_row(blob, generation, *origin, last.number, &mut |key, value| {
            let Some((key, value)) = moving.row(key, value)? else { return Ok(()) };
            if let Some(entry) = index_entry(&key, &value)? {
                batch.push(RowChange { key: entry, value: Some(Bytes::new()) });
            }
            batch.push(RowChange { key, value: Some(value) });
            if batch.len() >= FILL_ROWS {
                store.apply(&std::mem::take(&mut batch), CommitNumber(0))?;
            }
            Ok(())
        })
        .await?;
        store.apply(&batch, CommitNumber(0))?;
    }
    let retold = RowChange {
        key: Bytes::from(keys::retold()),
        value: Some(Bytes::from(retold_up_to(&[keys::OUTPUTS]))),
    };
    store.apply(&[retold], CommitNumber(0))?;
    let notes = || notes.iter().map(|(_, note)| note);
    Ok(Position {
        now: notes().map(|note| note.now).max().unwrap_or(Millis(0)),
        settings_version: notes().map(|note| note.settings_version).max().unwrap_or(0),
        watermark: notes().map(|note| note.watermark).min().unwrap_or(Millis(0)),
        ..NOTHING
    })
}

/// A layout, and how its rows came from the one before.
pub(super) struct Origin<'a> {
    pub(super) generation: u32,
    /// None when there was no layout before, or it is not known any more.
    pub(super) origin: Option<&'a Change>,
    pub(super) settings: &'a Settings,
}

/// A partition's rows at its newest commit, and where they stand; `known` is where a warm copy does.
pub(super) fn brought_up(
    parts: Parts<'_>,
    layout: &Origin<'_>,
    partition: Partition,
    mut known: Option<Position>,
    owner: Owner,
) -> Result<(Position, Arc<dyn PartitionState>), RestoreError> {
    let (_, state, _, _) = parts;
    let mut store = state.open(partition)?;
    if layout.generation > 1 && store.applied()?.0 == 0 {
        (store, known) = first_rows(parts, layout, partition, store)?;
    }
    bring_up(parts, layout.generation, partition, store, known, owner)
}

/// The rows that a partition of a later layout starts with, while the log still has all of its frames: those of a
/// snapshot, else those that were handed over. No frame has them. A layout that is being left no longer knows of
/// the one before; it has snapshots, or `layout apply` would have refused to leave it.
fn first_rows(
    (log, state, blob, runtime): Parts<'_>,
    layout: &Origin<'_>,
    partition: Partition,
    store: Arc<dyn PartitionState>,
) -> Result<(Arc<dyn PartitionState>, Option<Position>), RestoreError> {
    let (first, end) = log.range(Topic::State, partition)?;
    if first.0 > 0 {
        return Ok((store, None)); // A snapshot counts, as ever.
    }
    // What an earlier try has left is not whole.
    drop(store);
    state.clear(partition)?;
    let store = state.open(partition)?;
    let restored = snapshot::restore(blob, layout.generation, partition, &store);
    if runtime.block_on(restored)?.is_some() {
        return Ok((store, None));
    }
    let Some(change) = layout.origin else {
        let (at, log_from) = (CommitNumber(0), CommitNumber(end.0));
        return Err(RestoreError::Gap { partition, store: at, log_from });
    };
    let position = runtime.block_on(restore(blob, change, layout.settings, partition, &*store))?;
    Ok((store, Some(position)))
}

async fn read_note(blob: &dyn Blob, generation: u32, partition: Partition) -> Result<Note, RestoreError> {
    let name = note_name(generation, partition);
    let waits = || format!("waits for partition {partition} of layout {generation} to hand its rows over");
    let json = blob.read(&name).await.map_err(away)?.ok_or_else(|| RestoreError::Snapshot(waits()))?;
    serde_json::from_slice(&json).map_err(|error| RestoreError::Snapshot(format!("{name}: {error}")))
}

fn away(error: BlobError) -> RestoreError {
    RestoreError::Snapshot(error.to_string())
}

/// Rows on their way from one partition to another.
struct Moving<'a> {
    change: &'a Change,
    settings: &'a Settings,
    from: Partition,
    to: Partition,
    places: Places,
}

impl Moving<'_> {
    /// The row as the new partition has it; none when it goes elsewhere.
    fn row(&self, key: Bytes, value: Bytes) -> Result<Option<(Bytes, Bytes)>, RestoreError> {
        if key.first() == Some(&keys::OUTPUTS) {
            let group = self.group_of_output(&key, &value)?;
            return Ok(self.is_here(group).then_some((key, value)));
        }
        let row = keys::parse_row(&key)
            .ok_or_else(|| RestoreError::Row("a snapshot has a row whose key is cut".to_owned()))?;
        if row.operator == keys::ENGINE && row.table == keys::RETOLD {
            return Ok(None); // The next layout begins anew.
        }
        let tenant = TenantId::new(row.tenant).map_err(|error| RestoreError::Row(error.to_string()))?;
        let old = KeyGroup(row.key_group);
        let group = self.change.key_group(&tenant, old, row.bucket);
        if !self.is_here(group) {
            return Ok(None);
        }
        let is_job = row.operator == keys::ENGINE && row.table == keys::JOBS;
        let is_left_behind = sabotage::on(Bug::RowsLeftBehind) && !is_job && group != old;
        if is_left_behind || (is_job && sabotage::on(Bug::MovedJobsForgotten)) {
            return Ok(None);
        }
        if group == old {
            return Ok(Some((key, value)));
        }
        let moved = Bytes::from(keys::in_group(&key, group));
        if !is_job {
            return Ok(Some((moved, value)));
        }
        let mut job = decode_job(&value)?;
        job.key_group = group;
        Ok(Some((moved, Bytes::from(job_value(&job)?))))
    }

    fn is_here(&self, group: KeyGroup) -> bool {
        self.change.to.layout().partition(group) == self.to
    }

    /// Over how many slots a tenant is spread in the new layout.
    fn spread(&self, tenant: &TenantId) -> u16 {
        let of_tenant = || self.settings.tenant(tenant).map(|tenant| tenant.policy.spread);
        self.change.to.spread(tenant).or_else(of_tenant).unwrap_or(1)
    }

    fn has_spread_tenants(&self) -> bool {
        let of_layout = self.change.to.spreads.iter().any(|one| one.spread > 1);
        of_layout || self.settings.tenants().any(|tenant| tenant.policy.spread > 1)
    }

    /// Takes in what a row or record of a spread tenant says of where others belong.
    fn note(&mut self, key: &[u8], value: &Bytes) -> Result<(), RestoreError> {
        let Some(topic) = topic_of(key) else {
            let Some(row) = Named::of(key) else { return Ok(()) };
            let tenant = TenantId::new(row.tenant).map_err(|error| RestoreError::Row(error.to_string()))?;
            if self.spread(&tenant) > 1 {
                self.places.note_named(&tenant, &row);
            }
            return Ok(());
        };
        match tenant_of(Some(topic), key, value)?.filter(|tenant| self.spread(tenant) > 1) {
            Some(_) => self.places.note(topic, value),
            None => Ok(()),
        }
    }

    /// Where an output record goes. Its key says no more than the tenant, so what it says of a caller or slot counts.
    fn group_of_output(&self, key: &[u8], value: &Bytes) -> Result<KeyGroup, RestoreError> {
        let topic = topic_of(key);
        let tenant = tenant_of(topic, key, value)?;
        let spread = tenant.as_ref().map_or(1, |tenant| self.spread(tenant));
        let place = match topic.filter(|_| spread > 1) {
            Some(topic) => self.places.of(topic, value)?,
            None => None,
        };
        Ok(self.change.record_group(tenant.as_ref(), spread, self.from, place))
    }
}

/// The topic of an output record's row; none of other rows.
fn topic_of(key: &[u8]) -> Option<Topic> {
    let [keys::OUTPUTS, topic, ..] = key else { return None };
    Topic::from_number(*topic)
}
