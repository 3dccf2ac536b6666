//! Names of recordings.

use leadline_schemas::{Millis, TenantId};
use ring::digest::{SHA256, digest};

use crate::contract::blob::checked_name;

/// The longest id that is a part of a name as it is.
const ID_BYTES_MAX: usize = 200;

/// What an address begins with that is a name in our own store: a recording that somebody has uploaded.
pub const BLOB_SCHEME: &str = "blob:";

/// `{tenant}/{yyyy}/{mm}/{call_id}`, by the month of the call in UTC. One call has one name, whatever its recording is
/// and however often it is fetched: the media type is metadata, and no extension, for it is known only after the name.
pub fn recording_name(tenant: &TenantId, at: Millis, call_id: &str) -> String {
    let day = at.to_string();
    let mut parts = day.split('-');
    let (year, month) = (parts.next().unwrap_or("1970"), parts.next().unwrap_or("01"));
    format!("{tenant}/{year}/{month}/{}", segment(call_id))
}

/// `{tenant}/{yyyy}/{mm}/{text_id}/{number}`: a medium of a text, from 1.
pub fn medium_name(tenant: &TenantId, at: Millis, text_id: &str, number: u32) -> String {
    format!("{}/{number}", recording_name(tenant, at, text_id))
}

/// What the names of a text's media begin with.
pub fn media_prefix(tenant: &TenantId, at: Millis, text_id: &str) -> String {
    format!("{}/", recording_name(tenant, at, text_id))
}

/// Whether a name is that of a medium, and not of what is noted beside it.
pub fn is_medium(name: &str) -> bool {
    !name.ends_with(NOTE)
}

/// An id as a part of a name. Those of our own API may be any text; what is no part of a name is hashed.
fn segment(call_id: &str) -> String {
    let is_plain = call_id.len() <= ID_BYTES_MAX && !call_id.contains('/') && !call_id.ends_with(NOTE);
    match checked_name(call_id) {
        Some(plain) if is_plain => plain.to_owned(),
        _ => {
            let hash = digest(&SHA256, call_id.as_bytes());
            let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            format!("id-{hex}")
        }
    }
}

/// The second part of the name of what others put into the store.
const INBOX: &str = "inbox";

/// Whose inbox an object lies in; none when it lies in nobody's.
pub fn inbox_tenant(name: &str) -> Option<&str> {
    let (tenant, rest) = name.split_once('/')?;
    rest.strip_prefix(INBOX)?.strip_prefix('/').is_some_and(|file| !file.is_empty()).then_some(tenant)
}

/// What a note's name ends with.
const NOTE: &str = ".json";

/// The name of what was found out about a recording, beside it.
pub(super) fn note_name(recording: &str) -> String {
    format!("{recording}{NOTE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_is_known_by_its_name() {
        assert_eq!(inbox_tenant("summit/inbox/a.mp3"), Some("summit"));
        assert_eq!(inbox_tenant("summit/inbox/2026/a.mp3"), Some("summit"));
        for other in
            ["summit/inbox", "summit/inbox/", "summit/inboxes/a", "inbox/a", "summit/2026/inbox/a", ""]
        {
            assert_eq!(inbox_tenant(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_name_says_tenant_month_and_call_and_is_a_name_whatever_the_id_is() {
        let tenant = TenantId::new("summit").unwrap();
        let at = Millis::parse("2026-03-31T23:30:00-07:00").unwrap();
        assert_eq!(recording_name(&tenant, at, "CAL019fb"), "summit/2026/04/CAL019fb");
        assert_eq!(recording_name(&tenant, Millis(0), "4711"), "summit/1970/01/4711");
        let odd = ["../../x", "a/b", "ü", "", ".", "a b", "x~lock", "CAL1.json", &"x".repeat(300)];
        let names: Vec<_> = odd.iter().map(|id| recording_name(&tenant, at, id)).collect();
        for name in &names {
            assert!(checked_name(name).is_some() && name.starts_with("summit/2026/04/id-"), "{name}");
        }
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
    }
}
