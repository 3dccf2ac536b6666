//! Changed rows by key: found by their hash while an epoch runs, in the order of their keys once it has closed.

use std::borrow::Cow;
use std::hash::BuildHasher as _;
use std::ops::Range;

use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashTable};
use leadline_connectors::contract::state::Change;

/// A key's hash under one overlay's seed: computed once, used for every look-up of the key.
pub(super) type KeyHash = u64;

/// Hashes keys, with a seed of its own.
#[derive(Default)]
pub(super) struct KeyHasher(DefaultHashBuilder);

impl KeyHasher {
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        self.0.hash_one(key)
    }
}

/// Changes, at most one per key. Hashes are of one overlay's hasher.
#[derive(Debug, Default)]
pub(super) struct Changes {
    rows: Vec<Change>,
    /// The hashes of their keys: these lie all over memory, and are not looked at again for it.
    hashes: Vec<KeyHash>,
    /// Places in `rows` by the hash of their keys.
    index: HashTable<u32>,
    is_sorted: bool,
}

impl Changes {
    /// The change of a key: a value, or none = deleted.
    pub(super) fn get(&self, hash: KeyHash, key: &[u8]) -> Option<&Option<Bytes>> {
        if self.rows.is_empty() {
            return None;
        }
        let at = self.index.find(hash, |at| key_at(&self.rows, *at) == key)?;
        self.rows.get(*at as usize).map(|row| &row.value)
    }

    /// Changes a row once more, or for the first time.
    pub(super) fn put(&mut self, hash: KeyHash, key: Bytes, value: Option<Bytes>) {
        let (rows, hashes) = (&mut self.rows, &mut self.hashes);
        if let Some(at) = self.index.find(hash, |at| key_at(rows, *at) == key) {
            if let Some(row) = rows.get_mut(*at as usize) {
                row.value = value;
            }
            return;
        }
        // An epoch has at most some ten thousand rows: its inputs and frame are bounded.
        let at = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        rows.push(Change { key, value });
        hashes.push(hash);
        self.index.insert_unique(hash, at, |at| hashes.get(*at as usize).copied().unwrap_or(0));
        self.is_sorted = false;
    }

    /// Takes over what `newer` has changed and leaves it empty.
    pub(super) fn append(&mut self, newer: &mut Self) {
        if self.rows.is_empty() {
            std::mem::swap(self, newer);
            return;
        }
        newer.index.clear();
        for (row, hash) in newer.rows.drain(..).zip(newer.hashes.drain(..)) {
            self.put(hash, row.key, row.value);
        }
    }

    /// Brings the rows into the order of their keys.
    pub(super) fn sort(&mut self) {
        // Keys lie all over memory. Most are told apart by how they begin (key group, tenant, table, and some of an id),
        // so that is compared, side by side.
        let begins = |row: &Change| {
            let mut begin = [0; 2 * size_of::<u128>()];
            let bytes = row.key.len().min(begin.len());
            begin.split_at_mut(bytes).0.copy_from_slice(row.key.get(..bytes).unwrap_or_default());
            let (first, second) = begin.split_at(size_of::<u128>());
            [first, second].map(|half| half.try_into().map_or(0, u128::from_be_bytes))
        };
        let mut order: Vec<([u128; 2], u32)> = self.rows.iter().map(begins).zip(0..).collect();
        let key = |at: u32| key_at(&self.rows, at);
        order.sort_unstable_by(|(a, at), (b, bt)| a.cmp(b).then_with(|| key(*at).cmp(key(*bt))));
        let mut rows: Vec<Option<Change>> = std::mem::take(&mut self.rows).into_iter().map(Some).collect();
        let sorted = order.iter().filter_map(|(_, at)| rows.get_mut(*at as usize)?.take());
        self.rows = sorted.collect();
        self.hashes = order.iter().filter_map(|(_, at)| self.hashes.get(*at as usize).copied()).collect();
        let mut places = vec![0_u32; order.len()];
        for ((_, before), now) in order.iter().zip(0..) {
            if let Some(place) = places.get_mut(*before as usize) {
                *place = now;
            }
        }
        for at in self.index.iter_mut() {
            *at = places.get(*at as usize).copied().unwrap_or(u32::MAX);
        }
        self.is_sorted = true;
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.hashes.clear();
        self.index.clear();
    }

