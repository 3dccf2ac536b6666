//! What the sink promises, against the strict double and Pipedrive's own ways to fail.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::settings::{Integration, Sealed};
use leadline_tests::crm::{Fault, goldens};
use leadline_tests::pipedrive::{self, Pipedrive};
use serde_json::{Value, json};

use super::*;
use crate::clock_system::SystemClock;
use crate::conformance::other_side::Mood;
use crate::conformance::sink::{SinkUnderTest, suite_of_double};
use crate::contract::provider::CallError;
use crate::contract::sink::{Sink, SinkRequest};
use crate::crm::Credentials;
use crate::crm::testing::*;
use crate::http_client::Client;

const CUSTOM: &str = "d4de1c1518b4531717c676029a45911c340390a6";

fn client(tokens: Granted) -> PipedriveClient {
    let credentials = Credentials::new(Arc::new(Plain), Arc::new(tokens));
    PipedriveClient::new(Client::new().unwrap(), credentials, Arc::new(SystemClock))
}

fn scene() -> (Pipedrive, Box<dyn Sink>, SinkRequest) {
    let double = pipedrive::start(TOKEN);
    let secret = Some(Sealed(TOKEN.to_owned()));
    let integration = Integration { secret, ..Integration::new("crm", KIND, double.base()) };
    let request = request(integration, "lead-1", &lead());
    (double, Box::new(PipedriveSink::new(client(Granted::new(None)))), request)
}

fn counts(double: &Pipedrive) -> (usize, usize, usize) {
    double.with(|state| (state.persons.len(), state.leads.len(), state.notes.len()))
}

#[tokio::test]
async fn a_lead_becomes_a_person_a_lead_and_a_note_for_25_tokens_and_only_changes_are_written() {
    let (double, sink, mut request) = scene();
    request.integration.field_map.insert(format!("person.{CUSTOM}"), "score".to_owned());
    request.integration.field_map.insert(format!("lead.{CUSTOM}"), "band".to_owned());
    let first = sink.deliver(request.clone(), PATIENT).await.unwrap();
    assert_eq!((counts(&double), double.with(|state| state.spent)), ((1, 1, 1), 25));
    assert_eq!(double.count("search"), 0, "search is for what is unclear");
    let (person, lead_made) = double.with(|state| {
        (state.persons.values().next().unwrap().clone(), state.leads.values().next().unwrap().clone())
    });
    assert_eq!(person["phones"], json!([{"value": "+13035550142", "primary": true, "label": "mobile"}]));
    assert_eq!((&person["custom_fields"][CUSTOM], &lead_made[CUSTOM]), (&json!(92), &json!("hot")));
    assert_eq!(lead_made["origin_id"], "leadline:0190b0c0-0000-8000-8000-000000000001");

    request.remote_id = first.remote_id;
    let mut cooler = lead();
    cooler["reasons"] = json!(["Budget of $61,000"]);
    request.payload = cooler.to_string();
    let second = sink.deliver(request.clone(), PATIENT).await.unwrap();
    assert_eq!((counts(&double), double.with(|state| state.spent)), ((1, 1, 1), 35), "only the note differs");
    request.remote_id = second.remote_id;
    double.with(|state| state.leads.clear());
    cooler["score"] = json!(95);
    request.payload = cooler.to_string();
    sink.deliver(request, PATIENT).await.unwrap();
    assert_eq!(counts(&double).1, 1, "a lead that somebody deleted comes again");
}

#[tokio::test]
async fn whichever_answer_is_lost_nothing_is_there_twice() {
    lose_each_answer(scene, |double, place| assert_eq!(counts(double), (1, 1, 1), "after {place} was lost"))
        .await;
}

