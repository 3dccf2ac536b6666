//! The overlay: what epochs have changed and the state store does not hold yet.
//!
//! From new to old a row is looked up in the open epoch's decoded cells and raw rows, in the layers of epochs that
//! are in commit or committed but not applied, and in the store. So a crash never leaves uncommitted rows behind,
//! and an aborted epoch is undone by dropping its part of the overlay.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use leadline_connectors::contract::state::{Change, PartitionState};
use leadline_operators::contract::{AnyRow, DecodeRow, Fault, OperatorResult, TableSpec};
use leadline_schemas::CommitNumber;
use leadline_schemas::sabotage::{self, Bug};

use super::limits::CACHED_ROWS_MAX;

/// Changes by key: a value, or none = deleted.
pub(super) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// Bytes in front of a stored row: expiry in ms (0 = never) and the version of its schema.
const HEADER_BYTES: usize = 9;

/// One epoch that is in commit, or committed and not applied yet.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) number: CommitNumber,
    pub(super) changes: Arc<Changes>,
    pub(super) bytes: usize,
}

/// A decoded row.
struct Cell {
    row: Option<Box<dyn AnyRow>>,
    expires_ms: i64,
    version: u8,
    ttl_ms: Option<i64>,
    dirty: bool,
    used: bool,
}

/// The overlay of one partition.
pub(super) struct Overlay {
    store: Arc<dyn PartitionState>,
    layers: VecDeque<Layer>,
    /// What the open epoch keeps while its inputs run one at a time.
    accepted: Changes,
    /// What the inputs in the graph have changed.
    open: Changes,
    cells: HashMap<Vec<u8>, Cell>,
}

impl Overlay {
    pub(super) fn new(store: Arc<dyn PartitionState>) -> Self {
        let (layers, cells) = (VecDeque::new(), HashMap::new());
        Self { store, layers, accepted: Changes::new(), open: Changes::new(), cells }
    }

    /// The stored form of a key: raw bytes as of the open epoch.
    pub(super) fn get_raw(&self, key: &[u8]) -> OperatorResult<Option<Bytes>> {
        if let Some(change) = self.open.get(key).or_else(|| self.accepted.get(key)) {
            return Ok(change.clone());
        }
        for layer in self.layers.iter().rev() {
            if let Some(change) = layer.changes.get(key) {
                return Ok(change.clone());
            }
        }
        self.store.get(key).map_err(|error| Fault::Engine(error.to_string()))
    }

    pub(super) fn put_raw(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        self.open.insert(Bytes::from(key), value);
    }

    /// The decoded row of `key`, read and decoded at most once per epoch; a row past its expiry reads as absent.
    pub(super) fn cell(
        &mut self,
        key: &[u8],
        decode: DecodeRow,
        now_ms: i64,
    ) -> OperatorResult<Option<&mut dyn AnyRow>> {
        if !self.cells.contains_key(key) {
            let cell = self.load(key, decode)?;
            self.cells.insert(key.to_vec(), cell);
        }
        let Some(cell) = self.cells.get_mut(key) else { return Ok(None) };
        cell.used = true;
        if cell.expires_ms != 0 && cell.expires_ms <= now_ms {
            return Ok(None);
        }
        match &mut cell.row {
            Some(row) => Ok(Some(row.as_mut())),
            None => Ok(None),
        }
    }

    fn load(&self, key: &[u8], decode: DecodeRow) -> OperatorResult<Cell> {
        let mut cell = Cell { row: None, expires_ms: 0, version: 0, ttl_ms: None, dirty: false, used: true };
        let Some(stored) = self.get_raw(key)? else { return Ok(cell) };
        let (expires_ms, version, datum) = split_value(&stored)?;
        cell.row = Some(decode(version, datum)?);
        cell.expires_ms = expires_ms;
        cell.version = version;
        Ok(cell)
    }

    /// Marks a row as changed; its time to live starts anew.
    pub(super) fn touch(&mut self, table: &TableSpec, key: &[u8], now_ms: i64) {
        if let Some(cell) = self.cells.get_mut(key) {
            cell.dirty = true;
            cell.ttl_ms = table.ttl_ms;
            cell.version = table.version;
            cell.expires_ms = expiry(table.ttl_ms, now_ms);
        }
    }

    pub(super) fn put(&mut self, table: &TableSpec, key: &[u8], row: Option<Box<dyn AnyRow>>, now_ms: i64) {
        let cell = Cell {
            row,
            expires_ms: expiry(table.ttl_ms, now_ms),
            version: table.version,
            ttl_ms: table.ttl_ms,
            dirty: true,
            used: true,
        };
        match self.cells.get_mut(key) {
            Some(old) => *old = cell,
            None => {
                self.cells.insert(key.to_vec(), cell);
            }
        }
    }

