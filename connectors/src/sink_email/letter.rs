//! What a mail says, as text and as HTML.

use leadline_schemas::Millis;
use serde_json::Value;

use super::digest::{Listed, of_digest};

/// Characters of a subject.
const TITLE_CHARS_MAX: usize = 150;
/// Characters of a line.
pub(super) const LINE_CHARS_MAX: usize = 500;
/// Reasons, and quotes, that are told.
const LINES_MAX: usize = 10;

/// A letter: what it is about, what is known, and what was said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Letter {
    pub(super) title: String,
    /// Names and values.
    facts: Vec<(&'static str, String)>,
    reasons: Vec<String>,
    quotes: Vec<String>,
    /// The leads of a digest.
    leads: Vec<Listed>,
    /// Where the lead is shown.
    link: Option<String>,
    end: String,
}

impl Letter {
    /// Of what is delivered (JSON). `link` is an address of the tenant's own with `{subject}` in it.
    pub(super) fn of(payload: &str, link: Option<&str>) -> Result<Self, serde_json::Error> {
        let told: Value = serde_json::from_str(payload)?;
        let mut letter = match told.get("type").and_then(Value::as_str) {
            Some("missed_call") => of_missed_call(&told),
            Some("notice") => of_notice(&told),
            Some("digest") => of_digest(&told, link),
            _ => of_lead(&told, link),
        };
        if let Some(after_s) = told.get("escalated_after_s").and_then(Value::as_i64) {
            letter.title = format!("Nobody has reacted: {}", letter.title);
            letter.facts.insert(0, ("Waiting for", format!("{} min", (after_s + 59) / 60)));
        }
        letter.title = cut(&letter.title, TITLE_CHARS_MAX);
        Ok(letter)
    }

    /// Of leads, and nothing else.
    pub(super) fn listing(title: String, leads: Vec<Listed>) -> Self {
        Self { title, leads, ..Self::default() }
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for (name, value) in &self.facts {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.extend(self.leads.iter().map(Listed::text));
        for reason in &self.reasons {
            text.push_str(&format!("- {reason}\n"));
        }
        for quote in &self.quotes {
            text.push_str(&format!("> {quote}\n"));
        }
        text.extend(self.link.iter().map(|link| format!("Open: {link}\n")));
        text.push_str(&format!("\n{}\n", self.end));
        text
    }

    pub(super) fn html(&self) -> String {
        let mut html = format!(
            "<!doctype html><meta charset=\"utf-8\"><body style=\"font-family:sans-serif\"><h2>{}</h2><table>",
            escaped(&self.title)
        );
        for (name, value) in &self.facts {
            let value = match *name {
                "Phone" | "Call back" => format!("<a href=\"tel:{0}\">{0}</a>", escaped(value)),
                "Email" => format!("<a href=\"mailto:{0}\">{0}</a>", escaped(value)),
                _ => escaped(value),
            };
            html.push_str(&format!("<tr><td><b>{name}</b></td><td>{value}</td></tr>"));
        }
        html.push_str("</table>");
        html.extend(self.leads.iter().map(Listed::html));
        html.push_str("<ul>");
        for reason in &self.reasons {
            html.push_str(&format!("<li>{}</li>", escaped(reason)));
        }
        html.push_str("</ul>");
        for quote in &self.quotes {
            html.push_str(&format!("<blockquote>{}</blockquote>", escaped(quote)));
        }
        let link = |link: &String| format!("<p><a href=\"{}\">Open</a></p>", escaped(link));
        html.extend(self.link.iter().map(link));
        html.push_str(&format!("<p>{}</p></body>", escaped(&self.end)));
        html
    }
}

fn of_lead(told: &Value, link: Option<&str>) -> Letter {
    let text = |name: &str| line(told, name);
    let number = |name: &str| told.get(name).and_then(Value::as_u64);
    let band = words(&text("band").unwrap_or_default());
    let score = told.get("score").and_then(Value::as_i64).unwrap_or_default();
    let what = text("project_type").filter(|project| project != "other").map(|project| words(&project));
    let who = text("name").or_else(|| text("phone")).or_else(|| text("email"));
    let title = [Some(format!("{band} lead {score}")), what, who].into_iter().flatten();
    let budget = match (number("budget_min"), number("budget_max")) {
        (None, None) => None,
        (Some(min), Some(max)) if min != max => Some(format!("{min} to {max}")),
        (min, max) => min.or(max).map(|amount| amount.to_string()),
    };
    let factor = |name: &str| told.pointer(&format!("/factors/{name}")).and_then(Value::as_i64);
    let parts = ["budget", "timeline", "scope_area", "authority"]
        .into_iter()
        .filter_map(|name| Some(format!("{} {}", words(name).to_lowercase(), factor(name)?)))
        .collect::<Vec<_>>();
    let facts = [
        ("Name", text("name")),
        ("Phone", text("phone")),
        ("Email", text("email")),
        ("City", text("city")),
        ("Budget", budget),
        ("Timeline", text("timeline").map(|timeline| words(&timeline))),
        ("Source", text("source")),
        ("Score", (!parts.is_empty()).then(|| format!("{score}: {} (of 25 each)", parts.join(", ")))),
        ("Last contact", text("last_contact_at")),
    ];
    let quotes = told.get("evidence").and_then(Value::as_array).into_iter().flatten();
    let quotes = quotes.filter_map(|one| one.get("quote").and_then(Value::as_str));
    let reasons =
        told.get("reasons").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    Letter {
        title: title.collect::<Vec<_>>().join(", "),
        facts: facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        reasons: reasons.take(LINES_MAX).map(|line| cut(line, LINE_CHARS_MAX)).collect(),
        quotes: quotes.take(LINES_MAX).map(|line| cut(line, LINE_CHARS_MAX)).collect(),
        link: address(link, told),
        end: text("why").unwrap_or_default(),
        ..Letter::default()
    }
}

fn of_missed_call(told: &Value) -> Letter {
    let text = |name: &str| line(told, name);
    let caller = text("caller").unwrap_or_default();
    let rang = text("rang_at").map(|at| Millis::parse(&at).map_or(at, |at| at.to_string()));
    let facts = [("Call back", Some(caller.clone())), ("It rang", rang)];
    Letter {
        title: format!("Missed call from {caller}"),
        facts: facts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        end: text("note").unwrap_or_default(),
        ..Letter::default()
    }
}

fn of_notice(told: &Value) -> Letter {
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(|text| cut(text, 2 * LINE_CHARS_MAX));
    let is_trouble = told.get("trouble").and_then(Value::as_bool).unwrap_or_default();
    let title = if is_trouble { "leadline needs you" } else { "leadline works again" };
    Letter {
        title: format!("{title}: {}", text("subject").unwrap_or_default()),
        end: text("text").unwrap_or_default(),
        ..Letter::default()
    }
}

/// A text of a payload, on one line.
pub(super) fn line(told: &Value, name: &str) -> Option<String> {
    told.get(name).and_then(Value::as_str).map(|text| cut(text, LINE_CHARS_MAX))
}

/// Where a lead is shown, by the tenant's own address with `{subject}` in it.
pub(super) fn address(link: Option<&str>, lead: &Value) -> Option<String> {
    link.zip(line(lead, "lead_id")).map(|(link, id)| link.replace("{subject}", &id))
}

/// One line of at most so many characters: what somebody said must not become a header or a line of its own.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(chars_max).collect()
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(super) fn words(wire: &str) -> String {
    let text = wire.replace('_', " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
