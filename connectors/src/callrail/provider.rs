//! Answers `get_call` jobs: whether a call that rang was answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::missed::{GetCallJob, GotCall};
use leadline_schemas::reply::PendingJob;
use leadline_schemas::settings::Settings;

use super::access::Access;
use super::budget::Priority;
use super::{CallRailClient, CallRailError};
use crate::contract::BoxFuture;
use crate::contract::provider::{CallError, Provider, ProviderAnswer};
use crate::contract::secrets::Secrets;

/// The settings as of now.
pub type SettingsNow = Arc<dyn Fn() -> Arc<Settings> + Send + Sync>;

/// Asks CallRail for one call: a [`GetCallJob`], answered by a [`GotCall`].
pub struct GetCall {
    client: CallRailClient,
    secrets: Arc<dyn Secrets>,
    settings: SettingsNow,
}

impl GetCall {
    /// By this client, in the name of the tenants of these settings.
    pub fn new(client: CallRailClient, secrets: Arc<dyn Secrets>, settings: SettingsNow) -> Self {
        Self { client, secrets, settings }
    }

    async fn ask(&self, job: &PendingJob, deadline: Duration) -> Result<ProviderAnswer, CallError> {
        let reject = |why: String| CallError::Reject { why };
        let asked: GetCallJob = serde_json::from_slice(&job.request.payload)
            .map_err(|error| reject(format!("the job cannot be read: {error}")))?;
        let settings = (self.settings)();
        let tenant =
            settings.tenant(&job.tenant).ok_or_else(|| reject("the tenant was removed".to_owned()))?;
        let access = Access::of(tenant, &*self.secrets, Priority::Live)?.ok_or_else(|| {
            reject(
                "the tenant has no account at CallRail: `leadline tenant connect-callrail` gives it one"
                    .to_owned(),
            )
        })?;
        let call = match self.client.call(&access.within(deadline), &asked.call_id).await {
            // It rings, and CallRail's own listing may not have it for some seconds.
            Err(CallRailError::NotFound { what }) => {
                return Err(CallError::Retry { after: None, why: format!("CallRail has no {what} yet") });
            }
            answer => answer?,
        };
        let event = call.event().ok_or_else(|| reject("CallRail's answer tells of no call".to_owned()))?;
        let got = GotCall {
            answered: event.answered,
            voicemail: event.voicemail.unwrap_or(false),
            call_type: event.call_type,
        };
        let body = serde_json::to_vec(&got).map_err(|error| reject(error.to_string()))?;
        Ok(ProviderAnswer { body: Bytes::from(body), cost_micros: 0 })
    }
}

impl Provider for GetCall {
    fn name(&self) -> &str {
        "callrail"
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move { self.ask(&job, deadline).await })
    }
}
