//! Link: what each client tells, and how it gets its token.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};

use super::config::KafkaConfig;
use super::health::Health;

/// The context of a client.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) health: Arc<Health>,
    pub(super) token_file: Option<PathBuf>,
}

impl ClientContext for Link {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "librdkafka: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => self.health.away(reason),
            Some(Code::BrokerTransportFailure | Code::Authentication | Code::SSL | Code::Resolve) => {
                self.health.note(reason);
            }
            _ => tracing::debug!(%error, reason, "a Kafka client reports"),
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.token()
    }
}

impl Link {
    /// That of a client which is nobody else's.
    pub(super) fn alone(config: &KafkaConfig) -> Self {
        Self { health: Arc::default(), token_file: config.security.oauth_token_file.clone() }
    }

    /// A consumer that only asks brokers; it has handed its token over, where there are tokens.
    pub(super) fn asks(self, client: &ClientConfig) -> Result<BaseConsumer<Self>, KafkaError> {
        let consumer: BaseConsumer<Self> = client.create_with_context(self)?;
        consumer.poll(Duration::ZERO);
        Ok(consumer)
    }

    /// The token of this moment.
    pub(super) fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let file = self.token_file.as_ref().ok_or("OAUTHBEARER needs oauth_token_file")?;
        let token = std::fs::read_to_string(file)
            .map_err(|error| format!("oauth_token_file {} cannot be read: {error}", file.display()))?;
        parse_token(token.trim())
    }
}

impl ConsumerContext for Link {}

/// What the broker wants to know beside a JWT: whose it is and until when.
fn parse_token(token: &str) -> Result<OAuthToken, Box<dyn Error>> {
    let claims = token.split('.').nth(1).ok_or("oauth_token_file holds no JWT")?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    let expires_s = claims.get("exp").and_then(serde_json::Value::as_i64).ok_or("the JWT has no exp")?;
    let subject = claims.get("sub").and_then(serde_json::Value::as_str).unwrap_or_default();
    Ok(OAuthToken {
        token: token.to_owned(),
        principal_name: subject.to_owned(),
        lifetime_ms: expires_s.saturating_mul(1_000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_whose_it_is_and_until_when() {
        let claims = URL_SAFE_NO_PAD.encode(br#"{"sub":"leadline","exp":1900000000}"#);
        let token = parse_token(&format!("e30.{claims}.c2ln")).unwrap();
        assert_eq!((token.principal_name.as_str(), token.lifetime_ms), ("leadline", 1_900_000_000_000));
        for bad in ["", "no jwt", "a.b.c", "e30.e30.c2ln"] {
            assert!(parse_token(bad).is_err(), "{bad}");
        }
    }
}
