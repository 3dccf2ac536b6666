//! What goes in and out in pieces, and what is said of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use leadline_schemas::Millis;

use crate::conformance::Seeded;
use crate::contract::blob::{About, Blob, BlobError, BlobStream, Created};

/// Runs this part of the suite.
pub(super) async fn run(blob: &Arc<dyn Blob>, another: &Arc<dyn Blob>) {
    what_came_in_pieces_comes_back_with_what_was_said_of_it(&**blob, &**another).await;
    a_stream_creates_once_and_an_existing_object_stays(&**blob).await;
    a_stream_that_breaks_off_leaves_nothing(&**blob, &**another).await;
    a_creation_that_is_given_up_leaves_nothing(blob, &**another).await;
    of_streams_at_once_one_wins(blob, another).await;
    a_range_brings_its_bytes(&**blob).await;
    pages_make_up_the_list(&**blob).await;
    streams_take_no_name_that_is_none(&**blob).await;
}

/// Pieces of odd sizes.
fn pieces(content: &Bytes) -> BlobStream {
    let (mut left, mut size) = (content.clone(), 1);
    let pieces = std::iter::from_fn(move || {
        size = size * 7 % 300_007 + 1;
        (!left.is_empty()).then(|| Ok(left.split_to(left.len().min(size))))
    });
    Box::pin(stream::iter(pieces))
}

fn random(bytes: usize, seed: u64) -> Bytes {
    let mut seeded = Seeded::new(seed);
    (0..bytes).map(|_| seeded.next() as u8).collect::<Vec<u8>>().into()
}

fn about() -> About {
    About { content_type: "audio/mpeg".to_owned(), custom_time: Some(Millis(1_772_640_753_236)) }
}

async fn all(mut stream: BlobStream) -> Result<Bytes, BlobError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = stream.next().await {
        whole.extend_from_slice(&piece?);
    }
    Ok(whole.freeze())
}

async fn what_came_in_pieces_comes_back_with_what_was_said_of_it(blob: &dyn Blob, another: &dyn Blob) {
    for bytes in [0, 1, 300_000, 9 << 20] {
        let (name, content) = (format!("stream/{bytes}"), random(bytes, 5));
        let (created, stat) = blob.create_from(&name, about(), pieces(&content)).await.unwrap();
        assert_eq!(created, Created::New);
        assert_eq!(stat.bytes, bytes as u64);
        assert_eq!(stat.crc32c, crc32c::crc32c(&content));
        assert_eq!(stat.about, about());
        assert_eq!(
            another.stat(&name).await.unwrap().as_ref(),
            Some(&stat),
            "another process knows the same"
        );
        let opened = another.open(&name, None).await.unwrap().unwrap();
        assert_eq!((&opened.stat, &opened.range), (&stat, &(0..bytes as u64)));
        assert!(all(opened.stream).await.unwrap() == content, "{bytes} bytes");
        assert!(another.read(&name).await.unwrap().unwrap() == content, "whole as well");
    }
    blob.create("stream/whole", Bytes::from_static(b"whole")).await.unwrap();
    let stat = blob.stat("stream/whole").await.unwrap().unwrap();
    assert_eq!((stat.bytes, stat.crc32c, stat.about), (5, crc32c::crc32c(b"whole"), About::default()));
    assert_eq!(blob.stat("stream/none").await.unwrap(), None);
    assert!(blob.open("stream/none", None).await.unwrap().is_none());
}

async fn a_stream_creates_once_and_an_existing_object_stays(blob: &dyn Blob) {
    let (first, second) = (random(70_000, 1), random(80_000, 2));
    let (_, stat) = blob.create_from("stream/once", about(), pieces(&first)).await.unwrap();
    let other = About { content_type: "audio/wav".to_owned(), ..about() };
    let again = blob.create_from("stream/once", other, pieces(&second)).await.unwrap();
    assert_eq!(again, (Created::Exists, stat));
    assert!(blob.read("stream/once").await.unwrap().unwrap() == first);
}

async fn a_stream_that_breaks_off_leaves_nothing(blob: &dyn Blob, another: &dyn Blob) {
    let broken = BlobError::Source("the download broke off".to_owned());
    let end: BlobStream = Box::pin(stream::iter([Err(broken.clone())]));
    let cut: BlobStream = Box::pin(pieces(&random(9 << 20, 3)).chain(end));
    assert_eq!(blob.create_from("broken/a", about(), cut).await, Err(broken));
    assert_eq!(another.stat("broken/a").await.unwrap(), None);
    assert!(another.list("broken/").await.unwrap().is_empty());
    let whole = random(100, 4);
    let (created, _) = blob.create_from("broken/a", about(), pieces(&whole)).await.unwrap();
    assert_eq!(created, Created::New, "the name is free");
}

