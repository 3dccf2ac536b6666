//! Field mapping: the other side's names to ours. Pure; what is configured is checked here before it is stored.
//!
//! A mapping is laid over its kind's defaults: `theirs = ours` sets a field, `theirs = =text` sets it to that text always,
//! `theirs = -` leaves a default out. What a lead does not have is not sent, so nothing that people entered is emptied.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Lead;

/// Our names, and what they hold.
pub const FIELDS: &[(&str, &str)] = &[
    ("lead_key", "tenant and caller: the same for all leads of a caller"),
    ("lead_id", "the lead's id"),
    ("revision", "counts the lead's changes"),
    ("status", "open, contacted, not_a_lead, ..."),
    ("score", "0 to 100"),
    ("band", "hot, warm, nurture or cold"),
    ("class", "what kind of contact it is"),
    ("name", "the caller's name as it was heard"),
    ("first_name", "the name without its last word"),
    ("last_name", "the last word of a name of several"),
    ("family_name", "the last name; without one the name, number or address"),
    ("display_name", "the name; without one the number or address"),
    ("household", "the family name and Household"),
    ("phone", "the number in E.164"),
    ("email", "the address"),
    ("city", "where it is"),
    ("project_type", "kitchen, bath, roof, ..."),
    ("source", "where the caller came from, as the tracking says"),
    ("budget_min", "the least that the caller means to spend"),
    ("budget_max", "the most that the caller means to spend"),
    ("timeline", "when the work should start: now, 1_3mo, ..."),
    ("urgency", "emergency, planned, ..."),
    ("appointment_set", "whether a visit was agreed on"),
    ("appointment_window", "when the visit is to be, as it was said"),
    ("address", "the street address"),
    ("postcode", "the postcode"),
    ("year_built", "when the house was built"),
    ("hoa", "whether a homeowners' association has a say"),
    ("insurance_claim", "whether an insurance claim is involved"),
    ("financing_interest", "whether the caller wants to finance the project"),
    ("competing_bids", "whether other companies quote too"),
    ("language", "en or es"),
    ("title", "one line of name, project, band and score"),
    ("summary", "all that a person wants to know, in lines"),
    ("reasons", "why it has this score, in lines"),
    ("evidence", "what was said, in lines"),
    ("factors", "the parts of the score, in lines"),
    ("contact_ids", "calls, texts and forms"),
    ("last_call_id", "CallRail's id of the last call"),
    ("contacted", "whether somebody has spoken with the caller"),
    ("opened_at", "when the lead began (RFC 3339)"),
    ("last_contact_at", "when it was last heard of (RFC 3339)"),
    ("why", "what this change is about"),
];

/// What leaves a default out.
const LEFT_OUT: &str = "-";
/// What a constant begins with.
const CONSTANT: char = '=';
/// Fields of one integration.
const FIELDS_MAX: usize = 200;

/// What fills a field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Ours(String),
    Constant(String),
}

/// A mapping that is known to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping(BTreeMap<String, Source>);

impl Mapping {
    /// The defaults with what is configured laid over them; unknown names of ours are refused in words.
    pub fn new(defaults: &[(&str, &str)], configured: &BTreeMap<String, String>) -> Result<Self, String> {
        if configured.len() > FIELDS_MAX {
            return Err(format!("{} fields are too many: at most {FIELDS_MAX}", configured.len()));
        }
        let mut fields = BTreeMap::new();
        let usual = defaults.iter().map(|(theirs, ours)| (*theirs, *ours));
        let own = configured.iter().map(|(theirs, ours)| (theirs.as_str(), ours.as_str()));
        for (theirs, ours) in usual.chain(own) {
            if theirs.trim().is_empty() {
                return Err(format!("a field of the other side has no name (for our {ours:?})"));
            }
            match (ours, ours.strip_prefix(CONSTANT)) {
                (LEFT_OUT, _) => {
                    fields.remove(theirs);
                }
                (_, Some(text)) => {
                    fields.insert(theirs.to_owned(), Source::Constant(text.to_owned()));
                }
                (ours, None) => {
                    known(theirs, ours)?;
                    fields.insert(theirs.to_owned(), Source::Ours(ours.to_owned()));
                }
            }
        }
        Ok(Self(fields))
    }

