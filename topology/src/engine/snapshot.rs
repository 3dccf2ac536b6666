//! Snapshots: a partition's sorted rows in [chunks](super::chunks) in the blob store, and a manifest with their hashes
//! that is created last.
//!
//! A snapshot holds the rows and the records of the compacted topics of one instant; indexes are derived again on
//! restore. Chunks that the one before last has as well are not written again: the newest and the one to fall back to
//! have none in common. It counts only after every new chunk was
//! read back and its hash agreed, and every shared one that this process has not seen yet, and some of the others each
//! time. The two newest are kept.
//!
//! # Several processes
//!
//! Two processes may both believe to own a partition. Nothing is ever replaced: each snapshot has a manifest of its
//! own, named after its commit, below the generation of its layout, and new chunks begin with that commit too, so a
//! zombie cannot write the owner's away. A process shares chunks with a snapshot on its own [`Shelf`] only: one that it
//! found when it came to own the partition, or its own. The fence is the commit number, in which a zombie cannot get
//! ahead of the owner: a manifest that is older than the newest on the shelf, and not on it, is a zombie's and is removed,
//! and chunks of commits to come are let alone. A chunk that no manifest names goes at the second sweep that finds it so:
//! one that is being taken may still name it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::contract::blob::{Blob, BlobError};
use leadline_connectors::contract::state::{PartitionState, StateView};
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::{CommitNumber, Partition};
use serde::{Deserialize, Serialize};

use super::chunks::{self, hex_sha256};
use super::restore::RestoreError;

/// How many snapshots of a partition are kept: the newest, and one to fall back to.
const KEPT: usize = 2;
/// One in so many shared chunks is read back with each snapshot, others each time.
const CHECKED_EVERY: u64 = 8;
/// How the names of manifests end.
const MANIFEST: &str = ".json";

/// One snapshot: what its manifest says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// The last commit in it.
    number: CommitNumber,
    /// Its chunks, in the order of their keys.
    pieces: Vec<Piece>,
    /// Rows in it.
    rows: u64,
}

/// A chunk of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    /// Its blob.
    blob: String,
    /// SHA-256 of the blob, hex.
    sha256: String,
    /// Its size.
    bytes: u64,
}

/// The snapshots of a partition that its owner knows.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Newest first, at most [`KEPT`].
    kept: Vec<Manifest>,
    /// Chunks of these that this process has read and found as they should be.
    sound: BTreeSet<String>,
    /// How many were taken: which chunks are read back although they were sound.
    taken: u64,
    /// Chunks that no manifest named at the last sweep.
    garbage: BTreeSet<String>,
}

impl Shelf {
    /// Looks up what is there, as a partition comes.
    pub(super) async fn find(
        blob: &dyn Blob,
        generation: u32,
        partition: Partition,
    ) -> Result<Self, RestoreError> {
        let folder = folder(generation, partition);
        let mut shelf = Self::default();
        for number in numbers(blob, &folder).await? {
            match read_manifest(blob, &manifest_name(&folder, number)).await? {
                Ok(manifest) => shelf.kept.push(manifest),
                Err(why) => tracing::error!(why, "a snapshot does not count: its manifest cannot be read"),
            }
        }
        shelf.kept.truncate(KEPT);
        Ok(shelf)
    }

    /// The commits of the snapshots that count, newest first.
    pub(super) fn numbers(&self) -> Vec<CommitNumber> {
        self.kept.iter().map(|manifest| manifest.number).collect()
    }

    /// A chunk that the next snapshot may share: of the one before last, so that one blob that goes bad never costs
    /// the newest snapshot and the one to fall back to.
    fn chunk(&self, sha256: &str) -> Option<&Piece> {
        let before_last = self.kept.get(1)?;
        before_last.pieces.iter().find(|piece| piece.sha256 == sha256)
    }

    fn put(&mut self, manifest: Manifest) {
        self.kept.retain(|other| other.number != manifest.number);
        self.kept.push(manifest);
        self.kept.sort_by_key(|manifest| std::cmp::Reverse(manifest.number));
        self.kept.truncate(KEPT);
        let named: BTreeSet<&String> =
            self.kept.iter().flat_map(|manifest| &manifest.pieces).map(|piece| &piece.blob).collect();
        self.sound.retain(|blob| named.contains(blob));
    }
}