async fn a_creation_that_is_given_up_leaves_nothing(blob: &Arc<dyn Blob>, another: &dyn Blob) {
    let reached = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&reached);
    let hangs = stream::once(async move {
        told.store(true, Ordering::SeqCst);
        std::future::pending().await
    });
    let content: BlobStream = Box::pin(pieces(&random(2 << 20, 6)).chain(hangs));
    let creating = Arc::clone(blob);
    let task = tokio::spawn(async move { creating.create_from("given-up/a", about(), content).await });
    while !reached.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(another.stat("given-up/a").await.unwrap(), None);
    assert!(another.list("given-up/").await.unwrap().is_empty());
}

async fn of_streams_at_once_one_wins(blob: &Arc<dyn Blob>, another: &Arc<dyn Blob>) {
    let racers: Vec<_> = (0..6_u64)
        .map(|racer| {
            let blob = Arc::clone(if racer % 2 == 0 { blob } else { another });
            let content = random(400_000, racer);
            tokio::spawn(async move {
                let answer = blob.create_from("race/stream", about(), pieces(&content)).await.unwrap();
                (answer, content)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.unwrap());
    }
    let winners: Vec<_> = answers.iter().filter(|((created, _), _)| *created == Created::New).collect();
    let [((_, stat), content)] = winners[..] else { panic!("{} winners", winners.len()) };
    assert!(answers.iter().all(|((_, heard), _)| heard == stat), "all hear of the object that is there");
    assert!(another.read("race/stream").await.unwrap().unwrap() == content);
}

async fn a_range_brings_its_bytes(blob: &dyn Blob) {
    let content = random(1 << 20, 7);
    blob.create_from("range/a", about(), pieces(&content)).await.unwrap();
    for asked in [0..1, 1..2, 70_000..700_000, 1_048_575..1_048_576, 1_048_000..2_000_000, 5..5] {
        let opened = blob.open("range/a", Some(asked.clone())).await.unwrap().unwrap();
        let expected = asked.start..asked.end.min(content.len() as u64);
        assert_eq!((opened.range.clone(), opened.stat.bytes), (expected.clone(), content.len() as u64));
        let expected = content.slice(expected.start as usize..expected.end as usize);
        assert!(all(opened.stream).await.unwrap() == expected, "{asked:?}");
    }
    let behind = blob.open("range/a", Some(3_000_000..3_000_001)).await.unwrap().unwrap();
    assert!(behind.range.is_empty() && all(behind.stream).await.unwrap().is_empty());
}

async fn pages_make_up_the_list(blob: &dyn Blob) {
    for name in ["page/a/1", "page/a.b", "page/a/2", "page/b", "page/a0", "page/c/d/e"] {
        blob.create(name, Bytes::from_static(b"x")).await.unwrap();
    }
    let whole = blob.list("page/").await.unwrap();
    assert_eq!(whole.len(), 6);
    for count_max in 1..=7 {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = blob.list_page("page/", after.as_deref(), count_max).await.unwrap();
            assert!(page.len() <= count_max);
            pages.extend(page.iter().cloned());
            if page.len() < count_max {
                break;
            }
            after = page.last().cloned();
        }
        assert_eq!(pages, whole, "{count_max} a page");
    }
    assert_eq!(blob.list_page("page/", Some("page/a/1"), 2).await.unwrap(), ["page/a/2", "page/a0"]);
    assert_eq!(blob.list_page("page/b", Some("page/a"), 9).await.unwrap(), ["page/b"]);
    assert!(blob.list_page("page/", Some("page/z"), 9).await.unwrap().is_empty());
}

async fn streams_take_no_name_that_is_none(blob: &dyn Blob) {
    for bad in ["", "../up", "a//b", "~lock", "a~b"] {
        let refused = BlobError::Name(bad.to_owned());
        let content = pieces(&random(10, 1));
        assert_eq!(blob.create_from(bad, about(), content).await, Err(refused.clone()));
        assert_eq!(blob.stat(bad).await, Err(refused.clone()));
        assert_eq!(blob.open(bad, None).await.err(), Some(refused.clone()));
        assert_eq!(blob.link(bad, Millis(0)).await, Err(refused));
    }
}
