//! What is said in a channel: Block Kit cards of a lead, a missed call and a notice.
//!
//! Slack's bounds (vendor facts, section 6): 50 blocks, a header of 150 characters, a section of 3,000, ten fields of
//! 2,000, and about 13,200 characters of blocks in all. What is said is cut well below them, so that no lead is refused
//! because somebody talked much.

use serde::Deserialize;
use serde_json::{Value, json};

/// Characters of a header.
const HEADER_CHARS_MAX: usize = 150;
/// Characters of a field, and of a line of a merged message.
const FIELD_CHARS_MAX: usize = 300;
/// Characters of all reasons, and of all quotes.
const SECTION_CHARS_MAX: usize = 1_500;
/// Reasons, and quotes, that are shown.
const LINES_MAX: usize = 5;
/// Alerts that one merged message tells of; with their lines they stay below Slack's bound.
pub(super) const MERGED_MAX: usize = 20;

/// A message: blocks, and the text that notifications show.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) text: String,
    pub(super) blocks: Vec<Value>,
    /// What it is about, for `metadata`.
    pub(super) subject: String,
    /// One line of it, for a message that tells of many.
    line: String,
}

/// What leadline delivers.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told {
    Lead(Box<Lead>),
    MissedCall(MissedCall),
    Notice(Notice),
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Lead {
    lead_id: String,
    status: String,
    score: i64,
    band: String,
    class: String,
    name: Option<String>,
    phone: Option<String>,
    email: Option<String>,
    city: Option<String>,
    project_type: Option<String>,
    source: Option<String>,
    budget_min: Option<u64>,
    budget_max: Option<u64>,
    timeline: Option<String>,
    factors: Option<Factors>,
    reasons: Option<Vec<String>>,
    evidence: Option<Vec<Quote>>,
    contacted: bool,
    last_contact_at: String,
    why: String,
    escalated_after_s: Option<i64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Factors {
    budget: i64,
    timeline: i64,
    scope_area: i64,
    authority: i64,
}

#[derive(Deserialize)]
struct Quote {
    #[serde(default)]
    quote: String,
}

#[derive(Deserialize)]
struct MissedCall {
    call_id: String,
    caller: String,
    rang_at: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    escalated_after_s: Option<i64>,
}

#[derive(Deserialize)]
struct Notice {
    subject: String,
    trouble: bool,
    text: String,
}

/// The card of a payload. `link` is an address of the tenant's own with `{subject}` in it.
pub(super) fn card(payload: &str, subject: &str, link: Option<&str>) -> Result<Message, serde_json::Error> {
    let mut message = match serde_json::from_str(payload)? {
        Told::Lead(lead) => of_lead(&lead),
        Told::MissedCall(call) => of_missed_call(&call),
        Told::Notice(notice) => of_notice(&notice),
    };
    if let Some(link) = link {
        let subject = if message.subject.is_empty() { subject } else { &message.subject };
        let url = link.replace("{subject}", subject);
        message.blocks.push(json!({"type": "actions", "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": url}
        ]}));
    }
    subject.clone_into(&mut message.subject);
    Ok(message)
}

/// One message for many that would each have waited too long.
pub(super) fn merged(messages: &[Message]) -> Message {
    let title = format!("{} alerts", messages.len());
    let mut blocks = vec![header(&title)];
    blocks.extend(messages.iter().map(|message| section(&message.line)));
    Message { text: title, blocks, subject: String::new(), line: String::new() }
}

fn of_lead(lead: &Lead) -> Message {
    let project = lead.project_type.as_deref().filter(|project| *project != "other").map(words);
    let title = match (&project, lead.class.as_str()) {
        (Some(project), _) => format!("{} lead {} — {project}", words(&lead.band), lead.score),
        (None, "lead") | (None, "") => format!("{} lead {}", words(&lead.band), lead.score),
        (None, class) => format!("{} {} — {}", words(&lead.band), lead.score, words(class)),
    };
    let mut blocks = vec![header(&title)];
    blocks.extend(lead.escalated_after_s.map(nobody_reacted));
    let fields = fields_of(lead);
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if let Some(factors) = lead.factors {
        let Factors { budget, timeline, scope_area, authority } = factors;
        blocks.push(section(&format!(
            "*Score* {}: budget {budget}, timeline {timeline}, scope and area {scope_area}, authority {authority} (of 25 each)",
            lead.score
        )));
    }
    let reasons = lead.reasons.as_deref().unwrap_or_default().iter().map(String::as_str);
    blocks.extend(lines(reasons, "• "));
    let quotes = lead.evidence.as_deref().unwrap_or_default().iter().map(|one| one.quote.as_str());
    blocks.extend(lines(quotes, "> "));
    let talked = if lead.contacted { "somebody has talked to them" } else { "nobody has talked to them yet" };
    blocks.push(context(&format!(
        "{} Last contact {}; {talked}.",
        mrkdwn(&lead.why, FIELD_CHARS_MAX),
        date(&lead.last_contact_at)
    )));
    let who = lead.name.as_deref().or(lead.phone.as_deref()).or(lead.email.as_deref()).unwrap_or("unknown");
    let plain = [Some(title.as_str()), Some(who), lead.city.as_deref()];
    let text = mrkdwn(&plain.into_iter().flatten().collect::<Vec<_>>().join(", "), FIELD_CHARS_MAX);
    let call = lead.phone.as_deref().map(phone).unwrap_or_default();
    let line = format!("*{}* {} {call}", mrkdwn(&title, 150), mrkdwn(who, 100));
    Message { text, blocks, subject: lead.lead_id.clone(), line }
}

