//! Snapshots: a partition's sorted rows in pieces of 16 MiB in the blob store, and a manifest with their hashes that
//! is created last.
//!
//! A snapshot holds the rows and the records of the compacted topics of one instant; indexes are derived again on
//! restore. It counts only after it was read back and its hash agreed. The two newest are kept.
//!
//! Nothing is ever replaced: each snapshot has a manifest of its own, named after its commit, below the generation of
//! its layout. So two processes that both believe to own a partition cannot write each other's away; what a zombie
//! adds is older than what is there, and is swept up by the owner's next snapshot.

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
/// How the names of manifests end.
const MANIFEST: &str = ".json";
/// First bytes of a snapshot file: name and format version.
const MAGIC: &[u8; 8] = b"leadsnp1";

/// One snapshot: what its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// The last commit in it.
    number: CommitNumber,
    /// Its pieces, in the order of their keys.
    pieces: Vec<Piece>,
    /// Rows in it.
    rows: u64,
}

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    /// Its blob.
    blob: String,
    /// SHA-256 of the blob, hex.
    sha256: String,
    /// Its size.
    bytes: u64,
}

/// Where the snapshots of a partition lie; the names below begin with the commit.
fn folder(generation: u32, partition: Partition) -> String {
    format!("snapshots/g{generation}/{partition}/")
}

fn manifest_name(folder: &str, number: CommitNumber) -> String {
    format!("{folder}{:020}{MANIFEST}", number.0)
}

/// The snapshots of a partition that count, newest first.
pub(super) async fn numbers(
    blob: &dyn Blob,
    generation: u32,
    partition: Partition,
) -> Result<Vec<CommitNumber>, RestoreError> {
    let folder = folder(generation, partition);
    let names = blob.list(&folder).await.map_err(snapshot_error)?;
    Ok(manifests(&folder, &names))
}

fn manifests(folder: &str, names: &[String]) -> Vec<CommitNumber> {
    let number = |name: &String| name.strip_prefix(folder)?.strip_suffix(MANIFEST)?.parse().ok();
    let mut numbers: Vec<_> = names.iter().filter_map(number).map(CommitNumber).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers
}

/// Writes a snapshot, reads it back, creates its manifest, and removes what is older than the newest two. Answers
/// those that count now.
pub(super) async fn take(
    blob: &dyn Blob,
    generation: u32,
    partition: Partition,
    view: &dyn StateView,
) -> Result<Vec<CommitNumber>, RestoreError> {
    let (folder, number) = (folder(generation, partition), view.applied()?);
    let (mut pieces, mut rows, mut from) = (Vec::new(), 0, Some(vec![keys::ROWS]));
    while let Some(start) = from {
        let (content, piece_rows, next) = encode(view, &start)?;
        pieces.push(write_piece(blob, &folder, number, pieces.len(), content).await?);
        rows += piece_rows;
        from = next;
    }
    let manifest = Manifest { number, pieces, rows };
    let json =
        serde_json::to_vec_pretty(&manifest).map_err(|error| RestoreError::Snapshot(error.to_string()))?;
    blob.create(&manifest_name(&folder, number), Bytes::from(json)).await.map_err(snapshot_error)?;
    sweep(blob, &folder).await
}

/// Removes what is older than the snapshots that are kept, manifests first: without one its pieces are nothing.
async fn sweep(blob: &dyn Blob, folder: &str) -> Result<Vec<CommitNumber>, RestoreError> {
    let names = blob.list(folder).await.map_err(snapshot_error)?;
    let mut kept = manifests(folder, &names);
    kept.truncate(KEPT);
    let Some(oldest) = kept.get(KEPT - 1) else { return Ok(kept) };
    let is_older = |name: &&String| name.as_str() < format!("{folder}{:020}", oldest.0).as_str();
    let (manifests, pieces): (Vec<_>, Vec<_>) =
        names.iter().filter(is_older).partition(|name| name.ends_with(MANIFEST));
    for name in manifests.into_iter().chain(pieces) {
        blob.remove(name).await.map_err(snapshot_error)?;
    }
    Ok(kept)
}

/// Writes one piece; it counts only when it reads back as it was written.
async fn write_piece(
    blob: &dyn Blob,
    folder: &str,
    number: CommitNumber,
    index: usize,
    content: Bytes,
) -> Result<Piece, RestoreError> {
    let sha256 = hex_sha256(&content);
    let name = format!("{folder}{:020}-{index:05}-{}", number.0, sha256.get(..16).unwrap_or_default());
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

/// Fills an empty store from the newest snapshot whose hashes agree; answers its commit, none without snapshots.
///
/// Snapshots that cannot be used lose their manifests: the log must not be cut on the strength of them.
pub(super) async fn restore(
    blob: &dyn Blob,
    generation: u32,
    partition: Partition,
    store: &Arc<dyn PartitionState>,
) -> Result<Option<CommitNumber>, RestoreError> {
    let (folder, mut unusable) = (folder(generation, partition), Vec::new());
    for number in numbers(blob, generation, partition).await? {
        let name = manifest_name(&folder, number);
        let usable = match read_manifest(blob, &name).await? {
            Ok(manifest) => what_is_wrong(blob, &manifest).await?.map_or(Ok(manifest), Err),
            Err(why) => Err(why),
        };
        match usable {
            Err(why) => {
                tracing::error!(partition = partition.0, commit = number.0, why, "a snapshot cannot be used");
                unusable.push(name);
            }
            Ok(manifest) => {
                fill_from(blob, store, &manifest).await?;
                for name in unusable {
                    blob.remove(&name).await.map_err(snapshot_error)?;
                }
                return Ok(Some(number));
            }
        }
    }
    Ok(None)
}

/// What a manifest says, or why it cannot be used. A blob store that is away is an error: it says nothing of it.
async fn read_manifest(blob: &dyn Blob, name: &str) -> Result<Result<Manifest, String>, RestoreError> {
    match blob.read(name).await {
        Ok(Some(json)) => Ok(serde_json::from_slice(&json).map_err(|error| format!("{name}: {error}"))),
        Ok(None) => Ok(Err(format!("{name} is missing"))),
        Err(BlobError::Damaged { why, .. }) => Ok(Err(format!("{name}: {why}"))),
        Err(error) => Err(snapshot_error(error)),
    }
}

/// Why a snapshot cannot be used, if so. A blob store that is away is an error: it says nothing of the snapshot.
async fn what_is_wrong(blob: &dyn Blob, manifest: &Manifest) -> Result<Option<String>, RestoreError> {
    for piece in &manifest.pieces {
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
    manifest: &Manifest,
) -> Result<(), RestoreError> {
    let pieces = if sabotage::on(Bug::HalfSnapshot) { &[][..] } else { &manifest.pieces };
    for piece in pieces {
        let content = blob.read(&piece.blob).await.map_err(snapshot_error)?;
        fill(&content.unwrap_or_default(), store)?;
    }
    // The marker moves only with everything in place: a restore that was cut short starts again.
    Ok(store.apply(&[], manifest.number)?)
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
