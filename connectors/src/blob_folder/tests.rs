//! The suite, and what becomes of harm done to the files.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;

use super::FolderBlob;
use crate::conformance::blob::suite;
use crate::contract::blob::{Blob, BlobError, Created};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let root = tempfile::tempdir().unwrap();
    let one = FolderBlob::open(root.path().join("blobs")).unwrap();
    let two = FolderBlob::open(root.path().join("blobs")).unwrap();
    suite(Arc::new(one), Arc::new(two)).await;
    assert!(fs::read_dir(root.path().join("blobs/~new")).unwrap().next().is_none(), "nothing half-written");
}

#[tokio::test]
async fn an_object_is_a_plain_file_and_harm_to_it_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let blob = FolderBlob::open(root.path()).unwrap();
    blob.create("rec/a.mp3", Bytes::from_static(b"ID3 sound")).await.unwrap();
    let path = root.path().join("rec/a.mp3");
    assert_eq!(fs::read(&path).unwrap(), b"ID3 sound", "any player opens it");

    for harm in [&b"ID3 sounD"[..], b"ID3 soun", b"ID3 sound ", b""] {
        fs::write(&path, harm).unwrap();
        let found = blob.read("rec/a.mp3").await;
        assert!(matches!(&found, Err(BlobError::Damaged { name, .. }) if name == "rec/a.mp3"), "{found:?}");
    }
    blob.replace("rec/a.mp3", Bytes::from_static(b"again")).await.unwrap();
    assert_eq!(blob.read("rec/a.mp3").await.unwrap().unwrap(), "again");
    blob.remove("rec/a.mp3").await.unwrap();
    assert_eq!(blob.create("rec/a.mp3", Bytes::from_static(b"new")).await.unwrap(), Created::New);
}

#[tokio::test]
async fn replacing_and_removing_leave_no_witness_behind() {
    let root = tempfile::tempdir().unwrap();
    let blob = FolderBlob::open(root.path()).unwrap();
    for content in ["1", "2", "2", "3"] {
        blob.replace("m", Bytes::from_static(content.as_bytes())).await.unwrap();
        let of_m = |entry: fs::DirEntry| entry.file_name().to_str().unwrap().starts_with("m~");
        let witnesses = fs::read_dir(root.path()).unwrap().flatten().filter(|_| true).map(of_m);
        assert_eq!(witnesses.filter(|found| *found).count(), 1);
    }
    blob.remove("m").await.unwrap();
    let mut left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["~lock", "~new"]);
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_swept_at_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    drop(FolderBlob::open(root.path()).unwrap());
    fs::write(root.path().join("~new/1-0"), b"half").unwrap();
    let blob = FolderBlob::open(root.path()).unwrap();
    assert!(!root.path().join("~new/1-0").exists());
    assert!(blob.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_object_cannot_stand_where_a_folder_is() {
    let root = tempfile::tempdir().unwrap();
    let blob = FolderBlob::open(root.path()).unwrap();
    blob.create("a/b", Bytes::from_static(b"1")).await.unwrap();
    let below = blob.create("a/b/c", Bytes::from_static(b"2")).await.unwrap_err();
    assert!(below.to_string().contains("stands in its way"), "{below}");
    assert_eq!(blob.read("a").await.unwrap(), None);
}
