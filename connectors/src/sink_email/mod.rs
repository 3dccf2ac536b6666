//! Sink for email: a lead or an alert as text and HTML, over SMTP.
//!
//! Options: `to` (addresses with commas between them), `from`, `user`, `link` (an address with `{subject}` in it), `unclear`,
//! `digest` (leads are gathered before they come here, see `deliveries/digest.rs` of the operators). The address of the server is the integration's, else
//! the operator's: `smtps://HOST:465` is TLS from the first byte, `smtp://HOST:587` becomes TLS by STARTTLS. Another
//! machine is never spoken to in the clear; only a server on loopback may have no TLS. The secret is the password.
//!
//! SMTP has no key by which a server would know a message again: what was handed over and not answered is unclear. The
//! `Message-ID` is the delivery's, the same over attempts, so a reader may drop the second; many do. A digest's is made of its
//! time: whatever job carries it, it is the same message.

mod digest;
mod letter;
mod smtp;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use leadline_schemas::delivery::{DeliveryKey, is_digest_part};
use leadline_schemas::settings::Integration;
use lettre::Message;
use lettre::message::{Mailbox, Mailboxes, MultiPart};
use reqwest::Url;

use self::letter::Letter;
use self::smtp::{Server, Submission};
use crate::contract::BoxFuture;
use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::contract::sink::{Guarantee, Sink, SinkAnswer, SinkRequest};
use crate::contract::wire::{WireAnswer, WireRequest};
use crate::sink_http::integration_secret_context;

/// People who get one message at most.
const RECIPIENTS_MAX: usize = 20;
/// What message ids end with: a name that nobody resolves.
const ID_HOST: &str = "leadline.invalid";

/// The operator's own server, for integrations that name none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EmailServer {
    /// `smtps://HOST:465` or `smtp://HOST:587`.
    pub url: String,
    /// Who logs in.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<String>,
    /// Who writes, where an integration does not say.
    pub from: Option<String>,
}

impl std::fmt::Debug for EmailServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmailServer({} as {:?})", self.url, self.user)
    }
}

/// Sends mail.
pub struct EmailSink {
    secrets: Arc<dyn Secrets>,
    server: Option<EmailServer>,
    /// A certificate that is trusted beside the machine's.
    root_pem: Option<Vec<u8>>,
}

/// Options that an integration may have.
const OPTIONS: [&str; 6] = ["to", "from", "user", "unclear", "digest", "link"];

/// What is wrong with an integration of this kind, in words; `digest` is the dataflow's to judge.
pub fn check(integration: &Integration) -> Result<(), String> {
    let options = &integration.options;
    crate::crm::one_of("email", options, &OPTIONS)?;
    let to = options.get("to").ok_or("name who gets the mail with --option to=sales@example.com")?;
    let to: Mailboxes = to.parse().map_err(|error| {
        format!("option to: {to:?} is no list of addresses ({error}): use sales@example.com, Owner <owner@example.com>")
    })?;
    if to.iter().count() > RECIPIENTS_MAX {
        return Err(format!("option to has more than {RECIPIENTS_MAX} addresses: use a mailing list's"));
    }
    if let Some(from) = options.get("from") {
        from.parse::<Mailbox>().map_err(|error| {
            format!("option from: {from:?} is no address ({error}): use Leads <leads@example.com>")
        })?;
    }
    if integration.url.is_empty() {
        return Ok(());
    }
    let no_address =
        || format!("--url {:?} is no mail server: use smtps://HOST:465 or smtp://HOST:587", integration.url);
    let url = Url::parse(&integration.url).map_err(|_| no_address())?;
    Server::of(&url, None).map(drop).map_err(|why| format!("--url: {why}"))
}

fn reject(why: impl Into<String>) -> CallError {
    CallError::Reject { why: why.into() }
}

impl EmailSink {
    /// A sink that hands over to integrations' own servers, or to this one.
    pub fn new(secrets: Arc<dyn Secrets>, server: Option<EmailServer>) -> Self {
        Self { secrets, server, root_pem: None }
    }

    /// As it is, but trusting one more certificate.
    #[cfg(any(test, feature = "simulation"))]
    #[must_use]
    pub fn trusting(self, root_pem: Vec<u8>) -> Self {
        Self { root_pem: Some(root_pem), ..self }
    }

    /// The server, and who logs in with what.
    fn server(&self, request: &SinkRequest) -> Result<Server, CallError> {
        let integration = &request.integration;
        let (url, user, password) = match (integration.url.as_str(), &self.server) {
            ("", Some(server)) => (server.url.clone(), server.user.clone(), server.password.clone()),
            ("", None) => {
                let why = "no mail server is known: give the integration one with --url smtps://HOST:465, or set email.server";
                return Err(reject(why));
            }
            (url, _) => {
                let user = integration.options.get("user").cloned();
                (url.to_owned(), user, self.password(request)?)
            }
        };
        let url = Url::parse(&url).map_err(|_| reject(format!("the mail server {url:?} is no address")))?;
        Server::of(&url, user.zip(password)).map_err(reject)
    }

