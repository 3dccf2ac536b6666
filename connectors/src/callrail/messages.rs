//! Texts and forms, as far as the API has them.

use bytes::Bytes;
use leadline_schemas::Millis;
use leadline_schemas::inbound::EventKind;
use serde_json::json;

use super::CallRailClient;
use super::access::Access;
use super::calls::to_the_second;
use super::client::{Ask, segment};
use super::config::PER_PAGE_MAX;
use super::error::CallRailError;
use super::pages::{Page, PageMark, odd};
use super::row::Row;

/// A text or form as the API tells it, in the shape of its webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMessage {
    /// A form's own id. A text has none in the API: it is conversation and time, and so never the `SCI...` of its webhook;
    /// whoever appends texts has to look for one of the same caller, time and words first.
    pub id: String,
    /// `COM...`.
    pub company_id: Option<String>,
    /// Text received or sent, or a form.
    pub kind: EventKind,
    /// When it was sent.
    pub at: Option<Millis>,
    /// What `leadline_schemas::callrail::decode` reads like its webhook.
    pub body: Bytes,
}

impl CallRailClient {
    /// One page of forms that were sent since a time, newest first as CallRail has them. One request.
    pub async fn forms(
        &self,
        access: &Access,
        since: Millis,
        after: Option<&PageMark>,
    ) -> Result<Page<ListedMessage>, CallRailError> {
        let path = format!("/a/{}/form_submissions.json", segment("an account", &access.account_id)?);
        let body = self.ask(access, Ask::get(path, &page_since(since, after)?, "forms")).await?;
        Page::read(&body, "form_submissions", |row| {
            Some(ListedMessage {
                id: row.text("id")?,
                company_id: row.text("company_id"),
                kind: EventKind::FormSubmission,
                at: row.text("submitted_at").and_then(|text| Millis::parse(&text)),
                body: row.as_webhook(),
            })
        })
    }

    /// One page of conversations with something new since a time, each as the texts of it that CallRail lists with it. One
    /// request.
    pub async fn texts(
        &self,
        access: &Access,
        since: Millis,
        after: Option<&PageMark>,
    ) -> Result<Page<Vec<ListedMessage>>, CallRailError> {
        let path = format!("/a/{}/text-messages.json", segment("an account", &access.account_id)?);
        let body = self.ask(access, Ask::get(path, &page_since(since, after)?, "texts")).await?;
        Page::read(&body, "conversations", |row| {
            let conversation = row.text("id")?;
            let messages = row.items("recent_messages").or_else(|| row.items("messages")).unwrap_or_default();
            let texts =
                messages.iter().filter_map(|message| text_of(row, &conversation, &Row::of_value(message)?));
            Some(texts.collect())
        })
    }
}

fn page_since(since: Millis, after: Option<&PageMark>) -> Result<Vec<(&'static str, String)>, CallRailError> {
    let page: u32 = match after {
        Some(PageMark(page)) => page.parse().map_err(|_| odd("the page is not of this listing"))?,
        None => 1,
    };
    Ok(vec![
        ("start_date", to_the_second(since)),
        ("page", page.to_string()),
        ("per_page", PER_PAGE_MAX.to_string()),
    ])
}

/// One text of a conversation.
fn text_of(conversation: &Row<'_>, conversation_id: &str, message: &Row<'_>) -> Option<ListedMessage> {
    let created_at = message.text("created_at")?;
    let at = Millis::parse(&created_at)?;
    let is_sent = message
        .text("direction")
        .is_some_and(|way| way.eq_ignore_ascii_case("outgoing") || way.eq_ignore_ascii_case("outbound"));
    let customer = conversation.text("customer_phone_number");
    let company =
        conversation.text("current_tracking_number").or_else(|| conversation.text("initial_tracking_number"));
    let (source, destination) = if is_sent { (company, customer) } else { (customer, company) };
    let id = format!("{conversation_id}-{}", at.0);
    let company_id = conversation.text("company_id");
    let body = json!({
        "resource_id": id,
        "company_resource_id": company_id,
        "conversation_id": conversation_id,
        "source_number": source,
        "destination_number": destination,
        "content": message.text("content"),
        "message_type": message.text("type").unwrap_or_else(|| "sms".to_owned()),
        "media_urls": message.texts("media_urls"),
        "timestamp": created_at,
    });
    let kind = if is_sent { EventKind::TextSent } else { EventKind::TextReceived };
    Some(ListedMessage { id, company_id, kind, at: Some(at), body: Bytes::from(body.to_string()) })
}