fn fields_of(lead: &Lead) -> Vec<Value> {
    let text = |value: &Option<String>| value.as_deref().map(|value| mrkdwn(value, FIELD_CHARS_MAX));
    let status = Some(lead.status.as_str()).filter(|status| !["", "open"].contains(status));
    let fields = [
        ("Name", text(&lead.name)),
        ("Phone", lead.phone.as_deref().map(phone)),
        ("Email", text(&lead.email)),
        ("Budget", budget(lead.budget_min, lead.budget_max)),
        ("Timeline", lead.timeline.as_deref().map(timeline)),
        ("City", text(&lead.city)),
        ("Source", text(&lead.source)),
        ("Status", status.map(|status| mrkdwn(&words(status), FIELD_CHARS_MAX))),
    ];
    let known = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| json!({"type": "mrkdwn", "text": format!("*{name}*\n{value}")})).collect()
}

fn of_missed_call(call: &MissedCall) -> Message {
    let title = "Missed call: call back";
    let caller = phone(&call.caller);
    let mut blocks = vec![header(title)];
    blocks.extend(call.escalated_after_s.map(nobody_reacted));
    blocks.push(section(&format!("*Call back* {caller}\nIt rang {}.", date(&call.rang_at))));
    if !call.note.is_empty() {
        blocks.push(context(&mrkdwn(&call.note, FIELD_CHARS_MAX)));
    }
    let text = format!("Missed call from {}", mrkdwn(&pretty(&call.caller), 100));
    let line = format!("*Missed call* {caller}, {}", date(&call.rang_at));
    Message { text, blocks, subject: call.call_id.clone(), line }
}

fn of_notice(notice: &Notice) -> Message {
    let title = if notice.trouble { "leadline needs you" } else { "leadline works again" };
    let what = format!("*{}*: {}", mrkdwn(&notice.subject, 100), mrkdwn(&notice.text, SECTION_CHARS_MAX));
    let text = format!("{title}: {}", mrkdwn(&notice.text, FIELD_CHARS_MAX));
    let line = format!("*{title}* {}", mrkdwn(&notice.text, FIELD_CHARS_MAX));
    Message { text, blocks: vec![header(title), section(&what)], subject: notice.subject.clone(), line }
}

fn header(title: &str) -> Value {
    let text: String = title.chars().take(HEADER_CHARS_MAX).collect();
    json!({"type": "header", "text": {"type": "plain_text", "text": text}})
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

fn context(text: &str) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text}]})
}

fn nobody_reacted(after_s: i64) -> Value {
    let (minutes, seconds) = (after_s / 60, after_s % 60);
    let after = if seconds == 0 { format!("{minutes} min") } else { format!("{after_s} s") };
    section(&format!(":warning: *Nobody has reacted for {after}.*"))
}

/// A section of a few lines; none without lines.
fn lines<'a>(texts: impl Iterator<Item = &'a str>, mark: &str) -> Option<Value> {
    let each = SECTION_CHARS_MAX / LINES_MAX - mark.len() - 1;
    let lines: Vec<String> = texts
        .filter(|text| !text.trim().is_empty())
        .take(LINES_MAX)
        .map(|text| format!("{mark}{}", mrkdwn(text, each)))
        .collect();
    if lines.is_empty() { None } else { Some(section(&lines.join("\n"))) }
}

/// What somebody said, so that it is shown and does nothing: `&`, `<` and `>` are all that Slack wants escaped. One line,
/// at most `chars_max` characters long after escaping.
fn mrkdwn(text: &str, chars_max: usize) -> String {
    let (mut escaped, mut chars) = (String::new(), 0);
    for letter in text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }) {
        let entity = match letter {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => "",
        };
        chars += entity.len().max(1);
        if chars >= chars_max {
            escaped.push('…');
            break;
        }
        match entity {
            "" => escaped.push(letter),
            entity => escaped.push_str(entity),
        }
    }
    escaped
}