/// What is declared: a person for each answer that was lost while search was behind, and nothing else.
#[tokio::test]
async fn while_search_is_behind_a_lost_answer_costs_one_person_and_no_lead() {
    let (double, sink, mut request) = scene();
    double.fail("POST /api/v2/persons", Fault::Lose);
    double.with(|state| state.search_lags = 1);
    let Err(CallError::Retry { after: Some(after), .. }) = sink.deliver(request.clone(), PATIENT).await
    else {
        panic!("an answer that was lost is an attempt to repeat")
    };
    assert!(after >= Duration::from_secs(30), "the next attempt waits for search");
    request.may_have_arrived = true;
    sink.deliver(request.clone(), PATIENT).await.unwrap();
    sink.deliver(request, PATIENT).await.unwrap();
    assert_eq!(counts(&double), (2, 1, 1));
}

fn missed_scene() -> (Pipedrive, Box<dyn Sink>, SinkRequest) {
    let (double, sink, mut request) = scene();
    request.integration.alerts = true;
    request.key.subject = "missed:CAL1".to_owned();
    request.payload = missed().to_string();
    (double, sink, request)
}

#[tokio::test]
async fn a_missed_call_is_a_note_at_its_callers_person_and_its_lead_which_follows_is_of_the_same() {
    let (double, sink, request) = missed_scene();
    // Search is behind all the time.
    double.with(|state| state.search_lags = 100);
    let first = sink.deliver(request.clone(), PATIENT).await.unwrap();
    assert_eq!((counts(&double), double.with(|state| state.spent)), ((1, 0, 1), 35));
    let (person, note) = double.with(|state| {
        (state.persons.values().next().unwrap().clone(), state.notes.values().next().unwrap().clone())
    });
    assert_eq!((&person["name"], &note["person_id"]), (&json!("+13035550142"), &person["id"]));
    let content = note["content"].as_str().unwrap();
    for part in ["Missed call from +13035550142", "nobody answered: call back", "[leadline:missed:CAL1]"] {
        assert!(content.contains(part), "{content}");
    }
    let of_lead = SinkRequest {
        key: leadline_schemas::delivery::DeliveryKey { subject: "lead-1".to_owned(), ..request.key.clone() },
        payload: lead().to_string(),
        ..request.clone()
    };
    sink.deliver(of_lead, PATIENT).await.unwrap();
    assert_eq!(counts(&double), (1, 1, 2));
    let name = double.with(|state| state.persons.values().next().unwrap()["name"].clone());
    assert_eq!(name, lead()["name"], "the lead knows more than the call");

    // Told again it is the same note; another call of theirs leaves the name that is known.
    sink.deliver(SinkRequest { remote_id: first.remote_id, ..request.clone() }, PATIENT).await.unwrap();
    assert_eq!(counts(&double), (1, 1, 2));
    let mut next = request;
    next.key.subject = "missed:CAL2".to_owned();
    next.payload =
        json!({"type": "missed_call", "call_id": "CAL2", "caller": "+13035550142", "escalated_after_s": 900})
            .to_string();
    double.with(|state| state.search_lags = 0);
    let restarted = PipedriveSink::new(client(Granted::new(None)));
    restarted.deliver(next, PATIENT).await.unwrap();
    assert_eq!(counts(&double), (1, 1, 3), "found by search, where nothing is remembered");
    assert_eq!(double.with(|state| state.persons.values().next().unwrap()["name"].clone()), lead()["name"]);
    let content = double.with(|state| state.notes.values().next_back().unwrap()["content"].clone());
    assert!(content.as_str().unwrap().contains("Nobody has called back for 15 min."), "{content}");
}

#[tokio::test]
async fn a_missed_call_and_its_lead_at_once_are_of_one_person() {
    let (double, sink, call) = missed_scene();
    double.with(|state| state.search_lags = 100);
    let mut of_lead = SinkRequest { payload: lead().to_string(), ..call.clone() };
    of_lead.key.subject = "lead-1".to_owned();
    let (one, other) = tokio::join!(sink.deliver(call, PATIENT), sink.deliver(of_lead, PATIENT));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(counts(&double), (1, 1, 2));
}

