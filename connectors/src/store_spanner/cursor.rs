//! Cursors: where a page ended, as text that means nothing to its reader.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leadline_schemas::Millis;

use crate::contract::store::{Page, StoreError};

/// Time and key of the last line of a page: what the list is sorted by, so the place holds whatever is inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) time: Millis,
    pub(super) key: Vec<String>,
}

impl Place {
    /// The place as a cursor of this list: with other filters, another list or tenant it is refused, because it would
    /// show a page that begins nowhere.
    pub(super) fn cursor(&self, list: &str, tenant: &str, page: &Page) -> String {
        let mut bytes = self.checksum(list, tenant, page).to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.time.0.to_be_bytes());
        bytes.extend_from_slice(serde_json::json!(self.key).to_string().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that the page's cursor names; none at the start.
    pub(super) fn of(list: &str, tenant: &str, page: &Page) -> Result<Option<Self>, StoreError> {
        let Some(cursor) = &page.cursor else { return Ok(None) };
        let place = Self::parse(cursor, list, tenant, page);
        // Cut: it goes into an answer, and may be anything.
        place.map(Some).ok_or_else(|| StoreError::Cursor(cursor.chars().take(80).collect()))
    }

    fn parse(cursor: &str, list: &str, tenant: &str, page: &Page) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        let (time, key) = rest.split_first_chunk::<8>()?;
        let place = Self { time: Millis(i64::from_be_bytes(*time)), key: serde_json::from_slice(key).ok()? };
        (place.checksum(list, tenant, page).to_be_bytes() == *checksum).then_some(place)
    }

    fn checksum(&self, list: &str, tenant: &str, page: &Page) -> u32 {
        let filters = (list, tenant, page.from, page.to, &page.band, &page.status);
        crc32c::crc32c(format!("{self:?} {filters:?}").as_bytes())
    }
}
