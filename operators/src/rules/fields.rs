//! What a web form's field is about, told from its name; form builders leave the name to the company.

use super::tokens::normal;
use serde_json::Value;

/// Fields that are read; a form with more is no contact.
const FIELDS_MAX: usize = 200;
/// How deep fields may be nested in others.
const DEPTH_MAX: usize = 3;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    FirstName,
    LastName,
    Email,
    Phone,
    Address,
    City,
    Postcode,
    Budget,
    When,
    Owner,
    Service,
    /// Whatever the person wrote or ticked.
    Message,
    /// What the form builder adds: never the caller's words.
    Hidden,
}

/// Words of a field's name; the first list with one of them decides.
const NAMES: &[(Field, &[&str])] = &[
    (
        Field::Hidden,
        &[
            "utm",
            "gclid",
            "fbclid",
            "url",
            "page",
            "referrer",
            "referer",
            "consent",
            "captcha",
            "token",
            "ip",
            "agent",
            "id",
            "website",
            "source",
            "campaign",
            "opt in",
            "terms",
            "privacy",
            "preferred contact",
            "contact method",
            "subscribe",
            "newsletter",
            "company",
            "business name",
            "hear about",
            "found us",
            "landing",
            "keyword",
            "ref",
            "honeypot",
            "timestamp",
            "submitted",
            "form name",
            "form",
            "session",
            "device",
            "browser",
            "gdpr",
            "tcpa",
            "best time",
            "state",
            "country",
            "county",
            "subject",
        ],
    ),
    (Field::Email, &["email", "e mail", "mail", "correo", "correo electronico"]),
    (
        Field::Phone,
        &[
            "phone",
            "tel",
            "telephone",
            "cell",
            "mobile",
            "telefono",
            "celular",
            "movil",
            "whatsapp",
            "number to call",
        ],
    ),
    (
        Field::Postcode,
        &["zip", "zipcode", "zip code", "postal", "postcode", "post code", "codigo postal", "cp"],
    ),
    (Field::FirstName, &["first name", "firstname", "fname", "first", "given name"]),
    (
        Field::LastName,
        &["last name", "lastname", "lname", "last", "surname", "apellido", "apellidos", "family name"],
    ),
    (
        Field::Budget,
        &["budget", "investment", "invest", "spend", "price range", "presupuesto", "price", "cost", "amount"],
    ),
    (
        Field::When,
        &[
            "timeline",
            "timeframe",
            "time frame",
            "time line",
            "when",
            "start",
            "how soon",
            "soon",
            "date",
            "timing",
            "schedule",
            "cuando",
            "fecha",
            "urgency",
            "ready",
            "how quickly",
            "plazo",
        ],
    ),
    (
        Field::Owner,
        &["own", "owner", "homeowner", "ownership", "dueno", "propietario", "own or rent", "duenos"],
    ),
    (
        Field::City,
        &["city", "town", "ciudad", "location", "property city", "municipality", "localidad", "ubicacion"],
    ),
    (Field::Address, &["address", "street", "direccion", "domicilio", "address1", "address 1", "calle"]),
    (
        Field::Service,
        &[
            "service",
            "services",
            "project type",
            "type",
            "servicio",
            "servicios",
            "interested in",
            "interest",
            "looking for",
            "category",
            "tipo",
            "proyecto",
            "project",
            "work",
            "need",
        ],
    ),
    (
        Field::Name,
        &["name", "full name", "nombre", "fullname", "contact", "nombre completo", "your name", "contacto"],
    ),
];

/// Names that say what a field is even when a word of another kind stands beside it.
const MESSAGES: &[&str] = &[
    "message",
    "msg",
    "comment",
    "comments",
    "detail",
    "details",
    "description",
    "describe",
    "notes",
    "note",
    "tell us",
    "question",
    "questions",
    "mensaje",
    "comentario",
    "comentarios",
    "descripcion",
    "scope",
    "request",
    "inquiry",
    "body",
    "help",
    "about your project",
    "additional",
    "more info",
];

