//! recording: brings a call's audio into our blob store, where the tenant wants it or somebody has asked for this call.

use leadline_schemas::JobId;
use leadline_schemas::contact::Contact;
use leadline_schemas::event::Event;
use leadline_schemas::inbound::Origin;
use leadline_schemas::recording::{FetchRecordingJob, FetchedRecording};
use leadline_schemas::reply::{Answered, JobFailed};

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec};
use crate::dedupe::ContactOut;
use crate::stage::{WAIT_TTL_MS, is_over, resume, wait, was_heard};

/// Contacts whose recording is being fetched.
pub const WAITING: Table<Contact> = Table::new(1, "waiting", Some(WAIT_TTL_MS));
const TABLES: &[TableSpec] = &[WAITING.spec];

/// Asks for recordings.
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchRecording;

impl Operator for FetchRecording {
    const ID: OperatorId = OperatorId { number: 3, name: "recording" };
    type In = Contact;
    type Out = ContactOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, ContactOut>, mut contact: Contact) -> OperatorResult {
        let Event::CallEvent(call) = &contact.event else {
            cx.emit(ContactOut::Contact(Box::new(contact)));
            return Ok(());
        };
        // Who sends a recording to be processed wants this one, whatever is done with the others.
        let wanted = contact.origin == Origin::Process
            || cx.tenant().is_some_and(|tenant| tenant.policy.fetch_recordings);
        let skip = if !is_over(call) || !was_heard(call) {
            Some("there is no conversation to hear")
        } else if !wanted {
            Some("the tenant does not fetch recordings")
        } else if call.recording_url.is_none() {
            Some("the payload has no recording")
        } else {
            None
        };
        match (skip, &call.recording_url) {
            (None, Some(url)) => {
                let at = call.started_at.unwrap_or(contact.event_time);
                let job = FetchRecordingJob { call_id: call.call_id.0.clone(), url: url.clone(), at };
                let payload = serde_json::to_vec(&job).map_err(|error| Fault::poison(error.to_string()))?;
                wait(cx, &WAITING, contact, "fetch_recording", "callrail", payload);
            }
            (skip, _) => {
                contact.recording.skip = skip.map(str::to_owned);
                cx.emit(ContactOut::Contact(Box::new(contact)));
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
        match answer.map(|answered| serde_json::from_slice::<FetchedRecording>(&answered.body)) {
            Ok(Ok(fetched)) => {
                contact.recording.blob = Some(fetched.blob);
                contact.recording.audio = fetched.audio;
                contact.recording.skip = fetched.unheard;
            }
            Ok(Err(error)) => contact.recording.skip = Some(format!("the answer cannot be read: {error}")),
            Err(failed) => contact.recording.skip = Some(failed.why),
        }
        cx.emit(ContactOut::Contact(Box::new(contact)));
        Ok(())
    }
}
