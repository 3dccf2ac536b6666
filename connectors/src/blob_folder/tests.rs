//! The suite, and what becomes of harm done to the files.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;

use futures_util::StreamExt;
use leadline_schemas::Millis;

use super::{FolderBlob, LinkSigner};
use crate::conformance::blob::suite;
use crate::contract::blob::{About, Blob, BlobError, Created};

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
        let witnesses = fs::read_dir(root.path()).unwrap().flatten().map(of_m);
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
async fn a_start_leaves_what_another_process_is_writing() {
    let root = tempfile::tempdir().unwrap();
    let writer = FolderBlob::open(root.path()).unwrap();
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let content = futures_util::stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|piece| (Ok(piece), receive))
    });
    let creating =
        tokio::spawn(async move { writer.create_from("a", About::default(), Box::pin(content)).await });
    // More than is gathered, so that some of it is in the file once there is room for the next.
    for _ in 0..4 {
        send.send(Bytes::from(vec![7; 200_000])).await.unwrap();
    }
    let beside = FolderBlob::open(root.path()).unwrap();
    drop(send);
    assert_eq!(creating.await.unwrap().unwrap().0, Created::New);
    assert_eq!(beside.read("a").await.unwrap().unwrap().len(), 800_000);
}

#[tokio::test]
async fn harm_to_an_object_shows_in_its_stream() {
    let root = tempfile::tempdir().unwrap();
    let blob = FolderBlob::open(root.path()).unwrap();
    blob.create("a", Bytes::from(vec![1; 600_000])).await.unwrap();
    let mut harmed = vec![1; 600_000];
    harmed[599_999] = 2;
    fs::write(root.path().join("a"), &harmed).unwrap();
    let pieces: Vec<_> = blob.open("a", None).await.unwrap().unwrap().stream.collect().await;
    assert!(matches!(pieces.last(), Some(Err(BlobError::Damaged { .. }))), "{} pieces", pieces.len());
    fs::write(root.path().join("a"), &harmed[1..]).unwrap();
    assert!(matches!(blob.open("a", None).await, Err(BlobError::Damaged { .. })));
    assert!(matches!(blob.stat("a").await, Err(BlobError::Damaged { .. })));
}

#[tokio::test]
async fn links_need_a_signer() {
    let root = tempfile::tempdir().unwrap();
    let blob = FolderBlob::open(root.path()).unwrap();
    assert!(matches!(blob.link("a", Millis(0)).await, Err(BlobError::Unavailable(_))));
    let signing = blob.with_links(LinkSigner::new(&[[1; 32]], ""));
    assert!(signing.link("a", Millis(9_000)).await.unwrap().starts_with("/v1/blobs/a?expires=9&signature="));
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
