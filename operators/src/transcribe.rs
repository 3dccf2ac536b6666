//! transcribe: the words of a call, from CallRail where it has them, else from the tenant's provider.

use leadline_schemas::JobId;
use leadline_schemas::contact::{Contact, Transcript};
use leadline_schemas::event::{Event, Turn};
use leadline_schemas::reply::{Answered, JobFailed};
use serde::{Deserialize, Serialize};

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec};
use crate::dedupe::ContactOut;
use crate::stage::{WAIT_TTL_MS, ai_gate, is_over, resume, wait, was_heard};

/// Shorter calls have nothing worth the money in them.
const DURATION_S_MIN: i64 = 5;
/// Nor has a recording with less than this of what may be speech: a sigh, a click, the end of an announcement.
const SPEECH_MS_MIN: i64 = 2_000;

/// Contacts whose transcript is being made.
pub const WAITING: Table<Contact> = Table::new(1, "waiting", Some(WAIT_TTL_MS));
const TABLES: &[TableSpec] = &[WAITING.spec];

/// Asks for transcripts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transcribe;

/// What a `transcribe` job asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscribeJob {
    /// The call.
    pub call_id: String,
    /// The recording in our blob store.
    pub blob: String,
}

/// What a `transcribe` job answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcribed {
    /// The turns, in order.
    pub turns: Vec<Turn>,
}

impl Operator for Transcribe {
    const ID: OperatorId = OperatorId { number: 4, name: "transcribe" };
    type In = Contact;
    type Out = ContactOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, ContactOut>, mut contact: Contact) -> OperatorResult {
        match decide(cx, &mut contact) {
            Decision::PassOn => cx.emit(ContactOut::Contact(Box::new(contact))),
            Decision::Skip(why) => {
                contact.transcript_skip = Some(why);
                cx.emit(ContactOut::Contact(Box::new(contact)));
            }
            Decision::Ask { job, target } => {
                let payload = serde_json::to_vec(&job).map_err(|error| Fault::poison(error.to_string()))?;
                wait(cx, &WAITING, contact, "transcribe", &target, payload);
            }
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, ContactOut>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let mut contact = resume(cx, &WAITING, job_id)?;
        match answer {
            Ok(answered) => match serde_json::from_slice::<Transcribed>(&answered.body) {
                Ok(done) => {
                    let provider = cx.tenant().and_then(|tenant| tenant.policy.transcribe_provider.clone());
                    let provider = provider.unwrap_or_else(|| "a provider since removed".to_owned());
                    let cost_micros = answered.cost_micros;
                    contact.transcript = Some(Transcript { turns: done.turns, provider, cost_micros });
                }
                Err(error) => contact.transcript_skip = Some(format!("the answer cannot be read: {error}")),
            },
            Err(failed) => contact.transcript_skip = Some(failed.why),
        }
        cx.emit(ContactOut::Contact(Box::new(contact)));
        Ok(())
    }
}

enum Decision {
    /// There is nothing to hear, or the words are here.
    PassOn,
    /// There will be no transcript, for this reason.
    Skip(String),
    /// A provider is asked.
    Ask { job: TranscribeJob, target: String },
}

fn decide(cx: &Context<'_, ContactOut>, contact: &mut Contact) -> Decision {
    let Event::CallEvent(call) = &contact.event else { return Decision::PassOn };
    if !call.transcript.is_empty() {
        let (turns, provider) = (call.transcript.clone(), "callrail".to_owned());
        contact.transcript = Some(Transcript { turns, provider, cost_micros: 0 });
        return Decision::PassOn;
    }
    if !is_over(call) || !was_heard(call) {
        return Decision::PassOn;
    }
    if call.duration_s.is_some_and(|duration_s| duration_s < DURATION_S_MIN) {
        return Decision::Skip(format!("the call lasted less than {DURATION_S_MIN} s"));
    }
    if let Some(why) = ai_gate(cx, contact) {
        return Decision::Skip(why.to_owned());
    }
    let Some(target) = cx.tenant().and_then(|tenant| tenant.policy.transcribe_provider.clone()) else {
        return Decision::Skip(
            "the payload has no transcript and the tenant has no transcription".to_owned(),
        );
    };
    if let Some(audio) = contact.recording.audio.as_ref().filter(|audio| audio.speech_ms() < SPEECH_MS_MIN) {
        let (silence_s, music_s) = (audio.silence_ms / 1_000, audio.music_ms / 1_000);
        return Decision::Skip(format!(
            "nobody speaks in the recording: {silence_s} s of silence and {music_s} s of music or tones"
        ));
    }
    match &contact.recording.blob {
        Some(blob) => {
            let job = TranscribeJob { call_id: call.call_id.0.clone(), blob: blob.clone() };
            Decision::Ask { job, target }
        }
        None => {
            let why = contact.recording.skip.as_deref().unwrap_or("unknown reason");
            Decision::Skip(format!("there is no recording to transcribe: {why}"))
        }
    }
}
