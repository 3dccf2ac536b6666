//! Accounts, companies and trackers: what onboarding looks at.

use super::CallRailClient;
use super::access::Access;
use super::client::segment;
use super::error::CallRailError;
use super::row::Row;

/// An account that the key's user belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// `ACC...`.
    pub id: String,
    /// For people.
    pub name: String,
    /// Its recordings are behind links that expire within a day and are never stored.
    pub is_hipaa: bool,
}

/// A company of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCompany {
    /// `COM...`.
    pub id: String,
    /// For people.
    pub name: String,
    /// Whether it takes calls: `status` is `active`.
    pub is_active: bool,
    /// IANA name.
    pub time_zone: Option<String>,
}

/// A tracking number, or several that share a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracker {
    /// `TRK...`.
    pub id: String,
    /// For people.
    pub name: String,
    /// The company that it belongs to.
    pub company_id: Option<String>,
    /// Whether it takes calls.
    pub is_active: bool,
    /// The numbers that customers dial.
    pub numbers: Vec<String>,
}

impl CallRailClient {
    /// The accounts that a key may see. One request a page.
    pub async fn accounts(&self, access: &Access) -> Result<Vec<Account>, CallRailError> {
        let read = |row: &Row<'_>| {
            let id = row.text("id")?;
            let is_hipaa = row.flag("hipaa_account").unwrap_or(false);
            Some(Account { name: row.text("name").unwrap_or_else(|| id.clone()), id, is_hipaa })
        };
        self.all(access, ("/a.json", "accounts"), &[], read).await
    }

    /// The companies of the account. One request a page.
    pub async fn companies(&self, access: &Access) -> Result<Vec<ListedCompany>, CallRailError> {
        let path = format!("/a/{}/companies.json", segment("an account", &access.account_id)?);
        let read = |row: &Row<'_>| {
            let id = row.text("id")?;
            Some(ListedCompany {
                name: row.text("name").unwrap_or_else(|| id.clone()),
                id,
                is_active: row.text("status").is_none_or(|status| status == "active"),
                time_zone: row.text("time_zone"),
            })
        };
        self.all(access, (&path, "companies"), &[], read).await
    }

    /// The trackers of a company. One request a page.
    pub async fn trackers(&self, access: &Access, company_id: &str) -> Result<Vec<Tracker>, CallRailError> {
        let path = format!("/a/{}/trackers.json", segment("an account", &access.account_id)?);
        let filters = [("company_id", segment("a company", company_id)?.to_owned())];
        let read = |row: &Row<'_>| {
            let id = row.text("id")?;
            let company = row.object("company").and_then(|company| company.text("id"));
            Some(Tracker {
                name: row.text("name").unwrap_or_else(|| id.clone()),
                id,
                company_id: company.or_else(|| row.text("company_id")),
                is_active: row.text("status").is_none_or(|status| status == "active"),
                numbers: row.texts("tracking_numbers"),
            })
        };
        self.all(access, (&path, "trackers"), &filters, read).await
    }
}
