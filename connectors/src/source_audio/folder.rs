//! A watched folder: `{folder}/{tenant}/{any name}`.
//!
//! A file is taken when two looks in a row have found it the same and it is some seconds old: whoever copies one in
//! is done then. It is stored, told of, and only then removed; a crash in between does that again under the same id.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use leadline_schemas::settings::Tenant;
use leadline_schemas::{EventId, Millis, TenantId};

use super::event;
use crate::contract::blob::{About, Blob, BlobError, BlobStream};
use crate::contract::clock::Clock;
use crate::contract::source::Intake;
use crate::provider_recording::{RECORDING_BYTES_MAX, recording_name};

/// A file that changed more recently may still be growing.
const SETTLED_MS: i64 = 5_000;
/// Files that one look tries: the next one goes on behind them.
const FILES_MAX: usize = 32;
/// What is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// How a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    bytes: u64,
    changed_ns: i128,
    inode: u64,
}

impl From<&Metadata> for Found {
    fn from(metadata: &Metadata) -> Self {
        let changed_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Self { bytes: metadata.len(), changed_ns, inode: metadata.ino() }
    }
}

impl Found {
    fn changed(&self) -> Millis {
        Millis(i64::try_from(self.changed_ns / 1_000_000).unwrap_or(0))
    }
}

/// Takes what is put into a folder.
pub struct AudioFolder {
    root: PathBuf,
    blob: Arc<dyn Blob>,
    intake: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    /// What the last look has found and not taken.
    before: BTreeMap<PathBuf, Found>,
    /// The last file that was tried: what cannot be taken does not keep what is behind it.
    last: PathBuf,
    /// Files that are not taken as they are: told of once, and let alone until they change.
    refused: BTreeMap<PathBuf, Found>,
    /// Folders of tenants that are not known, told of once.
    strangers: BTreeSet<PathBuf>,
}

/// What became of a file.
enum Taken {
    /// It is stored, told of and gone.
    Yes,
    /// Nothing, for its tenant is not known (yet).
    NoTenant,
    /// Nothing, or it stays where it is, and trying again would change nothing.
    Refused(String),
}

impl AudioFolder {
    /// Watches this folder, which it makes where there is none.
    pub fn open(
        root: PathBuf,
        blob: Arc<dyn Blob>,
        intake: Arc<dyn Intake>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self {
            root,
            blob,
            intake,
            clock,
            before: BTreeMap::new(),
            last: PathBuf::new(),
            refused: BTreeMap::new(),
            strangers: BTreeSet::new(),
        })
    }

    /// Looks once; answers how many files were taken. What could not be is told in the log and looked at again.
    pub async fn look(&mut self) -> usize {
        let (root, now) = (self.root.clone(), self.clock.wall());
        let found = tokio::task::spawn_blocking(move || files(&root)).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(folder = %self.root.display(), %error, "the watched folder cannot be read");
                return 0;
            }
            Err(_) => return 0,
        };
        self.refused.retain(|path, file| found.get(path) == Some(file));
        self.strangers.retain(|folder| found.keys().any(|path| path.parent() == Some(folder)));
        let (mut tried, mut taken) = (0, 0);
        for (path, file) in self.ready(&found, now) {
            if tried == FILES_MAX {
                break;
            }
            match self.take(&path, file).await {
                Ok(Taken::NoTenant) => {
                    self.tell_of_stranger(&path);
                    continue;
                }
                Ok(Taken::Yes) => taken += 1,
                Ok(Taken::Refused(why)) => {
                    tracing::warn!(file = %path.display(), why, "a recording stays in the watched folder");
                    self.refused.insert(path.clone(), file);
                }
                Err(error) => tracing::warn!(file = %path.display(), error, "a recording was not taken"),
            }
            tried += 1;
            self.last = path;
        }
        self.before = found;
        taken
    }

    /// Files that nobody writes to any more, those behind the last one that was tried first.
    fn ready(&self, found: &BTreeMap<PathBuf, Found>, now: Millis) -> Vec<(PathBuf, Found)> {
        let behind = (Bound::Excluded(&self.last), Bound::Unbounded);
        let up_to = (Bound::Unbounded, Bound::Included(&self.last));
        let in_turn = found.range::<PathBuf, _>(behind).chain(found.range::<PathBuf, _>(up_to));
        in_turn
            .filter(|(path, file)| self.before.get(*path) == Some(file) && !self.refused.contains_key(*path))
            .filter(|(_, file)| now.since(file.changed()) >= SETTLED_MS)
            .map(|(path, file)| (path.clone(), *file))
            .collect()
    }

    fn tell_of_stranger(&mut self, path: &Path) {
        let folder = path.parent().unwrap_or(path).to_owned();
        if !self.strangers.contains(&folder) {
            tracing::warn!(
                folder = %folder.display(),
                "there are recordings in the folder of a tenant that is not known: name it like one of `leadline tenant list`"
            );
            self.strangers.insert(folder);
        }
    }

    /// Takes one file; an `Err` may pass.
    async fn take(&self, path: &Path, file: Found) -> Result<Taken, String> {
        let settings = self.intake.settings();
        let name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let tenant: Option<&Arc<Tenant>> = TenantId::new(name).ok().and_then(|id| settings.tenant(&id));
        let Some(tenant) = tenant else { return Ok(Taken::NoTenant) };
        if file.bytes == 0 {
            return Ok(Taken::Refused("it is empty".to_owned()));
        }
        if file.bytes > RECORDING_BYTES_MAX {
            let why = format!("it has {} bytes, and at most {RECORDING_BYTES_MAX} are kept", file.bytes);
            return Ok(Taken::Refused(why));
        }
        let id = id_of(tenant, path, file);
        let blob = recording_name(&tenant.tenant, file.changed(), &id.to_string());
        let about = About { content_type: media_type(path).to_owned(), custom_time: Some(file.changed()) };
        let stored = self.blob.create_from(&blob, about, pieces(path.to_owned())).await;
        let (_, stat) = stored.map_err(|error| error.to_string())?;
        if stat.bytes != file.bytes {
            return Err(format!("it changed while it was read; {blob} has what it was"));
        }
        let now = (settings.version, self.clock.wall());
        let accepted = self.intake.accept(event(tenant, now, id, &blob, file.changed())).await;
        accepted.map_err(|error| error.to_string())?;
        metrics::counter!("leadline_audio_files_total").increment(1);
        Ok(match std::fs::remove_file(path) {
            Ok(()) => Taken::Yes,
            Err(error) => Taken::Refused(format!("it was taken and cannot be removed: {error}")),
        })
    }
}

