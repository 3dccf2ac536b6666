//! What every [`Provider`] promises.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::reply::{JobRequest, PendingJob};
use leadline_schemas::{Bucket, JobId, KeyGroup, Millis, TenantId};

use super::other_side::{Behaviour, Mood, OtherSide, check_why, slack};
use crate::contract::provider::{CallError, Provider, ProviderAnswer};

/// A provider and what it talks about.
pub struct ProviderUnderTest {
    /// Calls the address that the suite gave.
    pub provider: Arc<dyn Provider>,
    /// The kind of its jobs.
    pub kind: &'static str,
    /// What a job asks.
    pub payload: &'static str,
    /// What the other side answers to it.
    pub good: &'static str,
}

/// Runs the suite on a runtime with timers; `at` makes a provider that calls an address.
pub async fn suite(at: &dyn Fn(&str) -> ProviderUnderTest) {
    suite_of_translator(at, None).await;
}

/// As `suite`, for a provider that makes this answer of the other side's good one; none = it hands it on as it is.
pub async fn suite_of_translator(at: &dyn Fn(&str) -> ProviderUnderTest, answer: Option<&str>) {
    an_answer_comes_back(at, answer).await;
    the_key_is_the_jobs_over_all_attempts(at).await;
    what_may_pass_is_to_be_tried_again(at).await;
    what_will_not_pass_is_refused_in_one_line(at).await;
    silence_ends_at_the_deadline(at).await;
    an_answer_that_is_none_is_refused(at).await;
    a_call_that_hangs_delays_no_other(at).await;
    nobody_there_is_to_be_tried_again(at).await;
}

/// What of the suite can be asked of a double that calls nobody; `told` makes one that behaves so.
pub async fn suite_of_double(told: &dyn Fn(Mood) -> ProviderUnderTest) {
    let test = told(Mood::Answers);
    assert!(!test.provider.name().is_empty());
    for number in [1, 1, 2] {
        let answer = test.call(number, PATIENT).await.unwrap();
        assert_eq!(answer.body, test.good);
        assert!(answer.cost_micros >= 0);
    }
    let answer = told(Mood::Refuses).call(1, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Retry { .. })), "{answer:?}");
    let test = told(Mood::Hangs);
    let started = tokio::time::Instant::now();
    let (one, other) = tokio::join!(test.call(1, DEADLINE), test.call(2, DEADLINE));
    for answer in [one, other] {
        assert!(matches!(answer, Err(CallError::Retry { .. } | CallError::Unclear { .. })), "{answer:?}");
    }
    assert!(started.elapsed() >= DEADLINE && started.elapsed() < 2 * DEADLINE, "a call delays no other");
}

const DEADLINE: Duration = Duration::from_millis(300);
const PATIENT: Duration = Duration::from_secs(20);

impl ProviderUnderTest {
    /// A job of this number.
    pub fn job(&self, number: u64) -> PendingJob {
        PendingJob {
            job_id: JobId::of(&[b"conformance", &number.to_be_bytes()]),
            tenant: TenantId::new("summit").unwrap(),
            key_group: KeyGroup(1),
            bucket: Bucket(2),
            operator: "score".to_owned(),
            request: JobRequest {
                kind: self.kind.to_owned(),
                target: self.provider.name().to_owned(),
                payload: self.payload.into(),
                not_before: Millis(0),
                revision: 1,
            },
            asked_at: Millis(0),
            event_time: Millis(0),
            started_attempt: 0,
        }
    }

    async fn call(&self, number: u64, deadline: Duration) -> Result<ProviderAnswer, CallError> {
        let call = self.provider.call(self.job(number), deadline);
        let answer = tokio::time::timeout(slack(deadline), call).await.expect("a call bounds its own time");
        if let Err(CallError::Retry { why, .. } | CallError::Reject { why } | CallError::Unclear { why }) =
            &answer
        {
            check_why(why);
        }
        answer
    }

    fn answer(&self, status: u16, headers: &'static str) -> Behaviour {
        Behaviour::Answer(status, headers, self.good.as_bytes().to_vec())
    }
}

type At<'a> = &'a dyn Fn(&str) -> ProviderUnderTest;

async fn an_answer_comes_back(at: At<'_>, wanted: Option<&str>) {
    let other = OtherSide::start().await;
    let test = at(&other.url());
    assert!(!test.provider.name().is_empty());
    other.next(test.answer(200, ""));
    let answer = test.call(1, PATIENT).await.unwrap();
    assert_eq!(answer.body, wanted.unwrap_or(test.good));
    assert!(answer.cost_micros >= 0);
}

