//! Cells: the rows that operators work on, decoded. Kept across epochs, so that hot windows are not read again.

use bytes::Bytes;
use hashbrown::HashTable;
use leadline_operators::contract::{AnyRow, OperatorResult, TableSpec};

use super::changes::{Changes, KeyHash};
use super::limits::CACHED_ROWS_MAX;

/// Rows that have changed are encoded into pieces of this size: few enough allocations for an epoch, and each small
/// enough that the allocator has one at hand, where megabytes in one piece are new pages each time.
const PIECE_BYTES: usize = 256 << 10;
/// What key and value of most rows fit in: a piece ends when it has less room than this.
const ROW_BYTES_USUAL: usize = 4 << 10;

/// How often one input finds a row that it has brought in: it reads and then changes it.
const FINDS_OF_ONE_INPUT: u32 = 1;

/// A decoded row.
pub(super) struct Cell {
    row: Option<Box<dyn AnyRow>>,
    expires_ms: i64,
    version: u8,
    is_dirty: bool,
    /// How often it was found here, halved when the cache is full.
    finds: u32,
}

struct Slot {
    hash: KeyHash,
    key: Box<[u8]>,
    cell: Cell,
}

impl Slot {
    /// Appends the key, and the row behind it if there is one. Answers whether there is.
    fn encode(&mut self, into: &mut Vec<u8>) -> OperatorResult<bool> {
        self.cell.is_dirty = false;
        into.extend_from_slice(&self.key);
        let Some(row) = &self.cell.row else { return Ok(false) };
        into.extend_from_slice(&self.cell.expires_ms.to_be_bytes());
        into.push(self.cell.version);
        row.encode(into)?;
        Ok(true)
    }
}

/// The decoded rows of one partition.
#[derive(Default)]
pub(super) struct Cells {
    slots: Vec<Slot>,
    /// Places in `slots` by the hash of their keys.
    index: HashTable<u32>,
    /// Places of the cells that have changed since they were last encoded.
    dirty: Vec<u32>,
}

/// Where a cell is.
pub(super) type Place = u32;

impl Cells {
    /// Where the cell of a key is, if there is one.
    pub(super) fn find(&mut self, hash: KeyHash, key: &[u8]) -> Option<Place> {
        let place = *self.index.find(hash, |at| key_at(&self.slots, *at) == key)?;
        if let Some(slot) = self.slots.get_mut(place as usize) {
            slot.cell.finds = slot.cell.finds.saturating_add(1);
        }
        Some(place)
    }

    /// Takes a row in as it stands in the store: none = there is none.
    pub(super) fn insert(&mut self, hash: KeyHash, key: &[u8], stored: Option<Stored>) -> Place {
        // Bounded by `CACHED_ROWS_MAX` and the rows of one epoch.
        let place = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let (row, expires_ms, version) =
            stored.map_or((None, 0, 0), |stored| (Some(stored.row), stored.expires_ms, stored.version));
        let cell = Cell { row, expires_ms, version, is_dirty: false, finds: 0 };
        self.slots.push(Slot { hash, key: key.into(), cell });
        let slots = &self.slots;
        self.index.insert_unique(hash, place, |at| slots.get(*at as usize).map_or(0, |slot| slot.hash));
        place
    }

    /// The row at a place; a row past its expiry reads as absent.
    pub(super) fn row(&mut self, place: Place, now_ms: i64) -> Option<&mut dyn AnyRow> {
        let cell = &mut self.slots.get_mut(place as usize)?.cell;
        if cell.expires_ms != 0 && cell.expires_ms <= now_ms {
            return None;
        }
        match &mut cell.row {
            Some(row) => Some(row.as_mut()),
            None => None,
        }
    }

    /// Replaces the row at a place, or deletes it; its time to live starts anew.
    pub(super) fn put(&mut self, place: Place, table: &TableSpec, row: Option<Box<dyn AnyRow>>, now_ms: i64) {
        self.touch(place, table, now_ms);
        if let Some(slot) = self.slots.get_mut(place as usize) {
            slot.cell.row = row;
        }
    }

    /// Marks the row at a place as changed; its time to live starts anew.
    pub(super) fn touch(&mut self, place: Place, table: &TableSpec, now_ms: i64) {
        let Some(slot) = self.slots.get_mut(place as usize) else { return };
        slot.cell.version = table.version;
        slot.cell.expires_ms = table.ttl_ms.map_or(0, |ttl| now_ms.saturating_add(ttl).max(1));
        if !std::mem::replace(&mut slot.cell.is_dirty, true) {
            self.dirty.push(place);
        }
    }

    /// Encodes what has changed into `changes`. After it the cells are a clean cache.
    pub(super) fn settle(&mut self, changes: &mut Changes) -> OperatorResult {
        let mut dirty = std::mem::take(&mut self.dirty);
        // Keys and values share allocations, which live as long as the epoch's layer.
        let mut left = dirty.as_slice();
        while !left.is_empty() {
            let room = PIECE_BYTES.min(left.len() * ROW_BYTES_USUAL);
            let (mut piece, mut spans) = (Vec::with_capacity(room), Vec::new());
            while let Some((place, rest)) = left.split_first()
                && (spans.is_empty() || piece.len() + ROW_BYTES_USUAL <= room)
            {
                left = rest;
                let Some(slot) = self.slots.get_mut(*place as usize) else { continue };
                let (from, middle) = (piece.len(), piece.len() + slot.key.len());
                let is_there = slot.encode(&mut piece)?;
                spans.push((slot.hash, from..middle, is_there.then_some(middle..piece.len())));
            }
            let piece = Bytes::from(piece);
            for (hash, key, value) in spans {
                changes.put(hash, piece.slice(key), value.map(|value| piece.slice(value)));
            }
        }
        dirty.clear();
        self.dirty = dirty;
        self.bound();
        Ok(())
    }

    /// Keeps the cache within its bound. What goes first is what was looked at for one input only: of most calls
    /// nothing is heard a second time.
    fn bound(&mut self) {
        if self.slots.len() <= CACHED_ROWS_MAX {
            return;
        }
        self.slots.retain(|slot| slot.cell.finds > FINDS_OF_ONE_INPUT);
        self.slots.iter_mut().for_each(|slot| slot.cell.finds /= 2);
        if self.slots.len() > CACHED_ROWS_MAX / 2 {
            self.slots.clear();
        }
        self.index.clear();
        let slots = &self.slots;
        for (slot, at) in slots.iter().zip(0..) {
            self.index.insert_unique(slot.hash, at, |at| slots.get(*at as usize).map_or(0, |slot| slot.hash));
        }
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.index.clear();
        self.dirty.clear();
    }
}

/// A row that was read and decoded.
pub(super) struct Stored {
    pub(super) row: Box<dyn AnyRow>,
    pub(super) expires_ms: i64,
    pub(super) version: u8,
}

fn key_at(slots: &[Slot], at: u32) -> &[u8] {
    slots.get(at as usize).map_or(&[], |slot| &slot.key)
}
