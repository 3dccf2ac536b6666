//! A recording: from what a payload says of it to the bytes, one judged hop at a time.

use http::{StatusCode, header};
use reqwest::{Response, Url};

use super::CallRailClient;
use super::access::Access;
use super::client::{Ask, segment};
use super::error::CallRailError;
use super::guard::GuardError;
use super::pages::odd;
use super::row::Row;
use crate::http_client::not_sent;

/// Redirects that are followed: CallRail's own is one, to its storage.
const HOPS_MAX: usize = 5;

impl CallRailClient {
    /// A fresh link to a call's recording; it may expire, so it is used at once and never kept. One request.
    pub async fn recording_link(&self, access: &Access, call_id: &str) -> Result<Url, CallRailError> {
        let account = segment("an account", &access.account_id)?;
        let path = format!("/a/{account}/calls/{}/recording.json", segment("a call", call_id)?);
        let what = || format!("recording of call {call_id}");
        let body = self.ask(access, Ask::get(path, &[], what())).await?;
        let text = String::from_utf8_lossy(&body);
        let answer = Row::parse(&text).ok_or_else(|| odd("it is no JSON object"))?;
        // A call that was not recorded has no link, or none yet.
        let link = answer.text("url").ok_or_else(|| CallRailError::NotFound { what: what() })?;
        let base = self.shared.guard.base();
        // Accounts under HIPAA get the storage's own address.
        self.shared.guard.hop(base, &link).map_err(|error| forbidden(&error))
    }

    /// The recording of a call, its body still unread: `address` is what the payload says (a signed link of CallRail's, or
    /// an address of its API). A link that no longer works is asked for anew, once. `access.timeout` bounds the whole of
    /// it, with the body; nothing of it is on disk or in memory when this returns.
    pub async fn open_recording(
        &self,
        access: &Access,
        call_id: &str,
        address: &str,
    ) -> Result<Response, CallRailError> {
        let start = self.shared.guard.start(address).map_err(|error| forbidden(&error))?;
        if self.shared.guard.is_api(&start) {
            let link = self.recording_link(access, call_id).await?;
            return self.follow(access, link, call_id).await;
        }
        match self.follow(access, start, call_id).await {
            Err(
                CallRailError::Denied { .. } | CallRailError::NotFound { .. } | CallRailError::Refused { .. },
            ) => {
                let link = self.recording_link(access, call_id).await?;
                self.follow(access, link, call_id).await
            }
            answer => answer,
        }
    }

    /// What was sent with a text, its body still unread. Its link is short-lived and there is no other; it may be the
    /// storage's own.
    pub async fn open_medium(
        &self,
        access: &Access,
        text_id: &str,
        address: &str,
    ) -> Result<Response, CallRailError> {
        let start = self.shared.guard.medium(address).map_err(|error| forbidden(&error))?;
        self.follow(access, start, text_id).await
    }

    /// Follows redirects by hand. The key is shown to nobody on the way: links carry their own signature.
    async fn follow(&self, access: &Access, mut url: Url, call_id: &str) -> Result<Response, CallRailError> {
        for _ in 0..=HOPS_MAX {
            let request = self.shared.http.get(url.clone()).timeout(access.timeout);
            let response = request
                .send()
                .await
                .map_err(|error| CallRailError::Unavailable { why: not_sent(&error).to_string() })?;
            let status = response.status();
            if status.is_success() && status != StatusCode::NO_CONTENT {
                return Ok(response);
            }
            if !status.is_redirection() {
                return Err(self
                    .failure(&access.account_id, response, &format!("recording of call {call_id}"))
                    .await);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| odd("it redirects to nowhere"))?;
            url = self.shared.guard.hop(&url, location).map_err(|error| forbidden(&error))?;
        }
        Err(odd(&format!("it redirects more than {HOPS_MAX} times")))
    }
}

fn forbidden(error: &GuardError) -> CallRailError {
    CallRailError::Odd { why: error.to_string() }
}
