//! The suite, and the faults that only this store can be told to have.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::conformance::blob::suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let blob = MemoryBlob::new();
    suite(Arc::new(blob.clone()), Arc::new(blob)).await;
}

#[tokio::test]
async fn it_is_away_for_as_long_as_it_was_told_and_a_refused_call_changes_nothing() {
    let blob = MemoryBlob::new();
    blob.refuse(1, 2);
    let content = Bytes::from_static(b"content");
    assert_eq!(blob.create("a", content.clone()).await, Ok(Created::New));
    for name in ["b", "c"] {
        assert!(matches!(blob.create(name, content.clone()).await, Err(BlobError::Unavailable(_))));
    }
    assert_eq!(blob.list("").await, Ok(vec!["a".to_owned()]));
    blob.refuse(0, 9);
    assert!(blob.read("a").await.is_err());
    blob.heal();
    assert_eq!(blob.read("a").await, Ok(Some(content)));
    assert!(blob.damage("a") && !blob.damage("b"));
    assert_ne!(blob.read("a").await.unwrap().unwrap(), "content");
}