async fn the_key_is_the_jobs_over_all_attempts(at: At<'_>) {
    let other = OtherSide::start().await;
    let test = at(&other.url());
    for number in [1, 1, 2] {
        other.next(test.answer(if number == 1 { 503 } else { 200 }, ""));
        let _ = test.call(number, PATIENT).await;
    }
    let key_of = |number: usize| {
        let seen = other.seen();
        seen[number].header("idempotency-key").expect("every attempt carries a key").to_owned()
    };
    assert_eq!(key_of(0), key_of(1), "an attempt of the same job has another key");
    assert_ne!(key_of(1), key_of(2), "two jobs have one key");
}

async fn what_may_pass_is_to_be_tried_again(at: At<'_>) {
    let other = OtherSide::start().await;
    let test = at(&other.url());
    let statuses = [408, 425, 429, 500, 502, 503, 504];
    let mut behaviours: Vec<Behaviour> = statuses
        .iter()
        .map(|status| Behaviour::Answer(*status, "", b"an error\r\n\0page".to_vec()))
        .collect();
    behaviours.extend([
        Behaviour::Cut,
        Behaviour::CutInside(200),
        Behaviour::CutInside(500),
        Behaviour::Flood(503),
    ]);
    for behaviour in behaviours {
        other.next(behaviour.clone());
        let answer = test.call(1, PATIENT).await;
        assert!(matches!(answer, Err(CallError::Retry { .. })), "{behaviour:?}: {answer:?}");
    }
    for (headers, wanted) in [
        ("Retry-After: 7\r\n", Some(Duration::from_secs(7))),
        ("Retry-After:  120 \r\n", Some(Duration::from_secs(120))),
        ("Retry-After: soon\r\n", None),
        ("Retry-After: -1\r\n", None),
        ("Retry-After: 99999999999999999999999\r\n", None),
        ("", None),
    ] {
        other.next(test.answer(429, headers));
        let answer = test.call(1, PATIENT).await;
        let Err(CallError::Retry { after, .. }) = answer else { panic!("{headers:?}: {answer:?}") };
        assert_eq!(after, wanted, "{headers:?}");
    }
}

async fn what_will_not_pass_is_refused_in_one_line(at: At<'_>) {
    let other = OtherSide::start().await;
    let test = at(&other.url());
    let page = "<html>\r\n\t<b>no</b> \u{1b}[31m\n".repeat(5_000).into_bytes();
    for status in [301, 302, 400, 401, 403, 404, 405, 410, 413, 415, 422, 451] {
        other.next(Behaviour::Answer(status, "Location: http://127.0.0.1:1/\r\n", page.clone()));
        let answer = test.call(1, PATIENT).await;
        let Err(CallError::Reject { why }) = answer else { panic!("{status}: {answer:?}") };
        assert!(why.contains(&status.to_string()), "a person must see what was answered: {why}");
    }
    other.next(Behaviour::Flood(400));
    let answer = test.call(1, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Reject { .. })), "{answer:?}");
}

async fn silence_ends_at_the_deadline(at: At<'_>) {
    let other = OtherSide::start().await;
    let test = at(&other.url());
    let started = tokio::time::Instant::now();
    let answer = test.call(1, DEADLINE).await;
    assert!(matches!(answer, Err(CallError::Retry { .. } | CallError::Unclear { .. })), "{answer:?}");
    assert!(started.elapsed() >= DEADLINE, "it gave up after {:?}", started.elapsed());
}

async fn an_answer_that_is_none_is_refused(at: At<'_>) {
    let other = OtherSide::start().await;
    let test = at(&other.url());
    let nonsense: [&[u8]; 4] = [b"", b"<html>", b"{\"score\":", &[0xFF, 0xFE, 0]];
    for body in nonsense {
        other.next(Behaviour::Answer(200, "", body.to_vec()));
        let answer = test.call(1, PATIENT).await;
        assert!(matches!(answer, Err(CallError::Reject { .. })), "{body:?}: {answer:?}");
    }
    other.next(Behaviour::Flood(200));
    let answer = test.call(1, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Reject { .. })), "an answer without an end: {answer:?}");
}

async fn a_call_that_hangs_delays_no_other(at: At<'_>) {
    let other = OtherSide::start().await;
    let test = at(&other.url());
    other.next(Behaviour::Hang);
    let hanging = test.call(1, PATIENT);
    let others = async {
        while other.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        for number in 2..6 {
            other.next(test.answer(200, ""));
            test.call(number, PATIENT).await.unwrap();
        }
    };
    tokio::select! {
        answer = hanging => panic!("it was to hang: {answer:?}"),
        () = others => {} // And a call may be given up at any time.
    }
}

async fn nobody_there_is_to_be_tried_again(at: At<'_>) {
    let answer = at(&OtherSide::nobody()).call(1, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Retry { .. })), "{answer:?}");
    let answer = at("no address").call(1, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Reject { .. })), "a person has to mend the address: {answer:?}");
}
