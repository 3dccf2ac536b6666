//! What an answer must say to be taken: beyond the schema, because models keep to schemas and still make things up.

use leadline_operators::dedupe::ContactOut;
use leadline_operators::score::ScoreContact;
use leadline_schemas::contact::{Contact, Score, Transcript};
use leadline_schemas::event::{Speaker, Turn};
use leadline_schemas::reply::Answered;
use leadline_schemas::settings::Policy;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::driver::{Driver, cases};
use crate::inputs::{NOON, call_contact, call_event, event_id, tenant};

const TURNS: [&str; 3] = [
    "Summit Kitchens, this is Bob.",
    "Hi, it\u{2019}s Ann Lee in Golden \u{2014} we want a new  kitchen, up to 40k.",
    "You can reach me at 303 555 0142 or ann@lee.example",
];

fn the_call() -> Contact {
    let mut call = call_event("CAL1");
    call.caller_city = Some("Denver".to_owned());
    let mut contact = call_contact(1, call);
    let turn = |text: &&str| Turn { speaker: Speaker::Caller, text: (*text).to_owned() };
    contact.transcript = Some(Transcript {
        turns: TURNS.iter().map(turn).collect(),
        provider: "callrail".to_owned(),
        cost_micros: 0,
    });
    contact
}

fn good() -> Value {
    json!({
        "id": "CAL1", "score": 80, "band": "hot", "class": "lead",
        "factors": { "budget": 22, "timeline": 18, "scope_area": 22, "authority": 18 },
        "project_type": "kitchen", "budget_min": null, "budget_max": 40_000, "timeline": "1_3mo",
        "decision_maker": null, "urgency": null, "appointment_set": false,
        "extracted": { "caller_name": "Ann Lee", "phone": "3035550142", "email": "ann@lee.example", "city": "Golden" },
        "evidence": [
            { "field": "project_type", "quote": "we want a new kitchen", "turn": 1 },
            { "field": "phone", "quote": "303 555 0142", "turn": 2 },
        ],
        "reasons": ["Wants a kitchen."],
    })
}

fn scored(output: &Value) -> Score {
    let mut tenant = tenant();
    tenant.policy = Policy { score_provider: "model".to_owned(), ..Policy::default() };
    let mut driver = Driver::<ScoreContact>::new(tenant, NOON);
    let done = driver.record(event_id(1), the_call()).unwrap();
    let answered = Answered { body: output.to_string().into(), attempts: 1, cost_micros: 1 };
    let done = driver.reply(done.jobs[0].id, Ok(answered)).unwrap().unwrap();
    let [ContactOut::Contact(after)] = done.out.as_slice() else { panic!("{done:?}") };
    after.score.clone().unwrap()
}

fn detail(score: &Score) -> Value {
    serde_json::from_str(&score.detail).unwrap()
}

#[test]
fn an_answer_that_holds_together_is_taken_word_for_word() {
    // One that was kept names another contact with the same words.
    let mut kept = good();
    kept["id"] = json!("CAL2");
    let score = scored(&kept);
    assert_eq!(detail(&score)["id"], "CAL1");
    assert_eq!((score.provider.as_str(), score.fallback.as_deref()), ("model", None));
    let detail = detail(&score);
    for field in ["score", "factors", "evidence", "reasons", "budget_max"] {
        assert_eq!(detail[field], good()[field], "{field}");
    }
}

#[test]
fn what_does_not_hold_together_is_refused_with_the_reason() {
    let long = "x".repeat(5_000);
    let cases: Vec<(&str, Value, &str)> = vec![
        ("/score", json!(79), "sum 80"),
        ("/score", json!(300), "invalid value"),
        ("/band", json!("warm"), "band"),
        ("/class", json!("vendor"), "too high for class vendor"),
        ("/class", json!("friend"), "friend"),
        ("/factors/budget", json!(26), "out of range"),
        ("/factors/budget", json!(-1), "invalid value"),
        ("/budget_min", json!(50_000), "above"),
        ("/budget_max", json!(900_000_000_u64), "not believed"),
        ("/extracted/phone", json!("303-555"), "digits"),
        ("/extracted/email", json!("ann at lee"), "email"),
        ("/extracted/year_built", json!(12), "12"),
        ("/extracted/caller_name", json!(" "), "caller_name"),
        ("/extracted/caller_name", json!(long), "caller_name"),
        ("/extracted/address", json!("1 Main St\nignore all"), "address"),
        ("/evidence/0/quote", json!("money is no object"), "never said"),
        ("/evidence/0/quote", json!("we want a kitchen"), "never said"),
        ("/evidence/0/quote", json!(" "), "empty"),
        ("/evidence/0/quote", json!(long), "too long"),
        ("/reasons/0", json!(long), "5000 characters"),
        ("/reasons", json!(vec!["a"; 100]), "100 reasons"),
    ];
    for (pointer, wrong, why) in cases {
        let mut output = good();
        if let (Some(parent), Some(name)) = (pointer.rfind('/'), pointer.rsplit('/').next()) {
            let place = output.pointer_mut(&pointer[..parent]).unwrap();
            match place {
                Value::Array(items) => items[name.parse::<usize>().unwrap()] = wrong.clone(),
                other => other[name] = wrong.clone(),
            }
        }
        let score = scored(&output);
        assert_eq!(score.provider, "rules", "{pointer} = {wrong}");
        let fallback = score.fallback.unwrap();
        assert!(fallback.contains(why), "{pointer}: {why:?} in {fallback:?}");
        assert!(fallback.len() < 600, "{fallback}");
    }
}

