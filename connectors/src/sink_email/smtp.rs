//! One message handed over: step by step, so that each failure says how far it came.

use std::time::Duration;

use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use reqwest::Url;
use tokio::time::Instant;

use crate::contract::provider::CallError;
use crate::http_client::one_line;

/// A mail server.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: Tls,
    login: Option<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// From the first byte.
    Wrapped,
    /// By STARTTLS, or not at all.
    Upgraded,
    /// On loopback: if the server offers it.
    Offered,
}

impl Server {
    pub(super) fn of(url: &Url, login: Option<(String, String)>) -> Result<Self, String> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let is_here = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
        let (tls, port) = match url.scheme() {
            "smtps" => (Tls::Wrapped, 465),
            "smtp" if is_here => (Tls::Offered, 587),
            "smtp" => (Tls::Upgraded, 587),
            other => {
                return Err(format!(
                    "{other} is no way to a mail server: use smtps://HOST:465 or smtp://HOST:587"
                ));
            }
        };
        if host.is_empty() {
            return Err("the mail server's address has no host".to_owned());
        }
        Ok(Self { host, port: url.port().unwrap_or(port), tls, login })
    }

    pub(super) fn shown(&self) -> String {
        let scheme = if self.tls == Tls::Wrapped { "smtps" } else { "smtp" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// One hand-over.
pub(super) struct Submission<'a> {
    server: &'a Server,
    root_pem: Option<&'a [u8]>,
}

/// The code of the last answer and its text.
type Answered = Result<(u16, String), CallError>;

impl<'a> Submission<'a> {
    pub(super) fn new(server: &'a Server, root_pem: Option<&'a [u8]>) -> Self {
        Self { server, root_pem }
    }

    /// Hands the message over.
    pub(super) async fn run(&self, message: &Message, deadline: Duration) -> Answered {
        let until = Instant::now() + deadline;
        let began = tokio::time::timeout_at(until, self.begin(message, deadline)).await;
        let (mut connection, refused) = match began {
            Ok(began) => began?,
            // The message itself was not begun.
            Err(_) => return Err(retry("the mail server did not answer in time")),
        };
        let handed = tokio::time::timeout_at(until, connection.message(&message.formatted())).await;
        let answered = match handed {
            Ok(Ok(response)) => {
                let text: Vec<&str> = response.message().chain(refused.iter().map(String::as_str)).collect();
                Ok((u16::from(response.code()), text.join("\n")))
            }
            Ok(Err(error)) if error.status().is_some() => Err(said(&error, "the message")),
            Ok(Err(error)) => Err(CallError::Unclear { why: broken(&error) }),
            Err(_) => {
                let why = "the mail server took the message and did not say whether it has it";
                return Err(CallError::Unclear { why: why.to_owned() });
            }
        };
        // Whatever becomes of the farewell, the message has its answer.
        let _ = tokio::time::timeout_at(until, connection.quit()).await;
        answered
    }

    /// Everything before the message: nothing has arrived if this fails. Answers who was refused, when others were not.
    async fn begin(
        &self,
        message: &Message,
        deadline: Duration,
    ) -> Result<(AsyncSmtpConnection, Vec<String>), CallError> {
        let mut connection = self.connect(deadline).await?;
        if let Some((user, password)) = &self.server.login {
            let credentials = Credentials::new(user.clone(), password.clone());
            let done = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            done.map_err(|error| said(&error, "the login"))?;
        }
        let envelope = message.envelope();
        let from = connection.command(Mail::new(envelope.from().cloned(), vec![])).await;
        from.map_err(|error| said(&error, "the sender"))?;
        let mut refused = Vec::new();
        let mut last = None;
        for to in envelope.to() {
            match connection.command(Rcpt::new(to.clone(), vec![])).await {
                Ok(_) => {}
                Err(error) if error.is_permanent() => {
                    refused.push(format!("refused: {to}: {}", words(&error)));
                    last = Some(error);
                }
                Err(error) => return Err(said(&error, "the recipient")),
            }
        }
        match last {
            Some(error) if refused.len() == envelope.to().len() => return Err(said(&error, "the recipient")),
            _ => {}
        }
        connection.command(Data).await.map_err(|error| said(&error, "the message"))?;
        Ok((connection, refused))
    }

    async fn connect(&self, deadline: Duration) -> Result<AsyncSmtpConnection, CallError> {
        let hello = ClientId::Domain("leadline".to_owned());
        let address = (self.server.host.trim_matches(['[', ']']), self.server.port);
        let wrapped = (self.server.tls == Tls::Wrapped).then(|| self.tls()).transpose()?;
        let connection = AsyncSmtpConnection::connect_tokio1(address, Some(deadline), &hello, wrapped, None);
        let mut connection = connection.await.map_err(|error| said(&error, "the connection"))?;
        let upgrades = match self.server.tls {
            Tls::Wrapped => false,
            Tls::Upgraded if !connection.can_starttls() => {
                let why =
                    "the mail server offers no TLS (STARTTLS): mail in the clear goes to this machine only";
                return Err(CallError::Reject { why: why.to_owned() });
            }
            Tls::Upgraded => true,
            Tls::Offered => connection.can_starttls(),
        };
        if upgrades {
            let done = connection.starttls(self.tls()?, &hello).await;
            done.map_err(|error| said(&error, "TLS"))?;
        }
        Ok(connection)
    }

    fn tls(&self) -> Result<TlsParameters, CallError> {
        let mut builder = TlsParameters::builder(self.server.host.trim_matches(['[', ']']).to_owned());
        if let Some(pem) = self.root_pem {
            let root =
                Certificate::from_pem(pem).map_err(|error| CallError::Reject { why: words(&error) })?;
            builder = builder.add_root_certificate(root);
        }
        builder.build_rustls().map_err(|error| CallError::Reject { why: words(&error) })
    }
}

fn retry(why: impl Into<String>) -> CallError {
    CallError::Retry { after: None, why: why.into() }
}

/// What a failure means before the message was handed over: nothing has arrived.
fn said(error: &Error, of_what: &str) -> CallError {
    let why = format!("the mail server refused {of_what}: {}", words(error));
    match error.status() {
        Some(_) if error.is_permanent() => CallError::Reject { why },
        Some(_) => retry(why),
        // A certificate that is not good will not become so in a minute.
        None if error.is_tls() || is_bad_certificate(error) => CallError::Reject { why: broken(error) },
        None if error.is_client() => CallError::Reject { why },
        None => retry(broken(error)),
    }
}

fn is_bad_certificate(error: &Error) -> bool {
    let mut inner: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = inner {
        let io = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = io.and_then(|error| error.downcast_ref::<rustls::Error>());
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        inner = cause.source();
    }
    false
}

fn broken(error: &Error) -> String {
    format!("the connection to the mail server broke: {}", words(error))
}

/// The innermost cause on one line.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
        text = inner.to_string();
    }
    one_line(text.as_bytes())
}