    /// The fields that this lead has, under the other side's names.
    pub fn fill(&self, lead: &Lead) -> Vec<(&str, Value)> {
        let value = |source: &Source| match source {
            Source::Constant(text) => Some(Value::String(text.clone())),
            Source::Ours(name) => lead.value(name),
        };
        self.0.iter().filter_map(|(theirs, source)| Some((theirs.as_str(), value(source)?))).collect()
    }

    /// The other side's names.
    pub fn theirs(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Our name of a field of theirs, where one fills it.
    pub fn ours(&self, theirs: &str) -> Option<&str> {
        match self.0.get(theirs)? {
            Source::Ours(name) => Some(name),
            Source::Constant(_) => None,
        }
    }
}

fn known(theirs: &str, ours: &str) -> Result<(), String> {
    if FIELDS.iter().any(|(name, _)| *name == ours) {
        return Ok(());
    }
    // Pairs of letters that both have, among all that they have (Dice), in thousandths.
    let likeness = |name: &str| {
        let pairs = |text: &str| -> Vec<(char, char)> { text.chars().zip(text.chars().skip(1)).collect() };
        let (own, its) = (pairs(ours), pairs(name));
        let common = its.iter().filter(|pair| own.contains(pair)).count();
        2_000 * common / (own.len() + its.len()).max(1)
    };
    let nearest = FIELDS.iter().map(|(name, _)| *name).max_by_key(|name| likeness(name)).unwrap_or_default();
    let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    Err(format!(
        "field {theirs:?}: leadline has no field {ours:?}; did you mean {nearest:?}? There are {}, a text after =, and - to leave a field out",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use leadline_schemas::TenantId;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Told;
    use super::*;

    const DEFAULTS: &[(&str, &str)] = &[("phone", "phone"), ("lastname", "last_name"), ("score__c", "score")];

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(theirs, ours)| ((*theirs).to_owned(), (*ours).to_owned())).collect()
    }

    fn lead() -> Lead {
        let payload = json!({"type": "lead", "phone": "+13035550142", "score": 92, "name": null}).to_string();
        let Ok(Told::Lead(lead)) = Told::read(&payload, &TenantId::new("summit").unwrap()) else { panic!() };
        lead
    }

    #[test]
    fn what_is_configured_lies_over_the_defaults_and_what_a_lead_lacks_is_not_sent() {
        let own =
            map(&[("score__c", "-"), ("source", "=Phone call"), ("rating", "band"), ("points", "score")]);
        let mapping = Mapping::new(DEFAULTS, &own).unwrap();
        let filled = mapping.fill(&lead());
        let expected =
            [("phone", json!("+13035550142")), ("points", json!(92)), ("source", json!("Phone call"))];
        assert_eq!(filled, expected);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_one_that_was_meant() {
        let why = Mapping::new(DEFAULTS, &map(&[("rating", "scor")])).unwrap_err();
        assert!(why.contains("\"rating\"") && why.contains("did you mean \"score\""), "{why}");
    }

    proptest! {
        /// Whatever a mapping says, only fields that it names are filled, and each with what it names.
        #[test]
        fn only_what_is_named_is_filled(
            entries in prop::collection::btree_map("[a-c]", prop::sample::select(vec!["phone", "score", "name", "-", "=x", "city"]), 0..4)
        ) {
            let own: BTreeMap<String, String> = entries.iter().map(|(k, v)| (k.clone(), (*v).to_owned())).collect();
            let mapping = Mapping::new(&[("a", "score"), ("d", "phone")], &own).unwrap();
            let lead = lead();
            let mut model = BTreeMap::from([("a".to_owned(), "score"), ("d".to_owned(), "phone")]);
            model.extend(entries);
            let expected: Vec<(String, Value)> = model.into_iter().filter_map(|(theirs, ours)| match ours {
                "-" => None,
                "=x" => Some((theirs, json!("x"))),
                ours => Some((theirs, lead.value(ours)?)),
            }).collect();
            let filled: Vec<(String, Value)> =
                mapping.fill(&lead).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            prop_assert_eq!(filled, expected);
        }
    }
}
