//! Query parameters of lists: checked one by one, refused by name.

use leadline_schemas::Millis;
use leadline_schemas::score::Band;

use crate::contract::store::Page;
use crate::source_http::Problem;

/// Rows of a page when nothing is asked for.
const LIMIT_DEFAULT: usize = 50;
/// Rows of a page at most (issue 3).
pub(crate) const LIMIT_MAX: usize = 200;
/// The longest cursor; ours are a time and an id.
const CURSOR_BYTES_MAX: usize = 512;

/// What a list can be filtered by, beside `limit`, `cursor`, `from` and `to`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filters {
    /// By band.
    pub(crate) band: bool,
    /// By one of these statuses; empty = not at all.
    pub(crate) statuses: &'static [&'static str],
}

/// The page that a query string asks for.
pub(crate) fn page(query: Option<&str>, filters: Filters) -> Result<Page, Problem> {
    let mut page = Page { limit: LIMIT_DEFAULT, ..Page::default() };
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "limit" => page.limit = limit(&value)?,
            "cursor" => page.cursor = cursor(value)?,
            "from" => page.from = Some(time("from", &value)?),
            "to" => page.to = Some(time("to", &value)?),
            "band" if filters.band => page.band = Some(band(value)?),
            "status" if !filters.statuses.is_empty() => {
                page.status = Some(one_of("status", value, filters.statuses)?);
            }
            _ => return Err(unknown(&name)),
        }
    }
    Ok(page)
}

/// The pairs of a query string.
pub(crate) fn pairs(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default())
        .map_err(|_| Problem::bad_request("query", "the query string cannot be read: encode it as UTF-8"))?;
    let mut names: Vec<_> = pairs.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(twice) => {
            let name = twice.first().map(|name| shown(name)).unwrap_or_default();
            Err(Problem::bad_request(name.clone(), format!("the parameter {name:?} comes twice")))
        }
        None => Ok(pairs),
    }
}

/// A parameter's name, as long as it may come back in an answer.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

pub(crate) fn unknown(name: &str) -> Problem {
    let name = shown(name);
    Problem::bad_request(name.clone(), format!("the parameter {name:?} is not known here"))
}

pub(crate) fn limit(value: &str) -> Result<usize, Problem> {
    match value.parse() {
        Ok(limit @ 1..=LIMIT_MAX) => Ok(limit),
        _ => Err(Problem::bad_request("limit", format!("limit must be a number from 1 to {LIMIT_MAX}"))),
    }
}

/// An empty cursor is the first page: scripts that append `&cursor=` get on.
pub(crate) fn cursor(value: String) -> Result<Option<String>, Problem> {
    if value.len() > CURSOR_BYTES_MAX {
        return Err(bad_cursor());
    }
    Ok(Some(value).filter(|cursor| !cursor.is_empty()))
}

pub(crate) fn bad_cursor() -> Problem {
    Problem::bad_request(
        "cursor",
        "the cursor is not one of ours: use next_cursor of the page before, with the same filters",
    )
}

pub(crate) fn time(name: &'static str, value: &str) -> Result<Millis, Problem> {
    // A `+` that was not encoded has become a space: `...T09:12:33 02:00`.
    Millis::parse(value).or_else(|| Millis::parse(&value.replace(' ', "+"))).ok_or_else(|| {
        Problem::bad_request(name, format!("{name} must be a time in ISO 8601, as 2026-03-04T16:12:33.236Z"))
    })
}

fn band(value: String) -> Result<String, Problem> {
    if Band::ALL.iter().any(|band| band.as_str() == value) {
        return Ok(value);
    }
    Err(Problem::bad_request("band", "band must be one of hot, warm, nurture, cold"))
}

fn one_of(name: &'static str, value: String, known: &[&str]) -> Result<String, Problem> {
    if known.contains(&value.as_str()) {
        return Ok(value);
    }
    Err(Problem::bad_request(name, format!("{name} must be one of {}", known.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Filters = Filters { band: true, statuses: &["open", "won"] };
    const NONE: Filters = Filters { band: false, statuses: &[] };

    #[test]
    fn a_page_is_what_was_asked_for() {
        let query =
            "limit=7&cursor=c&from=2026-03-04T16:12:33.236Z&to=2026-03-04T18:12:33+02:00&band=hot&status=won";
        let page = page(Some(query), ALL).unwrap();
        assert_eq!((page.limit, page.cursor.as_deref()), (7, Some("c")));
        assert_eq!(page.from.unwrap().to_string(), "2026-03-04T16:12:33.236Z");
        assert_eq!(page.to.unwrap().to_string(), "2026-03-04T16:12:33.000Z");
        assert_eq!((page.band.as_deref(), page.status.as_deref()), (Some("hot"), Some("won")));
        let page = super::page(None, NONE).unwrap();
        assert_eq!((page.limit, page.cursor, page.band), (LIMIT_DEFAULT, None, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!("cursor={}", "c".repeat(600));
        for (query, filters, named) in [
            ("limit=0", ALL, "limit"),
            ("limit=201", ALL, "limit"),
            ("limit=-1", ALL, "limit"),
            ("limit=ten", ALL, "limit"),
            ("limit=", ALL, "limit"),
            ("limit=1&limit=2", ALL, "limit"),
            ("from=yesterday", ALL, "from"),
            ("to=", ALL, "to"),
            ("band=tepid", ALL, "band"),
            ("band=hot", NONE, "band"),
            ("status=lost", ALL, "status"),
            ("status=open", NONE, "status"),
            ("colour=red", ALL, "colour"),
            (long.as_str(), ALL, "cursor"),
        ] {
            let problem = page(Some(query), filters).unwrap_err();
            assert_eq!(problem.status(), http::StatusCode::BAD_REQUEST, "{query}");
            assert_eq!(problem.parameter(), Some(named), "{query}");
        }
    }
}
