//! leadline's applications at vendors: how people connect their accounts.

use std::path::PathBuf;

use anyhow::Context as _;
use leadline_connectors::oauth::{App, Apps};

use super::keys::Key;
use super::values::{address, name};

/// One application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OauthApp {
    /// Its public name; without one accounts of this vendor are not connected here.
    pub client_id: Option<String>,
    /// Where its secret is.
    pub client_secret_file: Option<PathBuf>,
    /// Where a person allows it, if not at the vendor's own address.
    pub authorize_url: Option<String>,
    /// Where its tokens come from, if not from the vendor's own address.
    pub token_url: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OauthApps {
    /// HubSpot.
    pub hubspot: OauthApp,
    /// Salesforce.
    pub salesforce: OauthApp,
    /// Pipedrive.
    pub pipedrive: OauthApp,
    /// Slack.
    pub slack: OauthApp,
}

impl OauthApps {
    fn all(&self) -> [(&'static str, &'static str, &OauthApp); 4] {
        [
            ("hubspot", "oauth.hubspot.client_id", &self.hubspot),
            ("salesforce", "oauth.salesforce.client_id", &self.salesforce),
            ("pipedrive", "oauth.pipedrive.client_id", &self.pipedrive),
            ("slack", "oauth.slack.client_id", &self.slack),
        ]
    }

    /// What is wrong with keys that are right one by one.
    pub(super) fn wrong(&self) -> Vec<(&'static str, String)> {
        let one_sided = self
            .all()
            .into_iter()
            .filter(|(.., app)| app.client_id.is_some() != app.client_secret_file.is_some());
        one_sided
            .map(|(kind, key, _)| {
                (key, format!("and oauth.{kind}.client_secret_file go together: give both or none"))
            })
            .collect()
    }

    /// The applications that are configured, with their secrets.
    pub(crate) fn open(&self) -> anyhow::Result<Apps> {
        let mut apps = Vec::new();
        for (kind, _, one) in self.all() {
            let (Some(client_id), Some(file)) = (&one.client_id, &one.client_secret_file) else { continue };
            let secret = std::fs::read_to_string(file).with_context(|| {
                format!("oauth.{kind}.client_secret_file: {} cannot be read", file.display())
            })?;
            let Some(mut app) = App::new(kind, client_id, secret.trim()) else { continue };
            one.authorize_url.iter().for_each(|url| app.authorize_url.clone_from(url));
            one.token_url.iter().for_each(|url| app.token_url.clone_from(url));
            apps.push(app);
        }
        Ok(Apps::new(apps))
    }
}

/// Their keys.
pub(super) static KEYS: [Key; 16] = [
    Key::new("oauth.hubspot.client_id", None, |config, text| {
        config.oauth.hubspot.client_id = Some(name(text)?);
        Ok(())
    }),
    Key::new("oauth.hubspot.client_secret_file", None, |config, text| {
        config.oauth.hubspot.client_secret_file = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("oauth.hubspot.authorize_url", None, |config, text| {
        config.oauth.hubspot.authorize_url = Some(address(text)?);
        Ok(())
    }),
    Key::new("oauth.hubspot.token_url", None, |config, text| {
        config.oauth.hubspot.token_url = Some(address(text)?);
        Ok(())
    }),
    Key::new("oauth.salesforce.client_id", None, |config, text| {
        config.oauth.salesforce.client_id = Some(name(text)?);
        Ok(())
    }),
    Key::new("oauth.salesforce.client_secret_file", None, |config, text| {
        config.oauth.salesforce.client_secret_file = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("oauth.salesforce.authorize_url", None, |config, text| {
        config.oauth.salesforce.authorize_url = Some(address(text)?);
        Ok(())
    }),
    Key::new("oauth.salesforce.token_url", None, |config, text| {
        config.oauth.salesforce.token_url = Some(address(text)?);
        Ok(())
    }),
    Key::new("oauth.pipedrive.client_id", None, |config, text| {
        config.oauth.pipedrive.client_id = Some(name(text)?);
        Ok(())
    }),
    Key::new("oauth.pipedrive.client_secret_file", None, |config, text| {
        config.oauth.pipedrive.client_secret_file = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("oauth.pipedrive.authorize_url", None, |config, text| {
        config.oauth.pipedrive.authorize_url = Some(address(text)?);
        Ok(())
    }),
    Key::new("oauth.pipedrive.token_url", None, |config, text| {
        config.oauth.pipedrive.token_url = Some(address(text)?);
        Ok(())
    }),
    Key::new("oauth.slack.client_id", None, |config, text| {
        config.oauth.slack.client_id = Some(name(text)?);
        Ok(())
    }),
    Key::new("oauth.slack.client_secret_file", None, |config, text| {
        config.oauth.slack.client_secret_file = Some(name(text)?.into());
        Ok(())
    }),
    Key::new("oauth.slack.authorize_url", None, |config, text| {
        config.oauth.slack.authorize_url = Some(address(text)?);
        Ok(())
    }),
    Key::new("oauth.slack.token_url", None, |config, text| {
        config.oauth.slack.token_url = Some(address(text)?);
        Ok(())
    }),
];
