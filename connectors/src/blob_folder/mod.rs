//! Blobs in a folder: each object is a plain file under its own name, so that a recording plays and a snapshot can
//! be copied with any tool.
//!
//! Beside `name` lies a small file `name~<crc32c>-<bytes>`, its witness, that holds what was said of the object; `~`
//! is no character of a blob name. It is placed, and durable, before the object is, so an object without its witness
//! is a damaged one. Two more names are ours: `~new/` for what is being written, `~lock` against replacing and
//! removing at once.

mod fresh;
mod link;
mod name;
mod place;
mod stream;
#[cfg(test)]
mod tests;
mod walk;
mod witness;

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::Millis;

pub use self::link::{LINK_PATH, LINK_PURPOSE, LinkSigner};
use self::place::Folder;
use crate::contract::BoxFuture;
use crate::contract::blob::{About, Blob, BlobError, BlobStream, Content, Created, Stat, checked_name};

/// A folder of objects. Several processes may use it at once. Needs a tokio runtime: all file work is done on its
/// blocking threads.
#[derive(Clone)]
pub struct FolderBlob {
    folder: Arc<Folder>,
    links: Option<LinkSigner>,
}

impl FolderBlob {
    /// Opens the folder, and makes it when there is none. What a crash left half-written is removed.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let root = root.into();
        let folder = Folder::open(root.clone())
            .map_err(|error| BlobError::Unavailable(format!("{}: {error}", root.display())))?;
        Ok(Self { folder: Arc::new(folder), links: None })
    }

    /// The same with links, which somebody has to answer at `LINK_PATH`.
    #[must_use]
    pub fn with_links(mut self, links: LinkSigner) -> Self {
        self.links = Some(links);
        self
    }

    /// Work on an object on a blocking thread.
    fn run<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Folder, &str) -> Result<T, Trouble> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, BlobError>> {
        let (folder, name) = (Arc::clone(&self.folder), name.to_owned());
        Box::pin(async move {
            let object = name.clone();
            blocking(&name, move || work(&folder, checked_name(&object).ok_or(Trouble::Name)?)).await
        })
    }

    fn list_some(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        let (folder, prefix) = (Arc::clone(&self.folder), prefix.to_owned());
        let after = after.map(str::to_owned);
        Box::pin(async move {
            let asked = prefix.clone();
            blocking(&prefix, move || Ok(folder.list(&asked, after.as_deref(), count_max)?)).await
        })
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer.map_err(|trouble| trouble.of(name)),
        Err(error) => Err(BlobError::Unavailable(error.to_string())),
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
        self.run(name, move |folder, name| Ok(folder.create(name, &content)?))
    }

    fn create_from(
        &self,
        name: &str,
        about: About,
        content: BlobStream,
    ) -> BoxFuture<'_, Result<(Created, Stat), BlobError>> {
        let name = name.to_owned();
        Box::pin(async move {
            match self.stat(&name).await? {
                Some(stat) => Ok((Created::Exists, stat)),
                None => self.write_stream(name, about, content).await,
            }
        })
    }

    fn replace(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<(), BlobError>> {
        self.run(name, move |folder, name| Ok(folder.replace(name, &content)?))
    }

    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, BlobError>> {
        self.run(name, Folder::read)
    }

    fn open(
        &self,
        name: &str,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Option<Content>, BlobError>> {
        let opening = self.run(name, move |folder, name| folder.open_object(name, range));
        let name = name.to_owned();
        Box::pin(async move {
            Ok(opening.await?.map(|opened| Content {
                stat: opened.stat.clone(),
                range: opened.range.clone(),
                stream: stream::read_stream(name, opened),
            }))
        })
    }

    fn stat(&self, name: &str) -> BoxFuture<'_, Result<Option<Stat>, BlobError>> {
        self.run(name, |folder, name| Ok(folder.open_object(name, None)?.map(|opened| opened.stat)))
    }

    fn link(&self, name: &str, until: Millis) -> BoxFuture<'_, Result<String, BlobError>> {
        let link = match (checked_name(name), &self.links) {
            (None, _) => Err(BlobError::Name(name.to_owned())),
            (Some(name), Some(links)) => links
                .link(name, until)
                .ok_or_else(|| BlobError::Unavailable("there is no key to sign links with".to_owned())),
            (Some(_), None) => Err(BlobError::Unavailable("this process signs no links".to_owned())),
        };
        Box::pin(std::future::ready(link))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        self.list_some(prefix, None, usize::MAX)
    }

    fn list_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, BlobError>> {
        self.list_some(prefix, after, count_max)
    }

    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>> {
        self.run(name, |folder, name| Ok(folder.remove(name)?))
    }
}
