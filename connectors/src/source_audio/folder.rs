//! A watched folder: `{folder}/{tenant}/{any name}`.
//!
//! A file is taken when two looks in a row have found it the same and it is some seconds old: whoever copies one in
//! is done then. It is stored, told of, and only then removed; a crash in between does that again under the same id.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
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
/// Files that one look takes: the rest is for the next.
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
        Ok(Self { root, blob, intake, clock, before: BTreeMap::new() })
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
        let settled = |path: &PathBuf, file: &Found| {
            self.before.get(path) == Some(file) && now.since(file.changed()) >= SETTLED_MS
        };
        let ready: Vec<_> = found.iter().filter(|(path, file)| settled(path, file)).take(FILES_MAX).collect();
        let mut taken = 0;
        for (path, file) in ready {
            match self.take(path, *file).await {
                Ok(true) => taken += 1,
                Ok(false) => {}
                Err(error) => tracing::warn!(file = %path.display(), error, "a recording was not taken"),
            }
        }
        self.before = found;
        taken
    }

    /// Takes one file; false when its tenant is not known (yet).
    async fn take(&self, path: &Path, file: Found) -> Result<bool, String> {
        let settings = self.intake.settings();
        let name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let tenant: Option<&Arc<Tenant>> = TenantId::new(name).ok().and_then(|id| settings.tenant(&id));
        let Some(tenant) = tenant else { return Ok(false) };
        if file.bytes > RECORDING_BYTES_MAX {
            return Err(format!("it has {} bytes, and at most {RECORDING_BYTES_MAX} are kept", file.bytes));
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
        std::fs::remove_file(path).map_err(|error| format!("it was taken and cannot be removed: {error}"))?;
        metrics::counter!("leadline_audio_files_total").increment(1);
        Ok(true)
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