#[tokio::test]
async fn whichever_answer_to_a_missed_call_is_lost_nothing_is_there_twice() {
    lose_each_answer(missed_scene, |double, place| {
        assert_eq!(counts(double), (1, 0, 1), "after {place} was lost");
    })
    .await;
}

#[tokio::test]
async fn every_way_to_refuse_a_note_of_a_missed_call_has_its_meaning() {
    for meaning in MEANINGS {
        let (double, sink, request) = missed_scene();
        double.fail("POST /v1/notes", Fault::golden(KIND, meaning.0));
        let answer = sink.deliver(request.clone(), PATIENT).await;
        // That the person was made is told beside it, where the delivery ends so.
        let told_beside =
            matches!(&answer, Err(CallError::Reject { why }) if why.starts_with("person 1 was written"));
        assert_eq!(told_beside, meaning.1 == "reject", "{answer:?}");
        check_meaning(&(meaning.0, meaning.1, &[]), answer, &request.trace, &[TOKEN]);
    }
}

#[tokio::test]
async fn a_preview_of_a_missed_call_shows_what_is_asked_and_a_notice_is_nothing_for_a_crm() {
    let (double, sink, mut request) = missed_scene();
    let shown = sink.preview(&request).unwrap();
    sink.deliver(request.clone(), PATIENT).await.unwrap();
    let made = double.asked();
    assert_eq!(shown.len(), made.len());
    for (shown, made) in shown.iter().zip(made) {
        assert!(shown.url.starts_with(&format!("{}{}", double.base(), made.path)), "{}", shown.url);
        let body = String::from_utf8_lossy(&shown.body).replace("\"{person id}\"", "1");
        assert_eq!(serde_json::from_str::<Value>(&body).ok(), made.json());
    }
    request.payload = json!({"type": "notice", "text": "x"}).to_string();
    let asked = double.asked().len();
    sink.deliver(request.clone(), PATIENT).await.unwrap();
    assert!(double.asked().len() == asked && sink.preview(&request).unwrap().is_empty());
}

