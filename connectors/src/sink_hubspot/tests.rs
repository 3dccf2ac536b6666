//! What the sink promises, against the strict double and HubSpot's own ways to fail.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::settings::{Integration, Sealed};
use leadline_tests::crm::{Fault, goldens};
use leadline_tests::hubspot::{self, HubSpot};
use serde_json::{Value, json};

use super::client::Input;
use super::judge::Failure;
use super::*;
use crate::clock_system::SystemClock;
use crate::conformance::other_side::Mood;
use crate::conformance::sink::{SinkUnderTest, suite_of_double};
use crate::contract::provider::CallError;
use crate::contract::sink::{Sink, SinkRequest};
use crate::crm::testing::*;
use crate::crm::{Credentials, until};
use crate::http_client::Client;

fn client(tokens: Granted) -> HubSpotClient {
    let credentials = Credentials::new(Arc::new(Plain), Arc::new(tokens));
    HubSpotClient::new(Client::new().unwrap(), credentials, Arc::new(SystemClock))
}

fn integration(double: &HubSpot) -> Integration {
    Integration { secret: Some(Sealed(TOKEN.to_owned())), ..Integration::new("crm", KIND, double.base()) }
}

fn account() -> HubSpot {
    let double = hubspot::start(TOKEN);
    double.with(hubspot::State::with_our_properties);
    double
}

fn scene(payload: Value) -> (HubSpot, Box<dyn Sink>, SinkRequest) {
    let double = account();
    let request = request(integration(&double), "lead-1", &payload);
    (double, Box::new(HubSpotSink::new(client(Granted::new(None)))), request)
}

fn counts(double: &HubSpot) -> (usize, usize, usize) {
    double.with(|state| (state.contacts.len(), state.notes.len(), state.calls.len()))
}

#[tokio::test]
async fn a_lead_becomes_a_contact_a_note_and_a_call_and_changes_them_as_it_grows() {
    let (double, sink, mut request) = scene(lead());
    let first = delivered(&*sink, &request).await.unwrap();
    assert_eq!(counts(&double), (1, 1, 1));
    let contact = double.with(|state| state.contacts.values().next().unwrap().clone());
    let expected = json!({
        "leadline_key": "summit:+13035550142", "firstname": "Dana O'Neil", "lastname": "Smith", "city": "Denver",
        "phone": "+13035550142", "email": "dana@example.com", "leadline_score": "92", "leadline_band": "hot",
        "leadline_project_type": "kitchen",
    });
    assert_eq!(Value::Object(contact), expected);
    let note = double.with(|state| state.notes.values().next().unwrap().0["hs_note_body"].clone());
    assert!(note.as_str().unwrap().contains("Budget of $60,000 &lt;stated>"), "{note}");

    let mut grown = lead();
    grown["score"] = json!(95);
    request.payload = grown.to_string();
    request.remote_id = first.remote_id.clone();
    let second = delivered(&*sink, &request).await.unwrap();
    assert_eq!((second.remote_id, counts(&double)), (first.remote_id, (1, 1, 1)));
    let note = double.with(|state| state.notes.values().next().unwrap().0["hs_note_body"].clone());
    assert!(note.as_str().unwrap().contains("hot 95"), "{note}");

    // A note that somebody deleted comes again.
    double.with(|state| state.notes.clear());
    delivered(&*sink, &request).await.unwrap();
    assert_eq!(counts(&double), (1, 1, 1));
}

#[tokio::test]
async fn a_missed_call_and_the_lead_of_it_are_one_contact_and_one_call() {
    let (double, sink, request) = scene(missed());
    delivered(&*sink, &request).await.unwrap();
    assert_eq!(counts(&double), (1, 0, 1));
    let of_lead = SinkRequest { payload: lead().to_string(), ..request };
    delivered(&*sink, &of_lead).await.unwrap();
    assert_eq!(counts(&double), (1, 1, 1));
    let status = double.with(|state| state.calls.values().next().unwrap().0["hs_call_status"].clone());
    assert_eq!(status, "NO_ANSWER");
}

