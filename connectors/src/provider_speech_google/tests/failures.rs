//! How it fails: each way has a name, and none bills twice or waits for ever.

use super::*;
use crate::conformance::other_side::check_why;

#[derive(Debug, PartialEq)]
enum End {
    Retry,
    Reject,
    /// It was answered: there are no words.
    Named,
}

fn ended(answer: &Result<(Transcribed, i64), CallError>) -> (End, String) {
    match answer {
        Err(CallError::Retry { why, .. }) => (End::Retry, why.clone()),
        Err(CallError::Reject { why }) => (End::Reject, why.clone()),
        Ok((Transcribed::Failed(why), _)) => (End::Named, why.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_failure_has_a_name() {
    let status = Fault::Status;
    for (path, fault, end, words) in [
        (
            "batch",
            status(400, "INVALID_ARGUMENT", "bad codec"),
            End::Reject,
            "refuses what it was asked (400): INVALID_ARGUMENT bad codec",
        ),
        (
            "batch",
            status(403, "PERMISSION_DENIED", "no"),
            End::Reject,
            "may not use Speech-to-Text in this project (403)",
        ),
        ("batch", status(404, "NOT_FOUND", "no model"), End::Reject, "at this model and location (404)"),
        ("batch", status(500, "INTERNAL", "oops"), End::Retry, "no answer (500): INTERNAL"),
        ("batch", status(503, "UNAVAILABLE", "later"), End::Retry, "no answer (503): UNAVAILABLE"),
        ("batch", status(504, "DEADLINE_EXCEEDED", "later"), End::Retry, "no answer (504)"),
        ("batch", Fault::Busy("7"), End::Retry, "quota is used up (429): RESOURCE_EXHAUSTED"),
        ("batch", Fault::Page(502), End::Retry, "bad gateway"),
        ("batch", Fault::OperationFails(3), End::Named, "cannot make anything of the recording (code 3)"),
        ("batch", Fault::OperationFails(7), End::Named, "may not read the recording from the bucket"),
        ("batch", Fault::OperationFails(8), End::Named, "quota was used up"),
        ("batch", Fault::OperationFails(13), End::Named, "broke off (code 13)"),
        (
            "batch",
            Fault::FileFails(3),
            End::Named,
            "cannot make anything of the recording (code 3): the file",
        ),
        ("batch", Fault::Elsewhere, End::Named, "into a bucket"),
        ("batch", Fault::Nothing, End::Named, "says nothing of the recording"),
        ("GET", status(503, "UNAVAILABLE", "later"), End::Retry, "no answer (503)"),
        ("GET", Fault::Half, End::Retry, "connection broke"),
        ("GET", status(404, "NOT_FOUND", "no operation"), End::Reject, "does not know it"),
    ] {
        let scene = scene(412_000, 1);
        scene.double.fail(path, fault.clone());
        let answer = scene.to_the_end(&asks(412_000, 1)).await;
        let (found, why) = ended(&answer);
        assert_eq!(found, end, "{fault:?}: {why}");
        assert!(why.contains(words), "{fault:?}: {why}");
        check_why(&why);
    }
}

#[tokio::test]
async fn what_google_bills_for_nothing_is_counted() {
    let scene = scene(412_000, 1);
    scene.double.fail("batch", Fault::FileFails(3));
    let (_, cost) = scene.to_the_end(&asks(412_000, 1)).await.unwrap();
    assert_eq!(cost, cost_micros(16_000, 412_000));
}

#[tokio::test]
async fn a_storm_of_429_starts_nothing_and_says_when_to_come_again() {
    let scene = scene(412_000, 1);
    for _ in 0..5 {
        scene.double.fail("batch", Fault::Busy("7"));
        let answer = scene.call(1, &asks(412_000, 1)).await;
        let Err(CallError::Retry { after, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }
    assert_eq!((scene.double.started().len(), scene.double.count("operations?")), (0, 0));
    scene.to_the_end(&asks(412_000, 1)).await.unwrap();
    assert_eq!(scene.double.started().len(), 1);
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_known_to_have_gone_out_until_one_is_answered() {
    let scene = scene(45_000, 1);
    let marks = || scene.blob.with(|objects| objects.keys().filter(|name| name.contains(".st-")).count());
    scene.double.fail("recognize", status_400());
    scene.call(1, &asks(45_000, 1)).await.unwrap_err();
    assert_eq!(marks(), 0, "nothing was begun");
    scene.double.fail("recognize", Fault::Cut);
    scene.call(1, &asks(45_000, 1)).await.unwrap_err();
    assert_eq!(marks(), 1, "whoever makes it again counts it");
    let (answer, cost) = scene.call(1, &asks(45_000, 1)).await.unwrap();
    assert_eq!((told(&answer).len(), cost, marks()), (4, 12_000, 0));
    assert_eq!(scene.double.started().len(), 2, "Google has billed both");
}

fn status_400() -> Fault {
    Fault::Status(400, "INVALID_ARGUMENT", "bad codec")
}

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_replaced_once() {
    for path in ["batch", "operations/", "recognize"] {
        let duration_ms = if path == "recognize" { 30_000 } else { 412_000 };
        let scene = scene(duration_ms, 1);
        scene.double.fail(path, Fault::NewToken("two"));
        let (answer, _) = scene.to_the_end(&asks(duration_ms, 1)).await.unwrap();
        assert_eq!((told(&answer).len(), scene.double.started().len()), (4, 1), "{path}");
    }
    let scene = scene(412_000, 1);
    scene.double.expect_token("three");
    let (end, why) = ended(&scene.call(1, &asks(412_000, 1)).await);
    assert!(end == End::Reject && why.contains("does not accept the credentials"), "{why}");
    assert_eq!(scene.double.asked().len(), 2, "two tokens, two requests");
}

#[tokio::test]
async fn slow_and_hanging_answers_end_at_the_deadline() {
    for fault in [Fault::Slow, Fault::Hang] {
        let scene = scene(30_000, 1);
        scene.double.fail("recognize", fault.clone());
        let deadline = Duration::from_millis(700);
        let began = tokio::time::Instant::now();
        let answer = scene.google.call(job(1, &asks(30_000, 1)), deadline).await;
        assert!(matches!(answer, Err(CallError::Retry { .. })), "{fault:?}: {answer:?}");
        assert!(began.elapsed() >= deadline && began.elapsed() < PATIENT, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_operation_that_hangs_is_asked_about_and_never_started_again() {
    let scene = scene(412_000, 1);
    scene.double.fail("batch", Fault::Hung);
    let (started, _) = scene.call(1, &asks(412_000, 1)).await.unwrap();
    let Transcribed::Operation(operation) = started else { panic!("{started:?}") };
    let again = TranscribeJob { operation: Some(operation.name.clone()), ..asks(412_000, 1) };
    for number in 2..10 {
        let (answer, cost) = scene.call(number, &again).await.unwrap();
        assert!(matches!(answer, Transcribed::Operation(same) if same.name == operation.name));
        assert_eq!(cost, 0, "asking costs nothing");
    }
    assert_eq!(scene.double.started().len(), 1);
    scene.double.forget();
    let (end, why) = ended(&scene.call(11, &again).await);
    assert!(end == End::Reject && why.contains("does not know it"), "lost after its start: {why}");
}

#[tokio::test]
async fn what_google_would_refuse_is_not_sent() {
    let scene = scene(412_000, 1);
    let long = scene.call(1, &asks(4_500_000, 1)).await;
    assert!(ended(&long).1.contains("lasts 75 minutes"), "{long:?}");
    let others = TranscribeJob { blob: "other/2026/03/CAL1".to_owned(), ..asks(412_000, 1) };
    assert!(ended(&scene.call(1, &others).await).1.contains("none of the tenant's"));
    let gone = TranscribeJob { blob: "summit/2026/03/CAL9".to_owned(), ..asks(412_000, 1) };
    assert!(ended(&scene.call(1, &gone).await).1.contains("not in the blob store any more"));
    for name in [
        "projects/p/locations/eu/operations/../1",
        "https://evil.example",
        "projects/p/locations/a.b/operations/1",
    ] {
        let odd = TranscribeJob { operation: Some(name.to_owned()), ..asks(412_000, 1) };
        assert!(ended(&scene.call(1, &odd).await).1.contains("is no operation"), "{name}");
    }
    let no_bucket = GoogleSpeechConfig { bucket: None, ..config(&scene.double.named()) };
    let tokens = Arc::new(InTurn(Mutex::new(vec!["one"])));
    let client = Client::resolving(&scene.double.host(), scene.double.address);
    let google = GoogleSpeech::new(no_bucket, tokens, Arc::new(scene.blob.clone()), client);
    let answer = google.call(job(1, &asks(412_000, 1)), PATIENT).await;
    assert!(answer.unwrap_err().to_string().contains("google.audio_bucket"));
    assert_eq!(scene.double.asked(), [""; 0]);
}

#[tokio::test]
async fn each_region_has_its_host_and_a_wrong_one_is_refused() {
    let scene = scene(30_000, 1);
    let of = |location: &str| {
        let config = GoogleSpeechConfig { location: location.to_owned(), endpoint: None, ..config("") };
        let tokens = Arc::new(InTurn(Mutex::new(vec!["one"])));
        GoogleSpeech::new(config, tokens, Arc::new(scene.blob.clone()), Client::new().unwrap())
    };
    for location in LOCATIONS {
        let google = of(location);
        let address = google.address(&google.parent());
        assert_eq!(
            address,
            format!("https://{location}-speech.googleapis.com/v2/projects/{PROJECT}/locations/{location}")
        );
    }
    let moved = of("us").address("projects/p/locations/eu/operations/1");
    assert!(
        moved.starts_with("https://eu-speech.googleapis.com/"),
        "an operation stays where it was started"
    );
    // The double of one region does not answer for another.
    let config = GoogleSpeechConfig { location: "us".to_owned(), ..config(&scene.double.named()) };
    let client = Client::resolving(&scene.double.host(), scene.double.address);
    let tokens = Arc::new(InTurn(Mutex::new(vec!["one"])));
    let google = GoogleSpeech::new(config, tokens, Arc::new(scene.blob.clone()), client);
    let why = google.call(job(1, &asks(30_000, 1)), PATIENT).await.unwrap_err().to_string();
    assert!(why.contains("Expected resource location"), "{why}");
}
