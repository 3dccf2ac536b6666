//! What a digest says: leads that were gathered, the best first, each in a few lines.

use leadline_schemas::Millis;
use serde_json::Value;

use super::letter::{LINE_CHARS_MAX, Letter, address, cut, escaped, line, words};

/// One lead of a digest.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listed {
    /// Band and score, project, name.
    head: String,
    /// The number to call back.
    phone: Option<String>,
    email: Option<String>,
    /// When they were last heard of, and what is known otherwise.
    facts: Vec<String>,
    reasons: Vec<String>,
    link: Option<String>,
}

pub(super) fn of_digest(told: &Value, link: Option<&str>) -> Letter {
    let number = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or(1);
    let told_of = told.get("leads").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_hot = |lead: &&Value| lead.get("band").and_then(Value::as_str) == Some("hot");
    let hot = match told_of.iter().filter(is_hot).count() {
        0 => String::new(),
        hot => format!(", {hot} hot"),
    };
    let part = match (number("part"), number("parts")) {
        (_, ..=1) => String::new(),
        (part, parts) => format!(" ({part} of {parts})"),
    };
    let plural = if told_of.len() == 1 { "" } else { "s" };
    let clock = line(told, "clock").unwrap_or_default();
    let title = format!("{} lead{plural}{hot} until {clock}{part}", told_of.len());
    Letter::listing(title, told_of.iter().map(|lead| Listed::of(lead, link)).collect())
}

impl Listed {
    fn of(lead: &Value, link: Option<&str>) -> Self {
        let band = words(&line(lead, "band").unwrap_or_default());
        let score = lead.get("score").and_then(Value::as_i64).unwrap_or_default();
        let project = line(lead, "project_type").filter(|project| project != "other");
        let is = |name: &str| lead.get(name).and_then(Value::as_bool).unwrap_or_default();
        let head =
            [Some(format!("{band} {score}")), project.map(|project| words(&project)), line(lead, "name")];
        let last = line(lead, "last_contact_at").map(|at| Millis::parse(&at).map_or(at, |at| at.to_string()));
        let facts = [
            line(lead, "city"),
            last.map(|at| format!("last heard of {at}")),
            is("contacted").then(|| "somebody has talked to them".to_owned()),
            is("told_before").then(|| "told before, and changed since".to_owned()),
        ];
        let reasons = lead.get("reasons").and_then(Value::as_array).into_iter().flatten();
        Self {
            head: head.into_iter().flatten().collect::<Vec<_>>().join(", "),
            phone: line(lead, "phone"),
            email: line(lead, "email"),
            facts: facts.into_iter().flatten().collect(),
            reasons: reasons.filter_map(Value::as_str).map(|reason| cut(reason, LINE_CHARS_MAX)).collect(),
            link: address(link, lead),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.head);
        let named = [("Call back", &self.phone), ("Email", &self.email), ("Open", &self.link)];
        for (name, value) in named {
            text.extend(value.iter().map(|value| format!("  {name}: {value}\n")));
        }
        if !self.facts.is_empty() {
            text.push_str(&format!("  {}\n", self.facts.join("; ")));
        }
        text.extend(self.reasons.iter().map(|reason| format!("  - {reason}\n")));
        text.push('\n');
        text
    }

    pub(super) fn html(&self) -> String {
        let mut html = format!("<h3>{}</h3><p>", escaped(&self.head));
        let addressed =
            [("tel:", &self.phone, None), ("mailto:", &self.email, None), ("", &self.link, Some("Open"))];
        for (scheme, value, shown) in addressed {
            let Some(value) = value else { continue };
            let (value, shown) = (escaped(value), shown.map_or_else(|| escaped(value), str::to_owned));
            html.push_str(&format!("<a href=\"{scheme}{value}\">{shown}</a> "));
        }
        html.push_str(&format!("</p><p>{}</p><ul>", escaped(&self.facts.join("; "))));
        html.extend(self.reasons.iter().map(|reason| format!("<li>{}</li>", escaped(reason))));
        html.push_str("</ul>");
        html
    }
}
