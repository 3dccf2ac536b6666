//! recording: what could not be had yet is asked for again, and what is sent with a text is waited for by nobody.

use leadline_operators::dedupe::ContactOut;
use leadline_operators::recording::{BACKGROUND_TARGET, FetchRecording, MEDIA, WAITING};
use leadline_schemas::Millis;
use leadline_schemas::contact::Contact;
use leadline_schemas::event::Event;
use leadline_schemas::recording::FetchRecordingJob;
use leadline_schemas::reply::FailureKind;
use proptest::prelude::*;

use crate::driver::{Driver, answered, cases, failed};
use crate::inputs::{NOON, call_contact, call_event, contact, tenant, text_event};

fn text(number: u64, media: usize) -> Contact {
    let mut text = text_event("SCI1", "Can you do this floor?");
    text.media_urls = (1..=media).map(|n| format!("https://app.callrail.com/mms/{n}")).collect();
    contact(number, Event::TextEvent(text))
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_text_goes_on_at_once_and_each_of_its_media_is_asked_for_once(
        media in 0_usize..14, wants in any::<bool>(), update in any::<bool>(), ok in prop::collection::vec(any::<bool>(), 14),
    ) {
        let mut tenant = tenant();
        tenant.policy.fetch_recordings = wants;
        let mut driver = Driver::<FetchRecording>::new(tenant, NOON);
        let sent = Contact { update, ..text(1, media) };
        let done = driver.record(sent.event_id, sent.clone()).unwrap();
        let passed: Vec<_> = done.out.into_iter().filter_map(ContactOut::contact).collect();
        prop_assert_eq!(&passed, &[sent], "it does not wait");
        let asked = if wants && !update { media.min(10) } else { 0 };
        prop_assert_eq!(done.jobs.len(), asked);
        for (number, job) in (1..).zip(&done.jobs) {
            let asks: FetchRecordingJob = serde_json::from_slice(&job.request.payload).unwrap();
            prop_assert_eq!((asks.call_id.as_str(), asks.medium, asks.at), ("SCI1", Some(number), NOON));
            prop_assert_eq!(asks.url, format!("https://app.callrail.com/mms/{number}"));
        }
        prop_assert_eq!(driver.rows(&MEDIA), asked);
        let mut missing = 0;
        for (job, ok) in done.jobs.iter().zip(ok) {
            let answer = match ok {
                true => answered(r#"{"blob":"summit/2026/03/SCI1/1"}"#),
                false => failed(FailureKind::Rejected),
            };
            let told = driver.reply(job.id, answer).unwrap().unwrap();
            missing += usize::from(!ok);
            // One that is missing leaves a line, and the text is not told of again.
            let lines = told.out.iter().filter(|out| matches!(out, ContactOut::Untold(line) if line.subject == "SCI1"));
            prop_assert_eq!((told.out.len(), lines.count()), (usize::from(!ok), usize::from(!ok)));
        }
        prop_assert!(driver.rows(&MEDIA) == 0 && missing <= asked);
    }
}

/// How an attempt at a recording may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Had {
    Fetched,
    Never,
    NotNow,
}

fn any_end() -> impl Strategy<Value = Had> {
    prop_oneof![1 => Just(Had::Fetched), 1 => Just(Had::Never), 8 => Just(Had::NotNow)]
}

proptest! {
    #![proptest_config(cases(96))]

    /// A limit that is used up, or a storage that is away for an hour, costs no recording, and no call waits for it longer
    /// than a job is tried. Each call is told of once without its recording at most, and once with it.
    #[test]
    fn a_recording_that_could_not_be_had_is_asked_for_again_until_it_comes_or_is_too_late(
        backfill in any::<bool>(), ends in prop::collection::vec(any_end(), 1..120),
    ) {
        let mut tenant = tenant();
        tenant.policy.fetch_recordings = true;
        let mut driver = Driver::<FetchRecording>::new(tenant, NOON);
        let mut call = call_event("CAL1");
        call.recording_url = Some("https://app.callrail.com/r".to_owned());
        let sent = Contact { backfill, ..call_contact(1, call) };
        let done = driver.record(sent.event_id, sent.clone()).unwrap();
        let [first] = done.jobs.as_slice() else { panic!("{:?}", done.jobs) };
        prop_assert_eq!(first.request.target == BACKGROUND_TARGET, backfill);
        prop_assert_eq!(first.request.not_before > Millis(0), backfill, "calls of now come first");

        let asked_ms_max = if backfill { 25 * Millis::DAY } else { 3 * Millis::DAY };
        let (mut job, mut told, mut is_over) = (first.id, Vec::new(), false);
        for end in ends {
            let answer = match end {
                Had::Fetched => answered(r#"{"blob":"r/1"}"#),
                Had::Never => failed(FailureKind::Rejected),
                Had::NotNow => failed(FailureKind::Exhausted),
            };
            let asks = end == Had::NotNow && driver.now.since(sent.received_at) < asked_ms_max;
            let done = driver.reply(job, answer).unwrap().unwrap();
            let before = told.len();
            told.extend(done.out.into_iter().filter_map(ContactOut::contact));
            let is_last = !backfill && before == 1;
            let tells = match end {
                Had::Fetched => true,
                // Who was told of already is not told that nothing has changed.
                Had::Never => !is_last,
                Had::NotNow => !is_last && (!backfill || !asks),
            };
            prop_assert_eq!(told.len() - before, usize::from(tells), "{:?}", end);
            prop_assert_eq!((driver.rows(&WAITING), done.jobs.len()), (usize::from(asks), usize::from(asks)));
            let [next] = done.jobs.as_slice() else {
                is_over = true;
                break;
            };
            let asks: FetchRecordingJob = serde_json::from_slice(&next.request.payload).unwrap();
            prop_assert!(asks.background && asks.again && next.request.target == BACKGROUND_TARGET);
            let pause = next.request.not_before.since(driver.now);
            prop_assert!((Millis::MINUTE..=6 * Millis::HOUR).contains(&pause), "{} ms", pause);
            job = next.id;
            driver.advance(pause);
        }
        prop_assert!(is_over || driver.now.since(sent.received_at) < asked_ms_max + 6 * Millis::HOUR, "it ends");
        for (at, contact) in told.iter().enumerate() {
            prop_assert_eq!((contact.event_id, contact.update), (sent.event_id, at == 1));
            prop_assert!(contact.recording.blob.is_some() != contact.recording.skip.is_some());
        }
    }
}
