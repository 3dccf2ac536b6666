//! Sink for Slack: a card in a channel, changed as the lead grows; an alert of its own for each missed call.
//!
//! An integration with option `channel` posts by `chat.postMessage` and changes by `chat.update`, with a bot's token: its
//! sealed secret, or a grant. Without a channel its secret is the address of an incoming webhook, which can only post.
//! Option `link` is an address with `{subject}` in it for the card's button.
//!
//! Slack has no key by which it would know a message again: what may have arrived is unclear, and not sent again unless the
//! integration's option `unclear` is `again`. Changes of a message may come twice and are the same then.

mod card;
mod meaning;
mod pace;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::settings::Integration;
use serde_json::json;
use tokio::time::Instant;

use self::card::Message;
use self::meaning::Meaning;
use self::pace::{Channels, INTERVAL, Turn, Waiting};
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::switch::Switch;
use crate::contract::tokens::{AccessToken, Tokens};
use crate::contract::wire::{MASK, Trace, WireAnswer, WireRequest};
use crate::http_client::Client;
use crate::sink_http::integration_secret_context;

/// Where Slack's Web API is, unless the integration's address says otherwise.
const API: &str = "https://slack.com/api";

type CameOfIt = Result<SinkAnswer, CallError>;

/// Posts to channels.
pub struct SlackSink {
    client: Client,
    secrets: Arc<dyn Secrets>,
    tokens: Option<Arc<dyn Tokens>>,
    switch: Arc<dyn Switch>,
    channels: Channels<Work, CameOfIt>,
}

/// What waits for its turn.
#[derive(Clone)]
struct Work {
    message: Message,
    trace: Trace,
}

/// How an integration is reached.
enum Way {
    /// The Web API: base, channel, token.
    Api(String, String, AccessToken),
    /// An incoming webhook's address.
    Hook(String),
}

impl SlackSink {
    /// A sink that reads tokens from secrets, and from grants where `tokens` are there.
    pub fn new(
        client: Client,
        secrets: Arc<dyn Secrets>,
        tokens: Option<Arc<dyn Tokens>>,
        switch: Arc<dyn Switch>,
    ) -> Self {
        Self { client, secrets, tokens, switch, channels: Channels::new(INTERVAL) }
    }

    /// As it is, but with another time between two messages to a channel.
    #[cfg(any(test, feature = "simulation"))]
    #[must_use]
    pub fn paced(self, interval: Duration) -> Self {
        Self { channels: Channels::new(interval), ..self }
    }

    async fn way(&self, request: &SinkRequest) -> Result<Way, CallError> {
        let integration = &request.integration;
        let secret = self.secret(request)?;
        let Some(channel) = integration.options.get("channel").cloned() else {
            let url = secret.unwrap_or_else(|| integration.url.clone());
            return Ok(Way::Hook(url));
        };
        let token = match (secret, &self.tokens, &integration.grant) {
            (Some(bearer), ..) => AccessToken { bearer, api_url: None },
            (None, Some(tokens), Some(_)) => tokens.access(&request.key.tenant, integration).await?,
            (None, ..) => {
                let why =
                    "there is no token: `leadline integration add --kind slack --secret TOKEN` gives it";
                return Err(CallError::Reject { why: why.to_owned() });
            }
        };
        let base = token.api_url.clone().unwrap_or_else(|| base_of(integration));
        Ok(Way::Api(base, channel, token))
    }

    fn secret(&self, request: &SinkRequest) -> Result<Option<String>, CallError> {
        let Some(sealed) = &request.integration.secret else { return Ok(None) };
        let context = integration_secret_context(&request.key.tenant, &request.integration.id);
        let plain = String::from_utf8(self.secrets.open(&context, sealed)?);
        let not_text = |_| CallError::Reject { why: "the integration's secret is not text".to_owned() };
        plain.map(Some).map_err(not_text)
    }

