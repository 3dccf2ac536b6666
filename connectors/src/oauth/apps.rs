//! Applications: under which name leadline is known to each vendor, and where its tokens come from.

use std::collections::HashMap;

/// Kinds that can be connected.
pub const KINDS: [&str; 4] = ["hubspot", "salesforce", "pipedrive", "slack"];

/// leadline's application at a vendor.
#[derive(Clone, PartialEq, Eq)]
pub struct App {
    /// The integration kind.
    pub kind: &'static str,
    /// Its public name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Where a person allows it.
    pub authorize_url: String,
    /// Where tokens come from.
    pub token_url: String,
}

/// All of them, by kind.
#[derive(Clone, Debug, Default)]
pub struct Apps(HashMap<&'static str, App>);

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "App({} {} at {})", self.kind, self.client_id, self.token_url)
    }
}

impl App {
    /// The application of a kind, at the vendor's own addresses; none for a kind that is not connected this way.
    pub fn new(kind: &str, client_id: &str, client_secret: &str) -> Option<Self> {
        let (kind, authorize_url, token_url) = match kind {
            "hubspot" => (
                "hubspot",
                "https://app.hubspot.com/oauth/authorize",
                "https://api.hubapi.com/oauth/v3/token",
            ),
            "salesforce" => (
                "salesforce",
                "https://login.salesforce.com/services/oauth2/authorize",
                "https://login.salesforce.com/services/oauth2/token",
            ),
            "pipedrive" => (
                "pipedrive",
                "https://oauth.pipedrive.com/oauth/authorize",
                "https://oauth.pipedrive.com/oauth/token",
            ),
            "slack" => {
                ("slack", "https://slack.com/oauth/v2/authorize", "https://slack.com/api/oauth.v2.access")
            }
            _ => return None,
        };
        Some(Self {
            kind,
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            authorize_url: authorize_url.to_owned(),
            token_url: token_url.to_owned(),
        })
    }

    /// What is asked for. Pipedrive's scopes belong to the application.
    pub(super) fn scopes(&self) -> &'static str {
        match self.kind {
            "hubspot" => {
                "oauth crm.objects.contacts.read crm.objects.contacts.write crm.schemas.contacts.read crm.schemas.contacts.write"
            }
            "salesforce" => "api refresh_token",
            "slack" => "chat:write",
            _ => "",
        }
    }

    /// Whether the vendor knows PKCE for applications with a secret.
    pub(super) fn has_pkce(&self) -> bool {
        self.kind == "salesforce"
    }

    /// Whether the secret goes into the Authorization header.
    pub(super) fn is_basic(&self) -> bool {
        self.kind == "pipedrive"
    }
}

impl Apps {
    /// Of these.
    pub fn new(apps: impl IntoIterator<Item = App>) -> Self {
        Self(apps.into_iter().map(|app| (app.kind, app)).collect())
    }

    /// The application of a kind; what is to be done where there is none.
    pub fn of(&self, kind: &str) -> Result<&App, String> {
        self.0.get(kind).ok_or_else(|| match KINDS.contains(&kind) {
            true => format!(
                "this leadline has no application at {kind}: set oauth.{kind}.client_id and oauth.{kind}.client_secret_file"
            ),
            false => format!("{kind:?} is not connected by OAuth: {} are", KINDS.join(", ")),
        })
    }
}
