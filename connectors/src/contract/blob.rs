//! Blob: large immutable objects by name (recordings, large bodies, snapshots).

use bytes::Bytes;

use super::BoxFuture;

/// A store of immutable objects. Names are relative paths of `a-z A-Z 0-9 - _ . /`, without empty or dot segments.
pub trait Blob: Send + Sync + 'static {
    /// Creates an object that does not exist yet; durable when it resolves. An existing object of this name is
    /// left as it is and answered with `Exists`: creation is idempotent where names are hashes or ids.
    fn create(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<Created, BlobError>>;

    /// Places an object, replacing one of the same name at once (manifests).
    fn replace(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<(), BlobError>>;

    /// The whole object, checked against its stored CRC32C; none when there is no such object.
    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, BlobError>>;

    /// The names that start with `prefix`, sorted.
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BlobError>>;

    /// Removes an object; an absent one is no error.
    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>>;
}

/// What `create` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was not there before.
    New,
    /// It was there already.
    Exists,
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The name cannot be one.
    #[error(
        "{0:?} is not a blob name: use letters, digits, '-', '_', '.' and '/' without empty or dot segments"
    )]
    Name(String),
    /// The content is not what was written.
    #[error("blob {name} is damaged: {why}")]
    Damaged {
        /// The object.
        name: String,
        /// What was found.
        why: String,
    },
    /// Ask again later.
    #[error("blob store: {0}")]
    Unavailable(String),
}
