//! What an integration with a CRM may be told beyond its fields, checked before it is stored.

use std::collections::BTreeMap;

use leadline_schemas::settings::Integration;

use crate::{sink_hubspot, sink_pipedrive, sink_salesforce};

/// What is wrong with the fields and options of an integration with a CRM; other kinds are none of ours.
pub fn check(integration: &Integration) -> Result<(), String> {
    match integration.kind.as_str() {
        sink_hubspot::KIND => sink_hubspot::Config::of(integration).map(|_| ()),
        sink_pipedrive::KIND => sink_pipedrive::Config::of(integration).map(|_| ()),
        sink_salesforce::KIND => sink_salesforce::Config::of(integration).map(|_| ()),
        _ => Ok(()),
    }
}

/// Refuses options that are none: a misspelt one would be silently without effect.
pub fn one_of(kind: &str, options: &BTreeMap<String, String>, known: &[&str]) -> Result<(), String> {
    match options.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(format!("{kind} has no option {name:?}: there are {}", known.join(", "))),
        None => Ok(()),
    }
}

/// An option that is yes or no.
pub fn yes(options: &BTreeMap<String, String>, name: &str, usual: bool) -> Result<bool, String> {
    match options.get(name).map(String::as_str) {
        None => Ok(usual),
        Some("yes" | "true") => Ok(true),
        Some("no" | "false") => Ok(false),
        Some(other) => Err(format!("option {name}: {other:?} is neither yes nor no")),
    }
}

/// An option that is a whole number above 0.
pub(crate) fn number(options: &BTreeMap<String, String>, name: &str, usual: u32) -> Result<u32, String> {
    let Some(text) = options.get(name) else { return Ok(usual) };
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("option {name}: {text:?} is no whole number above 0"))
}

/// The address of an API: what is configured, else the vendor's own; without a slash at its end.
pub(crate) fn base(integration: &Integration, usual: &str) -> Result<String, String> {
    let given = integration.url.trim();
    if given.is_empty() {
        return Ok(usual.to_owned());
    }
    let is_address = reqwest::Url::parse(given)
        .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    match is_address {
        true => Ok(given.trim_end_matches('/').to_owned()),
        false => Err("the address is not a valid URL: leave it out, or begin with https://".to_owned()),
    }
}