    fn password(&self, request: &SinkRequest) -> Result<Option<String>, CallError> {
        let Some(sealed) = &request.integration.secret else { return Ok(None) };
        let context = integration_secret_context(&request.key.tenant, &request.integration.id);
        let plain = String::from_utf8(self.secrets.open(&context, sealed)?);
        plain.map(Some).map_err(|_| reject("the integration's secret is not text"))
    }

    fn message(&self, request: &SinkRequest) -> Result<Message, CallError> {
        let options = &request.integration.options;
        let to: Mailboxes = options
            .get("to")
            .ok_or_else(|| reject("option to is missing: who gets the mail?"))?
            .parse()
            .map_err(|error| reject(format!("option to: {error}")))?;
        if to.iter().count() > RECIPIENTS_MAX {
            return Err(reject(format!("option to has more than {RECIPIENTS_MAX} addresses")));
        }
        let own = self.server.as_ref().and_then(|server| server.from.as_ref());
        let from: Mailbox = options
            .get("from")
            .or(own)
            .ok_or_else(|| reject("option from is missing, and email.from is not set: who writes?"))?
            .parse()
            .map_err(|error| reject(format!("option from: {error}")))?;
        let letter = Letter::of(&request.payload, options.get("link").map(String::as_str))
            .map_err(|error| reject(format!("the delivery cannot be read: {error}")))?;
        let mut builder = Message::builder().from(from).subject(&letter.title);
        if is_digest_part(&request.key.subject) {
            let DeliveryKey { tenant, integration, subject } = &request.key;
            let id = id_safe(&format!("{tenant}.{integration}.{subject}"));
            builder = builder.message_id(Some(format!("<{id}@{ID_HOST}>")));
        } else {
            // What belongs to one lead is one conversation to mail readers.
            let thread = format!("<{}@{ID_HOST}>", id_safe(&request.key.subject));
            builder = builder
                .message_id(Some(format!("<{}@{ID_HOST}>", id_safe(&request.idempotency_key))))
                .in_reply_to(thread.clone())
                .references(thread);
        }
        for mailbox in to {
            builder = builder.to(mailbox);
        }
        let body = MultiPart::alternative_plain_html(letter.text(), letter.html());
        builder.multipart(body).map_err(|error| reject(format!("no mail can be made of it: {error}")))
    }

    /// The message as the ledger and a preview show it.
    fn wire(server: &Server, message: &Message, request: &SinkRequest) -> WireRequest {
        let link = request.integration.options.get("link").map(String::as_str);
        let header = |name: &str| message.headers().get_raw(name).unwrap_or_default().to_owned();
        let method = Method::from_bytes(b"MAIL").unwrap_or(Method::POST);
        let text = Letter::of(&request.payload, link).map(|letter| letter.text()).unwrap_or_default();
        WireRequest::new(method, server.shown())
            .header("from", header("From"))
            .header("to", header("To"))
            .header("subject", header("Subject"))
            .header("message-id", header("Message-ID"))
            .body(Bytes::from(text))
    }

    async fn send(&self, request: SinkRequest, deadline: Duration) -> Result<SinkAnswer, CallError> {
        let server = self.server(&request)?;
        let message = self.message(&request)?;
        let wire = Self::wire(&server, &message, &request);
        let submission = Submission::new(&server, self.root_pem.as_deref());
        let answered = submission.run(&message, deadline).await;
        match &answered {
            Ok((code, text)) => {
                let body = Bytes::from(text.clone());
                let headers = http::HeaderMap::new();
                request.trace.note(&wire, Ok(&WireAnswer { status: *code, headers, body, too_large: false }));
            }
            Err(error) => request.trace.note(&wire, Err(error as _)),
        }
        answered.map(|_| SinkAnswer { remote_id: None })
    }
}

/// What may stand in a message's id.
fn id_safe(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '.' })
        .collect()
}

impl Sink for EmailSink {
    fn kind(&self) -> &str {
        "email"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn deliver(
        &self,
        request: SinkRequest,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<SinkAnswer, CallError>> {
        Box::pin(self.send(request, deadline))
    }

    fn preview(&self, request: &SinkRequest) -> Result<Vec<WireRequest>, CallError> {
        let message = self.message(request)?;
        Ok(vec![Self::wire(&self.server(request)?, &message, request)])
    }
}
