//! The suite, and what the key file must and must not be.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::{FileSecrets, KeyFileError};
use crate::conformance::secrets::suite;
use crate::contract::secrets::Secrets;

#[test]
fn it_passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    suite(&FileSecrets::open(&folder.path().join("secret.key")).unwrap());
}

#[test]
fn the_key_file_is_made_once_for_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/secret.key");
    let all: Vec<FileSecrets> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| FileSecrets::open(&path).unwrap())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&path).unwrap().len(), 32);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    let sealed = all[0].seal("t/c", b"secret").unwrap();
    for other in &all {
        assert_eq!(other.open("t/c", &sealed).unwrap(), b"secret", "all starts agree on one key");
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    FileSecrets::open(&path).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = FileSecrets::open(&path).map(|_| ()).unwrap_err();
        assert!(matches!(error, KeyFileError::Permissions { .. }));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    FileSecrets::open(&path).unwrap();
}

#[test]
fn a_file_that_is_no_key_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    for length in [0, 31, 33, 32 * 65] {
        fs::write(&path, vec![1; length]).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(FileSecrets::open(&path), Err(KeyFileError::Unusable { .. })), "{length} bytes");
    }
    assert!(FileSecrets::open(folder.path()).is_err());
}

#[test]
fn a_rotated_key_seals_and_the_old_one_still_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret.key");
    let old = FileSecrets::open(&path).unwrap();
    let before = old.seal("t/c", b"secret").unwrap();
    let new = FileSecrets::rotate(&path).unwrap();
    let after = new.seal("t/c", b"secret").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(before.0.split(':').nth(1), after.0.split(':').nth(1));
    for secrets in [new, FileSecrets::open(&path).unwrap()] {
        assert_eq!(secrets.open("t/c", &before).unwrap(), b"secret");
        assert_eq!(secrets.open("t/c", &after).unwrap(), b"secret");
    }
    let why = old.open("t/c", &after).unwrap_err();
    assert!(why.to_string().contains("not in the key file"), "{why}");
}

#[test]
fn keys_for_other_purposes_are_the_same_at_each_start_and_follow_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let first = FileSecrets::open(&path).unwrap().derived("links");
    assert_eq!(FileSecrets::open(&path).unwrap().derived("links"), first);
    assert_ne!(FileSecrets::open(&path).unwrap().derived("other"), first);
    let rotated = FileSecrets::rotate(&path).unwrap().derived("links");
    assert_eq!((rotated.len(), rotated[0]), (2, first[0]));
}
