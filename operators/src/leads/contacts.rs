//! A call's record out of all that was heard of it.

use leadline_schemas::Millis;
use leadline_schemas::call::{CallRecord, CallStage, Channel};
use leadline_schemas::contact::{Contact, Recording};
use leadline_schemas::event::{Attribution, CallEvent, Direction, Event, FormEvent, TextEvent};
use leadline_schemas::inbound::EventKind;

use crate::stage;

/// The record after `contact`. What comes late from an earlier stage, or was accepted before what is known and had to
/// wait longer for its answers, fills gaps and changes nothing else.
pub(super) fn merged(before: Option<&CallRecord>, contact: &Contact, now: Millis) -> CallRecord {
    let mut record = before.cloned().unwrap_or_else(|| fresh(contact));
    let stage = stage_of(&contact.event);
    let wins = stage > record.stage || (stage == record.stage && contact.content >= record.content);
    let knew_words = !record.transcript.is_empty();
    match &contact.event {
        Event::CallEvent(call) => take_call(&mut record, call, wins),
        Event::TextEvent(text) => take_text(&mut record, text, wins),
        Event::FormEvent(form) => take_form(&mut record, form, wins),
    }
    record.stage = record.stage.max(stage);
    if let Some(transcript) = &contact.transcript {
        record.cost_micros += transcript.cost_micros;
        // Who has listened and heard nothing takes away no words that are known.
        if (wins && !transcript.turns.is_empty()) || !knew_words {
            record.transcript.clone_from(&transcript.turns);
            record.transcript_provider = Some(transcript.provider.clone());
            record.transcript_skip.clone_from(&contact.transcript_skip);
        }
    } else if !knew_words && contact.transcript_skip.is_some() {
        record.transcript_skip.clone_from(&contact.transcript_skip);
    }
    if contact.recording != Recording::default() && record.recording.blob.is_none() {
        record.recording = contact.recording.clone();
    }
    if let Some(score) = &contact.score {
        record.cost_micros += score.cost_micros;
        let has_words = contact.transcript.as_ref().is_some_and(|words| !words.turns.is_empty());
        let better = match &contact.event {
            // Words outrank silence: the webhook with the transcript may come before the one without.
            Event::CallEvent(_) if has_words != knew_words => has_words,
            _ => wins,
        };
        if better || record.score.is_none() {
            record.score = Some(score.clone());
        }
    }
    record.received_at = record.received_at.min(contact.received_at);
    record.updated_at = now;
    record.event_id = contact.event_id;
    if wins {
        record.content = contact.content;
    }
    record.revision += 1;
    record
}

fn stage_of(event: &Event) -> CallStage {
    match event {
        Event::CallEvent(call) => match call.kind {
            EventKind::PreCall => CallStage::Ringing,
            EventKind::CallRoutingComplete => CallStage::Routed,
            _ => CallStage::Completed,
        },
        Event::TextEvent(_) | Event::FormEvent(_) => CallStage::Completed,
    }
}

fn fresh(contact: &Contact) -> CallRecord {
    CallRecord {
        tenant: contact.tenant.clone(),
        call_id: contact.event.subject_id().to_owned(),
        aliases: Vec::new(),
        channel: Channel::Call,
        stage: CallStage::Ringing,
        direction: Direction::Inbound,
        caller: contact.caller.clone(),
        caller_number: None,
        caller_name: None,
        caller_city: None,
        caller_state: None,
        tracking_number: None,
        answered: None,
        missed: None,
        duration_s: None,
        first_call: None,
        started_at: contact.event_time,
        received_at: contact.received_at,
        updated_at: contact.received_at,
        event_id: contact.event_id,
        recording: Recording::default(),
        transcript: Vec::new(),
        transcript_provider: None,
        transcript_skip: None,
        form_fields: std::collections::BTreeMap::new(),
        tags: Vec::new(),
        note: None,
        value: None,
        lead_status: None,
        agent_email: None,
        attribution: Attribution::default(),
        score: None,
        lead_id: None,
        cost_micros: 0,
        extra: "{}".to_owned(),
        revision: 0,
        content: 0,
    }
}

