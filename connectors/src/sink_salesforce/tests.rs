//! What the sink promises, against the strict double and Salesforce's own ways to fail.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::settings::{Integration, Sealed};
use leadline_tests::crm::{Fault, goldens};
use leadline_tests::salesforce::{self, JWT_KEY, Salesforce};
use serde_json::{Value, json};

use super::*;
use crate::clock_system::SystemClock;
use crate::conformance::other_side::Mood;
use crate::conformance::sink::{SinkUnderTest, suite_of_double};
use crate::contract::provider::CallError;
use crate::contract::sink::{Guarantee, Sink, SinkRequest};
use crate::crm::Credentials;
use crate::crm::testing::*;
use crate::http_client::Client;

const SECRET: &str = "s3cr3t-0f-the-tenant";

fn client(tokens: Granted) -> SalesforceClient {
    let credentials = Credentials::new(Arc::new(Plain), Arc::new(tokens));
    SalesforceClient::new(Client::new().unwrap(), credentials, Arc::new(SystemClock))
}

fn integration(double: &Salesforce) -> Integration {
    let mut integration = Integration {
        secret: Some(Sealed(SECRET.to_owned())),
        ..Integration::new("crm", KIND, double.base())
    };
    integration.options.insert("client_id".to_owned(), "3MVG9.client".to_owned());
    integration
}

fn account() -> Salesforce {
    let double = salesforce::start();
    double.with(salesforce::State::with_our_fields);
    double
}

fn scene(payload: Value) -> (Salesforce, Box<dyn Sink>, SinkRequest) {
    let double = account();
    let request = request(integration(&double), "lead-1", &payload);
    (double, Box::new(SalesforceSink::new(client(Granted::new(None)))), request)
}

fn counts(double: &Salesforce) -> (usize, usize) {
    double.with(|state| (state.leads.len(), state.tasks.len()))
}

#[tokio::test]
async fn a_lead_and_its_call_are_one_request_and_the_same_again_changes_nothing() {
    let (double, sink, request) = scene(lead());
    assert_eq!(sink.guarantee(), Guarantee::Once);
    let first = sink.deliver(request.clone(), PATIENT).await.unwrap();
    let second = sink.deliver(request, PATIENT).await.unwrap();
    assert_eq!((first.remote_id, counts(&double)), (second.remote_id, (1, 1)));
    assert_eq!(double.with(|state| (state.used, state.logins)), (2, 1));
    let (made, task) = double.with(|state| {
        (state.leads.values().next().unwrap().clone(), state.tasks.values().next().unwrap().clone())
    });
    assert_eq!((&made["LastName"], &made["Company"]), (&json!("Smith"), &json!("Smith Household")));
    assert_eq!(
        (&made["LeadlineKey__c"], &made["LeadSource"]),
        (&json!("summit:+13035550142"), &json!("Phone Inquiry"))
    );
    assert_eq!(task["CallObject"], "CAL019fb93fce197a38a2788269bcf71b70");
    assert_eq!(task["ActivityDate"], "2026-03-04");
}

