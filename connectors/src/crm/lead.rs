//! What a delivery tells: a lead, or a call that nobody took.

use leadline_schemas::TenantId;
use serde_json::{Map, Value, json};

use crate::contract::provider::CallError;

/// Longest text that is made of a lead; each CRM's own bound is larger.
const SUMMARY_CHARS_MAX: usize = 8_000;
/// Quotes and reasons in a summary.
const LINES_MAX: usize = 20;

/// What is delivered.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A lead as it stands.
    Lead(Lead),
    /// A call that nobody took: of its caller only the number is known.
    MissedCall(Lead),
    /// Something for people, which no CRM has a place for.
    Other,
}

/// A lead by our names: those of the payload, and those that are made of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Lead {
    members: Map<String, Value>,
    tenant: String,
}

impl Told {
    /// Reads a delivery's payload.
    pub fn read(payload: &str, tenant: &TenantId) -> Result<Self, CallError> {
        let reject = |why: String| CallError::Reject { why: format!("the delivery cannot be read: {why}") };
        let value: Value = serde_json::from_str(payload).map_err(|error| reject(error.to_string()))?;
        let Value::Object(mut members) = value else { return Err(reject("it is no object".to_owned())) };
        let kind = members.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "lead" => Ok(Self::Lead(Lead { members, tenant: tenant.to_string() })),
            "missed_call" => {
                for (ours, theirs) in [("phone", "caller"), ("last_contact_at", "rang_at")] {
                    let value = members.get(theirs).cloned().unwrap_or(Value::Null);
                    members.insert(ours.to_owned(), value);
                }
                Ok(Self::MissedCall(Lead { members, tenant: tenant.to_string() }))
            }
            _ => Ok(Self::Other),
        }
    }
}

