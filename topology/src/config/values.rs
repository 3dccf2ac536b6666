//! How values are read, and what is said of those that cannot be.

/// How much of a wrong value or name is shown.
pub(super) const SHOWN_CHARS_MAX: usize = 80;

/// A value in a message: enough of it to be found again.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if start.len() < text.len() { format!("{start:?}...") } else { format!("{start:?}") }
}

pub(super) fn number<N: std::str::FromStr + PartialOrd + std::fmt::Display>(
    text: &str,
    least: N,
    most: N,
) -> Result<N, String> {
    match text.trim().parse::<N>() {
        Ok(value) if value >= least && value <= most => Ok(value),
        _ => Err(format!("{} is not a whole number between {least} and {most}", shown(text))),
    }
}

pub(super) fn address(text: &str) -> Result<String, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is no address: it must begin with http:// or https://", shown(text)))
    }
}

/// Scheme and host alone: paths are put behind it.
pub(super) fn host(text: &str) -> Result<String, String> {
    let text = address(text)?;
    let is_host = reqwest::Url::parse(&text).is_ok_and(|url| url.path() == "/" && url.query().is_none());
    match is_host {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(format!(
            "{} is no host: use one such as https://api.callrail.com, without a path",
            shown(&text)
        )),
    }
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{} is neither true nor false", shown(text)))
}

pub(super) fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("is empty: give a name, or leave it out".to_owned())
    } else {
        Ok(text.to_owned())
    }
}
