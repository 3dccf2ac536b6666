//! Cursors: where a page ended, as text that means nothing to its reader.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::contract::store::{Page, StoreError};

/// Time and row of the last line of a page. Rows keep their number for life, so the place holds whatever is
/// inserted before or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) time: i64,
    pub(crate) row: i64,
}

impl Place {
    /// Before the newest line.
    pub(crate) const START: Self = Self { time: i64::MAX, row: i64::MAX };

    /// The place as a cursor of this list: with other filters, another list or tenant it is refused, because it
    /// would show a page that begins nowhere.
    pub(crate) fn cursor(self, list: &str, tenant: &str, page: &Page) -> String {
        let mut bytes = Vec::with_capacity(20);
        bytes.extend_from_slice(&self.time.to_be_bytes());
        bytes.extend_from_slice(&self.row.to_be_bytes());
        bytes.extend_from_slice(&self.checksum(list, tenant, page).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that the page's cursor names; the start where it has none.
    pub(crate) fn of(list: &str, tenant: &str, page: &Page) -> Result<Self, StoreError> {
        let Some(cursor) = &page.cursor else { return Ok(Self::START) };
        Self::parse(cursor, list, tenant, page)
            // Cut: it goes into an answer, and may be anything.
            .ok_or_else(|| StoreError::Cursor(cursor.chars().take(80).collect()))
    }

    fn parse(cursor: &str, list: &str, tenant: &str, page: &Page) -> Option<Self> {
        let bytes: [u8; 20] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        let (time, rest) = bytes.split_first_chunk::<8>()?;
        let (row, checksum) = rest.split_first_chunk::<8>()?;
        let place = Self { time: i64::from_be_bytes(*time), row: i64::from_be_bytes(*row) };
        (place.checksum(list, tenant, page).to_be_bytes() == checksum).then_some(place)
    }

    fn checksum(self, list: &str, tenant: &str, page: &Page) -> u32 {
        let filters = (list, tenant, page.from, page.to, &page.band, &page.status);
        crc32c::crc32c(format!("{self:?} {filters:?}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use leadline_schemas::Millis;

    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_filters_only() {
        let page = Page { status: Some("done".to_owned()), ..Page::default() };
        let place = Place { time: -5, row: 77 };
        let cursor = place.cursor("requests", "summit", &page);
        let with = |page: &Page| Page { cursor: Some(cursor.clone()), ..page.clone() };
        assert_eq!(Place::of("requests", "summit", &with(&page)), Ok(place));
        assert_eq!(Place::of("requests", "summit", &Page { limit: 7, ..with(&page) }), Ok(place));

        let refused = Err(StoreError::Cursor(cursor.clone()));
        assert_eq!(Place::of("leads", "summit", &with(&page)), refused);
        assert_eq!(Place::of("requests", "other", &with(&page)), refused);
        assert_eq!(Place::of("requests", "summit", &with(&Page::default())), refused);
        let later = Page { from: Some(Millis(1)), ..page.clone() };
        assert_eq!(Place::of("requests", "summit", &with(&later)), refused);
        for made_up in ["", "x", "AAAA", "☎", &cursor[1..], &format!("{cursor}A"), &"A".repeat(27)] {
            let page = Page { cursor: Some(made_up.to_owned()), ..page.clone() };
            assert_eq!(Place::of("requests", "summit", &page), Err(StoreError::Cursor(made_up.to_owned())));
        }
    }
}