    async fn send(&self, request: SinkRequest, deadline: Duration) -> CameOfIt {
        let until = Instant::now() + deadline;
        let message = message_of(&request)?;
        let way = self.way(&request).await?;
        let channel = line_of(&request, &way);
        let known = request.remote_id.as_deref().filter(|_| matches!(way, Way::Api(..)));
        let work = Work { message, trace: request.trace.clone() };
        let turn = self.channels.turn(&channel, work.clone(), known.is_none());
        let turn = tokio::time::timeout_at(until, turn).await.map_err(|_| CallError::Retry {
            after: None,
            why: "the channel had no time for it".to_owned(),
        })?;
        let with = match turn {
            Turn::Send(with) => with,
            Turn::Sent(came_of_it) => return came_of_it,
            Turn::Lost => {
                let why = "it was in one message with others, and nobody knows what came of that";
                return Err(CallError::Unclear { why: why.to_owned() });
            }
        };
        let place = Place { request: &request, way: &way, channel: &channel, until };
        if let Some(known) = known.filter(|_| with.is_empty()) {
            return match self.change(&place, &work, known).await? {
                Some(answer) => Ok(answer),
                // Somebody has deleted it: the lead gets a message anew.
                None => self.post(&place, &work.message, &[&work.trace]).await,
            };
        }
        let all = with.iter().map(|waiting| waiting.what.clone());
        let all: Vec<Work> = [work].into_iter().chain(all).collect();
        let traces: Vec<&Trace> = all.iter().map(|work| &work.trace).collect();
        let messages: Vec<Message> = all.iter().map(|work| work.message.clone()).collect();
        match messages.as_slice() {
            [one] => self.post(&place, one, &traces).await,
            many => self.post_merged(&place, &card::merged(many), &traces, with).await,
        }
    }

    /// One message for many: it is nobody's own, so the next change of a lead is a message of the lead's.
    async fn post_merged(
        &self,
        place: &Place<'_>,
        message: &Message,
        traces: &[&Trace],
        with: Vec<Waiting<Work, CameOfIt>>,
    ) -> CameOfIt {
        let came_of_it = self.post(place, message, traces).await.map(|_| SinkAnswer { remote_id: None });
        with.into_iter().for_each(|waiting| waiting.sent(came_of_it.clone()));
        came_of_it
    }

    async fn post(&self, place: &Place<'_>, message: &Message, traces: &[&Trace]) -> CameOfIt {
        let wire = post_wire(place.way, message);
        let answer = self.exchange(&wire, place.until, traces, true).await?;
        let meaning = match place.way {
            Way::Api(..) => meaning::of_api(&answer, true),
            Way::Hook(_) => meaning::of_hook(&answer),
        };
        match meaning {
            Meaning::There(remote_id) => Ok(SinkAnswer { remote_id }),
            Meaning::Gone => Err(CallError::Reject { why: "Slack does not find the message".to_owned() }),
            other => Err(self.failed(place, other).await),
        }
    }

    /// Changes a message; none when it is not there any more.
    async fn change(
        &self,
        place: &Place<'_>,
        work: &Work,
        known: &str,
    ) -> Result<Option<SinkAnswer>, CallError> {
        let Way::Api(base, _, token) = place.way else { return Ok(None) };
        let Some(wire) = change_wire(base, token, &work.message, known) else { return Ok(None) };
        let answer = self.exchange(&wire, place.until, &[&work.trace], false).await?;
        match meaning::of_api(&answer, false) {
            Meaning::There(_) => Ok(Some(SinkAnswer { remote_id: Some(known.to_owned()) })),
            Meaning::Gone => Ok(None),
            other => Err(self.failed(place, other).await),
        }
    }

    async fn exchange(
        &self,
        wire: &WireRequest,
        until: Instant,
        traces: &[&Trace],
        is_new: bool,
    ) -> Result<WireAnswer, CallError> {
        let left = until.saturating_duration_since(Instant::now());
        let own = Trace::default();
        let answered = match is_new {
            true => self.client.exchange_once(wire, left, &own).await,
            false => self.client.exchange(wire, left, &own).await,
        };
        for trace in traces {
            trace.note(wire, answered.as_ref().map_err(|error| error as _));
        }
        answered
    }