#[tokio::test]
async fn whichever_answer_is_lost_nothing_is_there_twice() {
    for payload in [lead(), missed()] {
        let notes = usize::from(payload["type"] == "lead");
        lose_each_answer(
            || scene(payload.clone()),
            |double, place| assert_eq!(counts(double), (1, notes, 1), "after {place} was lost"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_contact_with_the_email_address_is_taken_over_unless_it_is_another_callers() {
    let (double, sink, request) = scene(lead());
    let theirs =
        double.with(|state| state.add_contact(&[("email", "dana@example.com"), ("firstname", "D.")]));
    delivered(&*sink, &request).await.unwrap();
    let contact =
        double.with(|state| (state.contacts.len(), state.contacts[&theirs]["leadline_key"].clone()));
    assert_eq!(contact, (1, json!("summit:+13035550142")));

    let (double, sink, request) = scene(lead());
    let other = [("email", "dana@example.com"), ("leadline_key", "summit:+13035550199")];
    let theirs = double.with(|state| state.add_contact(&other));
    double.with(|state| state.add_contact(&[("leadline_key", "summit:+13035550142")]));
    delivered(&*sink, &request).await.unwrap();
    let keys = double.with(|state| (state.contacts.len(), state.contacts[&theirs]["leadline_key"].clone()));
    assert_eq!(keys, (2, json!("summit:+13035550199")), "nobody's contact is taken from a caller");
}

#[tokio::test]
async fn a_batch_tells_of_each_input_what_became_of_it() {
    let (double, _, request) = scene(lead());
    double
        .with(|state| state.add_contact(&[("email", "taken@example.com"), ("leadline_key", "summit:taken")]));
    let (client, config) = (client(Granted::new(None)), Config::of(&request.integration).unwrap());
    let mut session = client.session(&request, &config, &request.trace, until(PATIENT)).await.unwrap();
    let input = |number: usize| Input {
        by: "leadline_key".to_owned(),
        id: format!("summit:{number}"),
        properties: match number % 10 {
            3 => json!({"email": "taken@example.com"}),
            _ => json!({"email": format!("{number}@example.com")}),
        }
        .as_object()
        .unwrap()
        .clone(),
    };
    let inputs: Vec<Input> = (0..100).map(input).collect();
    let answers = session.upsert(&inputs).await.unwrap();
    assert_eq!(answers.len(), 100);
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(id) => {
                let key = double.with(|state| state.contacts[&id.parse().unwrap()]["leadline_key"].clone());
                assert_eq!(key, format!("summit:{number}"), "an id of another input");
            }
            Err(Failure::Conflict(_)) => assert_eq!(number % 10, 3),
            Err(other) => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!((double.count("batch/upsert"), answers.iter().filter(|one| one.is_err()).count()), (1, 10));
}

#[tokio::test]
async fn deliveries_that_come_together_are_one_batch_and_a_bad_one_refuses_itself_alone() {
    let (double, sink, request) = scene(missed());
    let one = |number: usize, email: &str| {
        let payload = json!({
            "type": "lead", "lead_id": format!("L{number}"), "phone": format!("+1303555{:04}", number / 2 * 2), // Two of each caller.
            "email": email,
        });
        SinkRequest { payload: payload.to_string(), ..request.clone() }
    };
    let together = |bad: &'static str| {
        let emails =
            (0..20).map(
                move |number| if number == 6 { bad.to_owned() } else { format!("{}@x.example", number / 2) },
            );
        let deliveries = emails.enumerate().map(|(number, email)| sink.deliver(one(number, &email), PATIENT));
        futures_util::future::join_all(deliveries.collect::<Vec<_>>())
    };
    let answers = together("3@x.example").await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(
        (counts(&double).0, double.count("batch/upsert")),
        (10, 11),
        "a batch, and second leads alone"
    );
    let answers = together("nonsense").await;
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(_) => assert_ne!(number, 6),
            Err(CallError::Reject { why }) => assert!(number == 6 && why.contains("\"nonsense\""), "{why}"),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(counts(&double).0, 10);
    assert!(
        request.trace.take().iter().any(|exchange| exchange.request.contains("batch/upsert")),
        "it is taken down"
    );
}

/// File, what it means, and words that the tenant reads.
const MEANINGS: &[(&str, &str, &[&str])] = &[
    ("200_errors_inside.json", "reject", &["\"hot\" is not among the options", "\"leadline_band\""]),
    ("207_one_of_one_failed.json", "reject", &["\"dana@example.com\" for no email address"]),
    ("400_invalid_email.json", "reject", &["\"dana@example.com\" for no email address"]),
    ("400_invalid_option_errors.json", "reject", &["\"hot\" is not among the options"]),
    ("400_property_doesnt_exist.json", "reject", &["\"leadline_score\"", "leadline integration setup"]),
    ("400_validation_rule.json", "reject", &["phone numbers must have an area code"]),
    ("401_expired.json", "reject", &["connect it again"]),
    ("403_missing_scopes.json", "reject", &["crm.objects.contacts"]),
    ("404_not_found.json", "reject", &["404"]),
    ("409_conflict.json", "passes", &[]),
    ("423_locked.json", "retry 2", &["locked"]),
    ("429_daily.json", "retry 3600", &["daily"]),
    ("429_rate_limits_category.json", "retry 10", &["ten_secondly"]),
    ("429_secondly.json", "retry 1", &["secondly"]),
    ("429_ten_secondly_rolling.json", "retry 10", &["ten_secondly"]),
    ("477_migration.json", "retry 60", &["migrated"]),
    ("500_internal.json", "retry", &["500"]),
    ("502_bad_gateway.html", "retry", &["502"]),
    ("503_unavailable.html", "retry", &["503"]),
    ("504_gateway_timeout.html", "retry", &["504"]),
    ("524_timeout.html", "retry", &["524"]),
];

#[tokio::test]
async fn every_way_to_fail_has_its_meaning_in_words_and_tells_no_secret() {
    let named: Vec<&str> = MEANINGS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(goldens(KIND), named, "each kept answer has its meaning here");
    for meaning in MEANINGS {
        let (double, sink, request) = scene(lead());
        double.fail("batch/upsert", Fault::golden(KIND, meaning.0));
        let answer = sink.deliver(request.clone(), PATIENT).await;
        check_meaning(meaning, answer, &request.trace, &[TOKEN]);
    }
}

#[tokio::test]
async fn a_grant_that_was_refused_is_asked_for_anew_and_a_refused_token_is_not_tried_twice() {
    let double = account();
    let mut request = request(integration(&double), "lead-1", &lead());
    request.integration.grant = Some(grant());
    let sink = HubSpotSink::new(client(Granted::new(None)));
    sink.deliver(request.clone(), PATIENT).await.unwrap();
    assert_eq!(double.asked().iter().filter(|asked| asked.status == Some(401)).count(), 1);

    request.integration.grant = None;
    request.integration.secret = Some(Sealed("wrong".to_owned()));
    let before = double.asked().len();
    let answer = sink.deliver(request, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Reject { .. })), "{answer:?}");
    assert_eq!(double.asked().len() - before, 1);
}

#[tokio::test]
async fn an_account_is_never_asked_more_than_its_limit() {
    let (double, sink, mut request) = scene(missed());
    double.with(|state| state.limit = 6);
    request.integration.options.insert("requests_per_10s".to_owned(), "6".to_owned());
    let (mut arrived, mut waits) = (0, 0);
    for number in 0..4 {
        request.payload = json!({"type": "missed_call", "call_id": format!("CAL{number}"), "caller": format!("+1303555014{number}"), "rang_at": "2026-03-04T16:20:00Z"}).to_string();
        match sink.deliver(request.clone(), Duration::from_millis(900)).await {
            Ok(_) => arrived += 1,
            Err(CallError::Retry { after: Some(after), .. }) => {
                assert!(after <= Duration::from_secs(11), "{after:?}");
                waits += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(arrived >= 1 && waits >= 1, "{arrived} arrived, {waits} waited");
    assert!(double.asked().iter().all(|asked| asked.status != Some(429)), "HubSpot had to refuse");

    // Somebody else has used up the day, which HubSpot tells with each answer.
    let (double, sink, request) = scene(missed());
    double.with(|state| state.daily_used = 249_999);
    let answer = sink.deliver(request, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Retry { after: Some(_), .. })), "{answer:?}");
    assert_eq!(double.asked().len(), 1, "it was asked after it said that the day is used up");
}

#[tokio::test]
async fn setup_makes_what_is_missing_and_says_what_a_person_has_to_do() {
    let double = hubspot::start(TOKEN);
    let mut request = request(integration(&double), "setup", &json!({}));
    request.integration.field_map.insert("own_field".to_owned(), "summary".to_owned());
    let client = client(Granted::new(None));
    let looked = setup(&client, &request, false, PATIENT).await.unwrap();
    assert_eq!(double.count("POST"), 0, "without apply nothing is changed");
    let missing: Vec<&str> =
        looked.iter().filter(|step| !step.good).map(|step| step.field.as_str()).collect();
    let ours = ["leadline_key", "leadline_band", "leadline_project_type", "leadline_score", "own_field"];
    assert_eq!(missing, ours);
    let done = setup(&client, &request, true, PATIENT).await.unwrap();
    let missing: Vec<&str> = done.iter().filter(|step| !step.good).map(|step| step.field.as_str()).collect();
    assert_eq!(missing, ["own_field"], "what a person named is a person's to make");
    assert!(double.with(|state| state.properties["leadline_key"]));
    request.integration.field_map.clear();
    let again = setup(&client, &request, true, PATIENT).await.unwrap();
    assert!(again.iter().all(|step| step.good && step.found == "is there"), "{again:?}");
    // What setup made is enough for a delivery.
    request.payload = lead().to_string();
    delivered(&HubSpotSink::new(client), &request).await.unwrap();
}

#[tokio::test]
async fn a_preview_shows_the_requests_that_a_delivery_makes_and_sends_none() {
    let (double, sink, request) = scene(lead());
    let shown = sink.preview(&request).unwrap();
    assert!(double.asked().is_empty());
    delivered(&*sink, &request).await.unwrap();
    let contact = double.with(|state| *state.contacts.keys().next().unwrap());
    let made: Vec<_> = double.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    assert_eq!(shown.len(), made.len());
    for (shown, made) in shown.iter().zip(made) {
        assert_eq!(shown.url, format!("{}{}", double.base(), made.path));
        let body = String::from_utf8_lossy(&shown.body).replace("{contact id}", &contact.to_string());
        assert_eq!(body, String::from_utf8_lossy(&made.body));
        assert!(shown.shown().contains("authorization: ***"));
    }
}

#[test]
fn what_is_configured_wrongly_is_refused_in_words() {
    let with = |field: Option<(&str, &str)>, option: Option<(&str, &str)>| {
        let mut integration = Integration::new("crm", KIND, "");
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        integration.field_map.extend(field.map(own));
        integration.options.extend(option.map(own));
        crate::crm::check(&integration)
    };
    assert_eq!(with(None, None), Ok(()));
    for (field, option, words) in [
        (Some(("Lead Score", "score")), None, "internal name"),
        (Some(("rating", "scor")), None, "did you mean"),
        (Some(("leadline_key", "phone")), None, "names the caller"),
        (None, Some(("notse", "no")), "there are calls, notes"),
        (None, Some(("notes", "maybe")), "neither yes nor no"),
        (None, Some(("requests_per_10s", "0")), "above 0"),
    ] {
        let why = with(field, option).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    suite_of_double(&|mood| {
        let double = account();
        match mood {
            Mood::Answers => {}
            Mood::Refuses => double.fail("batch/upsert", Fault::golden(KIND, "429_daily.json")),
            Mood::Hangs => (0..2).for_each(|_| double.fail("batch/upsert", Fault::Hang)),
        }
        let sink = Arc::new(AtDouble {
            sink: HubSpotSink::new(client(Granted::new(None))),
            base: double.base(),
            options: &[],
        });
        let payload: &'static str = Box::leak(lead().to_string().into_boxed_str());
        SinkUnderTest { sink, secret: Some(Sealed(TOKEN.to_owned())), payload, good: "" }
    })
    .await;
}