/// Where the snapshots of a partition lie; the names below begin with the commit.
fn folder(generation: u32, partition: Partition) -> String {
    format!("snapshots/g{generation}/{partition}/")
}

fn manifest_name(folder: &str, number: CommitNumber) -> String {
    format!("{folder}{:020}{MANIFEST}", number.0)
}

/// Rows and bytes of a partition's newest snapshot; none without one.
pub async fn newest_size(
    blob: &dyn Blob,
    generation: u32,
    partition: Partition,
) -> Result<Option<(u64, u64)>, RestoreError> {
    let shelf = Shelf::find(blob, generation, partition).await?;
    let size = |manifest: &Manifest| (manifest.rows, manifest.pieces.iter().map(|piece| piece.bytes).sum());
    Ok(shelf.kept.first().map(size))
}

/// The commits of the snapshots in a folder, newest first.
async fn numbers(blob: &dyn Blob, folder: &str) -> Result<Vec<CommitNumber>, RestoreError> {
    let names = blob.list(folder).await.map_err(snapshot_error)?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| number_of(folder, name)).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    Ok(numbers)
}

/// The commit of a manifest; none for chunks.
fn number_of(folder: &str, name: &str) -> Option<CommitNumber> {
    name.strip_prefix(folder)?.strip_suffix(MANIFEST)?.parse().ok().map(CommitNumber)
}

/// Writes a snapshot, reads its new chunks back, creates its manifest, puts it on the shelf, and removes what is not
/// needed any more.
pub(super) async fn take(
    blob: &dyn Blob,
    generation: u32,
    partition: Partition,
    view: &dyn StateView,
    shelf: &mut Shelf,
) -> Result<(), RestoreError> {
    let (folder, number) = (folder(generation, partition), view.applied()?);
    let mut manifest = Manifest { number, pieces: Vec::new(), rows: 0 };
    let mut from = Some(chunks::first());
    while let Some(start) = from {
        let chunk = chunks::cut(view, &start)?;
        let sha256 = hex_sha256(&chunk.content);
        let index = manifest.pieces.len() as u64;
        // Every other snapshot has the same chunks.
        let is_its_turn = index.wrapping_add(shelf.taken / 2).is_multiple_of(CHECKED_EVERY);
        let is_trusted = |piece: &Piece| !is_its_turn && shelf.sound.contains(&piece.blob);
        let piece = match shelf.chunk(&sha256) {
            Some(shared) if is_trusted(shared) || is_sound(blob, shared).await? => shared.clone(),
            _ => write_chunk(blob, &folder, number, sha256, chunk.content).await?,
        };
        shelf.sound.insert(piece.blob.clone());
        manifest.pieces.push(piece);
        manifest.rows += chunk.rows;
        from = chunk.next;
    }
    let json =
        serde_json::to_vec_pretty(&manifest).map_err(|error| RestoreError::Snapshot(error.to_string()))?;
    blob.create(&manifest_name(&folder, number), Bytes::from(json)).await.map_err(snapshot_error)?;
    shelf.put(manifest);
    shelf.taken += 1;
    sweep(blob, &folder, number, shelf).await
}

/// Removes what is not needed behind the snapshot of commit `number`, manifests first: without one its chunks are
/// nothing.
async fn sweep(
    blob: &dyn Blob,
    folder: &str,
    number: CommitNumber,
    shelf: &mut Shelf,
) -> Result<(), RestoreError> {
    let names = blob.list(folder).await.map_err(snapshot_error)?;
    let mut named: BTreeSet<String> = BTreeSet::new();
    named.extend(shelf.kept.iter().flat_map(|manifest| &manifest.pieces).map(|piece| piece.blob.clone()));
    let newest = shelf.kept.first().map_or(number, |manifest| manifest.number);
    for name in &names {
        let Some(other) = number_of(folder, name) else { continue };
        if shelf.kept.iter().any(|manifest| manifest.number == other) {
            continue;
        }
        if other < newest {
            blob.remove(name).await.map_err(snapshot_error)?;
            continue;
        }
        match read_manifest(blob, name).await? {
            Ok(manifest) => named.extend(manifest.pieces.into_iter().map(|piece| piece.blob)),
            // Of a newer owner, and not to be understood: nothing may go on its account.
            Err(_) => return Ok(()),
        }
    }
    let to_come = format!("{folder}{:020}", newest.0.saturating_add(1));
    let is_garbage =
        |name: &&String| number_of(folder, name).is_none() && !named.contains(*name) && **name < to_come;
    let garbage: BTreeSet<String> = names.iter().filter(is_garbage).cloned().collect();
    for name in garbage.intersection(&shelf.garbage) {
        blob.remove(name).await.map_err(snapshot_error)?;
    }
    shelf.garbage = garbage;
    Ok(())
}