/// Takes a value over: a newer stage replaces, an older one only fills.
fn take<T: Clone>(into: &mut Option<T>, from: &Option<T>, wins: bool) {
    if from.is_some() && (wins || into.is_none()) {
        into.clone_from(from);
    }
}

fn take_call(record: &mut CallRecord, call: &CallEvent, wins: bool) {
    take(&mut record.caller_number, &call.caller_number, wins);
    take(&mut record.caller_name, &call.caller_name, wins);
    take(&mut record.caller_city, &call.caller_city, wins);
    take(&mut record.caller_state, &call.caller_state, wins);
    take(&mut record.tracking_number, &call.tracking_number, wins);
    take(&mut record.duration_s, &call.duration_s, wins);
    take(&mut record.first_call, &call.first_call, wins);
    take(&mut record.note, &call.note, wins);
    take(&mut record.value, &call.value, wins);
    take(&mut record.lead_status, &call.lead_status, wins);
    take(&mut record.agent_email, &call.agent_email, wins);
    for id in call.numeric_id.iter().filter(|id| **id != record.call_id) {
        if !record.aliases.contains(id) {
            record.aliases.push(id.clone());
        }
    }
    if let Some(direction) = call.direction.filter(|_| wins) {
        record.direction = direction;
    }
    if matches!(call.kind, EventKind::OutboundPostCall | EventKind::OutboundCallModified) {
        record.direction = Direction::Outbound;
    }
    if stage::is_over(call) {
        // Only a call that is over tells whether somebody answered: before that every payload says "missed".
        take(&mut record.answered, &call.answered, wins);
        if wins {
            let voicemail = call.voicemail == Some(true);
            record.channel = if voicemail { Channel::Voicemail } else { Channel::Call };
            let unanswered = call.answered == Some(false) && call.call_type.as_deref() != Some("in_progress");
            record.missed = call.answered.map(|_| unanswered && !voicemail);
        }
        if wins && (!call.tags.is_empty() || call.changes.iter().any(|field| field == "tags")) {
            record.tags.clone_from(&call.tags);
        }
    }
    take_attribution(&mut record.attribution, &call.attribution, wins);
    if call.extra.len() > 2 && wins {
        record.extra.clone_from(&call.extra);
    }
}

fn take_attribution(into: &mut Attribution, from: &Attribution, wins: bool) {
    take(&mut into.source, &from.source, wins);
    take(&mut into.medium, &from.medium, wins);
    take(&mut into.campaign, &from.campaign, wins);
    take(&mut into.keywords, &from.keywords, wins);
    take(&mut into.gclid, &from.gclid, wins);
    take(&mut into.landing_page_url, &from.landing_page_url, wins);
}

fn take_text(record: &mut CallRecord, text: &TextEvent, wins: bool) {
    record.channel = Channel::Text;
    let sent = text.kind == EventKind::TextSent;
    record.direction = if sent { Direction::Outbound } else { Direction::Inbound };
    take(&mut record.caller_number, &text.customer_number, wins);
    take(&mut record.tracking_number, &text.company_number, wins);
    take(&mut record.agent_email, &text.agent, wins);
    let speaker =
        if sent { leadline_schemas::event::Speaker::Agent } else { leadline_schemas::event::Speaker::Caller };
    if !wins {
        return;
    }
    record.transcript = vec![leadline_schemas::event::Turn { speaker, text: text.content.clone() }];
}

fn take_form(record: &mut CallRecord, form: &FormEvent, wins: bool) {
    record.channel = Channel::Form;
    take(&mut record.caller_number, &form.phone, wins);
    take(&mut record.caller_name, &form.name, wins);
    take_attribution(&mut record.attribution, &form.attribution, wins);
    if wins {
        record.form_fields.clone_from(&form.fields);
    }
}
