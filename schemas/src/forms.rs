//! Web forms: the fields of a site's form, and who of them is name, email, phone and message.
//!
//! Sites name their fields as they like. A tenant can say which is which (`Form::field_map`); otherwise the names
//! are compared with what form builders use, and then the values with what an email or a phone number looks like.
//!
//! ```
//! use leadline_schemas::forms;
//! let body = b"first-name=Ana&last-name=Ruiz&your-tel=(303)+555-0142&comments=New+roof%2C+please";
//! let form = forms::decode("application/x-www-form-urlencoded", body, "f-1", &Default::default())?;
//! assert_eq!(form.name.as_deref(), Some("Ana Ruiz"));
//! assert_eq!(form.phone.as_deref(), Some("+13035550142"));
//! assert_eq!(form.message.as_deref(), Some("New roof, please"));
//! # Ok::<(), forms::FormError>(())
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::event::{Attribution, FormEvent};
use crate::json_size::{JSON_VALUES_MAX, json_values};
use crate::phone;

/// Fields of a form at most; the longest questionnaires have a hundred.
pub const FIELDS_MAX: usize = 500;

/// Why a body is not a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Neither JSON nor urlencoded; `multipart/form-data` is taken apart by the source that reads it.
    #[error("a form cannot be {media_type:?}: send application/json or application/x-www-form-urlencoded")]
    MediaType {
        /// What it is.
        media_type: String,
    },
    /// Not what its media type says.
    #[error("the form could not be read: {why}")]
    Malformed {
        /// What was wrong, and where.
        why: String,
    },
    /// More fields than any form has; a body of a few MiB would take hundreds as it is taken apart.
    #[error("the form has more than {FIELDS_MAX} fields or values")]
    TooMany,
    /// No field has a value.
    #[error("the form has no field with a value")]
    Empty,
}

/// The form in a body. `form_id` is the id of the event; `field_map` says which of the site's fields are `name`,
/// `email`, `phone` and `message`.
pub fn decode(
    content_type: &str,
    body: &[u8],
    form_id: &str,
    field_map: &BTreeMap<String, String>,
) -> Result<FormEvent, FormError> {
    event(form_id, pairs(content_type, body)?, field_map)
}

/// The fields of a body, in its order.
pub fn pairs(content_type: &str, body: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    let malformed = |why: String| FormError::Malformed { why };
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" => {
            if json_values(body) > JSON_VALUES_MAX {
                return Err(FormError::TooMany);
            }
            let fields: BTreeMap<String, Value> =
                serde_json::from_slice(body).map_err(|why| malformed(why.to_string()))?;
            if fields.len() > FIELDS_MAX {
                return Err(FormError::TooMany);
            }
            Ok(fields.into_iter().map(|(name, value)| (name, value_text(value))).collect())
        }
        "application/x-www-form-urlencoded" => {
            if body.split(|byte| *byte == b'&').count() > FIELDS_MAX {
                return Err(FormError::TooMany);
            }
            serde_urlencoded::from_bytes(body).map_err(|why| malformed(why.to_string()))
        }
        // Cut: it goes into an answer, and may be anything.
        _ => Err(FormError::MediaType { media_type: media_type.chars().take(80).collect() }),
    }
}

/// The form that has these fields. A field that comes several times (check boxes) is one with commas.
pub fn event(
    form_id: &str,
    pairs: impl IntoIterator<Item = (String, String)>,
    field_map: &BTreeMap<String, String>,
) -> Result<FormEvent, FormError> {
    let mut fields = BTreeMap::<String, String>::new();
    for (name, value) in pairs {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        let all = fields.entry(name).or_default();
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(value);
    }
    if fields.is_empty() {
        return Err(FormError::Empty);
    }
    let found = Found::in_fields(&fields, field_map);
    let first_of = |names: &[&str]| names.iter().find_map(|name| fields.get(*name).cloned());
    Ok(FormEvent {
        form_id: form_id.to_owned(),
        company_id: None,
        name: found.name,
        email: found.email,
        phone: found.phone,
        message: found.message,
        form_url: first_of(&["form_url", "page_url", "url"]),
        attribution: Attribution {
            source: first_of(&["utm_source", "source"]),
            medium: first_of(&["utm_medium", "medium"]),
            campaign: first_of(&["utm_campaign", "campaign"]),
            keywords: first_of(&["utm_term", "keywords"]),
            gclid: first_of(&["gclid"]),
            landing_page_url: first_of(&["landing_page_url", "landing_page"]),
        },
        at: None,
        fields,
        extra: "{}".to_owned(),
    })
}

/// A JSON value as a field's text.
fn value_text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Array(several) => several.into_iter().map(value_text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Who of the fields is what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) message: Option<String>,
}

type Fields = BTreeMap<String, String>;