/// Writes one chunk; it counts only when it reads back as it was written.
async fn write_chunk(
    blob: &dyn Blob,
    folder: &str,
    number: CommitNumber,
    sha256: String,
    content: Bytes,
) -> Result<Piece, RestoreError> {
    let name = format!("{folder}{:020}-{}", number.0, sha256.get(..32).unwrap_or_default());
    let bytes = content.len() as u64;
    blob.create(&name, content).await.map_err(snapshot_error)?;
    let piece = Piece { blob: name, sha256, bytes };
    match fault_of(blob, &piece).await? {
        None => Ok(piece),
        Some(fault) => Err(RestoreError::Snapshot(format!("a chunk was written and is not there: {fault}"))),
    }
}

/// Whether a chunk that is to be shared is still as it was.
async fn is_sound(blob: &dyn Blob, piece: &Piece) -> Result<bool, RestoreError> {
    let fault = fault_of(blob, piece).await?;
    if let Some(fault) = &fault {
        tracing::error!(fault, "a chunk of a snapshot has gone bad; it is written once more");
    }
    Ok(fault.is_none())
}

/// What is wrong with a chunk, if so. A blob store that is away is an error: it says nothing of the chunk.
async fn fault_of(blob: &dyn Blob, piece: &Piece) -> Result<Option<String>, RestoreError> {
    let name = &piece.blob;
    match blob.read(name).await {
        Ok(Some(content)) if hex_sha256(&content) == piece.sha256 => Ok(None),
        Ok(Some(_)) => Ok(Some(format!("{name} is not what was written"))),
        Ok(None) => Ok(Some(format!("{name} is missing"))),
        Err(BlobError::Damaged { why, .. }) => Ok(Some(format!("{name}: {why}"))),
        Err(error) => Err(snapshot_error(error)),
    }
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
    for number in numbers(blob, &folder).await? {
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

/// Why a snapshot cannot be used, if so.
async fn what_is_wrong(blob: &dyn Blob, manifest: &Manifest) -> Result<Option<String>, RestoreError> {
    for piece in &manifest.pieces {
        if let Some(fault) = fault_of(blob, piece).await? {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}

/// Fills an empty store from a snapshot of which every chunk was checked: half a snapshot is worse than none.
async fn fill_from(
    blob: &dyn Blob,
    store: &Arc<dyn PartitionState>,
    manifest: &Manifest,
) -> Result<(), RestoreError> {
    let pieces = if sabotage::on(Bug::HalfSnapshot) { &[][..] } else { &manifest.pieces };
    for piece in pieces {
        let content = blob.read(&piece.blob).await.map_err(snapshot_error)?;
        chunks::fill(&content.unwrap_or_default(), store)?;
    }
    // The marker moves only with everything in place: a restore that was cut short starts again.
    Ok(store.apply(&[], manifest.number)?)
}

/// Shows every row of one snapshot, each chunk of which must be what was written.
pub(super) async fn each_row(
    blob: &dyn Blob,
    generation: u32,
    partition: Partition,
    number: CommitNumber,
    visit: &mut (dyn FnMut(Bytes, Bytes) -> Result<(), RestoreError> + Send),
) -> Result<(), RestoreError> {
    let name = manifest_name(&folder(generation, partition), number);
    let manifest = read_manifest(blob, &name).await?.map_err(RestoreError::Snapshot)?;
    for piece in &manifest.pieces {
        let content = blob.read(&piece.blob).await.map_err(snapshot_error)?;
        let content = content.filter(|content| hex_sha256(content) == piece.sha256).ok_or_else(|| {
            RestoreError::Snapshot(format!("{} is not what was written; restore the blob store", piece.blob))
        })?;
        chunks::each_row(&content, &mut *visit)?;
    }
    Ok(())
}

fn snapshot_error(error: BlobError) -> RestoreError {
    RestoreError::Snapshot(error.to_string())
}
