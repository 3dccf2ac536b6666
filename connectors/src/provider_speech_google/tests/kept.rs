//! Words that were paid for are paid for once.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::contract::clock::Clock;
use crate::speech::KeptWords;

/// A wall clock that tests turn.
struct Wall(AtomicI64);

impl Clock for Wall {
    fn wall(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
    fn boot_ms(&self) -> u64 {
        0
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// Google whose words are kept for a day, and what else is needed to ask it.
fn keeping(scene: Scene) -> (KeptWords, Speech, MemoryBlob, Arc<Wall>) {
    let (Scene { double, blob, google }, clock) = (scene, Arc::new(Wall(AtomicI64::new(CALL_TIME.0))));
    let words = KeptWords::new(Arc::new(google), "chirp_3", Arc::new(blob.clone()), clock.clone(), DAY);
    (words, double, blob, clock)
}

async fn ask(words: &KeptWords, number: u64, asks: &TranscribeJob) -> (Transcribed, i64) {
    let answer = words.call(job(number, asks), PATIENT).await.unwrap();
    (serde_json::from_slice(&answer.body).unwrap(), answer.cost_micros)
}

#[tokio::test]
async fn a_later_payload_of_a_call_pays_nothing_and_a_job_that_died_has_still_paid() {
    let (words, double, blob, clock) = keeping(scene(45_000, 1));
    let asks = asks(45_000, 1);
    let (first, cost) = ask(&words, 1, &asks).await;
    assert_eq!((told(&first).len(), cost), (4, 12_000));
    assert_eq!(ask(&words, 1, &asks).await, (first.clone(), 12_000), "the same job, after a crash");
    let changed = TranscribeJob { phrases: Vec::new(), backfill: true, ..asks.clone() };
    assert_eq!(ask(&words, 2, &changed).await, (first.clone(), 0));
    assert_eq!(double.started().len(), 1);
    let times =
        blob.with(|objects| objects.values().map(|object| object.about.custom_time).collect::<Vec<_>>());
    assert_eq!(times, [Some(CALL_TIME); 2], "they go when the recording does");
    let spanish = TranscribeJob { language: Some("es-US".to_owned()), ..asks.clone() };
    assert_eq!(ask(&words, 3, &spanish).await.1, 12_000, "other words are paid for");
    clock.0.fetch_add(86_400_001, Ordering::Relaxed);
    assert_eq!(ask(&words, 4, &asks).await.1, 12_000, "too old");
    assert_eq!(ask(&words, 5, &asks).await.1, 0, "the new ones are kept");
}

#[tokio::test]
async fn what_runs_or_has_failed_is_not_kept_and_what_a_batch_has_brought_is() {
    let (words, double, ..) = keeping(scene(412_000, 1));
    let asks = asks(412_000, 1);
    double.fail("batch", Fault::FileFails(3));
    for (number, ends_well) in [(1, false), (10, true)] {
        let (started, _) = ask(&words, number, &asks).await;
        let Transcribed::Operation(operation) = started else { panic!("{started:?}") };
        let poll = TranscribeJob { operation: Some(operation.name), ..asks.clone() };
        let (runs, _) = ask(&words, number + 1, &poll).await;
        assert!(matches!(runs, Transcribed::Operation(_)), "{runs:?}");
        let (end, cost) = ask(&words, number + 2, &poll).await;
        assert_eq!((matches!(end, Transcribed::Turns(_)), cost), (ends_well, cost_micros(16_000, 412_000)));
    }
    assert_eq!(double.started().len(), 2);
    let (again, cost) = ask(&words, 20, &asks).await;
    assert_eq!((told(&again).len(), cost, double.started().len()), (4, 0, 2));
}

#[tokio::test]
async fn a_store_that_fails_or_holds_nonsense_costs_money_and_nothing_else() {
    let (words, _, blob, _) = keeping(scene(45_000, 1));
    let asks = asks(45_000, 1);
    ask(&words, 1, &asks).await;
    let name = blob.objects().into_keys().find(|name| name.contains(".words-")).unwrap();
    blob.hold(&name, Bytes::from_static(b"<html>"));
    assert_eq!(ask(&words, 2, &asks).await.1, 12_000);
    blob.refuse(0, 1);
    assert_eq!(ask(&words, 3, &asks).await.1, 12_000, "it could not be looked up");
}
