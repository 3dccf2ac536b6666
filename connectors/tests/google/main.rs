//! The blob store on a real server of Google Cloud Storage's interface: fsouza/fake-gcs-server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod front;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use google_cloud_auth::signer::{Signer, SigningProvider};
use leadline_connectors::blob_google::{GoogleBlob, GoogleConfig, Looked, Unusable};
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::conformance::blob::suite;
use leadline_connectors::contract::blob::{About, Blob, BlobError, BlobStream, Created};
use leadline_connectors::contract::clock::Clock;
use leadline_schemas::Millis;
use leadline_tests::google::GoogleServer;

use front::Front;

/// Signs with nothing: the server does not look at signatures, and what Google makes of them its client's tests say.
#[derive(Debug)]
struct Unlocked;

impl SigningProvider for Unlocked {
    async fn client_email(&self) -> google_cloud_auth::signer::Result<String> {
        Ok("leadline@example.iam.gserviceaccount.com".to_owned())
    }
    async fn sign(&self, content: &[u8]) -> google_cloud_auth::signer::Result<Bytes> {
        assert!(content.starts_with(b"GOOG4-RSA-SHA256\n"), "V4");
        Ok(Bytes::from_static(b"signed"))
    }
}

fn blob(front: &Front, server: &GoogleServer) -> GoogleBlob {
    let config = GoogleConfig {
        bucket: server.bucket.to_owned(),
        endpoint: Some(front.url()),
        signer: Some(Signer::from(Unlocked)),
    };
    GoogleBlob::open(config, Arc::new(SystemClock)).unwrap()
}

fn pieces(content: &Bytes) -> BlobStream {
    let pieces: Vec<_> = content.chunks(70_001).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Box::pin(stream::iter(pieces))
}

fn random(bytes: u32) -> Bytes {
    (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let Some(server) = GoogleServer::start() else { return };
    let front = Front::start(server.port).await;
    suite(Arc::new(blob(&front, &server)), Arc::new(blob(&front, &server))).await;
}

/// Answers are lost, and the service is away at times: all of it is gone on with, and nothing is written twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_and_lost_answers_on_the_way_lose_no_byte() {
    let Some(server) = GoogleServer::start() else { return };
    let front = Front::start(server.port).await;
    let blob = blob(&front, &server);
    let content = random(5 << 20);
    let about = About { content_type: "audio/mpeg".to_owned(), custom_time: Some(Millis(1_772_640_753_236)) };
    // Each of the first requests fails once: asking for the object, beginning the upload, one of its pieces.
    for failed in 1..=4 {
        front.fail(failed, 503);
        let name = format!("summit/2026/03/CAL{failed}");
        let (created, stat) = blob.create_from(&name, about.clone(), pieces(&content)).await.unwrap();
        assert_eq!((created, stat.bytes, stat.crc32c), (Created::New, 5 << 20, crc32c::crc32c(&content)));
        assert!(front.has_failed(), "request {failed} was one of them");
        assert!(blob.read(&name).await.unwrap().unwrap() == content);
    }
    // A connection that breaks ends an upload, and leaves nothing that a second one would take for its object.
    for cut in 2..=5 {
        front.cut(cut);
        let name = format!("summit/2026/04/CAL{cut}");
        let broken = blob.create_from(&name, about.clone(), pieces(&content)).await;
        assert!(matches!(broken, Err(BlobError::Unavailable(_))) && front.has_failed(), "{broken:?}");
        assert_eq!(blob.stat(&name).await.unwrap(), None, "request {cut} was cut");
        let (created, _) = blob.create_from(&name, about.clone(), pieces(&content)).await.unwrap();
        assert!(created == Created::New && blob.read(&name).await.unwrap().unwrap() == content);
    }
    // The object is made, but the answer says 503: the second attempt hears 412, and that is what `Exists` is for.
    front.lose_answer();
    let created = blob.create("once", Bytes::from_static(b"one")).await.unwrap();
    assert_eq!((created, front.has_failed()), (Created::Exists, true));
    assert_eq!(blob.read("once").await.unwrap().unwrap(), "one");
    for name in ["once", "summit/2026/03/CAL1"] {
        front.fail(1, 429);
        blob.remove(name).await.unwrap();
        assert!(blob.stat(name).await.unwrap().is_none());
    }
}