#[tokio::test]
async fn whichever_answer_is_lost_nothing_is_there_twice() {
    let mut no_call = lead();
    no_call["contact_ids"] = json!(["FRM1"]);
    for payload in [lead(), missed(), no_call] {
        let tasks = usize::from(payload["contact_ids"] != json!(["FRM1"]));
        lose_each_answer(
            || scene(payload.clone()),
            |double, place| assert_eq!(counts(double), (1, tasks), "after {place} was lost"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_caller_without_a_name_replaces_no_name() {
    let (double, sink, request) = scene(missed());
    sink.deliver(request.clone(), PATIENT).await.unwrap();
    let name =
        |double: &Salesforce| double.with(|state| state.leads.values().next().unwrap()["LastName"].clone());
    assert_eq!(name(&double), "+13035550142", "a lead must have a name");
    let named = SinkRequest { payload: lead().to_string(), ..request.clone() };
    sink.deliver(named, PATIENT).await.unwrap();
    let mut later = missed();
    later["call_id"] = json!("CAL2");
    sink.deliver(SinkRequest { payload: later.to_string(), ..request }, PATIENT).await.unwrap();
    assert_eq!((name(&double), counts(&double)), (json!("Smith"), (1, 2)));
}

#[tokio::test]
async fn leads_that_come_together_go_by_collections_and_each_hears_its_own_error() {
    let (double, sink, request) = scene(lead());
    let one = |number: usize| {
        let mut lead = lead();
        lead["phone"] = json!(format!("+1303555{:04}", number / 2 * 2)); // Two of each caller.
        lead["contact_ids"] = json!([format!("CAL{number}")]);
        lead["email"] = json!(if number == 7 { "nonsense" } else { "dana@example.com" });
        SinkRequest { payload: lead.to_string(), ..request.clone() }
    };
    let deliveries = (0..20).map(|number| sink.deliver(one(number), PATIENT));
    let answers = futures_util::future::join_all(deliveries).await;
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(answer) => assert!(number != 7 && answer.remote_id.as_ref().unwrap().contains("task=00T")),
            Err(CallError::Reject { why }) => {
                assert!(number == 7 && why.contains("\"nonsense\" is no email"), "{why}")
            }
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(counts(&double), (10, 19));
    assert_eq!(double.count("composite/sobjects"), 2, "leads, then calls");
    let used = double.with(|state| state.used);
    assert_eq!(used, 12, "and the second leads of ten callers, one by one");
    assert_eq!(double.with(|state| state.logins), 1);
}

#[tokio::test]
async fn a_session_that_has_ended_is_had_anew_once() {
    let (double, sink, request) = scene(lead());
    sink.deliver(request.clone(), PATIENT).await.unwrap();
    double.with(|state| state.sessions.clear());
    sink.deliver(request.clone(), PATIENT).await.unwrap();
    assert_eq!(double.with(|state| state.logins), 2);
    (0..9).for_each(|_| double.fail("composite", Fault::golden(KIND, "401_invalid_session.json")));
    let before = double.count("composite");
    let answer = sink.deliver(request, PATIENT).await;
    assert!(matches!(answer, Err(CallError::Reject { .. })), "{answer:?}");
    assert_eq!((double.count("composite") - before, double.with(|state| state.logins)), (2, 3));
}

#[tokio::test]
async fn it_signs_in_by_jwt_and_by_a_grant_and_says_why_it_is_refused() {
    let (double, sink, mut request) = scene(lead());
    request.integration.secret = Some(Sealed(JWT_KEY.to_owned()));
    request.integration.options.insert("username".to_owned(), "leadline@summit.example".to_owned());
    sink.deliver(request.clone(), PATIENT).await.unwrap();

    request.integration.options.insert("username".to_owned(), "nobody@summit.example".to_owned());
    double.with(|state| state.sessions.clear());
    let Err(CallError::Reject { why }) = sink.deliver(request.clone(), PATIENT).await else { panic!() };
    assert!(why.contains("invalid_grant: invalid assertion"), "{why}");
    let key = JWT_KEY.lines().nth(3).unwrap();
    assert!(!format!("{why} {:?}", request.trace.take()).contains(key));

    request.integration.secret = Some(Sealed("no key".to_owned()));
    let Err(CallError::Reject { why }) = sink.deliver(request, PATIENT).await else { panic!() };
    assert!(why.contains("RSA of 2048 bits"), "{why}");

    let (double, _, mut request) = scene(lead());
    request.integration.grant = Some(grant());
    double.with(|state| state.sessions.insert(TOKEN.to_owned()));
    let sink = SalesforceSink::new(client(Granted::new(Some(double.base()))));
    sink.deliver(request, PATIENT).await.unwrap();
    assert_eq!(double.with(|state| (state.leads.len(), state.logins)), (1, 0));
}

#[tokio::test]
async fn a_tenth_of_the_organisations_day_is_left_to_its_other_tools() {
    let (double, sink, request) = scene(lead());
    double.with(|state| (state.allowed, state.used) = (100, 87));
    let mut arrived = 0;
    for _ in 0..6 {
        match sink.deliver(request.clone(), Duration::from_millis(500)).await {
            Ok(_) => arrived += 1,
            Err(CallError::Retry { after: Some(after), .. }) => assert!(after > Duration::from_secs(60)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((arrived, double.with(|state| state.used)), (3, 90));
    assert_eq!(super::client::usage("per-app-api-usage=17/250(appName=x)"), None);
    assert_eq!(
        super::client::usage("api-usage=18/5000, per-app-api-usage=17/250(appName=x)"),
        Some((18, 5_000))
    );
}

#[tokio::test]
async fn a_duplicate_rule_is_overridden_only_when_the_tenant_agrees() {
    let (double, sink, mut request) = scene(lead());
    double.with(|state| state.duplicates.insert("dana@example.com".to_owned()));
    let Err(CallError::Reject { why }) = sink.deliver(request.clone(), PATIENT).await else { panic!() };
    assert!(why.contains("allow_duplicates"), "{why}");
    assert_eq!(counts(&double), (0, 0), "all or none");
    request.integration.options.insert("allow_duplicates".to_owned(), "yes".to_owned());
    sink.deliver(request, PATIENT).await.unwrap();
    assert_eq!(counts(&double), (1, 1));
}

/// File, what it means, and words that the tenant reads.
const MEANINGS: &[(&str, &str, &[&str])] = &[
    ("200_cannot_insert.json", "reject", &["LeadTrigger", "administrator"]),
    ("200_converted.json", "reject", &["was converted"]),
    ("200_custom_validation.json", "reject", &["A lead needs a ZIP code", "\"City\" \"Denver\""]),
    ("200_duplicate_value_raced.json", "passes", &[]),
    ("200_duplicates_detected.json", "reject", &["duplicate rule", "allow_duplicates"]),
    ("200_insufficient_access.json", "reject", &["the right to create and edit"]),
    ("200_invalid_email.json", "reject", &["\"dana@example.com\" is no email address"]),
    ("200_invalid_field.json", "reject", &["\"City\"", "leadline integration setup"]),
    ("200_required_missing.json", "reject", &["\"Budget__c\" filled"]),
    ("200_restricted_picklist.json", "reject", &["\"hot\" is not among the values of \"Rating\""]),
    ("200_row_locked.json", "retry 3", &["exclusive access"]),
    ("200_several_matches.json", "reject", &["more than one record"]),
    ("200_string_too_long.json", "reject", &["\"Smith\" is too long for \"LastName\""]),
    ("300_several_matches.json", "reject", &["more than one record"]),
    ("400_json_parser.json", "reject", &["JSON_PARSER_ERROR"]),
    ("401_invalid_session.json", "passes", &[]),
    ("403_api_disabled.json", "reject", &["has no API"]),
    ("403_concurrent_long.json", "retry 20", &["Concurrent"]),
    ("403_request_limit.json", "retry 3600", &["TotalRequests"]),
    ("404_unknown_key_field.json", "reject", &["LeadlineKey__c"]),
    ("500_unknown.json", "retry", &["UNKNOWN_EXCEPTION"]),
    ("502_gateway.html", "retry", &["502"]),
    ("503_unavailable.json", "retry", &["SERVER_UNAVAILABLE"]),
];

#[tokio::test]
async fn every_way_to_fail_has_its_meaning_in_words_and_tells_no_secret() {
    let named: Vec<&str> = MEANINGS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(goldens(KIND), named, "each kept answer has its meaning here");
    for meaning in MEANINGS {
        let (double, sink, request) = scene(lead());
        double.fail("/composite", Fault::golden(KIND, meaning.0));
        let answer = sink.deliver(request.clone(), PATIENT).await;
        check_meaning(meaning, answer, &request.trace, &[SECRET, "s3cr3t-session"]);
    }
}

#[tokio::test]
async fn setup_makes_the_external_ids_and_says_what_a_person_has_to_do() {
    let double = salesforce::start();
    let mut request = request(integration(&double), "setup", &json!({}));
    request.integration.field_map.insert("Budget__c".to_owned(), "summary".to_owned());
    let client = client(Granted::new(None));
    let missing = |steps: &[crate::crm::SetupStep]| -> Vec<String> {
        steps.iter().filter(|step| !step.good).map(|step| step.field.clone()).collect()
    };
    let looked = setup(&client, &request, false, PATIENT).await.unwrap();
    assert_eq!(missing(&looked), ["Lead.LeadlineKey__c", "Lead.Budget__c", "Task.LeadlineKey__c"]);
    assert_eq!(double.count("tooling"), 0, "without apply nothing is changed");
    let done = setup(&client, &request, true, PATIENT).await.unwrap();
    assert_eq!(missing(&done), ["Lead.Budget__c"], "what a person named is a person's to make");
    request.integration.field_map.clear();
    request.payload = lead().to_string();
    SalesforceSink::new(client).deliver(request, PATIENT).await.unwrap();
}

#[tokio::test]
async fn a_preview_shows_the_request_that_a_delivery_makes_and_sends_none() {
    let (double, sink, request) = scene(lead());
    let shown = sink.preview(&request).unwrap();
    assert!(double.asked().is_empty());
    sink.deliver(request.clone(), PATIENT).await.unwrap();
    let made = double.asked().pop().unwrap();
    let [shown] = shown.as_slice() else { panic!("{shown:?}") };
    assert_eq!(
        (&shown.url, shown.method.as_str()),
        (&format!("{{instance url}}{}", made.path), made.method.as_str())
    );
    assert_eq!(shown.body, made.body);
    let of_missed = SinkRequest { payload: missed().to_string(), ..request };
    assert_eq!(sink.preview(&of_missed).unwrap().len(), 2, "an update, and what follows where there is none");
}

#[test]
fn what_is_configured_wrongly_is_refused_in_words() {
    let with = |field: Option<(&str, &str)>, options: &[(&str, &str)]| {
        let mut integration =
            Integration { secret: Some(Sealed(String::new())), ..Integration::new("crm", KIND, "") };
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        integration.field_map.extend(field.map(own));
        integration.options.extend(options.iter().copied().map(own));
        crate::crm::check(&integration)
    };
    let jwt = [("client_id", "3MVG9"), ("username", "a@b.example")];
    assert_eq!(with(None, &jwt), Ok(()));
    for (field, options, words) in [
        (None, &jwt[1..], "option client_id is missing"),
        (None, &jwt[..1], "option login_url is missing"),
        (Some(("Company", "-")), &jwt[..], "Company cannot be left out"),
        (Some(("Lead Score", "score")), &jwt[..], "no API name"),
        (Some(("Rating", "bund")), &jwt[..], "did you mean \"band\""),
    ] {
        let why = with(field, options).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    suite_of_double(&|mood| {
        let double = account();
        match mood {
            Mood::Answers => {}
            Mood::Refuses => double.fail("/composite", Fault::golden(KIND, "403_request_limit.json")),
            Mood::Hangs => (0..2).for_each(|_| double.fail("/composite", Fault::Hang)),
        }
        let sink = SalesforceSink::new(client(Granted::new(None)));
        let sink =
            Arc::new(AtDouble { sink, base: double.base(), options: &[("client_id", "3MVG9.client")] });
        let payload: &'static str = Box::leak(lead().to_string().into_boxed_str());
        SinkUnderTest { sink, secret: Some(Sealed(SECRET.to_owned())), payload, good: "" }
    })
    .await;
}
