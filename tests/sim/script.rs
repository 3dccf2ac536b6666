//! What callers do in a run: calls with their webhooks, voicemails, texts, forms; late, twice, out of order, broken.

use bytes::Bytes;
use leadline_connectors::conformance::Seeded;
use leadline_schemas::Millis;
use leadline_schemas::event::Speaker;
use leadline_schemas::inbound::{EventKind, Origin};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::clock::BEGIN;
use crate::outside::CallTruth;

/// The tenants of a run. What each is for stands in `tenants.rs`.
pub const TENANTS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
/// Callers of each tenant: few, so that their contacts meet.
const CALLERS: u64 = 6;
/// Calls are told of this long after they began, so that a wall clock set back does not make them future ones.
const AGE_MS: i64 = 15 * Millis::MINUTE;

/// What was said: the words with who says them.
type Words = &'static [(Speaker, &'static str)];

const TALKS: [Words; 8] = [
    &[
        (Speaker::Agent, "Thanks for calling, how can I help?"),
        (
            Speaker::Caller,
            "Hi, I own my home and want to remodel the kitchen next month, our budget is sixty thousand dollars.",
        ),
        (Speaker::Agent, "Can we come by on Tuesday at ten?"),
        (Speaker::Caller, "Yes, Tuesday at ten works for me."),
    ],
    &[
        (Speaker::Agent, "Good morning."),
        (
            Speaker::Caller,
            "Hello, my roof is leaking badly right now, I need somebody today, we own the house and insurance approved the claim.",
        ),
    ],
    &[
        (Speaker::Caller, "Hi, I was just wondering what a bathroom costs, maybe next year, no budget yet."),
        (Speaker::Agent, "It depends."),
    ],
    &[(
        Speaker::Caller,
        "Hello, I am calling about your business listing on Google, press one to be removed.",
    )],
    &[
        (Speaker::Caller, "Are you hiring? I am a carpenter and look for a job."),
        (Speaker::Agent, "Send us your resume."),
    ],
    &[(Speaker::Caller, "Sorry, wrong number.")],
    &[
        (
            Speaker::Caller,
            "You installed my windows last year and one does not close any more, it is under warranty.",
        ),
        (Speaker::Agent, "We will send somebody."),
    ],
    &[
        (Speaker::Agent, "Buenos dias."),
        (
            Speaker::Caller,
            "Hola, queremos remodelar la cocina este mes, tenemos cuarenta mil dolares y la casa es nuestra.",
        ),
    ],
];

const TEXTS: [&str; 4] = [
    "hey do you guys do decks? need a quote asap, about 20k",
    "STOP",
    "Can you call me back about the kitchen? We have 50 thousand and want to start in two weeks",
    "is this the pizza place",
];