impl Field {
    /// The kind of a field by its normalised name.
    pub(super) fn of(label: &str) -> Self {
        let padded = format!(" {label} ");
        let has = |word: &str| padded.contains(&format!(" {word} "));
        if MESSAGES.iter().any(|word| has(word)) {
            return Self::Message;
        }
        NAMES
            .iter()
            .find(|(_, words)| words.iter().any(|word| has(word)))
            .map_or(Self::Message, |(field, _)| *field)
    }

    /// Whether free words may stand in it.
    pub(super) fn is_free(self) -> bool {
        matches!(self, Self::Message | Self::Service)
    }
}

/// The fields of a form as name, text pairs; nested ones are named after their parents.
pub(super) fn flatten(form: &serde_json::Map<String, Value>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (name, value) in form {
        walk(&plain_name(name), value, DEPTH_MAX, &mut fields);
    }
    fields
}

fn walk(name: &str, value: &Value, depth: usize, fields: &mut Vec<(String, String)>) {
    if fields.len() >= FIELDS_MAX {
        return;
    }
    match value {
        Value::Null => {}
        Value::String(text) => fields.push((name.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => fields.push((name.to_owned(), value.to_string())),
        // Each item by itself: a quote must not join two.
        Value::Array(values) if depth > 0 => {
            values.iter().for_each(|value| walk(name, value, depth - 1, fields))
        }
        Value::Array(_) => {}
        Value::Object(object) if depth > 0 => match named(object) {
            Some((name, value)) => walk(&name, value, depth - 1, fields),
            None => {
                for (inner, value) in object {
                    walk(&format!("{name} {}", plain_name(inner)), value, depth - 1, fields);
                }
            }
        },
        Value::Object(_) => {}
    }
}

/// `{"label": "City", "value": "Denver"}`, as some builders send each field.
fn named(object: &serde_json::Map<String, Value>) -> Option<(String, &Value)> {
    let first = |names: &[&str]| names.iter().find_map(|name| object.get(*name));
    let name = first(&["label", "name", "question", "title", "field", "key"])?.as_str()?;
    let value = first(&["value", "answer", "text", "response"])?;
    Some((plain_name(name), value))
}

/// "firstName", "first_name" and "First Name" are one name.
fn plain_name(name: &str) -> String {
    let mut spaced = String::with_capacity(name.len() + 4);
    let mut lower_before = false;
    for c in name.chars() {
        if c.is_uppercase() && lower_before {
            spaced.push(' ');
        }
        lower_before = c.is_lowercase();
        spaced.push(if matches!(c, '_' | '-' | '.' | '[' | ']' | '/' | ':') { ' ' } else { c });
    }
    normal(&spaced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_told_by_their_names() {
        for (name, field) in [
            ("your-name", Field::Name),
            ("firstName", Field::FirstName),
            ("Best phone", Field::Phone),
            ("email_address", Field::Email),
            ("Property city", Field::City),
            ("property_zip", Field::Postcode),
            ("Investment range", Field::Budget),
            ("When do you want to start?", Field::When),
            ("Are you the homeowner?", Field::Owner),
            ("Project details", Field::Message),
            ("What are you looking for?", Field::Service),
            ("page_url", Field::Hidden),
            ("field_9", Field::Message),
            ("¿Cuándo?", Field::When),
        ] {
            assert_eq!(Field::of(&plain_name(name)), field, "{name}");
        }
    }

    #[test]
    fn nested_and_listed_fields_are_flattened() {
        let form = json!({"address": {"street": "1 Oak St", "zip": 80226}, "answers": [{"label": "City", "value": "Denver"}]});
        let fields = flatten(form.as_object().unwrap());
        let expected = [("address street", "1 Oak St"), ("address zip", "80226"), ("city", "Denver")];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
