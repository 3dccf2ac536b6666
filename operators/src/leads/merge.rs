//! A lead out of a caller's calls, texts and forms.

use leadline_schemas::LeadId;
use leadline_schemas::call::{CallRecord, CallStage, Channel};
use leadline_schemas::contact::Contact;
use leadline_schemas::event::Direction;
use leadline_schemas::lead::Lead;
use leadline_schemas::score::{Class, ScoreOutput};

/// Whether a contact without a lead opens one: who asks for work, and who could not say what they want.
pub(super) fn opens_lead(call: &CallRecord) -> bool {
    if call.stage != CallStage::Completed || call.direction == Direction::Outbound {
        return false;
    }
    match call.score.as_ref().and_then(|score| Class::parse(&score.class)) {
        Some(Class::Lead | Class::NoConversation) | None => true,
        Some(_) => false,
    }
}

/// An empty lead for its first contact.
pub(super) fn new_lead(lead_id: LeadId, contact: &Contact, call: &CallRecord) -> Lead {
    Lead {
        tenant: contact.tenant.clone(),
        lead_id,
        caller: contact.caller.clone(),
        name: None,
        phone: None,
        email: None,
        city: None,
        status: "open".to_owned(),
        score: 0,
        band: "cold".to_owned(),
        class: "no_conversation".to_owned(),
        project_type: None,
        detail: "{}".to_owned(),
        scored_by: None,
        first_channel: call.channel,
        attribution: call.attribution.clone(),
        contact_ids: Vec::new(),
        contacted: false,
        opened_at: call.started_at,
        last_contact_at: call.started_at,
        contacted_at: None,
        updated_at: contact.received_at,
        revision: 0,
        feedback: None,
    }
}

/// Makes the lead anew from its contacts, oldest first: the best of them gives the score, the newest word wins for a
/// fact.
pub(super) fn rebuild(lead: &mut Lead, by_time: &[CallRecord]) {
    if let Some(first) = by_time.first() {
        lead.opened_at = lead.opened_at.min(first.started_at);
    }
    for call in by_time {
        lead.last_contact_at = lead.last_contact_at.max(call.started_at);
        if is_talk(call) {
            lead.contacted = true;
            lead.contacted_at = Some(lead.contacted_at.map_or(call.started_at, |at| at.min(call.started_at)));
        }
        lead.phone = call.caller_number.clone().or(lead.phone.take());
        // Caller ID is better than nothing; what was said replaces it below.
        lead.name = lead.name.take().or_else(|| call.caller_name.clone());
    }
    let scored = by_time.iter().filter_map(|call| Some((call, call.score.as_ref()?)));
    let best =
        scored.clone().max_by_key(|(call, score)| (score.class == "lead", score.score, call.started_at));
    for (_, score) in scored {
        let Ok(output) = serde_json::from_str::<ScoreOutput>(&score.detail) else { continue };
        let said = output.extracted;
        lead.name = said.caller_name.or(lead.name.take());
        lead.email = said.email.or(lead.email.take());
        lead.city = said.city.or(lead.city.take());
        if let Some(project) = output.project_type {
            lead.project_type = Some(project.as_str().to_owned());
        }
    }
    if let Some((_, score)) = best {
        lead.score = score.score;
        lead.band.clone_from(&score.band);
        lead.class.clone_from(&score.class);
        lead.detail.clone_from(&score.detail);
        let mut scored_by = score.clone();
        scored_by.detail = "{}".to_owned(); // It stands in `detail` already.
        lead.scored_by = Some(scored_by);
    }
}

/// Whether a person of the company talked or wrote to the customer.
fn is_talk(call: &CallRecord) -> bool {
    match call.channel {
        Channel::Call => call.answered == Some(true),
        Channel::Text => call.direction == Direction::Outbound,
        Channel::Voicemail | Channel::Form => false,
    }
}

/// One sentence for the lead's history.
pub(super) fn why(is_new: bool, before: &Lead, lead: &Lead, call: &CallRecord) -> String {
    let what = match (call.channel, call.missed, call.direction) {
        (Channel::Call, Some(true), _) => "a missed call",
        (Channel::Call, _, Direction::Inbound) => "a call",
        (Channel::Call, _, Direction::Outbound) => "a call by the company",
        (Channel::Voicemail, ..) => "a voicemail",
        (Channel::Text, _, Direction::Inbound) => "a text",
        (Channel::Text, _, Direction::Outbound) => "a text by the company",
        (Channel::Form, ..) => "a form",
    };
    if is_new {
        format!("Opened by {what}: {} {}.", lead.band, lead.score)
    } else if before.score != lead.score {
        format!(
            "{} changed the score from {} to {} ({}).",
            capitalised(what),
            before.score,
            lead.score,
            lead.band
        )
    } else {
        format!("{} was added or changed.", capitalised(what))
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}