#[test]
fn quotes_are_compared_without_typesetting_and_found_in_their_turn() {
    for (quote, claimed, turn) in [
        ("it's Ann Lee in golden - we want a new kitchen", 1, 1),
        ("\u{201c}Ann  Lee\u{201d}", 1, 1),
        ("a new kitchen, up to 40k...", 1, 1),
        ("this is Bob.", 2, 0),
        ("ann@lee.example", 99, 2),
    ] {
        let mut output = good();
        output["evidence"] = json!([{ "field": "caller_name", "quote": quote, "turn": claimed }]);
        let score = scored(&output);
        assert_eq!(score.provider, "model", "{quote}: {:?}", score.fallback);
        assert_eq!(detail(&score)["evidence"][0]["turn"], turn, "{quote}");
    }
}

#[test]
fn a_city_that_only_caller_id_knows_is_no_city() {
    let mut output = good();
    output["extracted"]["city"] = json!("Denver");
    let score = scored(&output);
    assert_eq!((score.provider.as_str(), &detail(&score)["extracted"]["city"]), ("model", &Value::Null));
}

proptest! {
    #![proptest_config(cases(200))]

    /// Whatever a provider answers, what is stored is a score that adds up, of words that were said.
    #[test]
    fn whatever_is_answered_the_record_holds_together(
        score in 0_u8..=110, factors in prop::array::uniform4(0_u8..=30), band in 0_usize..4, class in 0_usize..8,
        quote in prop::sample::select(vec!["kitchen", "Bob", "a yacht", "", "40K"]), turn in 0_u32..5,
        adds_up in any::<bool>(), budget in (prop::option::of(0_u64..200_000_000), prop::option::of(0_u64..200_000_000)),
    ) {
        use leadline_schemas::score::{Band, Class, ScoreOutput};
        let mut output = good();
        output["score"] = json!(score);
        output["band"] = json!(Band::ALL[band]);
        output["class"] = json!(Class::ALL[class]);
        let [budget_factor, timeline, scope_area, authority] = factors;
        output["factors"] = json!({ "budget": budget_factor, "timeline": timeline, "scope_area": scope_area, "authority": authority });
        if adds_up {
            let sum: u8 = factors.iter().sum();
            (output["score"], output["band"]) = (json!(sum), json!(Band::of(sum)));
        }
        output["evidence"] = json!([{ "field": "class", "quote": quote, "turn": turn }]);
        (output["budget_min"], output["budget_max"]) = (json!(budget.0), json!(budget.1));
        let kept = scored(&output);
        let stored: ScoreOutput = serde_json::from_str(&kept.detail).unwrap();
        prop_assert!(stored.score <= 100 && stored.band == Band::of(stored.score));
        prop_assert!(stored.score <= stored.factors.sum());
        prop_assert_eq!(stored.class == Class::Lead || stored.band == Band::Cold, true);
        prop_assert!(stored.budget_min.zip(stored.budget_max).is_none_or(|(min, max)| min <= max));
        for evidence in &stored.evidence {
            let said = TURNS[evidence.turn as usize].to_lowercase();
            prop_assert!(said.contains(&evidence.quote.to_lowercase()), "{:?}", evidence);
        }
        prop_assert_eq!(kept.fallback.is_some(), kept.provider == "rules");
        prop_assert_eq!(kept.cost_micros, 1);
    }
}

/// The rules are a provider like any other: what they answer about real contacts holds together.
#[test]
fn what_the_rules_answer_is_taken() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scoring");
    let mut seen = 0;
    for name in ["dev.jsonl", "tuning.jsonl", "holdout.jsonl"] {
        for line in std::fs::read_to_string(folder.join(name)).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let input = case.get("input").cloned().unwrap_or(case);
            let input = leadline_operators::rules::masked(serde_json::from_value(input).unwrap());
            let output = leadline_operators::rules::score(&input);
            let body = serde_json::to_vec(&output).unwrap();
            let read = leadline_operators::score::read(&body, &input);
            assert!(read.is_ok(), "{name}: {}: {}", input.id, read.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}
