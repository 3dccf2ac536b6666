//! Connection: to one broker, as whoever a token names, by TLS or without.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use super::super::config::Security;
use super::wire::{Answer, Api, Request, answer_bytes};
use super::{verdict, words};

/// The keys of librdkafka that this client obeys; another one is refused, for it may say who is not to be trusted.
const KNOWN: [&str; 6] = [
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
];

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// How brokers are connected to.
pub(super) struct Door {
    tls: Option<SslConnector>,
    checks_names: bool,
    patience: Duration,
}

impl Door {
    /// By the keys that librdkafka's clients go by.
    pub(super) fn new(security: &Security, patience: Duration) -> Result<Self, String> {
        let key = |name: &str| security.keys.get(name).map(String::as_str);
        let protocol = key("security.protocol").unwrap_or_default();
        let tls = match protocol.to_ascii_uppercase().as_str() {
            "SASL_SSL" => Some(connector(security)?),
            "SASL_PLAINTEXT" => None,
            _ => {
                return Err(format!(
                    "security.protocol is {protocol:?}: OAUTHBEARER needs SASL_SSL or SASL_PLAINTEXT"
                ));
            }
        };
        let checks_names = key("ssl.endpoint.identification.algorithm") != Some("none");
        Ok(Self { tls, checks_names, patience })
    }

    fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, String> {
        let addresses = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
        let mut why = "it has no address".to_owned();
        for address in addresses {
            let stream = match TcpStream::connect_timeout(&address, self.patience) {
                Ok(stream) => stream,
                Err(error) => {
                    why = error.to_string();
                    continue;
                }
            };
            let set = stream
                .set_read_timeout(Some(self.patience))
                .and_then(|()| stream.set_write_timeout(Some(self.patience)))
                .and_then(|()| stream.set_nodelay(true));
            set.map_err(|error| error.to_string())?;
            let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
            let session = tls.configure().map_err(|error| error.to_string())?;
            let session = session.verify_hostname(self.checks_names);
            return match session.connect(host, stream) {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(format!("TLS: {error}")),
            };
        }
        Err(why)
    }
}

fn connector(security: &Security) -> Result<SslConnector, String> {
    let key = |name: &str| security.keys.get(name).map(String::as_str);
    if let Some(other) =
        security.keys.keys().find(|key| key.starts_with("ssl.") && !KNOWN.contains(&key.as_str()))
    {
        return Err(format!("by token the admin client knows no {other}: it knows {}", KNOWN.join(", ")));
    }
    let wrong = |what: &str, error: openssl::error::ErrorStack| format!("{what}: {error}");
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(|error| wrong("TLS", error))?;
    if key("ssl.ca.location").is_some() || key("ssl.ca.pem").is_some() {
        // As with librdkafka: whoever names an authority trusts no other.
        let mut store = X509StoreBuilder::new().map_err(|error| wrong("TLS", error))?;
        let pem = match key("ssl.ca.location") {
            Some(file) => std::fs::read(file).map_err(|error| format!("ssl.ca.location {file}: {error}"))?,
            None => key("ssl.ca.pem").unwrap_or_default().as_bytes().to_vec(),
        };
        let found = X509::stack_from_pem(&pem).map_err(|error| wrong("ssl.ca", error))?;
        if found.is_empty() {
            return Err("ssl.ca holds no certificate".to_owned());
        }
        for certificate in found {
            store.add_cert(certificate).map_err(|error| wrong("ssl.ca", error))?;
        }
        builder.set_cert_store(store.build());
    }
    if let Some(file) = key("ssl.certificate.location") {
        builder.set_certificate_chain_file(file).map_err(|error| wrong("ssl.certificate.location", error))?;
    }
    if let Some(file) = key("ssl.key.location") {
        let own = match key("ssl.key.password") {
            None => builder.set_private_key_file(file, SslFiletype::PEM),
            Some(password) => {
                let pem = std::fs::read(file).map_err(|error| format!("ssl.key.location {file}: {error}"))?;
                openssl::pkey::PKey::private_key_from_pem_passphrase(&pem, password.as_bytes())
                    .and_then(|key| builder.set_private_key(&key))
            }
        };
        own.map_err(|error| wrong("ssl.key.location", error))?;
    }
    Ok(builder.build())
}

/// A broker that knows whose requests these are.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    client_id: String,
    correlation: i32,
}

impl Connection {
    pub(super) fn open(
        door: &Door,
        (host, port): (&str, u16),
        client_id: &str,
        token: &str,
    ) -> Result<Self, String> {
        let stream = door.connect(host, port)?;
        let mut connection = Self { stream, client_id: client_id.to_owned(), correlation: 0 };
        let mut answer = connection.call(Api::SaslHandshake, |request| request.text("OAUTHBEARER"))?;
        words(answer.i16()?)?;
        // RFC 7628, section 3.1.
        let message = format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
        let mut answer =
            connection.call(Api::SaslAuthenticate, |request| request.blob(message.as_bytes()))?;
        verdict(&mut answer)?;
        Ok(connection)
    }

    /// Asks, and waits for the answer.
    pub(super) fn call(&mut self, api: Api, body: impl FnOnce(Request) -> Request) -> Result<Answer, String> {
        self.correlation = self.correlation.wrapping_add(1);
        let request = body(Request::new(api, self.correlation, &self.client_id)).finish();
        let mut size = [0; 4];
        let asked = self.stream.write_all(&request).and_then(|()| self.stream.flush());
        let asked = asked.and_then(|()| self.stream.read_exact(&mut size));
        asked.map_err(|error| format!("{api:?}: {error}"))?;
        let mut answer = vec![0; answer_bytes(size)?];
        self.stream.read_exact(&mut answer).map_err(|error| format!("{api:?}: {error}"))?;
        let mut answer = Answer::new(answer);
        if answer.i32()? != self.correlation {
            return Err(format!("{api:?}: a broker answered something else"));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(keys: &[(&str, &str)]) -> Result<Door, String> {
        let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Door::new(&Security { keys, oauth_token_file: None }, Duration::from_secs(1))
    }

    #[test]
    fn a_key_that_it_would_not_obey_is_refused() {
        assert!(door(&[("security.protocol", "sasl_plaintext")]).is_ok());
        assert!(door(&[("security.protocol", "SASL_SSL")]).is_ok());
        let refused = |keys: &[(&str, &str)]| door(keys).err().expect("it is refused");
        assert!(refused(&[]).contains("SASL_SSL"));
        let tls = ("security.protocol", "SASL_SSL");
        assert!(refused(&[tls, ("ssl.crl.location", "/crl")]).contains("ssl.crl.location"));
        assert!(refused(&[tls, ("ssl.ca.location", "/nowhere")]).contains("/nowhere"));
        assert!(refused(&[tls, ("ssl.ca.pem", "nothing")]).contains("ssl.ca"));
    }
}
