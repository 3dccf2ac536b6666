//! The key file: keys of 32 random bytes, one after the other, oldest first, and nothing else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

/// AES-256.
pub(super) const KEY_BYTES: usize = 32;

/// More keys than anybody rotates through; a longer file is another file.
const KEYS_MAX: usize = 64;

/// Permissions of anybody but the owner.
const MODE_OF_OTHERS: u32 = 0o077;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Others could have read it.
    #[error(
        "{path} has mode {mode:03o}, so others can read the key: run `chmod 600 {path}`, and rotate the key if \
         others have had access"
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is not a key file.
    #[error("{path} is not a usable key file: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It could not be read or made.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

pub(super) fn unusable(path: &Path, why: impl Into<String>) -> KeyFileError {
    KeyFileError::Unusable { path: path.to_owned(), why: why.into() }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> KeyFileError + '_ {
    move |source| KeyFileError::Io { path: path.to_owned(), source }
}

/// A key's name in what it has sealed: 8 hex digits of its hash, so the file needs no names.
pub(super) fn key_id(key: &[u8; KEY_BYTES]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key);
    digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The keys of the file, made with a first one when there is none. Two processes that start at once agree on one.
pub(super) fn read_or_create(path: &Path) -> Result<Vec<[u8; KEY_BYTES]>, KeyFileError> {
    match read(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let fresh = write_beside(path, &[random_key(path)?])?;
    // A hard link never replaces: whoever comes second takes the first one's key.
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh).map_err(io_error(path))?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io_error(path)(error)),
        _ => sync_folder(path)?,
    }
    read(path)
}

/// The keys of the file and one more, in the file when this returns.
pub(super) fn add_key(path: &Path) -> Result<Vec<[u8; KEY_BYTES]>, KeyFileError> {
    let mut keys = read(path)?;
    if keys.len() >= KEYS_MAX {
        return Err(unusable(path, format!("it has {KEYS_MAX} keys already")));
    }
    keys.push(random_key(path)?);
    let fresh = write_beside(path, &keys)?;
    fs::rename(&fresh, path).map_err(io_error(path))?;
    sync_folder(path)?;
    Ok(keys)
}

fn read(path: &Path) -> Result<Vec<[u8; KEY_BYTES]>, KeyFileError> {
    let mut file = File::open(path).map_err(io_error(path))?;
    let metadata = file.metadata().map_err(io_error(path))?;
    if !metadata.is_file() {
        return Err(unusable(path, "it is not a plain file"));
    }
    let mode = metadata.mode() & 0o777;
    if mode & MODE_OF_OTHERS != 0 {
        return Err(KeyFileError::Permissions { path: path.to_owned(), mode });
    }
    let bytes_max = KEYS_MAX.saturating_mul(KEY_BYTES);
    let mut bytes = Vec::new();
    (&mut file)
        .take(u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io_error(path))?;
    let (keys, rest) = bytes.as_chunks::<KEY_BYTES>();
    if keys.is_empty() || !rest.is_empty() || keys.len() > KEYS_MAX {
        return Err(unusable(
            path,
            format!("it must be 1 to {KEYS_MAX} times {KEY_BYTES} bytes; restore it from its backup"),
        ));
    }
    Ok(keys.to_vec())
}

fn random_key(path: &Path) -> Result<[u8; KEY_BYTES], KeyFileError> {
    let mut key = [0_u8; KEY_BYTES];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| io_error(path)(io::Error::other("the system has no randomness")))?;
    Ok(key)
}

/// Writes the keys, synced, to a file of its own beside `path`.
fn write_beside(path: &Path, keys: &[[u8; KEY_BYTES]]) -> Result<PathBuf, KeyFileError> {
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error(path))?;
    let name = path.file_name().ok_or_else(|| unusable(path, "it has no file name"))?;
    // Unique without a clock: random, and `create_new` refuses what is there.
    let mut tag = [0_u8; 8];
    SystemRandom::new()
        .fill(&mut tag)
        .map_err(|_| io_error(path)(io::Error::other("the system has no randomness")))?;
    let fresh = folder.join(format!("{}.{:016x}.new", name.to_string_lossy(), u64::from_be_bytes(tag)));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(io_error(&fresh))?;
    file.write_all(keys.as_flattened()).map_err(io_error(&fresh))?;
    file.sync_all().map_err(io_error(&fresh))?;
    Ok(fresh)
}

fn sync_folder(path: &Path) -> Result<(), KeyFileError> {
    File::open(folder_of(path)).and_then(|folder| folder.sync_all()).map_err(io_error(path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