/// A two-hour recording never sits in memory: of 64 MiB no more than 3 are ahead of the service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_takes_from_its_source_only_what_the_service_has_taken() {
    let Some(server) = GoogleServer::start() else { return };
    let front = Front::start(server.port).await;
    let blob = blob(&front, &server);
    let (mebibyte, counting) = (random(1 << 20), front.clone());
    let content = stream::iter(0..64_u64).map(move |piece| {
        let ahead = (piece + 1).saturating_sub(counting.uploaded() >> 20);
        match ahead {
            0..=3 => Ok(mebibyte.clone()),
            ahead => Err(BlobError::Source(format!("{ahead} MiB are in memory"))),
        }
    });
    let (_, stat) = blob.create_from("two/hours", About::default(), Box::pin(content)).await.unwrap();
    assert_eq!(stat.bytes, 64 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_signed_for_one_object_and_a_time_and_opens_it() {
    let Some(server) = GoogleServer::start() else { return };
    let front = Front::start(server.port).await;
    let blob = blob(&front, &server);
    blob.create("summit/2026/03/CAL1", Bytes::from_static(b"ID3 sound")).await.unwrap();
    let until = SystemClock.wall().plus(15 * Millis::MINUTE);
    let link = blob.link("summit/2026/03/CAL1", until).await.unwrap();
    let query = link.split_once('?').unwrap().1;
    let query: BTreeMap<_, _> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    assert_eq!(query["X-Goog-Algorithm"], "GOOG4-RSA-SHA256");
    assert_eq!(query["X-Goog-Signature"], "7369676e6564");
    assert!((890..=900).contains(&query["X-Goog-Expires"].parse().unwrap()), "{link}");
    assert!(link.starts_with(&format!("{}/{}/summit/2026/03/CAL1?", front.url(), server.bucket)), "{link}");
    let answer = reqwest::Client::new().get(&link).send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), "ID3 sound");
}

/// The server keeps no lifecycle, so what is read back of it differs still; that the bucket is asked for under the
/// precondition that was seen, and who may see it is set, can be tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_planned_and_changed_under_what_was_seen() {
    let Some(server) = GoogleServer::start() else { return };
    let front = Front::start(server.port).await;
    let blob = blob(&front, &server);
    let (differences, seen) = blob.plan().await.unwrap();
    assert!(differences.iter().any(|difference| difference.what == "lifecycle rules"), "{differences:?}");
    let _ = blob.apply(&seen).await.unwrap();
    let patch = front.last_patch().unwrap();
    assert!(patch.0.contains("ifMetagenerationMatch="), "{}", patch.0);
    let change: serde_json::Value = serde_json::from_slice(&patch.1).unwrap();
    assert_eq!(change["lifecycle"]["rule"][2]["condition"]["daysSinceCustomTime"], 2_557);
    assert_eq!(change["iamConfiguration"]["publicAccessPrevention"], "enforced");
    let nowhere = GoogleConfig { bucket: "nowhere".to_owned(), endpoint: Some(front.url()), signer: None };
    let error = GoogleBlob::open(nowhere, Arc::new(SystemClock)).unwrap().plan().await.unwrap_err();
    assert!(error.to_string().contains("there is no bucket \"nowhere\""), "{error}");
}

/// A start is refused for what only a person can mend, and for nothing that passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_a_bucket_from_being_used_is_told_from_what_passes() {
    let Some(server) = GoogleServer::start() else { return };
    let front = Front::start(server.port).await;
    let blob = blob(&front, &server);
    assert_eq!(blob.look().await, Ok(Looked::Usable));
    for status in [400, 401, 403] {
        front.fail(1, status);
        let refused = blob.look().await.unwrap_err();
        let why = refused.to_string();
        assert!(matches!(refused, Unusable::Refused(_)) && why.contains(&status.to_string()), "{why}");
        assert!(why.contains("roles/storage.objectUser"), "what to do: {why}");
    }
    front.fail(1, 404);
    assert_eq!(blob.look().await, Err(Unusable::NoBucket));
    for status in [408, 429, 500, 502, 503] {
        front.fail(1, status);
        let away = blob.look().await;
        assert!(matches!(&away, Ok(Looked::Away(why)) if why.contains(&status.to_string())), "{away:?}");
    }
    front.cut(1);
    assert!(matches!(blob.look().await, Ok(Looked::Away(_))));
    // Whoever may not ask what is permitted may do what is.
    front.fail(2, 403);
    assert_eq!((blob.look().await, front.has_failed()), (Ok(Looked::Usable), true));

    let other = |bucket: &str, endpoint: String| {
        let config = GoogleConfig { bucket: bucket.to_owned(), endpoint: Some(endpoint), signer: None };
        GoogleBlob::open(config, Arc::new(SystemClock)).unwrap()
    };
    assert_eq!(other("nowhere", front.url()).look().await, Err(Unusable::NoBucket));
    let nobody = format!("http://127.0.0.1:{}", leadline_tests::free_port());
    assert!(matches!(other(server.bucket, nobody).look().await, Ok(Looked::Away(_))));
}
