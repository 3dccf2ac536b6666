//! Who and which one: ids, company and caller, the same for `peek` and `decode`.

use std::borrow::Cow;

use super::DecodeError;
use super::fields::{Field, Fields};
use super::kind::{Family, family};
use super::raw::Raw;
use crate::inbound::EventKind;
use crate::phone;

/// The longest id that is taken as one; CallRail's have 35 characters. Ids stand in keys.
const ID_BYTES_MAX: usize = 256;

/// An id: letters and digits of the newer payloads, or a decimal number of any length.
pub(super) fn id(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let text = raw.text()?;
    let is_number = !raw.text.starts_with('"');
    let good = text.len() <= ID_BYTES_MAX && (!is_number || is_decimal(&text));
    good.then_some(text)
}

pub(super) fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The fields that may hold the subject's id, best first.
const SUBJECT_FIELDS: [Field; 5] =
    [Field::ResourceId, Field::Id, Field::MaskedId, Field::CallResourceId, Field::CallId];

/// The id of the call, text or form: `resource_id`, else `id`, which is the same id in an answer of the API and the
/// older number in older webhooks.
pub(super) fn subject<'a>(fields: &Fields<'a>, kind: EventKind) -> Result<Cow<'a, str>, DecodeError> {
    let found = SUBJECT_FIELDS.iter().find_map(|field| id(fields.get(*field)));
    found.ok_or(DecodeError::NoId { kind: kind.name() })
}

/// `company_resource_id`, else the older number.
pub(super) fn company<'a>(fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    id(fields.get(Field::CompanyResourceId)).or_else(|| id(fields.get(Field::CompanyId)))
}

/// A number in E.164.
pub(super) fn number(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    match raw.text()? {
        Cow::Borrowed(text) => phone::normalise(text),
        Cow::Owned(text) => phone::normalise(&text).map(|number| Cow::Owned(number.into_owned())),
    }
}

/// Where the customer's and the company's number stand in a payload of this kind, best first.
pub(super) fn number_fields(kind: EventKind) -> ([Field; 2], [Field; 2]) {
    use Field::{
        Callernum, CustomerPhoneNumber, DestinationNumber, SourceNumber, TrackingPhoneNumber, Trackingnum,
    };
    match (family(kind), kind) {
        (Family::Text, EventKind::TextSent) => {
            ([DestinationNumber, CustomerPhoneNumber], [SourceNumber, TrackingPhoneNumber])
        }
        (Family::Text, _) => ([SourceNumber, CustomerPhoneNumber], [DestinationNumber, TrackingPhoneNumber]),
        (Family::Call | Family::Form, _) => {
            ([CustomerPhoneNumber, Callernum], [TrackingPhoneNumber, Trackingnum])
        }
    }
}

/// The customer's number of a call or text.
pub(super) fn customer_number<'a>(fields: &Fields<'a>, kind: EventKind) -> Option<Cow<'a, str>> {
    let (customer, _) = number_fields(kind);
    customer.iter().find_map(|field| number(fields.get(*field)))
}
