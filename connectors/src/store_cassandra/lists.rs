//! Lists: which tables they are, which filters they answer, and how time is cut into buckets.

use leadline_schemas::Millis;
use leadline_schemas::window::WindowKind;

use crate::contract::store::Page;

/// A list of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum List {
    Requests,
    Calls,
    Leads,
    Deliveries,
    DeadLetters,
}

impl List {
    pub(super) const ALL: [Self; 5] =
        [Self::Requests, Self::Calls, Self::Leads, Self::Deliveries, Self::DeadLetters];

    /// The table of records by their ids.
    pub(super) const fn records(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Calls => "call_records",
            Self::Leads => "leads",
            Self::Deliveries => "deliveries",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// The table of rows by time.
    pub(super) const fn by_time(self) -> &'static str {
        match self {
            Self::Requests => "requests_by_time",
            Self::Calls => "calls_by_time",
            Self::Leads => "leads_by_time",
            Self::Deliveries => "deliveries_by_time",
            Self::DeadLetters => "dead_letters_by_time",
        }
    }

    const fn has_band(self) -> bool {
        matches!(self, Self::Calls | Self::Leads)
    }

    const fn has_status(self) -> bool {
        !matches!(self, Self::Calls)
    }

    /// The filter that a page asks for; what the list does not know is left out.
    pub(super) fn filter(self, page: &Page) -> String {
        let band = page.band.as_deref().filter(|_| self.has_band());
        let status = page.status.as_deref().filter(|_| self.has_status());
        filter(band, status)
    }

    /// The filters under which a record is found: a list has a row for each.
    pub(super) fn filters(self, band: Option<&str>, status: Option<&str>) -> Vec<String> {
        let (band, status) = (band.filter(|_| self.has_band()), status.filter(|_| self.has_status()));
        let mut filters = vec![filter(None, None)];
        if band.is_some() {
            filters.push(filter(band, None));
        }
        if status.is_some() {
            filters.push(filter(None, status));
        }
        if band.is_some() && status.is_some() {
            filters.push(filter(band, status));
        }
        filters
    }
}

/// Quoted, so that no value looks like two.
fn filter(band: Option<&str>, status: Option<&str>) -> String {
    match (band, status) {
        (None, None) => String::new(),
        (Some(band), None) => format!("band={band:?}"),
        (None, Some(status)) => format!("status={status:?}"),
        (Some(band), Some(status)) => format!("band={band:?} status={status:?}"),
    }
}

/// The name of a list in `list_buckets`.
pub(super) fn named(table: &str, filter: &str) -> String {
    match filter.is_empty() {
        true => table.to_owned(),
        false => format!("{table} {filter}"),
    }
}

/// A list's day: 10,000 calls of 5 KiB are 50 MiB, which a partition may have. Lists ask only for days that have rows.
const LIST_BUCKET_MS: i64 = Millis::DAY;

/// The bucket of a list's row.
pub(super) const fn bucket(at: i64) -> i64 {
    at.div_euclid(LIST_BUCKET_MS)
}

/// The bucket of a window: about 1,500 of each slot.
pub(super) const fn window_bucket(kind: WindowKind, start: i64) -> i64 {
    let length = match kind {
        WindowKind::Minute => Millis::DAY,
        WindowKind::Hour | WindowKind::Sliding2h => 60 * Millis::DAY,
        WindowKind::Day => 1_500 * Millis::DAY,
    };
    start.div_euclid(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_asks_for_a_filter_that_its_records_are_filed_under() {
        for list in List::ALL {
            for (band, status) in
                [(None, None), (Some("hot"), None), (None, Some("open")), (Some("hot"), Some("open"))]
            {
                let owned = |text: Option<&str>| text.map(str::to_owned);
                let page = Page { band: owned(band), status: owned(status), ..Page::default() };
                let asked = list.filter(&page);
                assert!(list.filters(Some("hot"), Some("open")).contains(&asked), "{list:?} {asked:?}");
                let others = list.filters(Some("cold"), Some("won"));
                assert_eq!(others.contains(&asked), asked.is_empty(), "{list:?} {asked:?}");
            }
        }
        let made_up = Page { band: Some("hot\" status=\"open".to_owned()), ..Page::default() };
        assert_ne!(List::Leads.filter(&made_up), filter(Some("hot"), Some("open")));
    }

    #[test]
    fn times_before_1970_have_buckets_in_the_same_order() {
        let times = [i64::MIN, -86_400_001, -86_400_000, -1, 0, 86_399_999, 86_400_000, i64::MAX];
        assert!(times.map(bucket).is_sorted());
        assert_eq!((bucket(-1), bucket(0), bucket(86_399_999)), (-1, 0, 0));
    }
}
