//! Blob: large immutable objects by name (recordings, large bodies, snapshots).
//!
//! What fits in memory goes in and out whole; what may not, a recording, goes both ways as a stream of pieces. No
//! implementation holds more of a stream than some of its pieces.

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use leadline_schemas::Millis;

use super::BoxFuture;

/// An object's bytes in pieces. An `Err` ends it: what came before it is no object.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// A store of immutable objects. Names are relative paths of `a-z A-Z 0-9 - _ . /`, without empty or dot segments.
pub trait Blob: Send + Sync + 'static {
    /// Creates an object that does not exist yet; durable when it resolves. An existing object of this name is
    /// left as it is and answered with `Exists`: creation is idempotent where names are hashes or ids.
    fn create(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<Created, BlobError>>;

    /// `create` from a stream of any length. What was cut short, by an `Err` of the stream, by a crash or because
    /// the future was dropped, leaves no object. The answer tells of the object that is there now, whoever made it.
    fn create_from(
        &self,
        name: &str,
        about: About,
        content: BlobStream,
    ) -> BoxFuture<'_, Result<(Created, Stat), BlobError>>;

    /// Places an object, replacing one of the same name at once (manifests).
    fn replace(&self, name: &str, content: Bytes) -> BoxFuture<'_, Result<(), BlobError>>;

    /// The whole object, checked against its stored CRC32C; none when there is no such object.
    fn read(&self, name: &str) -> BoxFuture<'_, Result<Option<Bytes>, BlobError>>;

    /// The object as a stream, or those of its bytes that are in `range`; none when there is no such object. A whole
    /// object is checked against its CRC32C, and its stream ends with `Damaged` if that differs.
    fn open(
        &self,
        name: &str,
        range: Option<Range<u64>>,
    ) -> BoxFuture<'_, Result<Option<Content>, BlobError>>;

    /// What is known of an object without reading it; none when there is no such object.
    fn stat(&self, name: &str) -> BoxFuture<'_, Result<Option<Stat>, BlobError>>;

    /// An address under which anybody may GET the object until then, by the wall clock. Not every store looks first
    /// whether there is such an object.
    fn link(&self, name: &str, until: Millis) -> BoxFuture<'_, Result<String, BlobError>>;

    /// The names that start with `prefix`, sorted.
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<String>, BlobError>>;

    /// The first `count_max` of the names that start with `prefix` and sort behind `after`, sorted. Fewer than that
    /// are the last.
    fn list_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> BoxFuture<'_, Result<Vec<String>, BlobError>>;

    /// Removes an object; an absent one is no error.
    fn remove(&self, name: &str) -> BoxFuture<'_, Result<(), BlobError>>;
}

/// What is said of an object beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its media type.
    pub content_type: String,
    /// The time that its retention counts from, where that is not when it was stored: a recording's call.
    pub custom_time: Option<Millis>,
}

impl Default for About {
    fn default() -> Self {
        Self { content_type: "application/octet-stream".to_owned(), custom_time: None }
    }
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its length.
    pub bytes: u64,
    /// CRC32C (Castagnoli) of its bytes.
    pub crc32c: u32,
    /// What was said of it.
    pub about: About,
}

/// An object that is being read.
pub struct Content {
    /// Of the whole object.
    pub stat: Stat,
    /// What of it the stream brings: what was asked for, cut to its length.
    pub range: Range<u64>,
    /// The bytes.
    pub stream: BlobStream,
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
    /// The stream that was to be stored broke off. Only whoever made the stream says so, and hears it again.
    #[error("{0}")]
    Source(String),
    /// Ask again later.
    #[error("blob store: {0}")]
    Unavailable(String),
}

/// The name, when it is one; at most 1,024 bytes, 225 a segment.
pub fn checked_name(name: &str) -> Option<&str> {
    let character = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.len() <= SEGMENT_BYTES_MAX
            && segment.bytes().all(character)
    };
    (name.len() <= NAME_BYTES_MAX && name.split('/').all(segment)).then_some(name)
}

/// The longest segment: a file name has 255 bytes on Linux file systems, of which the folder store's witness takes
/// `~`, 8 hex digits, `-` and up to 20 decimal ones.
pub const SEGMENT_BYTES_MAX: usize = 225;

/// The longest name: what Google Cloud Storage takes; with any sensible root it stays below PATH_MAX (4,096).
const NAME_BYTES_MAX: usize = 1_024;

/// `range`, or everything, cut to an object of this length; never turned around.
pub fn cut(range: Option<Range<u64>>, bytes: u64) -> Range<u64> {
    let Range { start, end } = range.unwrap_or(0..bytes);
    let end = end.min(bytes);
    start.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_store_or_meet_its_own_files() {
        for good in ["a", "rec/2026/CAL1.mp3", ".hidden", "a..b", "A-Z_0.9", &"x".repeat(225)] {
            assert_eq!(checked_name(good), Some(good));
        }
        let long = ["x".repeat(226), "x/".repeat(600)];
        let bad =
            ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a~b", "~lock", "a b", "ü", "a\0b"];
        for bad in bad.into_iter().chain(["a\\b", "a:b"]).chain(long.iter().map(String::as_str)) {
            assert_eq!(checked_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_range_is_cut_to_the_object() {
        assert_eq!(cut(None, 10), 0..10);
        assert_eq!(cut(Some(3..5), 10), 3..5);
        assert_eq!(cut(Some(3..50), 10), 3..10);
        assert_eq!(cut(Some(30..50), 10), 10..10);
        #[expect(clippy::reversed_empty_ranges, reason = "what a client may send")]
        let turned = cut(Some(5..3), 10);
        assert_eq!(turned, 3..3);
    }
}
