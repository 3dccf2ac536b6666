//! Pulls: what is listed from the API of a CallRail account, because no webhook may have told of it.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::partitioning::Key;
use crate::{EventId, Millis, TenantId};

/// The name of the listing that goes on for as long as the account is connected.
pub const LIVE: &str = "live";
/// What the ids of accounts begin with where a tenant's stands otherwise. No tenant's does: `tenant add` refuses it.
pub const ACCOUNT_PREFIX: &str = "callrail--";

/// What CallRail has lists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listing {
    /// Calls of either direction.
    Calls,
    /// Texts of either direction.
    Texts,
    /// Submitted forms.
    Forms,
}

impl Listing {
    /// The one that follows; none behind the last.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Calls => Some(Self::Texts),
            Self::Texts => Some(Self::Forms),
            Self::Forms => None,
        }
    }
}

/// Where a listing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullStatus {
    /// A page is asked for.
    Running,
    /// The next round or attempt comes by itself.
    Waiting,
    /// A backfill has reached its end.
    Done,
    /// A backfill was given up.
    Failed,
}

/// State of pull: one listing of an account, and how far it is. `schemas/avro/pull/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// [`LIVE`], or the id of the backfill.
    pub name: String,
    /// The account, `ACC...`.
    pub account_id: String,
    /// Whose calls a backfill is for; none = all of the account.
    pub tenant: Option<TenantId>,
    /// The last round that was asked for; a backfill has none.
    pub round: i64,
    /// What is being listed.
    pub listing: Listing,
    /// The first start that is listed.
    pub from: Millis,
    /// The last start that is listed.
    pub to: Millis,
    /// Where the next page begins; none = with the first.
    pub page: Option<String>,
    /// Where it is.
    pub status: PullStatus,
    /// Whatever has started before this is in the log.
    pub done_until: Millis,
    /// When the oldest of the listed calls started that still goes on.
    pub open_since: Option<Millis>,
    /// Rows that were listed.
    pub listed: i64,
    /// Rows that are in the log.
    pub appended: i64,
    /// How many rows there are, where CallRail says so.
    pub total: Option<i64>,
    /// Whether what a backfill brings is sent to CRMs.
    pub deliver: bool,
    /// Why it waits or has failed.
    pub trouble: Option<String>,
}

avro_record!(Pull, "pull", ["v1"]);

/// What a `pull` job asks: one page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullJob {
    /// The account.
    pub account_id: String,
    /// Whose calls alone, for a backfill.
    pub tenant: Option<String>,
    /// What is listed.
    pub listing: Listing,
    /// The first start.
    pub from: Millis,
    /// The last start.
    pub to: Millis,
    /// Where the page begins.
    pub page: Option<String>,
    /// Whether it is for a backfill: it may only take what live work leaves.
    pub backfill: bool,
    /// Whether what it brings is sent to CRMs.
    pub deliver: bool,
}

/// What a `pull` job answers, when all of the page's rows are in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// Rows of the page.
    pub listed: i64,
    /// Rows of them that are in the log: those of tenants that we have, and of calls that are over.
    pub appended: i64,
    /// When the oldest call of the page started that still goes on.
    pub open_since: Option<Millis>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// How many rows all pages have, where CallRail says so.
    pub total: Option<i64>,
}

/// Where an account's listings live: one place, however many tenants share the account.
pub fn account_key(account_id: &str) -> Key {
    let plain = TenantId::new(&format!("{ACCOUNT_PREFIX}{}", account_id.to_ascii_lowercase()));
    let tenant = plain.unwrap_or_else(|_| {
        // CallRail's ids are short and plain; whatever else it is has a place too.
        let hash = EventId::of(&[b"account", account_id.as_bytes()]).0.simple().to_string();
        TenantId::new(&format!("{ACCOUNT_PREFIX}{hash}"))
            .unwrap_or_else(|_| unreachable!("32 hexadecimal digits"))
    });
    Key::new(tenant, account_id, 1)
}

/// Under which id a listing's progress is shown, as a request of the account's.
pub fn request_id(account_id: &str, name: &str) -> EventId {
    EventId::of(&[b"pull", account_id.as_bytes(), name.as_bytes()])
}

/// What a listed row's `content_type` says beside the media type, so that decode knows it for a backfill's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOf {
    /// The listing that goes on.
    Live,
    /// A backfill; `deliver` sends it to CRMs.
    Backfill {
        /// Whether it is sent.
        deliver: bool,
    },
}

impl RowOf {
    const ALL: [(Self, &str); 3] = [
        (Self::Live, "application/json"),
        (Self::Backfill { deliver: false }, "application/json; pull=backfill"),
        (Self::Backfill { deliver: true }, "application/json; pull=backfill+deliver"),
    ];

    /// As it stands in the envelope.
    pub fn content_type(self) -> &'static str {
        Self::ALL.into_iter().find(|(row_of, _)| *row_of == self).map_or("application/json", |(_, text)| text)
    }

    /// Read from the envelope.
    pub fn of_content_type(content_type: &str) -> Self {
        Self::ALL.into_iter().find(|(_, text)| *text == content_type).map_or(Self::Live, |(row_of, _)| row_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_one_place_whatever_its_id_looks_like() {
        let key = account_key("ACC019FB93FCE197a38a2788269bcf71b70");
        assert_eq!(key.tenant.as_str(), "callrail--acc019fb93fce197a38a2788269bcf71b70");
        assert_ne!(account_key("ACC1"), account_key("ACC2"));
        for odd in ["", "a b/c", &"x".repeat(200), "日本"] {
            assert!(account_key(odd).tenant.as_str().starts_with(ACCOUNT_PREFIX), "{odd:?}");
            assert_eq!(account_key(odd), account_key(odd));
        }
    }

    #[test]
    fn a_row_knows_whose_it_is() {
        for (row_of, _) in RowOf::ALL {
            assert_eq!(RowOf::of_content_type(row_of.content_type()), row_of);
        }
        assert_eq!(RowOf::of_content_type("text/plain"), RowOf::Live);
    }
}
