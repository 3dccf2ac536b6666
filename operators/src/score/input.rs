//! The scoring vocabulary's view of a contact.

use leadline_schemas::contact::Contact;
use leadline_schemas::event::{Event, Speaker, Turn};
use leadline_schemas::score::{self as vocabulary, CallMeta, Channel, ProjectType, ScoreInput};
use leadline_schemas::settings::Tenant;
use serde_json::Value;

/// The scoring vocabulary's view of a contact.
pub fn input_of(contact: &Contact, tenant: Option<&Tenant>) -> ScoreInput {
    let mut input =
        ScoreInput { id: Value::String(contact.event.subject_id().to_owned()), ..ScoreInput::default() };
    if let Some(tenant) = tenant {
        let profile = &tenant.profile;
        input.tenant.trade = profile.trades.iter().filter_map(|trade| ProjectType::parse(trade)).collect();
        input.tenant.service_area.cities = profile.cities.clone();
        input.tenant.service_area.postcodes = profile.postcodes.clone();
        input.tenant.min_budget = profile.min_budget.and_then(|budget| u64::try_from(budget).ok());
    }
    match &contact.event {
        Event::CallEvent(call) => {
            let voicemail = call.voicemail == Some(true);
            input.channel = Some(if voicemail { Channel::Voicemail } else { Channel::Call });
            input.meta = CallMeta {
                duration_s: call.duration_s.and_then(|duration_s| u64::try_from(duration_s).ok()),
                answered: call.answered,
                first_call: call.first_call,
                caller_city: call.caller_city.clone(),
                caller_state: call.caller_state.clone(),
                source: call.attribution.source.clone(),
            };
            let turns = contact.transcript.as_ref().map_or(&[][..], |transcript| &transcript.turns);
            input.transcript = turns.iter().map(turn_of).collect();
        }
        Event::TextEvent(text) => {
            input.channel = Some(Channel::Text);
            input.text = Some(text.content.clone());
        }
        Event::FormEvent(form) => {
            input.channel = Some(Channel::Form);
            input.form_data =
                form.fields.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
        }
    }
    input
}

fn turn_of(turn: &Turn) -> vocabulary::Turn {
    let speaker = match turn.speaker {
        Speaker::Agent => Some(vocabulary::Speaker::Agent),
        Speaker::Caller => Some(vocabulary::Speaker::Caller),
        Speaker::Unknown => None,
    };
    vocabulary::Turn { speaker, text: turn.text.clone() }
}
