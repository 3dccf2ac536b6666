//! The light pass of the webhook source.

use std::borrow::Cow;

use super::fields::{Field, Fields};
use super::kind::{self, Family};
use super::{DecodeError, form, ids, text_of};
use crate::inbound::EventKind;

/// What the source must know of a body to file it: nothing else is read there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The company's id in the newer payloads, `COM...`.
    pub company_resource_id: Option<Cow<'a, str>>,
    /// The company's older id, as decimal text; in answers of the API `COM...`.
    pub company_id: Option<Cow<'a, str>>,
    /// The customer's number in E.164, or the email of a form without one.
    pub caller: Option<Cow<'a, str>>,
    /// The id of the call, text or form.
    pub subject_id: Cow<'a, str>,
    /// The kind, as `decode` settles it.
    pub kind: EventKind,
}

impl Peek<'_> {
    /// The company's ids, the newer first.
    pub fn company_ids(&self) -> impl Iterator<Item = &str> {
        self.company_resource_id.as_deref().into_iter().chain(self.company_id.as_deref())
    }

    /// What partitioning hashes: the caller, else the subject.
    pub fn caller_or_subject(&self) -> &str {
        self.caller.as_deref().unwrap_or(&self.subject_id)
    }

    fn into_owned(self) -> Peek<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Peek {
            company_resource_id: self.company_resource_id.map(owned),
            company_id: self.company_id.map(owned),
            caller: self.caller.map(owned),
            subject_id: owned(self.subject_id),
            kind: self.kind,
        }
    }
}

/// Finds company, caller, subject and kind in one pass that builds nothing else. `kind` is what the path says, as for
/// `decode`: which of a text's numbers is the customer's may depend on it.
pub fn peek(kind: Option<EventKind>, body: &[u8]) -> Result<Peek<'_>, DecodeError> {
    match text_of(body) {
        Cow::Borrowed(body) => peek_text(kind, body),
        Cow::Owned(body) => peek_text(kind, &body).map(Peek::into_owned),
    }
}

fn peek_text(kind: Option<EventKind>, body: &str) -> Result<Peek<'_>, DecodeError> {
    let mut fields = Fields::none();
    fields.read_known(body)?;
    let kind = kind::settle(kind, &fields);
    let caller = match kind::family(kind) {
        Family::Form => form::caller(&fields).map(Cow::Owned),
        Family::Call | Family::Text => ids::customer_number(&fields, kind),
    };
    Ok(Peek {
        company_resource_id: ids::id(fields.get(Field::CompanyResourceId)),
        company_id: ids::id(fields.get(Field::CompanyId)),
        caller,
        subject_id: ids::subject(&fields, kind)?,
        kind,
    })
}