/// A number to tap.
fn phone(number: &str) -> String {
    let is_number = number.len() > 3 && number.chars().all(|letter| letter.is_ascii_digit() || letter == '+');
    match is_number {
        true => format!("<tel:{number}|{}>", pretty(number)),
        false => mrkdwn(number, FIELD_CHARS_MAX),
    }
}

/// `(303) 555-0142` for a number of North America.
fn pretty(number: &str) -> String {
    let parts = number.strip_prefix("+1").filter(|digits| digits.len() == 10 && digits.is_ascii());
    let parts = parts.and_then(|digits| Some((digits.get(..3)?, digits.get(3..6)?, digits.get(6..)?)));
    parts.map_or_else(|| number.to_owned(), |(area, exchange, line)| format!("({area}) {exchange}-{line}"))
}

/// A time in the zone of whoever reads it.
fn date(at: &str) -> String {
    match leadline_schemas::Millis::parse(at) {
        Some(time) => format!("<!date^{}^{{date_short_pretty}} {{time}}|{at}>", time.0.div_euclid(1_000)),
        None => mrkdwn(at, 40),
    }
}

fn budget(min: Option<u64>, max: Option<u64>) -> Option<String> {
    Some(match (min, max) {
        (Some(min), Some(max)) if min == max => thousands(min),
        (Some(min), Some(max)) => format!("{} to {}", thousands(min), thousands(max)),
        (Some(min), None) => format!("from {}", thousands(min)),
        (None, Some(max)) => format!("up to {}", thousands(max)),
        (None, None) => return None,
    })
}

fn thousands(amount: u64) -> String {
    let digits = amount.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn timeline(wire: &str) -> String {
    match wire {
        "now_0_30d" => "within 30 days".to_owned(),
        "1_3mo" => "in 1 to 3 months".to_owned(),
        "3_6mo" => "in 3 to 6 months".to_owned(),
        "6mo_plus" => "in more than 6 months".to_owned(),
        "researching" => "just looking".to_owned(),
        other => mrkdwn(&words(other), FIELD_CHARS_MAX),
    }
}

/// `windows_doors` as people write it.
fn words(wire: &str) -> String {
    let text = wire.replace('_', " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever people say, a card is within Slack's bounds, and nothing in it acts.
    #[test]
    fn a_card_of_somebody_who_talks_without_end_is_within_slacks_bounds() {
        let long = "<!channel> & <https://evil.example|click> ".repeat(2_000);
        let payload = json!({
            "type": "lead", "lead_id": "1", "score": 92, "band": "hot", "class": "lead", "name": long, "phone": long,
            "email": long, "city": long, "project_type": long, "source": long, "timeline": long, "status": long,
            "reasons": vec![&long; 100], "evidence": vec![json!({"quote": long}); 100], "why": long,
            "last_contact_at": long, "factors": {"budget": 20, "timeline": 25, "scope_area": 25, "authority": 22},
        });
        let card = card(&payload.to_string(), "1", Some("https://crm.example/{subject}")).unwrap();
        let text = json!(card.blocks).to_string();
        assert!(text.chars().count() < 13_000, "{}", text.chars().count());
        assert!(card.blocks.len() <= 50);
        // A header is plain text: what stands in it is shown as it is.
        let acting = json!(card.blocks[1..]).to_string();
        assert!(!acting.contains("<!channel") && !acting.contains("<https://evil"), "{acting}");
        for block in &card.blocks {
            let of = |pointer: &str| block.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let bound = if block["type"] == "header" { 150 } else { 3_000 };
            assert!(of("/text/text").chars().count() <= bound);
        }
        let many: Vec<Message> = (0..MERGED_MAX).map(|_| card.clone()).collect();
        assert!(json!(merged(&many).blocks).to_string().chars().count() < 13_000);
    }

    #[test]
    fn numbers_can_be_tapped_and_budgets_read() {
        assert_eq!(phone("+13035550142"), "<tel:+13035550142|(303) 555-0142>");
        assert_eq!(phone("+442079460000"), "<tel:+442079460000|+442079460000>");
        assert_eq!(phone("<anonymous>"), "&lt;anonymous&gt;");
        assert_eq!(budget(Some(40_000), Some(1_250_000)).as_deref(), Some("40,000 to 1,250,000"));
        assert_eq!((budget(Some(1), Some(1)).as_deref(), budget(None, None)), (Some("1"), None));
    }
}
