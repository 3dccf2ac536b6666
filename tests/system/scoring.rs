//! Scores by a language model on the real binary: what it costs, what the company says of it, and another prompt on history.

use std::time::Duration;

use leadline_tests::ai::{AiDouble, Reply, Vendor};
use leadline_tests::{COMPANY, Instance, get, post, until};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

/// What a model says of a text about a new kitchen.
fn says(class: &str, factor: u8) -> String {
    json!({
        "class": class, "project_type": "kitchen", "budget_min": null, "budget_max": null, "timeline": null,
        "decision_maker": null, "urgency": null, "appointment_set": false, "extracted": {},
        "factors": { "budget": factor, "timeline": factor, "scope_area": factor, "authority": factor },
        "evidence": [{ "field": "project_type", "quote": "new kitchen", "turn": 0 }],
        "reasons": ["A kitchen."],
    })
    .to_string()
}

struct Scene {
    leadline: Instance,
    double: AiDouble,
    token: String,
}

impl Scene {
    fn start() -> Self {
        Self::configured("")
    }

    /// The same with these sections more.
    fn configured(sections: &str) -> Self {
        let double = AiDouble::start(Vendor::Chat, &["small"], &["sk-one"]);
        double.usually(says("lead", 20));
        let leadline = Instance::new();
        let key_file = leadline.data.path().join("key");
        std::fs::write(&key_file, "sk-one\n").unwrap();
        let toml = format!(
            "[scoring.own]\nkind = \"openai\"\nendpoint = \"{}/v1\"\nmodels = [\"retired\", \"small\"]\nkey_file = \"{}\"\n\
             price_micros_per_million_input_tokens = 300000\nprice_micros_per_million_cached_tokens = 30000\n\
             price_micros_per_million_output_tokens = 2500000\n{sections}",
            double.url(),
            key_file.display()
        );
        std::fs::write(leadline.data.path().join("leadline.toml"), toml).unwrap();
        let token = leadline.tenant("summit", COMPANY, &["--score-provider", "own", "--prompt", "v1"]);
        let mut scene = Self { leadline, double, token };
        scene.leadline.start();
        scene
    }

    fn text(&self, number: u32) -> String {
        // The same words would be the same answer, and cost nothing.
        self.text_of(number, number)
    }

    /// A text of this number, in the words of another.
    fn text_of(&self, number: u32, words: u32) -> String {
        let id = format!("t-{number}");
        let event = json!({
            "type": "text", "id": id, "caller": { "phone": format!("+1303555{number:04}") },
            "content": format!("Hello, we would like a new kitchen, {words} feet long."),
        });
        let bearer = format!("Bearer {}", self.token);
        let (status, answer) = post(
            self.leadline.port,
            "/v1/tenants/summit/events",
            &[("Authorization", &bearer), ("Idempotency-Key", &id)],
            &event.to_string(),
        )
        .unwrap();
        assert_eq!(status, 202, "{answer}");
        id
    }

    /// The score of a text, once it is there.
    fn score(&self, number: u32) -> Value {
        self.score_of(&self.text(number))
    }

    fn score_of(&self, id: &str) -> Value {
        let mut score = Value::Null;
        until("the score", MINUTE, || {
            let calls = self.leadline.listing("summit", "calls", &self.token);
            let call = calls.into_iter().find(|call| call["call_id"] == id);
            score = call.map(|call| call["score"].clone()).unwrap_or_default();
            score.is_object()
        });
        score
    }

    fn leads(&self) -> Vec<Value> {
        self.leadline.listing("summit", "leads", &self.token)
    }

    fn json(&self, args: &[&str]) -> Value {
        let done = self.leadline.cli(args);
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).unwrap()
    }
}

