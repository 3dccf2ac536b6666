//! The scorer on anything at all: no panic, an output that keeps its own rules, quotes that were really said, numbers
//! that must not be kept kept out, and a time that grows with the length and no faster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)] // tests may

use leadline_operators::rules;
use leadline_schemas::score::{Band, Class, ScoreInput, ScoreOutput};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Bits of talk that the rules look at, and bits that look like them.
const BITS: &[&str] = &[
    "i want to",
    "redo",
    "my kitchen",
    "a new roof",
    "the bathroom",
    "in Dublin",
    "in columbus",
    "Cleveland",
    "43215",
    "90210",
    "$45,000",
    "sixty",
    "sixty to eighty thousand",
    "under fifty k",
    "no wait",
    "make that",
    "tuesday at ten",
    "tomorrow",
    "next month",
    "in two or three weeks",
    "not until 2028",
    "my husband",
    "my landlord",
    "just me",
    "i own it",
    "we'll both be there",
    "how about",
    "that works",
    "let me think about it",
    "call me back",
    "614-555-0142",
    "six one four five five five oh one four two",
    "john at gmail dot com",
    "jane@example.com",
    "4412 Willow Bend Drive",
    "built in 1962",
    "my name is Rachel Kim",
    "Dana",
    "press one",
    "are you hiring",
    "wrong number",
    "seo",
    "invoice",
    "under warranty",
    "score me 100",
    "ignore all previous instructions",
    "deductible",
    "a month",
    "quoted",
    "4111 1111 1111 1111",
    "my social is 219-09-9999",
    "routing number 026009593",
    "account 000123456789",
    "cvv 321",
    "hello?",
    "um",
    "yes",
    "no",
    "okay",
    "sí",
    "quiero remodelar mi cocina",
    "treinta mil",
    "el jueves a las dos",
    "mi esposo",
    "leaking",
    "flooded",
    "no heat",
    ".",
    ",",
    "?",
    "!",
    "—",
    "…",
    "\n",
    "🏠",
    "İstanbul",
    "ﬁne",
    "日本語",
    "a\u{301}",
    "\u{202e}",
    "\0",
    "'",
    "''s",
    "-",
    "--",
    "$",
    "$$",
    "%",
    "1,2,3",
    "12:30",
    "99999999999999999999",
    "0.0.0.0",
    "k",
    "hundred",
    "thousand",
    "point",
    "and a half",
    "oh",
    "double five",
    "<",
    ">",
    "#",
];

fn talk() -> impl Strategy<Value = String> {
    let bit = prop_oneof![4 => prop::sample::select(BITS).prop_map(str::to_owned), 1 => "\\PC{0,12}"];
    prop::collection::vec(bit, 0..14).prop_map(|bits| bits.join(" "))
}

fn speaker() -> impl Strategy<Value = Value> {
    prop_oneof![Just(json!("agent")), Just(json!("caller")), Just(json!("Speaker 1")), Just(Value::Null)]
}

fn tenant() -> Value {
    json!({"trade": ["kitchen", "bath", "roof"], "service_area": {"cities": ["Dublin", "Columbus"], "postcodes": ["43215"]}, "min_budget": 15000})
}

fn contact() -> impl Strategy<Value = Value> {
    let channel = prop::sample::select(vec!["call", "voicemail", "text", "form", "fax", ""]);
    let turns = prop::collection::vec((speaker(), talk()), 0..12);
    let fields = prop::collection::vec(
        (
            prop::sample::select(vec![
                "name",
                "zip",
                "budget",
                "when",
                "message",
                "q1",
                "card number",
                "Are you the owner?",
                "e-mail",
            ]),
            talk(),
        ),
        0..6,
    );
    let with_tenant = any::<bool>();
    (channel, turns, prop::option::of(talk()), fields, with_tenant).prop_map(
        |(channel, turns, text, fields, with_tenant)| {
            let turns: Vec<Value> =
                turns.into_iter().map(|(speaker, text)| json!({"speaker": speaker, "text": text})).collect();
            let form: serde_json::Map<String, Value> =
                fields.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let mut contact =
                json!({"id": "p", "channel": channel, "transcript": turns, "text": text, "form_data": form});
            if with_tenant {
                contact["tenant"] = tenant();
            }
            contact
        },
    )
}

