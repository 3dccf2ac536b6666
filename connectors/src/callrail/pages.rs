//! Pages: what every listing has in common, by either way of paging.

use serde::{Deserialize, Serialize};

use super::CallRailClient;
use super::access::Access;
use super::client::Ask;
use super::config::{PAGES_MAX, PER_PAGE_MAX};
use super::error::CallRailError;
use super::row::Row;

/// Where the next page begins. It can be kept, and used after a restart: with the listing that it came from only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageMark(pub(super) String);

impl From<String> for PageMark {
    /// One that was kept.
    fn from(kept: String) -> Self {
        Self(kept)
    }
}

impl From<PageMark> for String {
    fn from(mark: PageMark) -> Self {
        mark.0
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// Its rows, in CallRail's order.
    pub items: Vec<T>,
    /// The page behind it; none where this is the last.
    pub next: Option<PageMark>,
    /// How many rows all pages have, where CallRail says so: with offset paging.
    pub total: Option<u64>,
    /// Rows that could not be made sense of: no object, or without an id.
    pub odd: usize,
}

impl<T> Page<T> {
    /// A page of the listing called `name`, its rows read by `read`.
    pub(super) fn read(
        body: &[u8],
        name: &str,
        read: impl Fn(&Row<'_>) -> Option<T>,
    ) -> Result<Self, CallRailError> {
        let text = String::from_utf8_lossy(body);
        let answer = Row::parse(&text).ok_or_else(|| odd("it is no JSON object"))?;
        let rows = answer.items(name).ok_or_else(|| odd(&format!("it has no list {name:?}")))?;
        let items: Vec<T> = rows.iter().filter_map(|row| read(&Row::of_value(row)?)).collect();
        let page = answer.number("page").filter(|page| *page > 0);
        let pages = answer.number("total_pages");
        let next = match (answer.text("next_page"), page, pages) {
            (Some(next), ..) if answer.flag("has_next_page") != Some(false) => Some(PageMark(next)),
            (None, Some(page), Some(pages)) if page < pages => Some(PageMark((page + 1).to_string())),
            _ => None,
        };
        let total = answer.number("total_records").and_then(|total| u64::try_from(total).ok());
        Ok(Self { odd: rows.len() - items.len(), items, next, total })
    }
}

pub(super) fn odd(why: &str) -> CallRailError {
    CallRailError::Odd { why: why.to_owned() }
}

impl CallRailClient {
    /// Reads a listing with offset paging to its end: one request a page.
    pub(super) async fn all<T>(
        &self,
        access: &Access,
        (path, name): (&str, &str),
        filters: &[(&str, String)],
        read: impl Fn(&Row<'_>) -> Option<T>,
    ) -> Result<Vec<T>, CallRailError> {
        let (mut found, mut page) = (Vec::new(), 1_u32);
        loop {
            let mut query = filters.to_vec();
            query.extend([("page", page.to_string()), ("per_page", PER_PAGE_MAX.to_string())]);
            let body = self.ask(access, Ask::get(path.to_owned(), &query, name)).await?;
            let read = Page::read(&body, name, &read)?;
            found.extend(read.items);
            // Whatever it says comes next: the pages are counted here.
            if read.next.is_none() {
                return Ok(found);
            }
            page += 1;
            if page > PAGES_MAX {
                return Err(odd(&format!("its list {name:?} has more than {PAGES_MAX} pages")));
            }
        }
    }
}
