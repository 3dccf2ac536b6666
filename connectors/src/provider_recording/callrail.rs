//! Recordings from CallRail.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::header;
use leadline_schemas::settings::Tenant;
use reqwest::Response;

use super::{Media, RecordingSource, Wanted, reject};
use crate::callrail::{Access, CallRailClient, CallRailError, Priority, SettingsNow};
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::http_client::not_sent;

/// Follows links of CallRail's, and asks its API for one where a payload has none or it no longer works.
pub struct CallRailRecordings {
    client: CallRailClient,
    secrets: Arc<dyn Secrets>,
    settings: SettingsNow,
}

impl CallRailRecordings {
    /// By this client, in the name of the tenants of these settings.
    pub fn new(client: CallRailClient, secrets: Arc<dyn Secrets>, settings: SettingsNow) -> Self {
        Self { client, secrets, settings }
    }

    async fn find(&self, wanted: Wanted, deadline: Duration) -> Result<Option<Media>, CallError> {
        let settings = (self.settings)();
        let tenant =
            settings.tenant(&wanted.tenant).ok_or_else(|| reject("the tenant was removed".to_owned()))?;
        let priority = if wanted.background { Priority::Background } else { Priority::Live };
        let (access, is_connected) = self.access(tenant, priority, deadline)?;
        let opened = match wanted.is_medium {
            true => self.client.open_medium(&access, &wanted.call_id, &wanted.url).await,
            false => self.client.open_recording(&access, &wanted.call_id, &wanted.url).await,
        };
        match opened {
            Ok(response) => Ok(Some(media(response))),
            Err(CallRailError::NotFound { .. }) => Ok(None),
            // What does not pass by itself would be asked of the API next, and nobody may ask it here.
            Err(error) if !is_connected && !wanted.is_medium && !error.may_pass() => Err(reject(format!(
                "the recording's link does not work ({error}), and without an account at CallRail there is no other: \
                 `leadline tenant connect-callrail` gives the tenant one"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// In whose name CallRail is asked; a tenant without an account has its signed links alone.
    fn access(
        &self,
        tenant: &Tenant,
        priority: Priority,
        deadline: Duration,
    ) -> Result<(Access, bool), CallError> {
        let known = Access::of(tenant, &*self.secrets, priority)?;
        let is_connected = known.is_some();
        let mut access = known.unwrap_or_else(|| Access::new("", "", priority));
        // It bounds the whole of a recording, not one answer of the API.
        access.timeout = deadline;
        Ok((access, is_connected))
    }
}

impl RecordingSource for CallRailRecordings {
    fn open(&self, wanted: Wanted, deadline: Duration) -> BoxFuture<'_, Result<Option<Media>, CallError>> {
        Box::pin(self.find(wanted, deadline))
    }
}

fn media(response: Response) -> Media {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bytes = response.content_length();
    let stream = response.bytes_stream().map(|piece| piece.map_err(|error| not_sent(&error)));
    Media { content_type, bytes, stream: stream.boxed() }
}