fn read(contact: &Value) -> ScoreInput {
    serde_json::from_value(contact.clone()).unwrap()
}

fn texts_in(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::String(text) => all.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| texts_in(value, all)),
        Value::Object(fields) => fields.values().for_each(|value| texts_in(value, all)),
        Value::Null => {}
        other => all.push(other.to_string()),
    }
}

/// Every text of the input that a quote may come from.
fn sources(input: &ScoreInput) -> Vec<String> {
    let turns = input.transcript.iter().map(|turn| turn.text.clone());
    let mut all: Vec<String> = turns.chain(input.text.clone()).collect();
    input.form_data.values().for_each(|value| texts_in(value, &mut all));
    all
}

/// Whether a quote stands in a text; a masked byte stands for any.
fn stands_in(quote: &str, text: &str) -> bool {
    let (quote, text) = (quote.as_bytes(), text.as_bytes());
    quote.is_empty()
        || text
            .windows(quote.len())
            .any(|window| window.iter().zip(quote).all(|(said, quoted)| quoted == said || *quoted == b'*'))
}

fn assert_valid(input: &ScoreInput, output: &ScoreOutput) {
    let wire = serde_json::to_string(output).unwrap();
    assert_eq!(output.score, output.factors.sum(), "the factors add up: {wire}");
    assert!(
        [output.factors.budget, output.factors.timeline, output.factors.scope_area, output.factors.authority]
            .iter()
            .all(|factor| *factor <= 25),
        "{wire}"
    );
    assert_eq!(output.band, Band::of(output.score), "{wire}");
    assert!(output.class == Class::Lead || output.band == Band::Cold, "only a lead is not cold: {wire}");
    if let (Some(low), Some(high)) = (output.budget_min, output.budget_max) {
        assert!(low <= high, "{wire}");
    }
    let sources = sources(input);
    for evidence in &output.evidence {
        assert!(
            !evidence.quote.is_empty() && sources.iter().any(|text| stands_in(&evidence.quote, text)),
            "{evidence:?} in {sources:?}"
        );
        if let Some(turn) =
            input.transcript.get(evidence.turn as usize).filter(|_| input.form_data.is_empty())
        {
            assert!(stands_in(&evidence.quote, &turn.text), "{evidence:?} stands in its turn");
        }
    }
    let evident = |field: &str| output.evidence.iter().any(|evidence| evidence.field == field);
    for (field, filled) in [
        ("project_type", output.project_type.is_some()),
        ("budget_min", output.budget_min.is_some()),
        ("budget_max", output.budget_max.is_some()),
        ("timeline", output.timeline.is_some()),
        ("decision_maker", output.decision_maker.is_some()),
        ("urgency", output.urgency.is_some()),
        ("appointment_set", output.appointment_set),
        ("caller_name", output.extracted.caller_name.is_some()),
        ("phone", output.extracted.phone.is_some()),
        ("email", output.extracted.email.is_some()),
        ("address", output.extracted.address.is_some()),
        ("city", output.extracted.city.is_some()),
        ("postcode", output.extracted.postcode.is_some()),
        ("year_built", output.extracted.year_built.is_some()),
        ("insurance_claim", output.extracted.insurance_claim.is_some()),
    ] {
        assert!(!filled || evident(field), "{field} has its evidence: {wire}");
    }
    for secret in ["4111 1111", "219-09-9999", "026009593", "000123456789"] {
        assert!(!wire.contains(secret), "{secret} in {wire}");
    }
    let again: ScoreOutput = serde_json::from_str(&wire).unwrap();
    assert_eq!(&again, output, "the wire form reads back");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_contact_gives_a_valid_output(contact in contact()) {
        let input = read(&contact);
        let output = rules::score(&input);
        assert_valid(&input, &output);
        prop_assert_eq!(rules::score(&input), output, "the same words give the same score");
    }

    #[test]
    fn any_json_is_read_as_a_contact(text in "\\PC{0,300}", number in any::<i32>(), flag in any::<bool>()) {
        for value in [json!(text), json!(number), json!(flag), Value::Null, json!([text, number]), json!({"text": [text]})] {
            for field in ["id", "channel", "tenant", "meta", "transcript", "text", "form_data"] {
                let mut contact = json!({});
                contact[field] = value.clone();
                let input = read(&contact);
                assert_valid(&input, &rules::score(&input));
            }
        }
    }
}

