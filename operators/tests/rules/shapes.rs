//! Forms, sides, and what must not be kept.

use super::*;

#[test]
fn forms_are_read_whatever_their_fields_are_called() {
    let form = |fields: Value| score("form", ("form_data", fields));
    let usual = form(
        json!({"Full Name": "Gerald Osei", "E-mail": "g@example.com", "Best phone": "614 555 0142", "Property city": "Dublin",
        "Project details": "bath remodel", "Investment range": "$20,000 - $30,000", "Desired start": "ASAP", "Are you the owner?": "Yes"}),
    );
    let nested = form(
        json!({"contact": {"firstName": "Gerald", "lastName": "Osei", "email": "g@example.com", "phone": "(614) 555-0142"},
        "answers": [{"question": "City", "answer": "Dublin"}, {"question": "What do you need?", "answer": "bath remodel"},
        {"question": "Budget", "answer": "20-30k"}, {"question": "How soon?", "answer": "ASAP"}, {"question": "Do you own the home?", "answer": "Yes"}]}),
    );
    let bare = form(
        json!({"field_1": "Gerald Osei", "field_2": "g@example.com", "field_3": "6145550142", "field_4": "I need a bath remodel in Dublin, $20k to $30k, asap. I am the owner."}),
    );
    for output in [usual, nested, bare] {
        let extracted = &output.extracted;
        assert_eq!(extracted.caller_name.as_deref(), Some("Gerald Osei"), "{output:?}");
        assert_eq!(extracted.email.as_deref(), Some("g@example.com"));
        assert_eq!(extracted.phone.as_deref(), Some("6145550142"));
        assert_eq!(extracted.city.as_deref(), Some("Dublin"));
        assert_eq!((output.budget_min, output.budget_max), (Some(20_000), Some(30_000)), "{output:?}");
        assert_eq!(output.timeline.map(|timeline| timeline.as_str()), Some("now_0_30d"));
        assert_eq!(output.project_type.map(|project| project.as_str()), Some("bath"));
        assert_eq!(output.band.as_str(), "hot", "{output:?}");
    }
}

#[test]
fn sides_are_told_apart_where_the_labels_are_missing_or_wrong() {
    let words = [
        "Buckeye Remodeling, how can I help you?",
        "Hi, I want to redo my kitchen.",
        "Where are you located?",
        "I'm in Dublin.",
        "And what's your budget?",
        "Forty thousand.",
        "Can we come out Tuesday at ten?",
        "Yes, that works.",
    ];
    let labelled = |name: &dyn Fn(usize) -> Value| {
        let turns: Vec<Value> =
            words.iter().enumerate().map(|(at, text)| json!({"speaker": name(at), "text": text})).collect();
        score("call", ("transcript", json!(turns)))
    };
    let right = labelled(&|at| json!(if at % 2 == 0 { "agent" } else { "caller" }));
    assert!(right.appointment_set && right.budget_max == Some(40_000) && right.band.as_str() == "hot");
    let same = |output: ScoreOutput, why: &str| {
        assert_eq!(
            (output.score, output.budget_max, output.appointment_set),
            (right.score, right.budget_max, right.appointment_set),
            "{why}"
        );
        assert_eq!(output.extracted.city, right.extracted.city, "{why}");
    };
    same(labelled(&|at| json!(if at % 2 == 0 { "caller" } else { "agent" })), "swapped");
    same(labelled(&|_| json!("caller")), "all the caller's");
    same(labelled(&|at| json!(format!("Speaker {}", at % 2))), "numbered");
    let inline: String = words
        .iter()
        .enumerate()
        .map(|(at, text)| format!("{}: {text} ", if at % 2 == 0 { "Agent" } else { "Caller" }))
        .collect();
    same(score("call", ("text", json!(inline))), "inline");
    let bare = words.join(" ").to_lowercase().replace(['.', ',', '?', '\''], "");
    let bare = score("call", ("text", json!(bare)));
    assert_eq!(
        (bare.budget_max, bare.appointment_set, bare.band.as_str()),
        (Some(40_000), true, "hot"),
        "{bare:?}"
    );
}

#[test]
fn card_bank_and_social_security_numbers_reach_no_output() {
    for (script, secrets) in [
        ("c: My card is 4111 1111 1111 1111, exp 09/27, cvv 321.", vec!["4111", "1111", "321"]),
        (
            "a: Card number? / c: 5500 0000 / a: Go on. / c: 0000 0004 / a: And the code? / c: nine one four",
            vec!["5500", "0004", "nine one four"],
        ),
        ("c: My social is 219-09-9999.", vec!["219", "9999"]),
        ("c: It's two one nine, oh nine, nine nine nine nine, that's my social.", vec!["two one nine"]),
        ("c: Routing 026009593 and account 000123456789.", vec!["026009593", "123456789"]),
    ] {
        let output = call(&format!("a: Buckeye. / c: I want a new kitchen in Dublin. / {script}"));
        let wire = serde_json::to_string(&output).unwrap();
        for secret in secrets {
            assert!(!wire.contains(secret), "{secret} in {wire}");
        }
    }
}
