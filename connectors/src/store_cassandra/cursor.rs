//! Cursors: where a page ended, as text that means nothing to its reader. No paging state of a server is in it: that
//! would end with the server's version, and holds no place when rows are inserted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::contract::store::{Page, StoreError};

/// Time and id of the last line of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastLine {
    pub(super) at: i64,
    pub(super) id: String,
}

impl LastLine {
    /// Before the newest line.
    pub(super) const START: Self = Self { at: i64::MAX, id: String::new() };

    /// The place as a cursor of this list: with other filters, another list or tenant it is refused.
    pub(super) fn cursor(&self, list: &str, tenant: &str, page: &Page) -> String {
        let mut bytes = Vec::with_capacity(12 + self.id.len());
        bytes.extend_from_slice(&self.checksum(list, tenant, page).to_be_bytes());
        bytes.extend_from_slice(&self.at.to_be_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that the page's cursor names; the start where it has none.
    pub(super) fn of(list: &str, tenant: &str, page: &Page) -> Result<Self, StoreError> {
        let Some(cursor) = &page.cursor else { return Ok(Self::START) };
        Self::parse(cursor, list, tenant, page)
            // Cut: it goes into an answer, and may be anything.
            .ok_or_else(|| StoreError::Cursor(cursor.chars().take(80).collect()))
    }

    fn parse(cursor: &str, list: &str, tenant: &str, page: &Page) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        let (at, id) = rest.split_first_chunk::<8>()?;
        let line = Self { at: i64::from_be_bytes(*at), id: std::str::from_utf8(id).ok()?.to_owned() };
        (line.checksum(list, tenant, page).to_be_bytes() == *checksum).then_some(line)
    }

    fn checksum(&self, list: &str, tenant: &str, page: &Page) -> u32 {
        let filters = (list, tenant, page.from, page.to, &page.band, &page.status);
        crc32c::crc32c(format!("{self:?} {filters:?}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_filters_only() {
        let page = Page { status: Some("done".to_owned()), ..Page::default() };
        let line = LastLine { at: -5, id: "CAL☎".to_owned() };
        let cursor = line.cursor("requests", "summit", &page);
        let with = |page: &Page| Page { cursor: Some(cursor.clone()), ..page.clone() };
        assert_eq!(LastLine::of("requests", "summit", &with(&page)), Ok(line));
        assert_eq!(LastLine::of("requests", "summit", &Page::default()), Ok(LastLine::START));
        let refused = Err(StoreError::Cursor(cursor.clone()));
        assert_eq!(LastLine::of("leads", "summit", &with(&page)), refused);
        assert_eq!(LastLine::of("requests", "other", &with(&page)), refused);
        assert_eq!(LastLine::of("requests", "summit", &with(&Page::default())), refused);
    }
}
