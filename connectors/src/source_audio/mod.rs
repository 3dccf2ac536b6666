//! Audio that somebody has put down somewhere becomes an event: a file in a watched folder ([`AudioFolder`]), or an
//! object in the bucket that its notification tells of ([`notification_routes`]).
//!
//! Both make the event that `process` makes of a recording, under an id that is the same for the same file or object:
//! whatever is told twice counts once.

mod folder;
mod notification;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::Key;
use leadline_schemas::settings::Tenant;
use leadline_schemas::{EventId, Millis};
use serde_json::json;

pub use self::folder::AudioFolder;
pub use self::notification::{NotificationParts, notification_routes};
use crate::provider_recording::BLOB_SCHEME;

/// A recording that lies in the blob store, as a record of `inbound`. Nobody knows whose call it was, so it is a
/// caller's of its own.
fn event(
    tenant: &Tenant,
    (settings_version, received_at): (u64, Millis),
    id: EventId,
    blob: &str,
    at: Millis,
) -> Inbound {
    let caller = id.to_string();
    let body = json!({
        "id": caller,
        "occurred_at": at.to_string(),
        "recording_url": format!("{BLOB_SCHEME}{blob}"),
    });
    let key = Key::new(tenant.tenant.clone(), &caller, tenant.policy.spread);
    let (what, at) = ((Origin::Process, EventKind::PostCall), (received_at, settings_version));
    Inbound::new(id, key, &caller, what, at, Bytes::from(body.to_string()))
}
