//! What every [`Blob`] promises.

mod streams;

use std::sync::Arc;

use bytes::Bytes;

use super::Seeded;
use crate::contract::blob::{Blob, BlobError, Created};

/// Runs the suite; `another` opens the same store once more, as a second process would.
pub async fn suite(blob: Arc<dyn Blob>, another: Arc<dyn Blob>) {
    an_object_is_created_once_and_stays_as_it_is(&*blob).await;
    replacing_puts_one_whole_object_in_place_of_another(&blob, &another).await;
    of_several_that_create_at_once_one_wins_and_all_read_its_content(&blob, &another).await;
    lists_are_sorted_and_show_objects_only(&*blob).await;
    removing_is_final_and_idempotent(&*blob).await;
    names_that_are_none_are_refused(&*blob).await;
    contents_of_any_size_come_back(&*blob, &*another).await;
    streams::run(&blob, &another).await;
}

async fn an_object_is_created_once_and_stays_as_it_is(blob: &dyn Blob) {
    assert_eq!(blob.read("once/a.wav").await.unwrap(), None);
    assert_eq!(blob.create("once/a.wav", Bytes::from_static(b"first")).await.unwrap(), Created::New);
    assert_eq!(blob.create("once/a.wav", Bytes::from_static(b"second")).await.unwrap(), Created::Exists);
    assert_eq!(blob.read("once/a.wav").await.unwrap().unwrap(), "first");
    assert_eq!(blob.read("once").await.unwrap(), None, "a folder is no object");
    assert_eq!(blob.read("once/a.wav/deeper").await.unwrap(), None);
}

async fn replacing_puts_one_whole_object_in_place_of_another(blob: &Arc<dyn Blob>, another: &Arc<dyn Blob>) {
    blob.replace("manifest/current", Bytes::from_static(b"0")).await.unwrap();
    let writers: Vec<_> = [blob, another]
        .into_iter()
        .enumerate()
        .map(|(writer, blob)| {
            let blob = Arc::clone(blob);
            tokio::spawn(async move {
                for turn in 0..20_u8 {
                    let content = Bytes::from(vec![turn * 2 + writer as u8; 50_000]);
                    blob.replace("manifest/current", content).await.unwrap();
                }
            })
        })
        .collect();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let content = another.read("manifest/current").await.expect("a reader never meets damage").unwrap();
        let same = content.iter().all(|byte| Some(byte) == content.first());
        assert!(same && (content.len() == 50_000 || content == "0"), "a torn object");
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(blob.read("manifest/current").await.unwrap().unwrap().len(), 50_000);
    assert_eq!(blob.list("manifest/").await.unwrap(), ["manifest/current"]);
}

async fn of_several_that_create_at_once_one_wins_and_all_read_its_content(
    blob: &Arc<dyn Blob>,
    another: &Arc<dyn Blob>,
) {
    for round in 0..10 {
        let name = format!("race/{round}/object");
        let racers: Vec<_> = (0..8_u8)
            .map(|racer| {
                let blob = Arc::clone(if racer % 2 == 0 { blob } else { another });
                let (name, content) = (name.clone(), Bytes::from(vec![racer; 1_000]));
                tokio::spawn(async move { (racer, blob.create(&name, content).await.unwrap()) })
            })
            .collect();
        let mut winners = Vec::new();
        for racer in racers {
            let (racer, created) = racer.await.unwrap();
            if created == Created::New {
                winners.push(racer);
            }
        }
        assert_eq!(winners.len(), 1, "one New, the others Exists");
        let content = another.read(&name).await.unwrap().unwrap();
        assert_eq!(content, vec![winners[0]; 1_000], "the winner's content is what everybody reads");
    }
}

async fn lists_are_sorted_and_show_objects_only(blob: &dyn Blob) {
    let names = ["list/a", "list/a.b", "list/ab/1", "list/ab/2", "list/b/c/d", "listing"];
    for name in names {
        blob.create(name, Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(blob.list("list").await.unwrap(), names);
    assert_eq!(blob.list("list/").await.unwrap(), names[..5]);
    assert_eq!(blob.list("list/a").await.unwrap(), names[..4]);
    assert_eq!(blob.list("list/ab/").await.unwrap(), names[2..4]);
    assert_eq!(blob.list("list/b/c/d").await.unwrap(), ["list/b/c/d"]);
    assert!(blob.list("none").await.unwrap().is_empty());
    assert!(blob.list("../").await.unwrap_or_default().is_empty(), "a prefix does not lead out of the store");
    let all = blob.list("").await.unwrap();
    assert!(all.is_sorted() && names.iter().all(|name| all.iter().any(|listed| listed == name)), "{all:?}");
}

async fn removing_is_final_and_idempotent(blob: &dyn Blob) {
    blob.create("gone/x", Bytes::from_static(b"1")).await.unwrap();
    for _ in 0..2 {
        blob.remove("gone/x").await.unwrap();
        assert_eq!(blob.read("gone/x").await.unwrap(), None);
        assert!(blob.list("gone/").await.unwrap().is_empty());
    }
    assert_eq!(blob.create("gone/x", Bytes::from_static(b"2")).await.unwrap(), Created::New);
    assert_eq!(blob.read("gone/x").await.unwrap().unwrap(), "2");
}

async fn names_that_are_none_are_refused(blob: &dyn Blob) {
    for bad in ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "ü", "a b", "a\0", "~lock"] {
        let content = Bytes::from_static(b"x");
        let refused = BlobError::Name(bad.to_owned());
        assert_eq!(blob.create(bad, content.clone()).await, Err(refused.clone()));
        assert_eq!(blob.replace(bad, content).await, Err(refused.clone()));
        assert_eq!(blob.read(bad).await, Err(refused.clone()));
        assert_eq!(blob.remove(bad).await, Err(refused));
    }
}

async fn contents_of_any_size_come_back(blob: &dyn Blob, another: &dyn Blob) {
    let mut seeded = Seeded::new(3);
    for size in [0, 1, 4_095, 4_096, 1 << 20, 33 << 20] {
        let content: Bytes = (0..size).map(|_| seeded.next() as u8).collect::<Vec<u8>>().into();
        let name = format!("size/{size}");
        assert_eq!(blob.create(&name, content.clone()).await.unwrap(), Created::New);
        assert!(another.read(&name).await.unwrap().unwrap() == content, "{size} bytes");
    }
}
