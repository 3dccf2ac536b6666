//! Transcripts, on the real binary: by a double of Google that bills each start, through kill -9; by whoever comes next in the
//! tenant's chain; and by a real whisper model.

use std::time::Duration;

use leadline_tests::ai::{AiDouble, Vendor};
use leadline_tests::callrail::CallRail;
use leadline_tests::speech::{Fault, Line, PROJECT, Sound, Speech};
use leadline_tests::tls::Tls;
use leadline_tests::whisper::{Whisper, spoken};
use leadline_tests::{COMPANY, Instance, Receiver, get, until};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

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

const RATE_HZ: u32 = 8_000;

/// A call of two channels whose sides speak in turn, a second each, as a WAV file; and the mean of its channels as bare
/// samples. What they say is a tone that jumps: a voice, as far as a leadline can hear.
fn stereo(seconds: u32) -> (Vec<u8>, Vec<u8>) {
    let voice = |n: u32, side: u32| {
        let (second, syllable) = (n / RATE_HZ, n / 256);
        let hz = f64::from(300 + syllable * 7_919 % 29 * 100);
        let is_heard = second % 2 == side && !syllable.is_multiple_of(5);
        let at = f64::from(n) / f64::from(RATE_HZ);
        if is_heard { ((std::f64::consts::TAU * hz * at).sin() * 9_000.0) as i16 } else { 0 }
    };
    let both: Vec<[i16; 2]> = (0..RATE_HZ * seconds).map(|n| [voice(n, 0), voice(n, 1)]).collect();
    let bytes = u32::try_from(both.len() * 4).unwrap();
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    wav.extend(RATE_HZ.to_le_bytes());
    wav.extend((RATE_HZ * 4).to_le_bytes());
    wav.extend(b"\x04\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(both.iter().flatten().flat_map(|sample| sample.to_le_bytes()));
    let mean = |[one, other]: &[i16; 2]| {
        let mean = (f32::from(*one) + f32::from(*other)) / 32_768.0 / 2.0;
        ((mean * 32_767.0) as i16).to_le_bytes()
    };
    let mono = both.iter().flat_map(mean).collect();
    (wav, mono)
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

/// The call once a model has scored it.
fn scored(leadline: &Instance, token: &str, id: &str) -> Value {
    let mut found = Value::Null;
    until("a score", PATIENT, || {
        found = call_of(leadline, token, id).unwrap_or_default();
        found["score"].is_object()
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
    let tokens = NamedTempFile::new().unwrap();
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

/// What Gemini says of the stereo call.
fn says() -> String {
    json!({
        "class": "lead", "project_type": "kitchen", "budget_min": 60_000, "budget_max": 60_000, "timeline": null,
        "decision_maker": "sole", "urgency": null, "appointment_set": false, "extracted": { "city": "Denver" },
        "factors": { "budget": 22, "timeline": 12, "scope_area": 22, "authority": 18 },
        "evidence": [{ "field": "budget_max", "quote": "budget is sixty thousand dollars", "turn": 3 }],
        "reasons": ["A kitchen in Denver."],
    })
    .to_string()
}

/// Google's two services over TLS, the first of Gemini's models retired, and the sections that name them.
fn google(speech: &Speech) -> (Tls, AiDouble, NamedTempFile, String) {
    let vendor = Vendor::Gemini { project: PROJECT.to_owned(), location: "global".to_owned() };
    let gemini = AiDouble::start(vendor, &["gemini-3.5-flash-lite"], &["a-token"]);
    gemini.usually(says());
    let (tls, tokens) = (Tls::new(), NamedTempFile::new().unwrap());
    std::fs::write(tokens.path(), "a-token\n").unwrap();
    speech.by_address();
    let common = |url: &str| {
        format!("project = \"{PROJECT}\"\nendpoint = \"{url}\"\nkey_file = {:?}\n", tokens.path())
    };
    let (hearing, scoring) = (tls.before(speech.address), tls.before(gemini.address()));
    gemini.is_behind(&scoring);
    let hears = format!("kind = \"google\"\nbucket = \"recordings\"\n{}", common(&hearing));
    let sections = format!(
        "[transcription.usual]\n{hears}[transcription.sure]\n{hears}channels = \"separate\"\n\
         [scoring.gemini]\nkind = \"gemini\"\nlocation = \"global\"\n{}",
        common(&scoring)
    );
    (tls, gemini, tokens, sections)
}

#[test]
fn both_sides_of_a_stereo_call_reach_the_model_and_cost_what_the_setting_says() {
    let speech = Speech::start("us", "a-token");
    let line = |channel, voice, from_ms, text| Line { channel, voice, from_ms, to_ms: from_ms + 2_000, text };
    let said = |both| {
        vec![
            line(1, "1", 0, "Summit Kitchens, our kitchens begin at ninety thousand dollars."),
            line(both, "2", 3_000, "We own our home in Denver and want to remodel the kitchen."),
            line(1, "1", 6_000, "What is your budget?"),
            line(both, "2", 9_000, "Our budget is sixty thousand dollars."),
        ]
    };
    let (short, short_mono) = stereo(40);
    let (long, _) = stereo(70);
    // What is read from the bucket is known by its name, what comes in a request by its bytes.
    for (uri, bytes, seconds, channels) in [
        ("gs://a-request/mono", short_mono, 40, 1),
        ("gs://a-request/stereo", short.clone(), 40, 2),
        ("*.mono-8000", Vec::new(), 70, 1),
        ("*", Vec::new(), 70, 2),
    ] {
        let sound = Sound { duration_ms: seconds * 1_000, channels, lines: said(channels) };
        speech.recording(uri, bytes, sound);
    }
    let (tls, gemini, _tokens, sections) = google(&speech);
    let (double, mut leadline, token) = scene(&sections, &["usual"]);
    leadline.env.push(("SSL_CERT_FILE", tls.trusted.path().display().to_string()));
    leadline.start();
    let (mut number, mut billed_s) = (0, 0);
    for (provider, channels) in [("usual", 1), ("sure", 2)] {
        let chain = ["tenant", "add", "summit", "--transcribe", provider, "--score-provider", "gemini"];
        let done = leadline.cli(&chain);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        for (audio, seconds) in [(&short, 40), (&long, 70)] {
            let id = format!("CAL{number}19fb93fce197a38a2788269bcf71b70");
            tell(&double, &leadline, &id, audio);
            let call = scored(&leadline, &token, &id);
            let case = format!("{provider}, {seconds} s: {call}: {}", leadline.log_text());
            assert_eq!(call["transcript_provider"], provider, "{case}");
            assert_eq!(call["recording"]["audio"]["channels"], 2, "{case}");
            let turns = call["transcript"].as_array().unwrap();
            let sides: Vec<&str> = turns.iter().filter_map(|turn| turn["speaker"].as_str()).collect();
            assert_eq!(sides, ["agent", "caller", "agent", "caller"], "{case}");
            assert_eq!(turns[3]["text"], "Our budget is sixty thousand dollars.");
            let body = gemini.asked().last().unwrap().body.clone();
            let prompt = body["contents"][0]["parts"][0]["text"].as_str().unwrap().to_owned();
            for (turn, side) in turns.iter().zip(&sides) {
                let told = format!(r#""speaker":"{side}","text":{}"#, turn["text"]);
                assert!(prompt.contains(&told), "{told} in {prompt}");
            }
            assert_eq!(
                (&call["score"]["model"], &call["score"]["band"]),
                (&json!("gemini-3.5-flash-lite"), &json!("warm")),
                "{case}"
            );
            billed_s += seconds * channels;
            assert_eq!(speech.billed_s(), billed_s, "{case}");
            let scoring = call["score"]["cost_micros"].as_i64().unwrap();
            let hearing = (16_000 * seconds * channels + 59) / 60;
            assert_eq!(call["cost_micros"], hearing + scoring, "{case}");
            assert_eq!(scoring > 0, number == 0, "the same words are scored, and paid for, once: {case}");
            number += 1;
        }
    }
    let (started, log) = (speech.started(), leadline.log_text());
    let ends = |at: usize, with: &str| started[at].ends_with(with);
    assert!(
        started.len() == 4 && ends(0, "/mono") && ends(1, "CAL119fb93fce197a38a2788269bcf71b70.mono-8000"),
        "{started:?}"
    );
    assert!(ends(2, "/stereo") && ends(3, "CAL319fb93fce197a38a2788269bcf71b70"), "{started:?}");
    let leads = leadline.listing("summit", "leads", &token);
    assert!(leads.len() == 1 && leads[0]["score"].is_number(), "one caller, one lead: {leads:?}");
    assert!(log.contains("gemini-2.5-flash") && !log.contains("a-token"), "{log}");
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
