//! Where recordings lie while a command hears them.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;

use crate::contract::blob::Content;
use crate::contract::provider::CallError;
use crate::speech::not_read;

/// A folder that only its owner may look into.
pub(super) struct Scratch {
    folder: PathBuf,
    count: AtomicU64,
}

/// A file that goes when it is not needed any more.
pub(super) struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // What cannot be removed now goes at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl std::ops::Deref for Passing {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Scratch {
    /// Makes the folder, or empties it.
    pub(super) fn open(folder: &Path) -> std::io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for left in std::fs::read_dir(folder)? {
            std::fs::remove_file(left?.path())?;
        }
        // A command may have another working folder.
        Ok(Self { folder: folder.canonicalize()?, count: AtomicU64::new(0) })
    }

    /// Brings a recording there.
    pub(super) async fn store(&self, mut content: Content, extension: &str) -> Result<Passing, CallError> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number}.{extension}"));
        let failed = |error: std::io::Error| CallError::Retry {
            after: None,
            why: format!("the recording could not be put into a file: {error}"),
        };
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).await;
        let (mut file, passing) = (opened.map_err(failed)?, Passing(path));
        while let Some(piece) = content.stream.next().await {
            file.write_all(&piece.map_err(not_read)?).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        Ok(passing)
    }
}