impl Found {
    /// Looks for them: by the tenant's map first, then by the names, then by the values.
    pub(crate) fn in_fields(fields: &Fields, field_map: &Fields) -> Self {
        let named = Named::all(fields);
        let mapped = |ours: &str| fields.get(field_map.get(ours)?).map(String::as_str);
        Self {
            name: mapped("name").map(str::to_owned).or_else(|| name(&named)),
            email: mapped("email").and_then(email_address).or_else(|| email(&named)),
            phone: mapped("phone").and_then(number).or_else(|| phone(&named)),
            message: mapped("message").map(str::to_owned).or_else(|| message(&named)),
        }
    }
}

/// A field with its name in a comparable form: `Your-Name*`, `your_name` and `yourName` are `yourname`.
struct Named<'a> {
    name: String,
    value: &'a str,
}

impl<'a> Named<'a> {
    fn all(fields: &'a Fields) -> Vec<Self> {
        let plain = |name: &str| {
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
        };
        fields.iter().map(|(name, value)| Self { name: plain(name), value }).collect()
    }

    fn mentions(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.name.contains(word))
    }
}

fn email(fields: &[Named<'_>]) -> Option<String> {
    let by_name = fields.iter().filter(|field| field.mentions(&["mail", "correo"]));
    by_name.chain(fields).find_map(|field| email_address(field.value))
}

fn phone(fields: &[Named<'_>]) -> Option<String> {
    const WORDS: [&str; 6] = ["phone", "tel", "mobile", "cell", "contactnumber", "celular"];
    let is_written_for_people = |value: &str| value.contains(['-', '(', '.', '+', ' ']);
    let by_name = fields.iter().filter(|field| field.mentions(&WORDS) && !field.mentions(&["fax", "hotel"]));
    let by_value = fields.iter().filter(|field| is_written_for_people(field.value));
    by_name.chain(by_value).find_map(|field| number(field.value))
}

fn name(fields: &[Named<'_>]) -> Option<String> {
    const FIRST: [&str; 6] = ["firstname", "fname", "yourfirstname", "givenname", "first", "nombre"];
    const LAST: [&str; 7] =
        ["lastname", "lname", "yourlastname", "surname", "familyname", "last", "apellido"];
    const WHOLE: [&str; 6] = ["name", "fullname", "yourname", "contactname", "customername", "clientname"];
    const OTHERS: [&str; 14] = [
        "company", "business", "user", "street", "file", "form", "project", "product", "campaign", "page",
        "event", "city", "first", "last",
    ];
    let one_of = |names: &[&str]| {
        names.iter().find_map(|name| fields.iter().find(|f| f.name == *name)).map(|f| f.value)
    };
    match (one_of(&FIRST), one_of(&LAST)) {
        (Some(first), Some(last)) => Some(format!("{first} {last}")),
        (first, last) => {
            let other =
                || fields.iter().find(|f| f.name.ends_with("name") && !f.mentions(&OTHERS)).map(|f| f.value);
            one_of(&WHOLE).or_else(other).or(first).or(last).map(str::to_owned)
        }
    }
}

fn message(fields: &[Named<'_>]) -> Option<String> {
    const WORDS: [&str; 12] = [
        "message",
        "mensaje",
        "comment",
        "question",
        "detail",
        "description",
        "describe",
        "inquiry",
        "enquiry",
        "howcanwehelp",
        "tellus",
        "note",
    ];
    /// A text of so many words is what somebody wrote, and not a choice.
    const WORDS_MIN: usize = 4;
    let by_name = WORDS.iter().find_map(|word| fields.iter().find(|field| field.name.contains(word)));
    let is_text = |field: &&Named<'_>| {
        let is_page = field.mentions(&["url", "page", "utm", "referrer", "agent"]);
        field.value.split_whitespace().count() >= WORDS_MIN && !is_page
    };
    let longest = || fields.iter().filter(is_text).max_by_key(|field| field.value.len());
    by_name.or_else(longest).map(|field| field.value.to_owned())
}

fn number(text: &str) -> Option<String> {
    phone::normalise(text).map(Cow::into_owned)
}

/// An email address in lower case: it is what a person's contacts are merged by.
pub(crate) fn email_address(text: &str) -> Option<String> {
    /// The longest address that mail servers carry (RFC 5321).
    const BYTES_MAX: usize = 254;
    let text = text.trim();
    let (local, domain) = text.split_once('@')?;
    let is_clean = !text.contains(|c: char| c.is_whitespace() || c.is_control() || ",;<>\"()".contains(c));
    let is_domain = domain.split('.').count() >= 2 && domain.split('.').all(|label| !label.is_empty());
    let good = is_clean && is_domain && !local.is_empty() && !domain.contains('@') && text.len() <= BYTES_MAX;
    good.then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests;
