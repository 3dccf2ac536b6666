//! Calls: listed by account or company, or one by its id.

use bytes::Bytes;
use leadline_schemas::Millis;
use leadline_schemas::callrail;
use leadline_schemas::event::{CallEvent, Event, Turn};
use leadline_schemas::inbound::EventKind;

use super::CallRailClient;
use super::access::Access;
use super::client::{Ask, segment};
use super::config::{PER_PAGE_MAX, RETENTION_DAYS_MAX};
use super::error::CallRailError;
use super::fields::TRANSCRIPT;
use super::pages::{Page, PageMark, odd};
use super::row::Row;

/// How pages are counted. Never to be mixed within one listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// By what CallRail names as the next page: quick however many calls there are, and without a total.
    Relative,
    /// By number, with a total: what a progress bar wants.
    Offset,
}

/// Which calls are listed. They come in the order of their start, the oldest first, so that a call that comes while pages
/// are read lands behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct CallsAsk {
    /// The first start, to the second; with it.
    pub from: Millis,
    /// The last start, with it; none = up to now.
    pub to: Option<Millis>,
    /// One company; none = all of the account that the key may see.
    pub company_id: Option<String>,
    /// How pages are counted.
    pub paging: Paging,
    /// Rows a page, at most [`super::config::PER_PAGE_MAX`]; fewer where an answer is too large.
    pub per_page: u16,
}

impl CallsAsk {
    /// All calls of the account from a time on.
    pub fn since(from: Millis) -> Self {
        Self { from, to: None, company_id: None, paging: Paging::Relative, per_page: PER_PAGE_MAX }
    }
}

/// A call as the API tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedCall {
    /// `CAL...`: the `resource_id` of its webhooks.
    pub call_id: String,
    /// `COM...`.
    pub company_id: Option<String>,
    /// Post-call, inbound or outbound: what an append of `body` says it is. A row never is a pre-call, although one of a
    /// missed call looks like it.
    pub kind: EventKind,
    /// When it rang.
    pub started_at: Option<Millis>,
    /// When it ended, by start and length; none while it goes on.
    pub ended_at: Option<Millis>,
    /// Whether people still talk: nothing of such a call is final.
    pub in_progress: bool,
    /// A JSON object that [`leadline_schemas::callrail::decode`] reads like the post-call webhook of the same call: the
    /// same call id, company, caller and times, and, where both say the same, the same content hash, so that dedupe
    /// knows one by the other. The API's `id`, `company_id`, `person_id`, `tracker_id` stand under the webhook's names
    /// (`resource_id`, `company_resource_id`, ...); `duration` is a number here and a string there, `recording_duration`
    /// the other way round, `recording` is an address of the API: decode and hash take either.
    pub body: Bytes,
}

impl ListedCall {
    fn read(row: &Row<'_>) -> Option<Self> {
        let call_id = row.text("id").or_else(|| row.text("resource_id"))?;
        let is = |name: &str, word: &str| row.text(name).is_some_and(|text| text.eq_ignore_ascii_case(word));
        let outbound = is("direction", "outbound") || is("call_type", "outbound");
        let started_at = row.text("start_time").and_then(|text| Millis::parse(&text));
        let in_progress = is("call_type", "in_progress");
        let lasted_ms = row.number("duration").unwrap_or(0).saturating_mul(Millis::SECOND);
        Some(Self {
            call_id,
            company_id: row.text("company_id").or_else(|| row.text("company_resource_id")),
            kind: if outbound { EventKind::OutboundPostCall } else { EventKind::PostCall },
            started_at,
            ended_at: started_at.map(|at| at.plus(lasted_ms)).filter(|_| !in_progress),
            in_progress,
            body: row.as_webhook(),
        })
    }

    /// The event that its body is, as decode reads it.
    pub fn event(&self) -> Option<CallEvent> {
        match callrail::decode(Some(self.kind), &self.body) {
            Ok((_, Event::CallEvent(call))) => Some(*call),
            _ => None,
        }
    }
}

