//! What Slack's answers mean (vendor facts, section 6): the Web API says 200 whatever happened and tells in `ok` and
//! `error`; an incoming webhook says `ok` or a word, as plain text, under a status.

use std::time::Duration;

use serde::Deserialize;

use crate::contract::provider::CallError;
use crate::contract::wire::WireAnswer;
use crate::http_client::{judged, one_line, retry_after};

/// What an answer means.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    /// It is there: the channel's id and the message's time, where it tells.
    There(Option<String>),
    /// As any failure.
    Failed(CallError),
    /// The channel wants a pause.
    Slower(Option<Duration>, String),
    /// The message that was to be changed is not there, or can be changed no more.
    Gone,
    /// The token has ended or was withdrawn.
    BadToken(String),
    /// Nothing will ever arrive until a person has changed something.
    Dead(String),
}

#[derive(Deserialize)]
struct Told {
    ok: bool,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    ts: Option<String>,
}

/// The longest id of a message that is kept.
const ID_BYTES_MAX: usize = 100;

/// What the Web API says. `is_new` of a message that would be there twice if it were posted again.
pub(super) fn of_api(answer: &WireAnswer, is_new: bool) -> Meaning {
    if let Some(meaning) = of_status(answer, is_new) {
        return meaning;
    }
    // An answer that cannot be read came with a 200: the message is there, only nobody knows where.
    let Ok(told) = serde_json::from_slice::<Told>(&answer.body) else { return Meaning::There(None) };
    if told.ok {
        let id = told.channel.zip(told.ts).map(|(channel, ts)| format!("{channel}:{ts}"));
        return Meaning::There(id.filter(|id| id.len() <= ID_BYTES_MAX));
    }
    let error = told.error.map(|error| one_line(error.as_bytes())).unwrap_or_default();
    match error.as_str() {
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => {
            Meaning::Slower(retry_after(&answer.headers), format!("Slack says {error}"))
        }
        "message_not_found" | "cant_update_message" | "edit_window_closed" => Meaning::Gone,
        "invalid_auth" | "token_expired" | "not_authed" => Meaning::BadToken(said(&error)),
        "request_timeout" | "service_unavailable" | "accesslimited" | "team_added_to_org" => {
            Meaning::Failed(CallError::Retry { after: None, why: said(&error) })
        }
        "fatal_error" | "internal_error" => Meaning::Failed(in_doubt(is_new, said(&error))),
        "token_revoked"
        | "account_inactive"
        | "missing_scope"
        | "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "channel_is_archived"
        | "no_permission"
        | "org_login_required"
        | "ekm_access_denied"
        | "team_access_not_granted"
        | "restricted_action"
        | "restricted_action_read_only_channel"
        | "not_allowed_token_type"
        | "enterprise_is_restricted"
        | "access_denied" => Meaning::Dead(said(&error)),
        _ => Meaning::Failed(CallError::Reject { why: said(&error) }),
    }
}

/// What an incoming webhook says.
pub(super) fn of_hook(answer: &WireAnswer) -> Meaning {
    if [403, 404, 410].contains(&answer.status) {
        let error = one_line(&answer.body);
        return Meaning::Dead(format!("{} ({})", said(&error), answer.status));
    }
    if let Some(meaning) = of_status(answer, true) {
        return meaning;
    }
    Meaning::There(None)
}

/// What a status other than 2xx means, whatever the body says.
fn of_status(answer: &WireAnswer, is_new: bool) -> Option<Meaning> {
    let error = judged(answer.clone()).err()?;
    Some(match (answer.status, error) {
        (429, _) => {
            Meaning::Slower(retry_after(&answer.headers), "Slack wants fewer messages (429)".to_owned())
        }
        // Slack names `rollup_error` and says that it is not kept; a 503 is answered before anything is done.
        (500, CallError::Retry { after, why }) if answer.body.starts_with(b"rollup_error") => {
            Meaning::Failed(CallError::Retry { after, why })
        }
        (500..=502 | 504.., CallError::Retry { why, .. }) => Meaning::Failed(in_doubt(is_new, why)),
        (_, CallError::Reject { why }) => {
            let words =
                explained(&one_line(&answer.body)).map(|words| format!(": {words}")).unwrap_or_default();
            Meaning::Failed(CallError::Reject { why: format!("{why}{words}") })
        }
        (_, error) => Meaning::Failed(error),
    })
}

fn in_doubt(is_new: bool, why: String) -> CallError {
    if is_new { CallError::Unclear { why } } else { CallError::Retry { after: None, why } }
}

/// What Slack's word says, and what a person can do about it.
fn said(error: &str) -> String {
    match explained(error) {
        Some(words) => format!("Slack says {error}: {words}"),
        None if error.is_empty() => "Slack refused it and does not say why".to_owned(),
        None => format!("Slack says {error}"),
    }
}

fn explained(error: &str) -> Option<&'static str> {
    Some(match error {
        "channel_not_found" => {
            "there is no such channel, or the app cannot see it; check the channel's id, or invite the app"
        }
        "not_in_channel" => "invite the app to the channel (/invite @its-name)",
        "is_archived" | "channel_is_archived" => "the channel is archived; choose another",
        "invalid_auth" | "not_authed" => "the token is not valid; connect Slack again",
        "token_expired" => "the token has ended; connect Slack again",
        "token_revoked" => "the token was withdrawn; connect Slack again",
        "account_inactive" => "the token's user or workspace was removed; connect Slack again",
        "missing_scope" => "the app may not write there; give it chat:write and connect Slack again",
        "no_permission" | "access_denied" | "restricted_action" | "action_prohibited" => {
            "an administrator of the workspace does not allow it"
        }
        "invalid_token" => "the webhook's address is not valid any more; make a new one",
        "no_service" | "no_active_hooks" => "the webhook was removed or switched off; make a new one",
        "no_team" | "team_disabled" => "the workspace is gone or switched off",
        "posting_to_general_channel_denied" => {
            "the workspace lets nobody post to #general; choose another channel"
        }
        "msg_too_long" | "msg_blocks_too_long" => "the message is too long",
        "no_text" | "missing_text_or_fallback_or_attachments" => "the message says nothing",
        "invalid_blocks" | "invalid_payload" | "invalid_blocks_format" => {
            "Slack does not understand the message"
        }
        "too_many_attachments" => "the message has too many parts",
        "user_not_found" => "the person who made the webhook is gone; make a new one",
        _ => return None,
    })
}