#[test]
fn a_model_scores_its_cost_is_counted_and_what_was_sold_comes_back() {
    let mut scene = Scene::start();
    let first = scene.score(1);
    assert_eq!(
        (&first["provider"], &first["model"], &first["version"]),
        (&json!("own"), &json!("small"), &json!("v1"))
    );
    assert_eq!(
        (&first["score"], &first["band"], &first["cost_micros"]),
        (&json!(80), &json!("hot"), &json!(833))
    );
    assert!(
        first["fallback"].as_str().unwrap().contains("retired"),
        "a model that is gone leaves a line: {first}"
    );
    assert_eq!(scene.score(2)["fallback"], Value::Null, "once");
    scene.score(3);
    let (_, metrics) = get(scene.leadline.port, "/metrics", "").unwrap();
    for line in [
        "leadline_ai_cost_micros_total{kind=\"score\",provider=\"own\"} 2499",
        "leadline_ai_model_gone_total{provider=\"own\",model=\"retired\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }

    // Good with a sale by the API, bad by the command line; nonsense is refused in words.
    until("three leads", MINUTE, || scene.leads().len() == 3);
    let ids: Vec<String> =
        scene.leads().iter().map(|lead| lead["lead_id"].as_str().unwrap().to_owned()).collect();
    let bearer = format!("Bearer {}", scene.token);
    let feedback = |id: &str, body: &str| {
        let path = format!("/v1/tenants/summit/leads/{id}/feedback");
        post(scene.leadline.port, &path, &[("Authorization", &bearer)], body).unwrap()
    };
    let (status, answer) = feedback(&ids[0], r#"{"good": true, "sold_value": 12500}"#);
    assert_eq!(status, 202, "{answer}");
    assert_eq!(feedback(&ids[1], r#"{"good": 7}"#).0, 400);
    assert_eq!(feedback("0f8fad5b-d9cb-869f-a165-70867728950e", r#"{"good": true}"#).0, 404);
    scene.json(&["lead", "feedback", &ids[1], "--tenant", "summit", "--bad", "--note", "wanted a job"]);
    let lead = |id: &str| scene.leads().into_iter().find(|lead| lead["lead_id"] == id).unwrap();
    until("the feedback", MINUTE, || ids[..2].iter().all(|id| lead(id)["feedback"].is_object()));
    assert_eq!(
        (&lead(&ids[0])["status"], &lead(&ids[0])["feedback"]["sold_value"]),
        (&json!("won"), &json!(12_500.0))
    );
    assert_eq!(
        (&lead(&ids[1])["status"], &lead(&ids[1])["feedback"]["note"]),
        (&json!("not_a_lead"), &json!("wanted a job"))
    );
    let report = scene.json(&["score", "calibration", "--tenant", "summit", "--json"]);
    let hot = &report["bands"][0];
    assert_eq!(
        (&hot["band"], &hot["leads"], &hot["told"], &hot["good"]),
        (&json!("hot"), &json!(3), &json!(2), &json!(1)),
        "{report}"
    );
    assert_eq!((&hot["sold_micros"], &report["ordering"]), (&json!(12_500_000_000_u64), &json!(0.5)));

    // What was paid for is taken again where the same is asked, by the next process too.
    scene.leadline.kill();
    scene.leadline.start();
    let asked = scene.double.asked().len();
    let again = scene.score_of(&scene.text_of(7, 1));
    assert_eq!(
        (&again["provider"], &again["model"], &again["score"], &again["cost_micros"]),
        (&json!("own"), &json!("small"), &json!(80), &json!(0))
    );
    assert_eq!(scene.double.asked().len(), asked);
}

#[test]
fn what_is_asked_and_not_answered_counts_in_the_budget_of_all_tenants() {
    let scene = Scene::configured("[ai]\nbudget_hard_micros = 5000\n");
    scene.double.next(Reply::Hang);
    scene.text(1);
    until("the model is asked", MINUTE, || scene.double.asked().len() > 1);
    // The first score is taken for what a long call costs; the rest of the day does not pay for another one.
    let second = scene.score(2);
    assert_eq!(second["provider"], "rules");
    let why = second["fallback"].as_str().unwrap();
    assert!(why.contains("ai.budget_hard_micros") && why.contains("does not pay"), "{why}");
    let (_, metrics) = get(scene.leadline.port, "/metrics", "").unwrap();
    assert!(metrics.contains("leadline_ai_kept_micros 3000"), "{metrics}");
}

#[test]
fn another_prompt_is_tried_on_history_touches_no_lead_goes_on_where_it_ended_and_is_promoted() {
    let scene = Scene::start();
    for number in 1..=3 {
        scene.score(number);
    }
    until("three leads", MINUTE, || scene.leads().len() == 3);
    let before = scene.leads();
    scene.double.usually(says("vendor", 5));
    let replay = |more: &[&str]| {
        let usual = [
            "score",
            "replay",
            "--prompt",
            "v2",
            "--since",
            "2020-01-01",
            "--tenant",
            "summit",
            "--per-minute",
            "6000",
            "--json",
        ];
        scene.json(&[&usual, more].concat())
    };
    // 833 millionths a contact: after the first the run has spent what it may.
    let part = replay(&["--max-cost", "0.000500"]);
    assert_eq!((&part["stopped"], &part["report"]["compared"]), (&json!(true), &json!(1)), "{part}");
    let whole = replay(&[]);
    let report = &whole["report"];
    assert_eq!(
        (&whole["stopped"], &report["compared"], &report["failed"]),
        (&json!(false), &json!(3), &json!(0)),
        "{whole}"
    );
    assert_eq!(
        (&report["same_band"], &report["same_class"], &report["moves"]),
        (&json!(0), &json!(0), &json!({ "hot -> cold": 3 }))
    );
    assert_eq!(report["cost_micros"], 3 * 833);
    assert_eq!(report["differences"][0]["after"]["class"], "vendor");
    assert!(report["differences"][0]["before"]["version"] == "v1");
    let asked = scene.double.asked().len();
    assert_eq!(replay(&[])["report"], *report);
    assert_eq!(scene.double.asked().len(), asked, "what was asked is kept");
    assert_eq!(scene.leads(), before, "no lead has changed");

    let refused = scene.leadline.cli(&["score", "promote", "--prompt", "v9", "--tenant", "summit"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no prompt \"v9\""), "{refused:?}");
    assert!(
        scene.leadline.cli(&["score", "promote", "--prompt", "v2", "--tenant", "summit"]).status.success()
    );
    assert_eq!(scene.score(4)["version"], "v2");

    // A budget that is used up: the rules score, and say why.
    scene.json(&["tenant", "add", "summit", "--ai-budget-hard", "0.000001"]);
    let by_rules = scene.score(5);
    assert_eq!(by_rules["provider"], "rules");
    assert!(by_rules["fallback"].as_str().unwrap().contains("budget"), "{by_rules}");

    // A file by the same service, and by rules as ever.
    let folder = scene.leadline.data.path();
    let (input, output) = (folder.join("in.jsonl"), folder.join("out.jsonl"));
    std::fs::write(&input, "{\"id\": 7, \"channel\": \"text\", \"text\": \"we want a new kitchen\"}\n")
        .unwrap();
    let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());
    for (provider, class) in [("own", "vendor"), ("rules", "lead")] {
        let done =
            scene.leadline.cli(&["score", "--input", input, "--output", output, "--provider", provider]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let scored: Value = serde_json::from_str(&std::fs::read_to_string(output).unwrap()).unwrap();
        assert_eq!((&scored["id"], &scored["class"]), (&json!(7), &json!(class)), "{provider}");
    }
}