impl Lead {
    /// A text of the payload, unless it is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A whole number of the payload.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.members.get(name).and_then(Value::as_i64)
    }

    fn texts(&self, name: &str) -> Vec<String> {
        match self.members.get(name) {
            Some(Value::Array(all)) => all.iter().filter_map(line_of).take(LINES_MAX).collect(),
            // The factors of a score, by name.
            Some(Value::Object(all)) => {
                all.iter().map(|(name, points)| format!("{} {points}", name.replace('_', " "))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What names the caller at the other side over all of its leads: the number, else the address, else the lead.
    pub fn key(&self) -> String {
        let email = self.text("email").map(str::to_lowercase);
        let caller = self.text("phone").map(str::to_owned).or(email);
        let caller = caller.or_else(|| self.text("lead_id").map(str::to_owned)).unwrap_or_default();
        format!("{}:{caller}", self.tenant)
    }

    /// The call that the lead was last heard of by.
    pub fn last_call_id(&self) -> Option<&str> {
        let contacts = self.members.get("contact_ids").and_then(Value::as_array);
        let last = contacts
            .and_then(|ids| ids.iter().rev().filter_map(Value::as_str).find(|id| id.starts_with("CAL")));
        self.text("call_id").or(last)
    }

    /// How a person calls it.
    pub fn display_name(&self) -> String {
        let known = self.text("name").or_else(|| self.text("phone")).or_else(|| self.text("email"));
        known.map_or_else(|| format!("Lead {}", self.text("lead_id").unwrap_or_default()), str::to_owned)
    }

    fn split_name(&self) -> (Option<&str>, Option<&str>) {
        match self.text("name") {
            None => (None, None),
            Some(name) => match name.rsplit_once(char::is_whitespace) {
                Some((first, last)) => (Some(first.trim()), Some(last)),
                None => (Some(name), None),
            },
        }
    }

    /// One line: what it is about, and how good it is.
    pub fn title(&self) -> String {
        let project = self.text("project_type").unwrap_or("lead").replace('_', " ");
        let name = self.display_name();
        match (self.text("band"), self.number("score")) {
            (Some(band), Some(score)) => format!("{name}: {project} ({band} {score})"),
            _ => format!("{name}: {project}"),
        }
    }

    /// What a person wants to know before calling back, in lines.
    pub fn summary(&self) -> String {
        let mut lines = vec![self.title()];
        let told = [("Phone", "phone"), ("Email", "email"), ("City", "city"), ("Status", "status")];
        lines.extend(told.iter().filter_map(|(word, name)| Some(format!("{word}: {}", self.text(name)?))));
        let told = [
            ("Budget from", "budget_min"),
            ("Budget to", "budget_max"),
            ("Timeline", "timeline"),
            ("Address", "address"),
            ("Appointment", "appointment_window"),
            ("Source", "source"),
        ];
        let word =
            |value: Value| value.as_str().map_or_else(|| value.to_string(), |text| text.replace('_', " "));
        lines.extend(told.iter().filter_map(|(is, name)| Some(format!("{is}: {}", word(self.value(name)?)))));
        lines.extend(self.texts("reasons"));
        let quotes = self.texts("evidence");
        lines.extend(quotes.iter().map(|quote| format!("\u{201c}{quote}\u{201d}")));
        lines.extend(self.text("note").map(str::to_owned));
        lines.join("\n").chars().take(SUMMARY_CHARS_MAX).collect()
    }

    /// The value of one of [`super::fields::FIELDS`]; none where the lead does not have it.
    pub fn value(&self, name: &str) -> Option<Value> {
        let text = |text: Option<&str>| text.map(|text| json!(text));
        match name {
            "lead_key" => Some(json!(self.key())),
            "display_name" => Some(json!(self.display_name())),
            "first_name" => text(self.split_name().0),
            "last_name" => text(self.split_name().1),
            "family_name" => {
                let (first, last) = self.split_name();
                Some(last.or(first).map_or_else(|| json!(self.display_name()), |name| json!(name)))
            }
            "household" => {
                let (first, last) = self.split_name();
                let name = last.or(first).map_or_else(|| self.display_name(), str::to_owned);
                Some(json!(format!("{name} Household")))
            }
            "title" => Some(json!(self.title())),
            "summary" => Some(json!(self.summary())),
            "last_call_id" => text(self.last_call_id()),
            "reasons" | "evidence" | "factors" => {
                let lines = self.texts(name);
                (!lines.is_empty()).then(|| json!(lines.join("\n")))
            }
            "contact_ids" => {
                let ids = self.texts(name);
                (!ids.is_empty()).then(|| json!(ids.join(" ")))
            }
            other => match self.members.get(other).or_else(|| self.members.get("extracted")?.get(other))? {
                Value::Null => None,
                Value::String(text) if text.trim().is_empty() => None,
                value => Some(value.clone()),
            },
        }
    }
}

/// An entry of a list as one line: texts as they are, evidence by its quote.
fn line_of(value: &Value) -> Option<String> {
    let member = |name: &str| value.get(name).and_then(Value::as_str);
    match value {
        Value::String(text) => Some(text.clone()),
        _ => member("quote").map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(payload: Value) -> Lead {
        match Told::read(&payload.to_string(), &TenantId::new("summit").unwrap()).unwrap() {
            Told::Lead(lead) | Told::MissedCall(lead) => lead,
            Told::Other => panic!("{payload} is nothing"),
        }
    }

    #[test]
    fn a_caller_has_one_key_whatever_is_told_of_it() {
        let by_phone =
            lead(json!({"type": "lead", "lead_id": "L1", "phone": "+13035550142", "email": "D@x.example"}));
        let missed = lead(json!({"type": "missed_call", "call_id": "CAL1", "caller": "+13035550142"}));
        assert_eq!(
            (by_phone.key(), missed.key()),
            ("summit:+13035550142".into(), "summit:+13035550142".into())
        );
        let by_email = lead(json!({"type": "lead", "lead_id": "L1", "phone": " ", "email": "D@x.example"}));
        assert_eq!(by_email.key(), "summit:d@x.example");
        assert_eq!(lead(json!({"type": "lead", "lead_id": "L1"})).key(), "summit:L1");
    }

    #[test]
    fn names_are_split_and_missing_ones_replaced_where_a_name_must_be() {
        let named = lead(json!({"type": "lead", "name": "Zo\u{eb} van Smith"}));
        let value = |name| named.value(name).unwrap();
        assert_eq!((value("first_name"), value("last_name")), (json!("Zo\u{eb} van"), json!("Smith")));
        assert_eq!(value("household"), "Smith Household");
        let unnamed = lead(json!({"type": "lead", "phone": "+13035550142", "name": null}));
        assert_eq!((unnamed.value("first_name"), unnamed.value("last_name")), (None, None));
        assert_eq!(unnamed.value("family_name").unwrap(), "+13035550142");
    }

    #[test]
    fn facts_that_were_extracted_have_names_too_and_a_summary_tells_them() {
        let lead = lead(super::super::testing::lead());
        assert_eq!((lead.value("postcode"), lead.value("hoa")), (Some(json!("80202")), None));
        assert_eq!(lead.value("factors"), Some(json!("budget 25\nscope area 20")));
        assert_eq!(lead.value("evidence"), Some(json!("about sixty thousand")));
        let summary = lead.summary();
        assert!(summary.contains("Budget from: 60000\nTimeline: 1 3mo\nAddress: 12 Elm St"), "{summary}");
    }

    #[test]
    fn what_is_for_people_is_nothing_to_a_crm_and_nonsense_is_refused() {
        let tenant = TenantId::new("summit").unwrap();
        assert_eq!(Told::read(r#"{"type":"notice","text":"x"}"#, &tenant), Ok(Told::Other));
        for odd in ["", "[]", "7", "{"] {
            assert!(matches!(Told::read(odd, &tenant), Err(CallError::Reject { .. })), "{odd:?}");
        }
    }
}