/// What one payload says, as far as the oracle judges by it.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A call, at some stage of its life.
    Call(CallTold),
    /// A text; `sent` by the company.
    Text { sent: bool, words: &'static str },
    /// A form.
    Form { fields: Vec<(&'static str, String)> },
    /// Bytes that are no event.
    Poison,
    /// A person's word about something else.
    Command,
}

/// What a payload says of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallTold {
    pub over: bool,
    pub stage: u8,
    pub answered: bool,
    pub voicemail: bool,
    pub call_type: &'static str,
    pub duration_s: u64,
    pub words: Option<Words>,
    pub note: &'static str,
}

/// An event that will be sent.
#[derive(Clone, Debug)]
pub struct Planned {
    pub at: Millis,
    pub tenant: &'static str,
    /// The caller that partitioning takes.
    pub caller: String,
    /// The id of the call or text; a form's is the event's own.
    pub subject: Option<String>,
    pub origin: Origin,
    pub kind: EventKind,
    pub content_type: &'static str,
    pub body: Bytes,
    pub told: Told,
    /// When it happened, by the payload.
    pub happened_at: Option<Millis>,
}

/// All events of a run in the order of their sending, and the truth about its calls.
pub struct Script {
    pub events: Vec<Planned>,
    pub truths: Vec<(String, CallTruth)>,
}

/// Makes a run's script.
pub fn script(chance: &mut Seeded) -> Script {
    let mut script = Script { events: Vec::new(), truths: Vec::new() };
    for n in 0..chance.between(10, 32) {
        let tenant = *chance.pick(&TENANTS);
        let number = format!("+1303555{:04}", chance.below(CALLERS));
        let at = BEGIN.plus(chance.between(0, 50 * 60_000) as i64);
        match chance.below(10) {
            0..=5 => call(chance, &mut script, (tenant, number, n), at),
            6 | 7 => text(chance, &mut script, (tenant, number, n), at),
            8 => form(chance, &mut script, (tenant, number), at),
            _ => poison(chance, &mut script, tenant, at),
        }
    }
    let copies: Vec<Planned> = script.events.iter().filter(|_| chance.happens(150)).cloned().collect();
    for mut copy in copies {
        copy.at = copy.at.plus(chance.between(0, 600_000) as i64);
        script.events.push(copy);
    }
    script.events.sort_by_key(|event| event.at);
    script
}

fn call(
    chance: &mut Seeded,
    script: &mut Script,
    (tenant, number, n): (&'static str, String, u64),
    at: Millis,
) {
    let legacy = chance.happens(100);
    let call_id = if legacy { format!("{}", 7_669_705_320 + n) } else { format!("CAL{n:032x}") };
    let age_ms = match chance.below(12) {
        0 => 3 * Millis::DAY,
        1 => 30 * Millis::HOUR,
        2 => 5 * Millis::HOUR,
        _ => AGE_MS,
    };
    let started_at = at.plus(-age_ms);
    let ring_ms = chance.between(5_000, 400_000) as i64;
    let outcome = chance.below(10);
    let (answered, voicemail) = (outcome < 6, outcome == 6);
    script.truths.push((call_id.clone(), CallTruth { ends_at: at.plus(ring_ms), answered, voicemail }));
    let ringing = CallTold {
        over: false,
        stage: 0,
        answered: false,
        voicemail: false,
        call_type: "missed",
        duration_s: 0,
        words: None,
        note: "",
    };
    let heard = (answered || voicemail) && chance.happens(800);
    let over = CallTold {
        over: true,
        stage: 2,
        answered,
        voicemail,
        call_type: if answered {
            "answered"
        } else if voicemail {
            "voicemail"
        } else {
            "missed"
        },
        duration_s: if answered { chance.between(20, 900) } else { 0 },
        words: heard.then(|| *chance.pick(&TALKS)),
        note: "",
    };
    let mut lives = Vec::new();
    if chance.happens(700) {
        lives.push((at, EventKind::PreCall, ringing.clone()));
    }
    if chance.happens(300) {
        let routed = CallTold { stage: 1, note: "routed", ..ringing };
        lives.push((at.plus(3_000), EventKind::CallRoutingComplete, routed));
    }
    let late_ms = if chance.happens(200) { chance.between(0, 1_200_000) as i64 } else { 0 };
    let ended = at.plus(ring_ms + late_ms);
    if chance.happens(940) || lives.is_empty() {
        lives.push((ended, EventKind::PostCall, over.clone()));
        if chance.happens(300) {
            let words = if chance.happens(400) { Some(*chance.pick(&TALKS)) } else { over.words };
            let modified = CallTold { note: "ring back after six", words, ..over };
            lives.push((ended.plus(chance.between(0, 300_000) as i64), EventKind::CallModified, modified));
        }
    }
    if chance.happens(150) {
        // Out of order: each comes when it comes.
        for life in &mut lives {
            life.0 = at.plus(chance.between(0, 900_000) as i64);
        }
    }
    for (at, kind, told) in lives {
        let body = call_body(tenant, &call_id, legacy, &number, started_at, kind, &told);
        script.events.push(Planned {
            at,
            tenant,
            caller: number.clone(),
            subject: Some(call_id.clone()),
            origin: Origin::CallrailWebhook,
            kind,
            content_type: "application/json",
            body: bytes_of(&body),
            told: Told::Call(told),
            happened_at: Some(started_at),
        });
    }
}

fn bytes_of(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

fn call_body(
    tenant: &str,
    call_id: &str,
    legacy: bool,
    number: &str,
    started_at: Millis,
    kind: EventKind,
    told: &CallTold,
) -> Value {
    let words: Vec<String> = told
        .words
        .unwrap_or_default()
        .iter()
        .map(|(speaker, text)| match speaker {
            Speaker::Agent => format!("Agent: {text}"),
            _ => format!("Caller: {text}"),
        })
        .collect();
    let mut body = json!({
        "company_resource_id": format!("COM{tenant}"),
        "answered": told.answered,
        "voicemail": told.voicemail,
        "call_type": told.call_type,
        "direction": "inbound",
        "duration": told.duration_s.to_string(),
        "customer_phone_number": number,
        "customer_city": "Denver",
        "customer_state": "CO",
        "tracking_phone_number": "+13035550100",
        "transcription": words.join(" "),
        "note": told.note,
        "start_time": started_at.to_string(),
    });
    match legacy {
        true => body["id"] = json!(call_id.parse::<u64>().unwrap()),
        false => body["resource_id"] = json!(call_id),
    }
    if kind == EventKind::CallModified {
        body["changes"] = json!(["note"]);
    }
    body
}

fn text(
    chance: &mut Seeded,
    script: &mut Script,
    (tenant, number, n): (&'static str, String, u64),
    at: Millis,
) {
    let sent = chance.happens(300);
    let words = *chance.pick(&TEXTS);
    let text_id = format!("SCI{n:032x}");
    let happened_at = at.plus(-AGE_MS);
    let (source, destination) =
        if sent { ("+13035550100", number.as_str()) } else { (number.as_str(), "+13035550100") };
    let mut body = json!({
        "resource_id": text_id,
        "company_resource_id": format!("COM{tenant}"),
        "source_number": source,
        "destination_number": destination,
        "content": words,
        "message_type": "sms",
        "media_urls": [],
        "conversation_id": "crpLH",
        "timestamp": happened_at.to_string(),
    });
    if sent {
        body["agent"] = json!("pat@example.com");
    }
    script.events.push(Planned {
        at,
        tenant,
        caller: number,
        subject: Some(text_id),
        origin: Origin::CallrailWebhook,
        kind: if sent { EventKind::TextSent } else { EventKind::TextReceived },
        content_type: "application/json",
        body: bytes_of(&body),
        told: Told::Text { sent, words },
        happened_at: Some(happened_at),
    });
}

fn form(chance: &mut Seeded, script: &mut Script, (tenant, number): (&'static str, String), at: Millis) {
    let words = *chance.pick(&TEXTS);
    let body = json!({ "phone": number, "message": words });
    script.events.push(Planned {
        at,
        tenant,
        caller: number.clone(),
        subject: None,
        origin: Origin::Form,
        kind: EventKind::FormSubmission,
        content_type: "application/json",
        body: bytes_of(&body),
        told: Told::Form { fields: vec![("message", words.to_owned()), ("phone", number.clone())] },
        happened_at: None,
    });
}

fn poison(chance: &mut Seeded, script: &mut Script, tenant: &'static str, at: Millis) {
    let body = *chance.pick(&["{\"resource_id\": ", "[]", "nothing", "{\"note\":\"names nobody\"}"]);
    script.events.push(Planned {
        at,
        tenant,
        caller: format!("poison-{}", chance.below(3)),
        subject: None,
        origin: Origin::CallrailWebhook,
        kind: EventKind::PostCall,
        content_type: "application/json",
        body: Bytes::from(body),
        told: Told::Poison,
        happened_at: None,
    });
}
