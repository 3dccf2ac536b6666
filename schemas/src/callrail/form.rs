//! Payloads of CallRail's form tracking.

use std::collections::BTreeMap;

use super::call::{take_attribution, take_company, take_number, take_subject, take_time};
use super::fields::{Field, Fields};
use super::raw::Raw;
use super::{DecodeError, ids};
use crate::event::FormEvent;
use crate::forms::{FIELDS_MAX, Found};
use crate::inbound::EventKind;

/// The form that a payload tells of.
pub(super) fn event(fields: &mut Fields<'_>) -> Result<FormEvent, DecodeError> {
    let form_id = ids::subject(fields, EventKind::FormSubmission)?.into_owned();
    let company_id = ids::company(fields).map(|id| id.into_owned());
    take_company(fields);
    take_subject(fields, &form_id);
    let on_site = fields.take(Field::FormData, form_data).unwrap_or_default();
    let found = Found::in_fields(&on_site, &BTreeMap::new());
    let phone = take_number(fields, [Field::CustomerPhoneNumber, Field::Callernum]);
    let name = fields.take_text_of(Field::CustomerName, Field::Callername);
    let email = fields.take_text(Field::CustomerEmail);
    Ok(FormEvent {
        form_id,
        company_id,
        fields: on_site,
        name: found.name.or(name),
        email: found.email.or(email),
        phone: found.phone.or(phone),
        message: found.message,
        form_url: fields.take_text(Field::FormUrl),
        attribution: take_attribution(fields),
        at: take_time(fields, &[Field::SubmittedAt, Field::Timestamp, Field::CreatedAt]),
        extra: fields.extra(),
    })
}

/// The caller of a form's payload, as `event` finds it.
pub(super) fn caller(fields: &Fields<'_>) -> Option<String> {
    let on_site = form_data(fields.get(Field::FormData)).unwrap_or_default();
    let found = Found::in_fields(&on_site, &BTreeMap::new());
    let phone = || ids::customer_number(fields, EventKind::FormSubmission).map(|number| number.into_owned());
    let email = || fields.get(Field::CustomerEmail).text().map(|email| email.into_owned());
    found.phone.or_else(phone).or(found.email).or_else(email)
}

/// The fields of the site's form; those without a value are left out. Nothing where there are more than a form has:
/// they stay in `extra`.
fn form_data(raw: Raw<'_>) -> Option<BTreeMap<String, String>> {
    let members = raw.members().filter(|members| members.len() <= FIELDS_MAX)?;
    Some(
        members
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_owned(), value_text(value)?)))
            .collect(),
    )
}

/// A value as text: several (check boxes) with commas, anything deeper as JSON.
fn value_text(value: Raw<'_>) -> Option<String> {
    if value.is_empty() {
        return None;
    }
    let text = value.text().map(|text| text.into_owned());
    let several = || value.list().map(|texts| texts.join(", "));
    text.or_else(several).or_else(|| (!value.text.starts_with('"')).then(|| value.text.to_owned()))
}
