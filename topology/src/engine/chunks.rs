//! Chunks: the rows of a partition cut into pieces whose bounds depend on the keys alone.
//!
//! A chunk ends where a key's hash says so, so a row that comes, goes or grows changes the chunk that it is in and no
//! other: a snapshot can share all the rest with an earlier one. Rows lie in the order of their keys, so a key group is a
//! range of chunks.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use leadline_connectors::contract::state::{Change, PartitionState, StateView};
use leadline_schemas::CommitNumber;
use xxhash_rust::xxh3::xxh3_64;

use super::keys;
use super::restore::{RestoreError, index_entry};

/// Rows that a restore applies at a time.
const RESTORE_ROWS: usize = 2_000;
/// A chunk does not end before: small states are one blob.
const CHUNK_BYTES_MIN: usize = 256 << 10;
/// A chunk ends here at the latest: what taking and restoring a snapshot hold in memory.
const CHUNK_BYTES_MAX: usize = 16 << 20;
/// One key in so many may end a chunk: of rows of half a KiB, at 2 MiB on average.
const KEYS_PER_CUT: u64 = 4_096;
/// First bytes of a chunk: name and format version.
const MAGIC: &[u8; 8] = b"leadsnp1";

/// Rows from one key to another.
pub(super) struct Chunk {
    /// `MAGIC`, then each row as key length, key, value length, value; lengths are 4 bytes.
    pub(super) content: Bytes,
    /// How many rows.
    pub(super) rows: u64,
    /// Where the next one starts; none behind the last row.
    pub(super) next: Option<Vec<u8>>,
}

/// Where the first chunk starts.
pub(super) fn first() -> Vec<u8> {
    vec![keys::ROWS]
}

/// The chunk that starts at `from`.
pub(super) fn cut(view: &dyn StateView, from: &[u8]) -> Result<Chunk, RestoreError> {
    let mut content = BytesMut::with_capacity(1 << 20);
    content.put_slice(MAGIC);
    let (mut rows, mut next) = (0, None);
    for namespace in [keys::ROWS, keys::OUTPUTS] {
        let first = [namespace];
        let start = from.max(&first[..]);
        let end = keys::behind(&[namespace]);
        if next.is_some() || start >= end.as_slice() {
            continue;
        }
        view.scan(start, Some(&end), &mut |key, value| {
            let may_end = content.len() >= CHUNK_BYTES_MIN && xxh3_64(key).is_multiple_of(KEYS_PER_CUT);
            if may_end || content.len() >= CHUNK_BYTES_MAX {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            content.put_u32(u32::try_from(key.len()).unwrap_or(u32::MAX));
            content.put_slice(key);
            content.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            content.put_slice(value);
            rows += 1;
            ControlFlow::Continue(())
        })?;
    }
    Ok(Chunk { content: content.freeze(), rows, next })
}

/// Puts a chunk's rows, and the index entries that follow from them, into a store. Its marker stays at nothing.
pub(super) fn fill(content: &Bytes, store: &Arc<dyn PartitionState>) -> Result<(), RestoreError> {
    let mut changes = Vec::new();
    each_row(content, |key, value| {
        if let Some(entry) = index_entry(&key, &value)? {
            changes.push(Change { key: entry, value: Some(Bytes::new()) });
        }
        changes.push(Change { key, value: Some(value) });
        if changes.len() >= RESTORE_ROWS {
            store.apply(&changes, CommitNumber(0))?;
            changes.clear();
        }
        Ok(())
    })?;
    Ok(store.apply(&changes, CommitNumber(0))?)
}

/// Shows each row of a chunk: key and value.
pub(super) fn each_row(
    content: &Bytes,
    mut show: impl FnMut(Bytes, Bytes) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let cut = || RestoreError::Snapshot("a snapshot ends in the middle of a row".to_owned());
    let mut at = MAGIC.len();
    if content.get(..at) != Some(MAGIC) {
        return Err(RestoreError::Snapshot(
            "a snapshot has an unknown format; a newer leadline wrote it".to_owned(),
        ));
    }
    while at < content.len() {
        let key = field(content, &mut at).ok_or_else(cut)?;
        let value = field(content, &mut at).ok_or_else(cut)?;
        show(key, value)?;
    }
    Ok(())
}

fn field(content: &Bytes, at: &mut usize) -> Option<Bytes> {
    let length = u32::from_be_bytes(content.get(*at..*at + 4)?.try_into().ok()?) as usize;
    let (from, to) = (*at + 4, (*at + 4).checked_add(length)?);
    if to > content.len() {
        return None;
    }
    *at = to;
    Some(content.slice(from..to))
}

/// What a chunk is known by: its SHA-256, hex.
pub(super) fn hex_sha256(content: impl AsRef<[u8]>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content.as_ref());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