    /// All of them; in the order of their keys after `sort`.
    pub(super) fn rows(&self) -> &[Change] {
        &self.rows
    }

    /// Those with keys from `range.start` to before `range.end`, in the order of their keys.
    pub(super) fn range<'a>(&'a self, range: Range<&[u8]>) -> Cow<'a, [Change]> {
        if self.is_sorted {
            let from = self.rows.partition_point(|row| *row.key < *range.start);
            let to = self.rows.partition_point(|row| *row.key < *range.end);
            return self.rows.get(from..to).unwrap_or_default().into();
        }
        let mut rows: Vec<Change> =
            self.rows.iter().filter(|row| range.contains(&&*row.key)).cloned().collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rows.into()
    }

    /// Bytes of keys and values.
    pub(super) fn bytes_len(&self) -> usize {
        self.rows.iter().map(|row| row.key.len() + row.value.as_ref().map_or(0, Bytes::len)).sum()
    }
}

/// The changes of several epochs in the order of their keys; of one key only the newest.
pub(super) struct Newer<'a> {
    /// What is left of each, the newest first.
    rest: Vec<(Cow<'a, [Change]>, usize)>,
}

impl<'a> Newer<'a> {
    /// Of changes that come newest first, those with keys in a range.
    pub(super) fn of(changes: impl Iterator<Item = &'a Changes>, range: Range<&[u8]>) -> Self {
        Self { rest: changes.map(|changes| (changes.range(range.clone()), 0)).collect() }
    }

    /// The next change, if its key is one that is wanted.
    pub(super) fn next_if(&mut self, is_wanted: impl Fn(&[u8]) -> bool) -> Option<Change> {
        let heads = self.rest.iter().filter_map(|(rows, at)| rows.get(*at));
        // Of equal keys `min_by` gives the first: the newest.
        let next = heads.min_by(|a, b| a.key.cmp(&b.key)).filter(|next| is_wanted(&next.key))?.clone();
        for (rows, at) in &mut self.rest {
            if rows.get(*at).is_some_and(|row| row.key == next.key) {
                *at += 1;
            }
        }
        Some(next)
    }
}

fn key_at(rows: &[Change], at: u32) -> &[u8] {
    rows.get(at as usize).map_or(&[], |row| &row.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn changes_are_those_of_a_map(puts in prop::collection::vec((0_u8..20, any::<Option<u8>>(), any::<bool>()), 0..80)) {
            let hasher = KeyHasher::default();
            let (mut older, mut newer) = (Changes::default(), Changes::default());
            let mut model = BTreeMap::new();
            for (key, value, merge) in puts {
                let (key, value) = (Bytes::from(vec![key]), value.map(|value| Bytes::from(vec![value])));
                newer.put(hasher.hash(&key), key.clone(), value.clone());
                model.insert(key, value);
                if merge {
                    older.append(&mut newer);
                    prop_assert!(newer.rows().is_empty() && newer.get(hasher.hash(&[1]), &[1]).is_none());
                }
            }
            older.append(&mut newer);
            for sorted in [false, true] {
                if sorted {
                    older.sort();
                    let rows = older.rows().iter().map(|row| (row.key.clone(), row.value.clone()));
                    prop_assert!(rows.eq(model.clone()));
                }
                for key in 0_u8..20 {
                    prop_assert_eq!(older.get(hasher.hash(&[key]), &[key]), model.get(&[key][..]));
                }
                let found: BTreeMap<_, _> = older.range(&[5]..&[15]).iter().map(|row| (row.key.clone(), row.value.clone())).collect();
                let expected: BTreeMap<_, _> = model.range(Bytes::from_static(&[5])..Bytes::from_static(&[15])).map(|(key, value)| (key.clone(), value.clone())).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
