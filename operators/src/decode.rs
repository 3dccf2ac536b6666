//! decode: an accepted body becomes a contact in leadline's own words, or a command.

use leadline_schemas::command::Command;
use leadline_schemas::contact::{Contact, Recording};
use leadline_schemas::direct::{self, Process};
use leadline_schemas::event::Event;
use leadline_schemas::inbound::{Inbound, Origin};
use leadline_schemas::pull::RowOf;
use leadline_schemas::{Millis, callrail, forms};

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, TableSpec};

/// Event time is not believed to lie further than this in the future of its receipt.
const FUTURE_MS_MAX: i64 = Millis::MINUTE;
/// What is older than this at receipt never alerts or notifies.
pub(crate) const BACKFILL_AGE_MS: i64 = Millis::DAY;

/// Reads bodies. Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decode;

/// What a body was.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// A call, text or form.
    Contact(Box<Contact>),
    /// A person's command.
    Command(Command),
}

impl Decoded {
    /// The contact, if it is one.
    pub fn contact(self) -> Option<Box<Contact>> {
        match self {
            Self::Contact(contact) => Some(contact),
            Self::Command(_) => None,
        }
    }

    /// The command, if it is one.
    pub fn command(&self) -> Option<Command> {
        match self {
            Self::Contact(_) => None,
            Self::Command(command) => Some(command.clone()),
        }
    }
}

impl Operator for Decode {
    const ID: OperatorId = OperatorId { number: 1, name: "decode" };
    type In = Inbound;
    type Out = Decoded;

    fn tables() -> &'static [TableSpec] {
        &[]
    }

    fn on_record(&mut self, cx: &mut Context<'_, Decoded>, inbound: Inbound) -> OperatorResult {
        if inbound.origin == Origin::Command {
            let command = serde_json::from_slice(&inbound.body)
                .map_err(|error| Fault::poison(format!("the command cannot be read: {error}")))?;
            cx.emit(Decoded::Command(command));
            return Ok(());
        }
        let Some(event) = event_of(cx, &inbound)? else { return Ok(()) };
        let contact = contact_of(inbound, event);
        cx.event_time = contact.event_time;
        cx.emit(Decoded::Contact(Box::new(contact)));
        Ok(())
    }
}

/// The event in a body; none when the body was a command in disguise and has been emitted.
fn event_of(cx: &mut Context<'_, Decoded>, inbound: &Inbound) -> OperatorResult<Option<Event>> {
    let id = || inbound.event_id.to_string();
    match inbound.origin {
        Origin::CallrailWebhook | Origin::CallrailPull => {
            let decoded = callrail::decode(Some(inbound.kind), &inbound.body);
            decoded.map(|(_, event)| Some(event)).map_err(|error| Fault::poison(error.to_string()))
        }
        Origin::Form => {
            let (media_type, form_key) = form_parts(&inbound.content_type);
            let form = cx.tenant().and_then(|tenant| tenant.form(form_key?));
            let field_map = form.map(|form| form.field_map.clone()).unwrap_or_default();
            let mut form = forms::decode(media_type, &inbound.body, &id(), &field_map)
                .map_err(|error| Fault::poison(error.to_string()))?;
            form.at = form.at.or(Some(inbound.received_at));
            Ok(Some(Event::FormEvent(form)))
        }
        Origin::Direct => {
            let decoded = direct::decode(&inbound.body, &id());
            decoded.map(Some).map_err(|error| Fault::poison(error.to_string()))
        }
        Origin::Process => match direct::process(&inbound.body, &id()) {
            Ok(Process::New(event)) => Ok(Some(event)),
            Ok(Process::Known(call_id)) => {
                cx.emit(Decoded::Command(Command::ProcessCall { call_id: call_id.0 }));
                Ok(None)
            }
            Err(error) => Err(Fault::poison(error.to_string())),
        },
        Origin::Command => Ok(None),
    }
}

/// The source writes `application/json; form=KEY`, because the field map belongs to the form.
fn form_parts(content_type: &str) -> (&str, Option<&str>) {
    let (media_type, rest) = content_type.split_once(';').unwrap_or((content_type, ""));
    (media_type.trim(), rest.trim().strip_prefix("form="))
}

fn contact_of(inbound: Inbound, event: Event) -> Contact {
    let latest = inbound.received_at.plus(FUTURE_MS_MAX);
    let event_time = event.occurred_at().unwrap_or(inbound.received_at).min(latest);
    let row_of = match inbound.origin {
        Origin::CallrailPull => RowOf::of_content_type(&inbound.content_type),
        _ => RowOf::Live,
    };
    Contact {
        origin: inbound.origin,
        event_id: inbound.event_id,
        tenant: inbound.tenant,
        caller: inbound.caller,
        received_at: inbound.received_at,
        event_time,
        backfill: row_of != RowOf::Live || inbound.received_at.since(event_time) > BACKFILL_AGE_MS,
        deliver_backfill: row_of == RowOf::Backfill { deliver: true },
        event,
        update: inbound.attempt > 0,
        recording: Recording::default(),
        transcript: None,
        transcript_skip: None,
        score: None,
        content: 0,
    }
}