/// The same for the same file, whenever it is looked at.
fn id_of(tenant: &Tenant, path: &Path, file: Found) -> EventId {
    let name = path.file_name().unwrap_or_default();
    let parts: [&[u8]; 5] = [
        tenant.tenant.as_str().as_bytes(),
        b"audio file",
        name.as_encoded_bytes(),
        &file.bytes.to_be_bytes(),
        &file.changed_ns.to_be_bytes(),
    ];
    EventId::of(&parts)
}

/// By the file's extension; what is in it is found out by listening.
fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "m4a" | "mp4" => "audio/mp4",
        _ => "application/octet-stream",
    }
}

/// Plain files two levels down; hidden ones, which copying programs write to, are none.
fn files(root: &Path) -> io::Result<BTreeMap<PathBuf, Found>> {
    let mut found = BTreeMap::new();
    for tenant in std::fs::read_dir(root)? {
        let tenant = tenant?;
        if !tenant.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(tenant.path())? {
            let file = file?;
            let is_hidden = file.file_name().as_encoded_bytes().starts_with(b".");
            if is_hidden || !file.file_type()?.is_file() {
                continue;
            }
            // One that is gone by now was somebody else's.
            if let Ok(metadata) = file.metadata() {
                found.insert(file.path(), Found::from(&metadata));
            }
        }
    }
    Ok(found)
}

/// A file's bytes, read on blocking threads.
fn pieces(path: PathBuf) -> BlobStream {
    let broken = |error: io::Error| BlobError::Source(format!("it cannot be read: {error}"));
    let next = move |file: Option<File>| {
        let path = path.clone();
        async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut file = match file {
                    Some(file) => file,
                    None => File::open(path)?,
                };
                let mut piece = BytesMut::zeroed(PIECE_BYTES);
                let read = file.read(&mut piece)?;
                piece.truncate(read);
                Ok((piece.freeze(), file))
            });
            let (piece, file): (Bytes, File) =
                read.await.map_err(io::Error::other).flatten().map_err(broken)?;
            Ok((!piece.is_empty()).then_some((piece, Some(file))))
        }
    };
    Box::pin(stream::try_unfold(None, next))
}