impl CallRailClient {
    /// One page of calls; `after` is where the page before said that the next begins. One request.
    pub async fn calls(
        &self,
        access: &Access,
        ask: &CallsAsk,
        after: Option<&PageMark>,
    ) -> Result<Page<ListedCall>, CallRailError> {
        let oldest = self.shared.clock.wall().plus(-RETENTION_DAYS_MAX * Millis::DAY);
        if ask.from < oldest {
            return Err(CallRailError::BeyondRetention {
                why: format!("nothing from before {oldest} is left"),
            });
        }
        let path = format!("/a/{}/calls.json", segment("an account", &access.account_id)?);
        let body = match (ask.paging, after) {
            (Paging::Relative, Some(mark)) => {
                // It is followed verbatim, as the reference wants it, but nowhere else than to this listing.
                let query = self.query_of(mark, &path)?;
                let query: Vec<(&str, String)> =
                    query.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                self.ask(access, Ask::get(path, &query, "calls")).await?
            }
            (_, mark) => loop {
                let query = first_page(ask, mark, self.shared.fields.listed())?;
                match self.ask(access, Ask::get(path.clone(), &query, "calls")).await {
                    Err(error) if self.shared.fields.learn(&error) => {}
                    answer => break answer?,
                }
            },
        };
        Page::read(&body, "calls", ListedCall::read)
    }

    /// One call, whole. One request.
    pub async fn call(&self, access: &Access, call_id: &str) -> Result<ListedCall, CallRailError> {
        let body = loop {
            let query = [("fields", self.shared.fields.single())];
            match self.ask_call(access, call_id, &query).await {
                Err(error) if self.shared.fields.learn(&error) => {}
                answer => break answer?,
            }
        };
        let text = String::from_utf8_lossy(&body);
        let call = Row::parse(&text).and_then(|row| ListedCall::read(&row));
        call.ok_or_else(|| odd(&format!("it tells nothing of call {call_id}")))
    }

    /// What CallRail itself has heard of a call; empty without one, or where the account has no access to transcripts
    /// (Premium Conversation Intelligence, since 2026-05-21). One request.
    pub async fn transcript(&self, access: &Access, call_id: &str) -> Result<Vec<Turn>, CallRailError> {
        let query = [("fields", TRANSCRIPT.to_owned())];
        let body = self.ask_call(access, call_id, &query).await?;
        match callrail::decode(Some(EventKind::PostCall), &body) {
            Ok((_, Event::CallEvent(call))) => Ok(call.transcript),
            _ => Err(odd(&format!("it tells nothing of call {call_id}"))),
        }
    }

    async fn ask_call(
        &self,
        access: &Access,
        call_id: &str,
        query: &[(&str, String)],
    ) -> Result<Vec<u8>, CallRailError> {
        let account = segment("an account", &access.account_id)?;
        let path = format!("/a/{account}/calls/{}.json", segment("a call", call_id)?);
        self.ask(access, Ask::get(path, query, format!("call {call_id}"))).await
    }

    /// The query of a next page.
    fn query_of(&self, mark: &PageMark, path: &str) -> Result<Vec<(String, String)>, CallRailError> {
        let base = self.shared.guard.base();
        let url = base.join(&mark.0).map_err(|_| odd("its next page is no address"))?;
        // Whoever answers must not be able to lead the key elsewhere. The account may go by another of its ids there.
        let parts = url.path().split('/').count();
        let is_listing = url.path().ends_with("/calls.json") && parts == path.split('/').count() + 1;
        if !self.shared.guard.is_api(&url) || !is_listing {
            return Err(odd("its next page is not of this listing"));
        }
        Ok(url.query_pairs().into_owned().collect())
    }
}

fn first_page(
    ask: &CallsAsk,
    mark: Option<&PageMark>,
    fields: String,
) -> Result<Vec<(&'static str, String)>, CallRailError> {
    let mut query = vec![
        ("start_date", to_the_second(ask.from)),
        ("sort", "start_time".to_owned()),
        ("order", "asc".to_owned()),
        ("fields", fields),
        ("per_page", ask.per_page.clamp(1, PER_PAGE_MAX).to_string()),
    ];
    if let Some(to) = ask.to {
        query.push(("end_date", to_the_second(to)));
    }
    if let Some(company) = &ask.company_id {
        query.push(("company_id", segment("a company", company)?.to_owned()));
    }
    match (ask.paging, mark) {
        (Paging::Relative, _) => query.push(("relative_pagination", "true".to_owned())),
        (Paging::Offset, None) => query.push(("page", "1".to_owned())),
        (Paging::Offset, Some(PageMark(page))) => {
            let page: u32 =
                page.parse().map_err(|_| odd("a page of one way of paging cannot go on in the other"))?;
            query.push(("page", page.to_string()));
        }
    }
    Ok(query)
}

/// ISO 8601 in UTC, without milliseconds.
pub(super) fn to_the_second(at: Millis) -> String {
    let text = Millis(at.0.div_euclid(1_000) * 1_000).to_string();
    text.replace(".000Z", "Z")
}
