//! Payloads of text messages.

use super::call::{take_company, take_number, take_subject, take_time};
use super::fields::{Field, Fields};
use super::{DecodeError, ids};
use crate::event::TextEvent;
use crate::inbound::EventKind;

/// The text that a payload tells of.
pub(super) fn event(kind: EventKind, fields: &mut Fields<'_>) -> Result<TextEvent, DecodeError> {
    let text_id = ids::subject(fields, kind)?.into_owned();
    let company_id = ids::company(fields).map(|id| id.into_owned());
    take_company(fields);
    take_subject(fields, &text_id);
    let (customer, company) = ids::number_fields(kind);
    Ok(TextEvent {
        kind,
        text_id,
        company_id,
        customer_number: take_number(fields, customer),
        company_number: take_number(fields, company),
        content: fields.take_text(Field::Content).unwrap_or_default(),
        agent: fields.take_text(Field::Agent),
        conversation_id: fields.take_text(Field::ConversationId),
        media_urls: fields.take(Field::MediaUrls, |raw| raw.list()).unwrap_or_default(),
        at: take_time(fields, &[Field::Timestamp, Field::CreatedAt, Field::Datetime]),
        extra: fields.extra(),
    })
}