    async fn failed(&self, place: &Place<'_>, meaning: Meaning) -> CallError {
        let (tenant, integration) = (&place.request.key.tenant, &place.request.integration);
        match meaning {
            Meaning::Failed(error) => error,
            Meaning::Slower(after, why) => {
                self.channels.pause(place.channel, after.unwrap_or(INTERVAL));
                CallError::Retry { after, why }
            }
            Meaning::BadToken(why) => match (place.way, &self.tokens, &integration.grant) {
                (Way::Api(_, _, token), Some(tokens), Some(_)) if integration.secret.is_none() => {
                    tokens.refused(tenant, integration, token);
                    CallError::Retry { after: None, why }
                }
                _ => {
                    self.switch.off(tenant, &integration.id, &why).await;
                    CallError::Reject { why }
                }
            },
            Meaning::Dead(why) => {
                self.switch.off(tenant, &integration.id, &why).await;
                CallError::Reject { why }
            }
            Meaning::There(_) | Meaning::Gone => {
                CallError::Reject { why: "Slack's answer has no meaning here".to_owned() }
            }
        }
    }
}

/// Where a message goes, and until when.
struct Place<'a> {
    request: &'a SinkRequest,
    way: &'a Way,
    channel: &'a str,
    until: Instant,
}

fn base_of(integration: &Integration) -> String {
    let url = integration.url.trim_end_matches('/');
    if url.is_empty() { API.to_owned() } else { url.to_owned() }
}

/// What a channel's line is known by: ids are the same for everybody, names a workspace's own.
fn line_of(request: &SinkRequest, way: &Way) -> String {
    match way {
        Way::Api(_, channel, _) if channel.starts_with(['C', 'G', 'D']) => channel.clone(),
        Way::Api(_, channel, _) => format!("{}/{channel}", request.key.tenant),
        Way::Hook(url) => url.clone(),
    }
}

fn message_of(request: &SinkRequest) -> Result<Message, CallError> {
    let link = request.integration.options.get("link").map(String::as_str);
    card::card(&request.payload, &request.key.subject, link)
        .map_err(|error| CallError::Reject { why: format!("the delivery cannot be read: {error}") })
}

fn post_wire(way: &Way, message: &Message) -> WireRequest {
    match way {
        Way::Api(base, channel, token) => {
            let mut body = json!({
                "channel": channel, "text": message.text, "blocks": message.blocks, "unfurl_links": false,
            });
            if let Some(fields) = body.as_object_mut().filter(|_| !message.subject.is_empty()) {
                let metadata =
                    json!({"event_type": "lead_alert", "event_payload": {"subject": message.subject}});
                fields.insert("metadata".to_owned(), metadata);
            }
            api_wire(base, "chat.postMessage", token, &body)
        }
        Way::Hook(url) => {
            let body = json!({"text": message.text, "blocks": message.blocks});
            WireRequest::json(url, &body).secret(url)
        }
    }
}

fn change_wire(base: &str, token: &AccessToken, message: &Message, known: &str) -> Option<WireRequest> {
    let (channel, ts) = known.split_once(':')?;
    let body = json!({"channel": channel, "ts": ts, "text": message.text, "blocks": message.blocks});
    Some(api_wire(base, "chat.update", token, &body))
}

fn api_wire(base: &str, method: &str, token: &AccessToken, body: &serde_json::Value) -> WireRequest {
    let mut wire = WireRequest::json(format!("{base}/{method}"), body);
    wire.headers.clear();
    wire.header("content-type", "application/json; charset=utf-8").bearer(&token.bearer).secret(&token.bearer)
}

impl Sink for SlackSink {
    fn kind(&self) -> &str {
        "slack"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn deliver(&self, request: SinkRequest, deadline: Duration) -> BoxFuture<'_, CameOfIt> {
        Box::pin(self.send(request, deadline))
    }

    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        let message = message_of(request)?;
        let integration = &request.integration;
        let way = match integration.options.get("channel") {
            Some(channel) => {
                let token = AccessToken { bearer: MASK.to_owned(), api_url: None };
                Way::Api(base_of(integration), channel.clone(), token)
            }
            None => Way::Hook(self.secret(request)?.unwrap_or_else(|| integration.url.clone())),
        };
        let changed = request.remote_id.as_deref().and_then(|known| match &way {
            Way::Api(base, _, token) => change_wire(base, token, &message, known),
            Way::Hook(_) => None,
        });
        Ok(vec![changed.unwrap_or_else(|| post_wire(&way, &message))])
    }
}