#[tokio::test]
async fn the_days_tokens_are_not_overdrawn_and_a_burst_waits() {
    let (double, sink, mut request) = scene();
    request.integration.options.insert("tokens_per_day".to_owned(), "60".to_owned());
    double.with(|state| state.budget = 60);
    let mut arrived = 0;
    for number in 0..4 {
        request.key.subject = format!("lead-{number}");
        match sink.deliver(request.clone(), Duration::from_millis(900)).await {
            Ok(_) => arrived += 1,
            Err(CallError::Retry { after: Some(_), .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(arrived, 2, "25 tokens each");
    assert!(double.asked().iter().all(|asked| asked.status != Some(429)), "Pipedrive had to refuse");

    // By somebody else's requests: room in the burst, so it is the day that is used up.
    let (double, sink, request) = scene();
    double.with(|state| state.spent = 29_999);
    let answer = sink.deliver(request.clone(), PATIENT).await;
    let Err(CallError::Retry { after: Some(after), .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(after, Duration::from_secs(3_600));
    let again = sink.deliver(request, PATIENT).await;
    assert!(matches!(again, Err(CallError::Retry { .. })), "{again:?}");
    assert_eq!(double.asked().len(), 1, "it was asked while it was closed");
}

/// File, what it means, and words that the tenant reads.
const MEANINGS: &[(&str, &str, &[&str])] = &[
    ("200_success_false.json", "reject", &["Person not created"]),
    ("400_bad_request.json", "reject", &["Bad request"]),
    ("401_unauthorized.json", "reject", &["connect it again"]),
    ("402_payment_required.json", "reject", &["not paid for"]),
    ("403_cloudflare.html", "retry 300", &["403"]),
    ("403_feature_capping.json", "reject", &["no room for more open deals"]),
    ("404_not_found.json", "reject", &["404"]),
    ("410_gone.json", "reject", &["410"]),
    ("422_validation.json", "reject", &["emails was \"dana@example.com\""]),
    ("429_over_limit.json", "retry 2", &["over limit"]),
    ("500_internal.json", "retry 30", &["500"]),
    ("502_bad_gateway.html", "retry 30", &["502"]),
    ("503_unavailable.html", "retry 30", &["503"]),
];

#[tokio::test]
async fn every_way_to_fail_has_its_meaning_in_words_and_tells_no_secret() {
    let named: Vec<&str> = MEANINGS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(goldens(KIND), named, "each kept answer has its meaning here");
    for meaning in MEANINGS {
        let (double, sink, request) = scene();
        double.fail("/persons", Fault::golden(KIND, meaning.0));
        let answer = sink.deliver(request.clone(), PATIENT).await;
        check_meaning(meaning, answer, &request.trace, &[TOKEN]);
    }
}

#[tokio::test]
async fn a_grant_says_where_its_account_is() {
    let (double, _, mut request) = scene();
    request.integration.url = "http://127.0.0.1:1".to_owned();
    request.integration.grant = Some(grant());
    let sink = PipedriveSink::new(client(Granted::new(Some(double.base()))));
    sink.deliver(request, PATIENT).await.unwrap();
    assert_eq!(counts(&double), (1, 1, 1));
    assert!(double.asked().iter().all(|asked| asked.header("x-api-token").is_none()));
}

#[tokio::test]
async fn a_preview_shows_the_requests_that_a_delivery_makes_and_sends_none() {
    let (double, sink, request) = scene();
    let shown = sink.preview(&request).unwrap();
    assert!(double.asked().is_empty());
    sink.deliver(request, PATIENT).await.unwrap();
    let (person, lead) = double.with(|state| {
        (state.persons.keys().next().unwrap().to_string(), state.leads.keys().next().unwrap().clone())
    });
    let made = double.asked();
    assert_eq!(shown.len(), made.len());
    for (shown, made) in shown.iter().zip(made) {
        assert_eq!(shown.url, format!("{}{}", double.base(), made.path));
        let body = String::from_utf8_lossy(&shown.body)
            .replace("\"{person id}\"", &person)
            .replace("{lead id}", &lead);
        let (shown_body, sent): (Value, Value) = (serde_json::from_str(&body).unwrap(), made.json().unwrap());
        assert_eq!(shown_body, sent);
        assert!(shown.shown().contains("x-api-token: ***"));
    }
}

#[test]
fn what_is_configured_wrongly_is_refused_in_words() {
    let with = |field: (&str, &str)| {
        let mut integration = Integration::new("crm", KIND, "");
        integration.field_map.insert(field.0.to_owned(), field.1.to_owned());
        crate::crm::check(&integration)
    };
    assert_eq!(with(("person.emails", "-")), Ok(()));
    for (field, words) in [
        (("phone", "phone"), "use person.name"),
        (("person.1234", "score"), "custom field"),
        (("lead.title", "-"), "cannot be left out"),
        (("lead.title", "titel"), "did you mean \"title\""),
    ] {
        let why = with(field).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    suite_of_double(&|mood| {
        let double = pipedrive::start(TOKEN);
        match mood {
            Mood::Answers => {}
            Mood::Refuses => double.fail("/persons", Fault::golden(KIND, "429_over_limit.json")),
            Mood::Hangs => (0..2).for_each(|_| double.fail("/persons", Fault::Hang)),
        }
        let sink = Arc::new(AtDouble {
            sink: PipedriveSink::new(client(Granted::new(None))),
            base: double.base(),
            options: &[],
        });
        let payload: &'static str = Box::leak(lead().to_string().into_boxed_str());
        SinkUnderTest { sink, secret: Some(Sealed(TOKEN.to_owned())), payload, good: "" }
    })
    .await;
}
