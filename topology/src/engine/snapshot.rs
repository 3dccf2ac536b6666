//! Snapshots: a partition's sorted rows in pieces of 16 MiB in the blob store, their hashes in a manifest that is
//! placed last.
//!
//! A snapshot holds the rows and the records of the compacted topics of one instant; indexes are derived again on
//! restore. It counts only after it was read back and its hash agreed. The two newest are kept.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use leadline_connectors::contract::blob::{Blob, BlobError};
use leadline_connectors::contract::state::{Change, PartitionState, StateView};
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::{CommitNumber, Partition};
use serde::{Deserialize, Serialize};

use super::keys;
use super::restore::{RestoreError, index_entry};

/// Rows that a restore applies at a time.
const RESTORE_ROWS: usize = 2_000;
/// A piece is closed when it has grown past this: what taking and restoring a snapshot hold in memory.
const PIECE_BYTES: usize = 16 << 20;
/// How many snapshots of a partition are kept: the newest, and one to fall back to.
const KEPT: usize = 2;
/// First bytes of a snapshot file: name and format version.
const MAGIC: &[u8; 8] = b"leadsnp1";

/// The newest snapshots of a partition, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// The layout they were made under.
    pub generation: u32,
    /// The snapshots.
    pub snapshots: Vec<Entry>,
}

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The last commit in it.
    pub number: CommitNumber,
    /// Its pieces, in the order of their keys.
    pub pieces: Vec<Piece>,
    /// Rows in it.
    pub rows: u64,
}

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Its blob.
    pub blob: String,
    /// SHA-256 of the blob, hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// The manifest's blob.
pub(super) fn manifest_name(partition: Partition) -> String {
    format!("snapshots/{partition}/manifest.json")
}

/// Writes a snapshot, reads it back, and places it in the manifest.
pub(super) async fn take(
    blob: &dyn Blob,
    generation: u32,
    partition: Partition,
    view: &dyn StateView,
) -> Result<Manifest, RestoreError> {
    let number = view.applied()?;
    let (mut pieces, mut rows, mut from) = (Vec::new(), 0, Some(vec![keys::ROWS]));
    while let Some(start) = from {
        let (content, piece_rows, next) = encode(view, &start)?;
        pieces.push(write_piece(blob, partition, number, pieces.len(), content).await?);
        rows += piece_rows;
        from = next;
    }
    let mut manifest = read_manifest(blob, partition).await?.unwrap_or_default();
    manifest.generation = generation;
    manifest.snapshots.retain(|entry| entry.number != number);
    manifest.snapshots.insert(0, Entry { number, pieces, rows });
    let dropped = manifest.snapshots.split_off(KEPT.min(manifest.snapshots.len()));
    place(blob, partition, &manifest).await?;
    for piece in dropped.into_iter().flat_map(|entry| entry.pieces) {
        blob.remove(&piece.blob).await.map_err(snapshot_error)?;
    }
    Ok(manifest)
}

/// Writes one piece; it counts only when it reads back as it was written.
async fn write_piece(
    blob: &dyn Blob,
    partition: Partition,
    number: CommitNumber,
    index: usize,
    content: Bytes,
) -> Result<Piece, RestoreError> {
    let sha256 = hex_sha256(&content);
    let name =
        format!("snapshots/{partition}/{:020}-{index:05}-{}", number.0, sha256.get(..16).unwrap_or_default());
    let bytes = content.len() as u64;
    blob.create(&name, content).await.map_err(snapshot_error)?;
    let written = blob.read(&name).await.map_err(snapshot_error)?;
    if written.map(hex_sha256).as_ref() != Some(&sha256) {
        return Err(RestoreError::Snapshot(format!(
            "snapshot {name} reads back differently than it was written"
        )));
    }
    Ok(Piece { blob: name, sha256, bytes })
}

/// The manifest of a partition, if it ever had a snapshot.
pub(super) async fn read_manifest(
    blob: &dyn Blob,
    partition: Partition,
) -> Result<Option<Manifest>, RestoreError> {
    let name = manifest_name(partition);
    let Some(json) = blob.read(&name).await.map_err(snapshot_error)? else { return Ok(None) };
    serde_json::from_slice(&json)
        .map(Some)
        .map_err(|error| RestoreError::Snapshot(format!("{name}: {error}")))
}

