//! Integrations: where leads and alerts go, and which of them are told of what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Sealed;
use crate::Millis;

/// Where leads and alerts go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Integration {
    /// Its id, unique within the tenant.
    pub id: String,
    /// The sink that serves it: `http` in the core.
    pub kind: String,
    /// Where to send.
    pub url: String,
    /// The secret that requests are signed with.
    pub secret: Option<Sealed>,
    /// The lowest band it wants: `hot`, `warm`, `nurture`, `cold`.
    pub band_min: String,
    /// Whether it wants missed-call alerts.
    pub alerts: bool,
    /// Switched off: deliveries are skipped.
    pub disabled: bool,
    /// What its kind needs beyond an address: a channel, a pipeline, a sender. Each kind documents its own.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Fields of the other side to ours; empty = the kind's defaults.
    #[serde(default)]
    pub field_map: BTreeMap<String, String>,
    /// What a person has allowed by OAuth.
    #[serde(default)]
    pub grant: Option<Grant>,
    /// From which minute of the tenant's day it hears nothing.
    #[serde(default)]
    pub quiet_from_min: Option<i32>,
    /// The first minute in which it hears again; before `quiet_from_min` = on the next day.
    #[serde(default)]
    pub quiet_to_min: Option<i32>,
    /// Why leadline has switched it off by itself.
    #[serde(default)]
    pub disabled_why: Option<String>,
}

/// What a person has allowed by OAuth. Tokens are sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The token in use.
    pub access_token: Option<Sealed>,
    /// What brings the next one.
    pub refresh_token: Option<Sealed>,
    /// When the token in use ends.
    pub expires_at: Millis,
    /// What was allowed.
    pub scopes: Vec<String>,
    /// Where the account's API is, where each account has its own.
    pub api_url: Option<String>,
    /// Counts the refreshes: of two that race the first wins.
    pub generation: i64,
}

/// Who is told of what. All that a rule names must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteRule {
    /// Its id, unique within the tenant.
    pub id: String,
    /// `lead`, `missed_call`, `notice`; empty = any.
    pub kinds: Vec<String>,
    /// `hot`, `warm`, `nurture`, `cold`; empty = any.
    pub bands: Vec<String>,
    /// Of the scoring vocabulary; empty = any.
    pub project_types: Vec<String>,
    /// Cities, or beginnings of postcodes; empty = any.
    pub territories: Vec<String>,
    /// Where the caller came from, as the tracking says; empty = any.
    pub sources: Vec<String>,
    /// `open` or `closed`: only then.
    pub hours: Option<String>,
    /// Integrations.
    pub to: Vec<String>,
    /// Nobody has reacted after this many seconds: `escalate_to` is told too.
    pub escalate_after_s: Option<i32>,
    /// Integrations.
    pub escalate_to: Vec<String>,
}

impl Integration {
    /// One that is told of every lead and of no missed call.
    pub fn new(id: impl Into<String>, kind: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: kind.into(),
            url: url.into(),
            secret: None,
            band_min: "cold".to_owned(),
            alerts: false,
            disabled: false,
            options: BTreeMap::new(),
            field_map: BTreeMap::new(),
            grant: None,
            quiet_from_min: None,
            quiet_to_min: None,
            disabled_why: None,
        }
    }
}
