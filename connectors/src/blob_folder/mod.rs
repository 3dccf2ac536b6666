//! Blobs in a folder: each object is a plain file under its own name, so that a recording plays and a snapshot can
//! be copied with any tool.
//!
//! Beside `name` lies an empty file `name~<crc32c>-<bytes>`; `~` is no character of a blob name. It is placed, and
//! durable, before the object is, so an object without its witness is a damaged one. Two more names are ours:
//! `~new/` for what is being written, `~lock` against replacing and removing at once.

mod name;
mod place;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::contract::BoxFuture;
use crate::contract::blob::{Blob, BlobError, Created};
pub(crate) use name::checked;
use place::Folder;

/// A folder of objects. Several processes may use it at once. Needs a tokio runtime: all file work is done on its
/// blocking threads.
#[derive(Clone)]
pub struct FolderBlob {
    folder: Arc<Folder>,
}

impl FolderBlob {
    /// Opens the folder, and makes it when there is none. What a crash left half-written is removed, unless another
    /// process is at work there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let root = root.into();
        let folder = Folder::open(root.clone())
            .map_err(|error| BlobError::Unavailable(format!("{}: {error}", root.display())))?;
        Ok(Self { folder: Arc::new(folder) })
    }

    fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Folder, &str) -> Result<T, Trouble> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, BlobError>> {
        let (folder, name) = (Arc::clone(&self.folder), name.to_owned());
        Box::pin(async move {
            let answer = tokio::task::spawn_blocking(move || work(&folder, &name).map_err(|t| t.of(&name)));
            answer.await.unwrap_or_else(|error| Err(BlobError::Unavailable(error.to_string())))
        })
    }
}

/// What went wrong with one object, before its name is said.
enum Trouble {
    Name,
    Damaged(String),
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Trouble {
    fn of(self, name: &str) -> BlobError {
        match self {
            Self::Name => BlobError::Name(name.to_owned()),
            Self::Damaged(why) => BlobError::Damaged { name: name.to_owned(), why },
            // `a` and `a/b` cannot both be: a folder has no place for the second.
            Self::Io(error)
                if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory) =>
            {
                BlobError::Unavailable(format!("{name}: another object stands in its way ({error})"))
            }
            Self::Io(error) => BlobError::Unavailable(format!("{name}: {error}")),
        }
    }
}

impl Blob for FolderBlob {
    fn create(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<Created, BlobError>> {
        self.run(name, move |folder, name| Ok(folder.create(checked(name).ok_or(Trouble::Name)?, &content)?))
    }

    fn replace(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        self.run(name, move |folder, name| Ok(folder.replace(checked(name).ok_or(Trouble::Name)?, &content)?))
    }

    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, BlobError>> {
        self.run(name, |folder, name| folder.read(checked(name).ok_or(Trouble::Name)?))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        self.run(prefix, |folder, prefix| Ok(folder.list(prefix)?))
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        self.run(name, |folder, name| Ok(folder.remove(checked(name).ok_or(Trouble::Name)?)?))
    }
}
