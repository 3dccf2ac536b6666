//! Whether two payloads tell the same: the hash that dedupe compares.

use xxhash_rust::xxh3::xxh3_64;

use crate::Millis;
use crate::event::{Attribution, CallEvent, Direction, Event, FormEvent, Speaker, TextEvent, Turn};
use crate::inbound::EventKind;

/// A hash of what a payload says of its call, text or form, for payloads with the same subject.
///
/// A webhook and a row of the API that say the same hash equally. So it leaves out what differs between the two or
/// changes nothing: which payload of a call that is over it was, ids, company, `changes`, `extra`, and the address of the recording (the webhook has a
/// signed link, the API its own address), of which only counts whether there is one.
pub fn content_hash(event: &Event) -> u64 {
    let mut hash = ContentHash(Vec::with_capacity(CONTENT_BYTES_USUAL));
    match event {
        Event::CallEvent(call) => hash.call(call),
        Event::TextEvent(text) => hash.text_message(text),
        Event::FormEvent(form) => hash.form(form),
    }
    xxh3_64(&hash.0)
}

/// What most contents fit in. They are put together and hashed at once, which is several times faster than bit by bit.
const CONTENT_BYTES_USUAL: usize = 2 << 10;

/// Each field with its length or a mark that it is absent, so that no two lists of fields run together.
struct ContentHash(Vec<u8>);

impl ContentHash {
    fn call(&mut self, call: &CallEvent) {
        self.0.extend_from_slice(b"call");
        // A pre-call says "missed" of every call, word for word what the post-call of a missed one says.
        self.number(Some(match call.kind {
            EventKind::PreCall => 0,
            EventKind::CallRoutingComplete => 1,
            _ => 2,
        }));
        self.text(call.caller_number.as_deref());
        self.text(call.caller_name.as_deref());
        self.text(call.caller_city.as_deref());
        self.text(call.caller_state.as_deref());
        self.text(call.tracking_number.as_deref());
        self.number(call.direction.map(|direction| match direction {
            Direction::Inbound => 0,
            Direction::Outbound => 1,
        }));
        self.number(call.answered.map(i64::from));
        self.number(call.voicemail.map(i64::from));
        self.text(call.call_type.as_deref());
        self.number(call.duration_s);
        self.number(call.first_call.map(i64::from));
        self.time(call.started_at);
        self.number(Some(i64::from(call.recording_url.is_some())));
        self.number(call.recording_duration_s);
        self.turns(&call.transcript);
        self.text(call.agent_email.as_deref());
        self.list(&call.tags);
        self.text(call.note.as_deref());
        self.text(call.value.as_deref());
        self.text(call.lead_status.as_deref());
        self.attribution(&call.attribution);
    }

    fn text_message(&mut self, text: &TextEvent) {
        self.0.extend_from_slice(b"text");
        self.text(text.customer_number.as_deref());
        self.text(text.company_number.as_deref());
        self.text(Some(&text.content));
        self.text(text.agent.as_deref());
        self.text(text.conversation_id.as_deref());
        self.list(&text.media_urls);
        self.time(text.at);
    }

    fn form(&mut self, form: &FormEvent) {
        self.0.extend_from_slice(b"form");
        self.length(form.fields.len());
        for (name, value) in &form.fields {
            self.text(Some(name));
            self.text(Some(value));
        }
        self.text(form.name.as_deref());
        self.text(form.email.as_deref());
        self.text(form.phone.as_deref());
        self.text(form.message.as_deref());
        self.text(form.form_url.as_deref());
        self.attribution(&form.attribution);
        self.time(form.at);
    }

    fn attribution(&mut self, attribution: &Attribution) {
        self.text(attribution.source.as_deref());
        self.text(attribution.medium.as_deref());
        self.text(attribution.campaign.as_deref());
        self.text(attribution.keywords.as_deref());
        self.text(attribution.gclid.as_deref());
        self.text(attribution.landing_page_url.as_deref());
    }

    fn turns(&mut self, turns: &[Turn]) {
        self.length(turns.len());
        for turn in turns {
            self.number(Some(match turn.speaker {
                Speaker::Agent => 0,
                Speaker::Caller => 1,
                Speaker::Unknown => 2,
            }));
            self.text(Some(&turn.text));
        }
    }

    fn list(&mut self, texts: &[String]) {
        self.length(texts.len());
        texts.iter().for_each(|text| self.text(Some(text)));
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                self.length(text.len());
                self.0.extend_from_slice(text.as_bytes());
            }
            None => self.length(usize::MAX),
        }
    }

    fn number(&mut self, number: Option<i64>) {
        match number {
            Some(number) => {
                self.0.extend_from_slice(&[1]);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
            None => self.0.extend_from_slice(&[0]),
        }
    }

    fn time(&mut self, time: Option<Millis>) {
        self.number(time.map(|time| time.0));
    }

    fn length(&mut self, length: usize) {
        self.0.extend_from_slice(&(length as u64).to_le_bytes());
    }
}