/// Fills an empty store from the newest snapshot whose hash agrees; answers its commit, none without snapshots.
///
/// Snapshots that cannot be used leave the manifest: the log must not be cut on the strength of them.
pub(super) async fn restore(
    blob: &dyn Blob,
    partition: Partition,
    store: &Arc<dyn PartitionState>,
) -> Result<Option<CommitNumber>, RestoreError> {
    let Some(mut manifest) = read_manifest(blob, partition).await? else { return Ok(None) };
    let mut unusable = Vec::new();
    for entry in &manifest.snapshots {
        let number = entry.number;
        if let Some(why) = what_is_wrong(blob, entry).await? {
            tracing::error!(partition = partition.0, commit = number.0, why, "a snapshot cannot be used");
            unusable.push(number);
            continue;
        }
        fill_from(blob, store, entry).await?;
        if !unusable.is_empty() {
            manifest.snapshots.retain(|entry| !unusable.contains(&entry.number));
            place(blob, partition, &manifest).await?;
        }
        return Ok(Some(number));
    }
    Ok(None)
}

/// Places a manifest: from now on its snapshots count.
async fn place(blob: &dyn Blob, partition: Partition, manifest: &Manifest) -> Result<(), RestoreError> {
    let json =
        serde_json::to_vec_pretty(manifest).map_err(|error| RestoreError::Snapshot(error.to_string()))?;
    blob.replace(&manifest_name(partition), Bytes::from(json)).await.map_err(snapshot_error)
}

/// Why a snapshot cannot be used, if so. A blob store that is away is an error: it says nothing of the snapshot.
async fn what_is_wrong(blob: &dyn Blob, entry: &Entry) -> Result<Option<String>, RestoreError> {
    for piece in &entry.pieces {
        let name = &piece.blob;
        match blob.read(name).await {
            Ok(Some(content)) if hex_sha256(&content) == piece.sha256 => {}
            Ok(Some(_)) => return Ok(Some(format!("{name} is not what was written"))),
            Ok(None) => return Ok(Some(format!("{name} is missing"))),
            Err(BlobError::Damaged { why, .. }) => return Ok(Some(format!("{name}: {why}"))),
            Err(error) => return Err(snapshot_error(error)),
        }
    }
    Ok(None)
}

/// Fills an empty store from a snapshot of which every piece was checked: half a snapshot is worse than none.
async fn fill_from(
    blob: &dyn Blob,
    store: &Arc<dyn PartitionState>,
    entry: &Entry,
) -> Result<(), RestoreError> {
    let pieces = if sabotage::on(Bug::HalfSnapshot) { &[][..] } else { &entry.pieces };
    for piece in pieces {
        let content = blob.read(&piece.blob).await.map_err(snapshot_error)?;
        fill(&content.unwrap_or_default(), store)?;
    }
    // The marker moves only with everything in place: a restore that was cut short starts again.
    Ok(store.apply(&[], entry.number)?)
}

/// `MAGIC`, then each row as key length, key, value length, value; lengths are 4 bytes. Starts at key `from`;
/// answers the rows in the piece and where the next one starts.
fn encode(view: &dyn StateView, from: &[u8]) -> Result<(Bytes, u64, Option<Vec<u8>>), RestoreError> {
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
            if content.len() >= PIECE_BYTES {
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
    Ok((content.freeze(), rows, next))
}

fn fill(content: &Bytes, store: &Arc<dyn PartitionState>) -> Result<(), RestoreError> {
    let cut = || RestoreError::Snapshot("a snapshot ends in the middle of a row".to_owned());
    let mut at = MAGIC.len();
    if content.get(..at) != Some(MAGIC) {
        return Err(RestoreError::Snapshot(
            "a snapshot has an unknown format; a newer leadline wrote it".to_owned(),
        ));
    }
    let mut changes = Vec::new();
    while at < content.len() {
        let key = piece(content, &mut at).ok_or_else(cut)?;
        let value = piece(content, &mut at).ok_or_else(cut)?;
        if let Some(entry) = index_entry(&key, &value)? {
            changes.push(Change { key: entry, value: Some(Bytes::new()) });
        }
        changes.push(Change { key, value: Some(value) });
        if changes.len() >= RESTORE_ROWS {
            store.apply(&changes, CommitNumber(0))?;
            changes.clear();
        }
    }
    Ok(store.apply(&changes, CommitNumber(0))?)
}

fn piece(content: &Bytes, at: &mut usize) -> Option<Bytes> {
    let length = u32::from_be_bytes(content.get(*at..*at + 4)?.try_into().ok()?) as usize;
    let (from, to) = (*at + 4, (*at + 4).checked_add(length)?);
    if to > content.len() {
        return None;
    }
    *at = to;
    Some(content.slice(from..to))
}

fn hex_sha256(content: impl AsRef<[u8]>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content.as_ref());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn snapshot_error(error: BlobError) -> RestoreError {
    RestoreError::Snapshot(error.to_string())
}
