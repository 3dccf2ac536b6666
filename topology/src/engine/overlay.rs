//! The overlay: what epochs have changed and the state store does not hold yet.
//!
//! From new to old a row is looked up in the open epoch's decoded cells and raw rows, in the layers of epochs that
//! are in commit or committed but not applied, and in the store. So a crash never leaves uncommitted rows behind,
//! and an aborted epoch is undone by dropping its part of the overlay.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::contract::state::{Change, PartitionState};
use leadline_operators::contract::{AnyRow, DecodeRow, Fault, FreshRow, OperatorResult, TableSpec};
use leadline_schemas::CommitNumber;
use leadline_schemas::frame::RowChange;
use leadline_schemas::sabotage::{self, Bug};

use super::cells::{Cells, Place, Stored};
use super::changes::{Changes, KeyHash, KeyHasher, Newer};

/// Bytes in front of a stored row: expiry in ms (0 = never) and the version of its schema.
const HEADER_BYTES: usize = RowChange::HEADER_BYTES;

/// One epoch that is in commit, or committed and not applied yet.
#[derive(Debug)]
struct Layer {
    number: CommitNumber,
    changes: Arc<Changes>,
    bytes: usize,
}

/// The overlay of one partition.
pub(super) struct Overlay {
    store: Arc<dyn PartitionState>,
    layers: VecDeque<Layer>,
    /// What the open epoch keeps while its inputs run one at a time.
    accepted: Changes,
    /// What the inputs in the graph have changed.
    open: Changes,
    cells: Cells,
    hasher: KeyHasher,
}

impl Overlay {
    pub(super) fn new(store: Arc<dyn PartitionState>) -> Self {
        Self {
            store,
            layers: VecDeque::new(),
            accepted: Changes::default(),
            open: Changes::default(),
            cells: Cells::default(),
            hasher: KeyHasher::default(),
        }
    }

    /// The stored form of a key: raw bytes as of the open epoch.
    pub(super) fn get_raw(&self, key: &[u8]) -> OperatorResult<Option<Bytes>> {
        self.get_hashed(self.hasher.hash(key), key)
    }

    fn get_hashed(&self, hash: KeyHash, key: &[u8]) -> OperatorResult<Option<Bytes>> {
        let layers = self.layers.iter().rev().map(|layer| &*layer.changes);
        for changes in [&self.open, &self.accepted].into_iter().chain(layers) {
            if let Some(change) = changes.get(hash, key) {
                return Ok(change.clone());
            }
        }
        self.store.get(key).map_err(|error| Fault::Engine(error.to_string()))
    }

    pub(super) fn put_raw(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        self.open.put(self.hasher.hash(&key), Bytes::from(key), value);
    }

    /// The decoded row of `key`, read and decoded at most once per epoch; a row past its expiry reads as absent.
    pub(super) fn cell(
        &mut self,
        key: &[u8],
        decode: DecodeRow,
        now_ms: i64,
    ) -> OperatorResult<Option<&mut dyn AnyRow>> {
        let place = self.place(key, decode)?;
        Ok(self.cells.row(place, now_ms))
    }

    /// As `cell`, for a row that is about to change: made by `fresh` where there is none.
    pub(super) fn change(
        &mut self,
        table: &TableSpec,
        key: &[u8],
        decode: DecodeRow,
        fresh: FreshRow<'_>,
        now_ms: i64,
    ) -> OperatorResult<&mut dyn AnyRow> {
        let place = self.place(key, decode)?;
        match self.cells.row(place, now_ms) {
            Some(_) => self.cells.touch(place, table, now_ms),
            None => self.cells.put(place, table, fresh(), now_ms),
        }
        let lost = || Fault::Engine(format!("table {} lost a row it was just given", table.name));
        self.cells.row(place, now_ms).ok_or_else(lost)
    }

    pub(super) fn put(&mut self, table: &TableSpec, key: &[u8], row: Option<Box<dyn AnyRow>>, now_ms: i64) {
        let hash = self.hasher.hash(key);
        let found = self.cells.find(hash, key);
        let place = found.unwrap_or_else(|| self.cells.insert(hash, key, None));
        self.cells.put(place, table, row, now_ms);
    }

    /// Where the cell of a key is; it is read if need be.
    fn place(&mut self, key: &[u8], decode: DecodeRow) -> OperatorResult<Place> {
        let hash = self.hasher.hash(key);
        if let Some(place) = self.cells.find(hash, key) {
            return Ok(place);
        }
        let stored = match self.get_hashed(hash, key)? {
            None => None,
            Some(stored) => {
                let (expires_ms, version, datum) = split_value(&stored)?;
                Some(Stored { row: decode(version, datum)?, expires_ms, version })
            }
        };
        Ok(self.cells.insert(hash, key, stored))
    }

    /// Encodes what changed in the cells into the open epoch.
    pub(super) fn settle(&mut self) -> OperatorResult {
        self.cells.settle(&mut self.open)
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

    /// Undoes all that the open epoch has changed, accepted or not: its inputs run again from the first.
    pub(super) fn undo_epoch(&mut self) {
        self.accepted.clear();
        self.undo();
    }

    /// Drops the open epoch, and every layer behind `committed`.
    pub(super) fn abandon(&mut self, committed: CommitNumber) {
        if sabotage::on(Bug::AbortKeepsOverlay) {
            return;
        }
        while self.layers.back().is_some_and(|layer| layer.number > committed) {
            self.layers.pop_back();
        }
        self.undo_epoch();
    }

    /// Closes the open epoch as a layer and hands out its changes.
    pub(super) fn close(&mut self, number: CommitNumber) -> Arc<Changes> {
        self.accept();
        let mut changes = std::mem::take(&mut self.accepted);
        changes.sort();
        let (bytes, changes) = (changes.bytes_len(), Arc::new(changes));
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
        let layers = self.layers.iter().rev().map(|layer| &*layer.changes);
        let mut newer = Newer::of([&self.open, &self.accepted].into_iter().chain(layers), from..to);
        let mut found = Vec::new();
        let take = |found: &mut Vec<(Bytes, Bytes)>, change: Change| {
            found.extend(change.value.map(|value| (change.key, value)));
        };
        self.store
            .scan(from, Some(to), &mut |key, value| {
                while let Some(change) = newer.next_if(|next| next < key)
                    && found.len() < limit
                {
                    take(&mut found, change);
                }
                match newer.next_if(|next| next == key) {
                    Some(change) => take(&mut found, change),
                    None => found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))),
                }
                if found.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(|error| Fault::Engine(error.to_string()))?;
        while let Some(change) = newer.next_if(|_| true)
            && found.len() < limit
        {
            take(&mut found, change);
        }
        found.truncate(limit);
        Ok(found)
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
