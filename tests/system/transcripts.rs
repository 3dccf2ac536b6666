//! Transcripts, on the real binary: by a double of Google that bills each start, through kill -9; by whoever comes next in the
//! tenant's chain; and by a real whisper model.

use std::time::Duration;

use leadline_tests::callrail::CallRail;
use leadline_tests::speech::{Fault, Line, PROJECT, Sound, Speech};
use leadline_tests::whisper::{Whisper, spoken};
use leadline_tests::{COMPANY, Instance, Receiver, get, until};
use serde_json::{Value, json};

const ACCOUNT: &str = "ACC8154748ae6bd4e278a7cddd38a662f4f";
const API_KEY: &str = "the-key-of-the-api-0123456789";
const CALL: &str = "CAL019fb93fce197a38a2788269bcf71b70";
const PATIENT: Duration = Duration::from_secs(90);
const VOICE: &[u8] = include_bytes!("../fixtures/audio/voice.mp3");

/// A company whose calls are recorded but not transcribed, and a leadline with this configuration and chain.
fn scene(sections: &str, chain: &[&str]) -> (CallRail, Instance, String) {
    let double = CallRail::start();
    double.account(ACCOUNT, API_KEY);
    double.company(ACCOUNT, COMPANY, "Summit Kitchens");
    let leadline = Instance::configured(&format!("{}{sections}", double.toml()));
    let key = leadline.data.path().join("api.key");
    std::fs::write(&key, API_KEY).unwrap();
    let mut more = vec!["--fetch-recordings", "--trade", "kitchen", "--city", "Denver"];
    more.extend(chain.iter().flat_map(|name| ["--transcribe", name]));
    let token = leadline.tenant("summit", COMPANY, &more);
    let url = format!("http://127.0.0.1:{}", leadline.port);
    let connect = ["tenant", "connect-callrail", "summit", "--api-key-file", key.to_str().unwrap()];
    let done = leadline.cli(&[&connect[..], &["--public-url", &url, "--apply"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    (double, leadline, token)
}

/// A call of now, with this recording.
fn tell(double: &CallRail, leadline: &Instance, id: &str, audio: &[u8]) {
    double.call(COMPANY, id, json!({}));
    double.record(id, audio.to_vec());
    let sent = double.post_call(id);
    assert!(sent.iter().all(|sent| sent.status == Some(200)), "{sent:?}: {}", leadline.log_text());
}

fn call_of(leadline: &Instance, token: &str, id: &str) -> Option<Value> {
    let (status, body) = get(leadline.port, &format!("/v1/tenants/summit/calls/{id}"), token)?;
    (status == 200).then(|| serde_json::from_str(&body).unwrap())
}

/// The call once there are words, or a reason why there are none.
fn settled(leadline: &Instance, token: &str, id: &str) -> Value {
    let mut found = Value::Null;
    until("a transcript or a reason", PATIENT, || {
        found = call_of(leadline, token, id).unwrap_or_default();
        let is_some = |name: &str| !found[name].is_null();
        is_some("transcript_provider") || is_some("transcript_skip")
    });
    found
}

#[test]
fn a_call_is_transcribed_by_google_through_kills_and_billed_once() {
    let speech = Speech::start("us", "a-token");
    let line = |from_ms, voice, text| Line { channel: 1, voice, from_ms, to_ms: from_ms + 2_000, text };
    let lines = vec![
        line(0, "1", "Summit Kitchens, how can I help?"),
        line(
            3_000,
            "2",
            "We own our home in Denver and want to remodel the kitchen, our budget is sixty thousand dollars.",
        ),
    ];
    speech.recording("*", Vec::new(), Sound { duration_ms: 110_000, channels: 1, lines });
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(tokens.path(), "a-token\n").unwrap();
    let section = format!(
        "[transcription.google]\nkind = \"google\"\nproject = \"{PROJECT}\"\nbucket = \"recordings\"\nendpoint = \"{}\"\nkey_file = {:?}\n",
        speech.by_address(),
        tokens.path()
    );
    let (double, mut leadline, token) = scene(&section, &["google"]);
    leadline.start();
    // The start is made, and its answer lost on the way; then the process is, before and after it knows the name.
    speech.fail("batchRecognize", Fault::Cut);
    tell(&double, &leadline, CALL, &VOICE.repeat(10));
    until("a start", PATIENT, || !speech.started().is_empty());
    leadline.kill();
    leadline.start();
    until("a look for what runs", PATIENT, || speech.count("operations?") > 0);
    leadline.kill();
    leadline.start();
    let call = settled(&leadline, &token, CALL);
    let log = leadline.log_text();
    assert_eq!(call["transcript_provider"], "google", "{call}: {log}");
    assert_eq!(call["transcript"][1]["speaker"], "caller");
    assert_eq!(call["cost_micros"], 16_000 * 110 / 60 + 1, "110 s at $0.016 a minute");
    assert_eq!(
        (call["score"]["project_type"].as_str(), call["score"]["budget_min"].as_i64()),
        (Some("kitchen"), Some(60_000))
    );
    let started = speech.started();
    assert!(started.len() == 1 && started[0].starts_with("gs://recordings/summit/"), "{started:?}: {log}");
    assert_eq!(speech.billed_s(), 110, "one start, one bill");
    assert!(!log.contains("a-token"), "a token is in the log");
}

#[test]
fn whoever_comes_next_in_the_chain_is_asked_and_the_end_of_it_has_every_reason() {
    let whisper = Receiver::start(false); // It answers with something that is no transcript.
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("hear.sh");
    let section = format!(
        "[transcription.whisper]\nkind = \"openai\"\nendpoint = \"{}\"\nmodel = \"whisper-1\"\n\
         [transcription.local]\nkind = \"command\"\ncommand = \"/bin/sh {} {{audio}}\"\nprice_micros_per_minute = 600\n",
        whisper.address,
        script.display()
    );
    let removed = "[transcription.removed]\nkind = \"command\"\ncommand = \"/bin/true {audio}\"\n";
    let both = format!("{section}{removed}");
    let (double, mut leadline, token) = scene(&both, &["removed", "whisper", "local"]);
    let unknown = leadline.cli(&["tenant", "add", "summit", "--transcribe", "wisper"]);
    let why = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        !unknown.status.success()
            && why.contains("\"wisper\"")
            && why.contains("use local, removed, whisper"),
        "{why}"
    );
    // What a chain has may be gone later.
    let configured = leadline.data.path().join("leadline.toml");
    let toml = std::fs::read_to_string(&configured).unwrap();
    std::fs::write(&configured, toml.replace(removed, "")).unwrap();
    leadline.start();
    std::fs::write(&script, "echo '{\"text\":\"We want a new kitchen.\"}'").unwrap();
    tell(&double, &leadline, CALL, VOICE);
    let call = settled(&leadline, &token, CALL);
    assert_eq!(call["transcript_provider"], "local", "{call}: {}", leadline.log_text());
    assert_eq!(call["transcript"][0]["text"], "We want a new kitchen.");
    let duration_ms = call["recording"]["audio"]["duration_ms"].as_i64().unwrap();
    assert_eq!(call["cost_micros"], (600 * duration_ms + 59_999) / 60_000);

    std::fs::write(&script, "echo 'no such model' >&2; exit 3").unwrap();
    let other = "CAL119fb93fce197a38a2788269bcf71b70";
    tell(&double, &leadline, other, VOICE);
    let call = settled(&leadline, &token, other);
    let skip = call["transcript_skip"].as_str().unwrap();
    for reason in
        ["removed: no provider", "whisper: ", "no transcript", "local: local ended with 3: no such model"]
    {
        assert!(skip.contains(reason), "{reason} in {skip}");
    }
    assert!(!call["score"].is_null(), "a call that nobody could write down is scored by what else is known");

    // What is left of the day does not pay for another: those who cost nothing are asked, and the tenant sees why no others.
    let spent = (600 * duration_ms + 59_999) / 60_000;
    let hard = format!("0.{:06}", spent + spent / 2);
    let done = leadline.cli(&["tenant", "add", "summit", "--ai-budget-hard", &hard]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let third = "CAL219fb93fce197a38a2788269bcf71b70";
    tell(&double, &leadline, third, VOICE);
    let call = settled(&leadline, &token, third);
    let skip = call["transcript_skip"].as_str().unwrap();
    assert!(skip.contains("whisper: ") && skip.contains("does not pay for its transcript"), "{skip}");
    assert!(!skip.contains("local: "), "{skip}");
}

#[test]
fn a_voice_becomes_a_lead_by_a_real_whisper_model() {
    let Some(whisper) = Whisper::find() else { return };
    let section = format!("[transcription.local]\nkind = \"command\"\ncommand = \"{}\"\n", whisper.command());
    let (double, mut leadline, token) = scene(&section, &["local"]);
    leadline.start();
    let audio = spoken(
        "Hello, we would like to remodel our kitchen. We own our home in Denver, and our budget is forty thousand dollars. \
         We want to start next month.",
    );
    tell(&double, &leadline, CALL, &audio);
    let call = settled(&leadline, &token, CALL);
    assert_eq!(call["transcript_provider"], "local", "{call}: {}", leadline.log_text());
    let said = call["transcript"].to_string().to_lowercase();
    assert!(said.contains("kitchen") && said.contains("denver"), "{said}");
    assert_eq!(call["score"]["project_type"], "kitchen", "{call}");
}