    /// Encodes what changed in the cells into the open epoch. After it the cells are a clean cache.
    pub(super) fn settle(&mut self) -> OperatorResult {
        for (key, cell) in &mut self.cells {
            if !cell.dirty {
                continue;
            }
            cell.dirty = false;
            let value = match &cell.row {
                None => None,
                Some(row) => {
                    let mut value = Vec::with_capacity(96);
                    value.extend_from_slice(&cell.expires_ms.to_be_bytes());
                    value.push(cell.version);
                    row.encode(&mut value)?;
                    Some(Bytes::from(value))
                }
            };
            self.open.insert(Bytes::copy_from_slice(key), value);
        }
        if self.cells.len() > CACHED_ROWS_MAX {
            self.cells.retain(|_, cell| cell.used);
            if self.cells.len() > CACHED_ROWS_MAX {
                self.cells.clear();
            }
        }
        for cell in self.cells.values_mut() {
            cell.used = false;
        }
        Ok(())
    }

    /// Keeps what the inputs in the graph have changed. Only after `settle`.
    pub(super) fn accept(&mut self) {
        self.accepted.append(&mut self.open);
    }

    /// Undoes what the inputs in the graph have changed, down to the last `accept`.
    pub(super) fn undo(&mut self) {
        self.open.clear();
        self.cells.clear();
    }

    /// Drops the open epoch, and every layer behind `committed`.
    pub(super) fn abandon(&mut self, committed: CommitNumber) {
        if sabotage::on(Bug::AbortKeepsOverlay) {
            return;
        }
        while self.layers.back().is_some_and(|layer| layer.number > committed) {
            self.layers.pop_back();
        }
        self.accepted.clear();
        self.undo();
    }

    /// Closes the open epoch as a layer and hands out its changes.
    pub(super) fn close(&mut self, number: CommitNumber) -> Arc<Changes> {
        self.accept();
        let changes = Arc::new(std::mem::take(&mut self.accepted));
        let bytes = changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum();
        self.layers.push_back(Layer { number, changes: Arc::clone(&changes), bytes });
        changes
    }

    /// Drops layers that the store holds.
    pub(super) fn applied(&mut self, up_to: CommitNumber) {
        while self.layers.front().is_some_and(|layer| layer.number <= up_to) {
            self.layers.pop_front();
        }
    }

    pub(super) fn unapplied_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.bytes).sum()
    }

    /// The first `limit` keys from `from` to `to` as of now, over store, layers and open epoch.
    pub(super) fn scan(&self, from: &[u8], to: &[u8], limit: usize) -> OperatorResult<Vec<(Bytes, Bytes)>> {
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut newer: BTreeMap<&Bytes, &Option<Bytes>> = BTreeMap::new();
        for changes in
            self.layers.iter().map(|layer| layer.changes.as_ref()).chain([&self.accepted, &self.open])
        {
            newer.extend(changes.range::<[u8], _>(range));
        }
        let mut found = BTreeMap::new();
        self.store
            .scan(from, Some(to), &mut |key, value| {
                if !newer.contains_key(&Bytes::copy_from_slice(key)) {
                    found.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                }
                if found.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(|error| Fault::Engine(error.to_string()))?;
        // What the store shows behind the limit is unknown, so newer keys behind its last one must not be shown.
        let last = if found.len() >= limit { found.keys().next_back().cloned() } else { None };
        for (key, change) in newer {
            if let Some(value) = change
                && last.as_ref().is_none_or(|last| key <= last)
            {
                found.insert(key.clone(), value.clone());
            }
        }
        Ok(found.into_iter().take(limit).collect())
    }
}

/// A stored row's expiry, version and datum.
pub(super) fn split_value(stored: &[u8]) -> OperatorResult<(i64, u8, &[u8])> {
    let split = stored.split_at_checked(HEADER_BYTES);
    let (Some((header, datum)), true) = (split, stored.len() >= HEADER_BYTES) else {
        return Err(Fault::Engine(format!("a stored row of {} bytes has no header", stored.len())));
    };
    let (expires, version) = header.split_at(8);
    let expires_ms = i64::from_be_bytes(expires.try_into().unwrap_or_default());
    Ok((expires_ms, version.first().copied().unwrap_or_default(), datum))
}

/// The changes as the store takes them.
pub(super) fn to_store(changes: &Changes) -> Vec<Change> {
    changes.iter().map(|(key, value)| Change { key: key.clone(), value: value.clone() }).collect()
}

fn expiry(ttl_ms: Option<i64>, now_ms: i64) -> i64 {
    ttl_ms.map_or(0, |ttl| now_ms.saturating_add(ttl).max(1))
}
