//! The shape of an answer, in the two dialects that vendors take. The score and its band are not asked for: models add up
//! badly, and both follow from factors and class.

use leadline_schemas::score::{Class, DecisionMaker, Factors, ProjectType, Timeline, Urgency};
use serde_json::{Map, Value, json};

/// What a field holds.
enum Kind {
    Text,
    Whole { most: Option<u64> },
    YesNo,
    OneOf(Vec<&'static str>),
    Record(Vec<(&'static str, Field)>),
    List(Box<Field>),
}

struct Field {
    kind: Kind,
    /// What was never said is null.
    may_be_null: bool,
}

fn always(kind: Kind) -> Field {
    Field { kind, may_be_null: false }
}

fn maybe(kind: Kind) -> Field {
    Field { kind, may_be_null: true }
}

macro_rules! names {
    ($of:ty) => {
        Kind::OneOf(<$of>::ALL.iter().map(|value| value.as_str()).collect())
    };
}

fn answer() -> Field {
    let factor = || always(Kind::Whole { most: Some(u64::from(Factors::FACTOR_MAX)) });
    let text = || maybe(Kind::Text);
    let yes_no = || maybe(Kind::YesNo);
    let extracted = vec![
        ("caller_name", text()),
        ("phone", text()),
        ("email", text()),
        ("address", text()),
        ("city", text()),
        ("postcode", text()),
        ("year_built", maybe(Kind::Whole { most: None })),
        ("hoa", yes_no()),
        ("insurance_claim", yes_no()),
        ("financing_interest", yes_no()),
        ("competing_bids", yes_no()),
        ("appointment_window", text()),
        ("language", text()),
    ];
    let evidence = vec![
        ("field", always(Kind::Text)),
        ("quote", always(Kind::Text)),
        ("turn", always(Kind::Whole { most: None })),
    ];
    // Evidence first: whoever has quoted judges better.
    always(Kind::Record(vec![
        ("evidence", always(Kind::List(Box::new(always(Kind::Record(evidence)))))),
        ("class", always(names!(Class))),
        ("project_type", maybe(names!(ProjectType))),
        ("budget_min", maybe(Kind::Whole { most: None })),
        ("budget_max", maybe(Kind::Whole { most: None })),
        ("timeline", maybe(names!(Timeline))),
        ("decision_maker", maybe(names!(DecisionMaker))),
        ("urgency", maybe(names!(Urgency))),
        ("appointment_set", always(Kind::YesNo)),
        ("extracted", always(Kind::Record(extracted))),
        (
            "factors",
            always(Kind::Record(vec![
                ("budget", factor()),
                ("timeline", factor()),
                ("scope_area", factor()),
                ("authority", factor()),
            ])),
        ),
        ("reasons", always(Kind::List(Box::new(always(Kind::Text))))),
    ]))
}

/// JSON Schema as strict endpoints want it: everything required, nothing else allowed, null by type.
pub(crate) fn json_schema() -> Value {
    fn of(field: &Field) -> Value {
        let (name, mut schema) = match &field.kind {
            Kind::Text => ("string", json!({})),
            Kind::Whole { most: Some(most) } => ("integer", json!({ "minimum": 0, "maximum": most })),
            Kind::Whole { most: None } => ("integer", json!({ "minimum": 0 })),
            Kind::YesNo => ("boolean", json!({})),
            Kind::OneOf(names) => {
                let mut values: Vec<Value> = names.iter().map(|name| json!(name)).collect();
                values.extend(field.may_be_null.then_some(Value::Null));
                ("string", json!({ "enum": values }))
            }
            Kind::Record(fields) => {
                let properties: Map<String, Value> =
                    fields.iter().map(|(name, field)| ((*name).to_owned(), of(field))).collect();
                let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                (
                    "object",
                    json!({ "properties": properties, "required": required, "additionalProperties": false }),
                )
            }
            Kind::List(item) => ("array", json!({ "items": of(item) })),
        };
        if let Some(schema) = schema.as_object_mut() {
            let kind = if field.may_be_null { json!([name, "null"]) } else { json!(name) };
            schema.insert("type".to_owned(), kind);
        }
        schema
    }
    of(&answer())
}

/// The subset of OpenAPI 3.0 that Gemini's `responseSchema` takes: types in capitals, null by a flag, and an order.
pub(crate) fn open_api_schema() -> Value {
    fn of(field: &Field) -> Value {
        let mut schema = match &field.kind {
            Kind::Text => json!({ "type": "STRING" }),
            Kind::Whole { most: Some(most) } => json!({ "type": "INTEGER", "minimum": 0, "maximum": most }),
            Kind::Whole { most: None } => json!({ "type": "INTEGER", "minimum": 0 }),
            Kind::YesNo => json!({ "type": "BOOLEAN" }),
            Kind::OneOf(names) => json!({ "type": "STRING", "enum": names }),
            Kind::Record(fields) => {
                let properties: Map<String, Value> =
                    fields.iter().map(|(name, field)| ((*name).to_owned(), of(field))).collect();
                let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                json!({ "type": "OBJECT", "properties": properties, "required": names, "propertyOrdering": names })
            }
            Kind::List(item) => json!({ "type": "ARRAY", "items": of(item) }),
        };
        if let Some(schema) = schema.as_object_mut().filter(|_| field.may_be_null) {
            schema.insert("nullable".to_owned(), json!(true));
        }
        schema
    }
    of(&answer())
}