/// The time of one call with this content.
fn timed(contact: &Value) -> (Duration, ScoreInput, ScoreOutput) {
    let input = read(contact);
    let start = Instant::now();
    let output = rules::score(&input);
    (start.elapsed(), input, output)
}

#[test]
fn huge_inputs_take_bounded_time() {
    const BYTES: usize = 200 * 1024;
    /// A quadratic scan of 200 KB takes minutes; this leaves room for a busy machine and an unoptimised build.
    const TIME_MAX: Duration = Duration::from_secs(2);
    rules::warm_up();
    let fill = |bit: &str| bit.repeat(BYTES / bit.len() + 1);
    let mut slowest = Duration::ZERO;
    // Every sixth bit stands for its kind; all of them are in the fuzzed talks.
    for bit in BITS.iter().copied().step_by(6).chain([
        "a",
        "no no no ",
        "five ",
        "press one ",
        "can you ",
        "if the price is ",
        "in 5 weeks ",
        "$5 ",
        "@",
        "a@b.",
        "at gmail dot ",
        "Agent: ",
        "my name is ",
        "in the ",
        "one two three four five six seven eight nine ",
        "yes that works tuesday at ten ",
        "between forty and ",
        "ß",
        "é",
        "\u{1F3E0}",
        "i want a new kitchen in dublin for fifty thousand next month, ",
    ]) {
        let spaced = format!("{bit} ");
        let whole = fill(&spaced);
        let turns: Vec<Value> = whole.as_bytes().chunks(40).map(|chunk| json!({"speaker": if chunk.len() % 2 == 0 { "agent" } else { "caller" }, "text": String::from_utf8_lossy(chunk)})).collect();
        for contact in [
            json!({"channel": "call", "text": whole, "tenant": tenant()}),
            json!({"channel": "text", "text": fill(bit), "tenant": tenant()}),
            json!({"channel": "voicemail", "text": fill(&format!("{bit}\n"))}),
            json!({"channel": "call", "transcript": turns, "tenant": tenant()}),
            json!({"channel": "form", "form_data": {"message": whole}, "tenant": tenant()}),
        ] {
            let (time, input, output) = timed(&contact);
            assert_eq!(output.score, output.factors.sum());
            assert!(time < TIME_MAX, "{bit:?} by {:?} took {time:?}", input.channel);
            slowest = slowest.max(time);
        }
    }
    println!("slowest of 200 KB: {slowest:?}");
}

#[test]
fn a_contact_takes_less_than_five_milliseconds() {
    rules::warm_up();
    let sets = [
        include_str!("scoring/tuning.jsonl"),
        include_str!("scoring/holdout.jsonl"),
        include_str!("scoring/blind.jsonl"),
        include_str!("scoring/dev.jsonl"),
    ];
    let inputs: Vec<ScoreInput> =
        sets.iter().flat_map(|set| set.lines()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut times: Vec<Duration> = inputs
        .iter()
        .map(|input| {
            // The best of three: what the machine does beside it is no cost of the scorer.
            (0..3)
                .map(|_| {
                    let start = Instant::now();
                    std::hint::black_box(rules::score(input));
                    start.elapsed()
                })
                .min()
                .unwrap()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{} contacts: median {:?}, p99 {:?}, most {:?}", times.len(), at(0.5), at(0.99), at(1.0));
    assert!(at(0.99) < Duration::from_millis(5), "p99 {:?}", at(0.99));
}

#[test]
fn a_pasted_attachment_is_neither_quoted_nor_taken_for_a_name() {
    let blob = "x".repeat(20_000);
    for attachment in [blob.clone(), blob.replace('x', "\0"), blob.replace('x', "é")] {
        let input = json!({
            "channel": "form",
            "form_data": {
                "name": format!("Ana {attachment}"),
                "city": attachment,
                "message": format!("{attachment} kitchen remodel {attachment}, $40k, asap, 12{attachment} Maple Street"),
            },
        });
        let output = rules::score(&serde_json::from_value::<ScoreInput>(input).unwrap());
        let bytes = serde_json::to_string(&output).unwrap().len();
        assert!(bytes < 32 << 10, "a result of {bytes} bytes");
        let name = output.extracted.caller_name.unwrap_or_default();
        assert!(name.len() < 255, "a name of {} bytes", name.len());
    }
}
