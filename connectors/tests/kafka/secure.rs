//! TLS and each of the ways to say who one is.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leadline_connectors::contract::log::{AppendError, CommitAnswer, Log as _};
use leadline_connectors::log_kafka::topics::{Line, apply, close, plan};
use leadline_connectors::log_kafka::{Codec, KafkaConfig, KafkaLog, KafkaLogError};
use leadline_schemas::{Offset, Topic};
use leadline_tests::kafka::USER;

use crate::{P0, append, commit, epoch, fresh, open};

/// The same log, by its other door.
fn secure(config: &KafkaConfig, mechanism: &str) -> KafkaConfig {
    let broker = crate::broker().unwrap();
    let mut config = config.clone();
    config.brokers = broker.bootstrap_secure();
    config.fetch_timeout_ms = 5_000;
    let certificate = broker.certificate().to_string_lossy().into_owned();
    let keys = [
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", certificate.as_str()),
        ("sasl.mechanism", mechanism),
    ];
    config.security.keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    config
}

fn with_password(config: &KafkaConfig, mechanism: &str, password: &str) -> KafkaConfig {
    let mut config = secure(config, mechanism);
    config.security.keys.insert("sasl.username".to_owned(), USER.0.to_owned());
    config.security.keys.insert("sasl.password".to_owned(), password.to_owned());
    config
}

/// Writes and reads by every client that a log has.
fn works(config: &KafkaConfig, round: u64) {
    let log = open(config);
    assert_eq!(append(&log, Topic::Inbound, P0, "secret"), Ok(vec![Offset(round)]));
    assert_eq!(commit(&log, epoch(P0, round + 1, Vec::new())), CommitAnswer::Committed);
    assert_eq!(log.range(Topic::State, P0).unwrap(), (Offset(0), Offset(round + 1)));
    let chunk = log.fetch(Topic::Inbound, P0, Offset(round), 100).unwrap();
    assert_eq!(chunk.records[0].value, "secret");
}

#[test]
fn brokers_are_talked_to_by_tls_and_each_sasl_mechanism_and_codec() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 1);
    for (round, (mechanism, codec)) in
        [("PLAIN", Codec::Zstd), ("SCRAM-SHA-512", Codec::None)].into_iter().enumerate()
    {
        let mut config = with_password(&config, mechanism, USER.1);
        config.codec = codec;
        works(&config, round as u64);
    }

    let folder = tempfile::tempdir().unwrap();
    works(&with_token(&config, &folder.path().join("token")), 2);
}

/// A token that is good for an hour, and who has it.
fn with_token(config: &KafkaConfig, file: &Path) -> KafkaConfig {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"sub":"leadline","iat":{now},"exp":{}}}"#, now + 3_600);
    let (head, claims) = (URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims));
    std::fs::write(file, format!("{head}.{claims}.\n")).unwrap();
    let mut by_token = secure(config, "OAUTHBEARER");
    by_token.security.oauth_token_file = Some(file.to_owned());
    by_token
}

#[test]
fn by_token_topics_are_planned_made_set_back_and_closed_and_old_frames_deleted() {
    let Some(broker) = crate::broker() else { return };
    let (named, folder) = (crate::named(broker), tempfile::tempdir().unwrap());
    let config = with_token(&named, &folder.path().join("token"));
    let planned = plan(&config, 2, 1).unwrap();
    assert_eq!(planned, plan(&named, 2, 1).unwrap(), "it sees what rdkafka's own client sees");
    assert_eq!(apply(&config, 2, 1).unwrap(), planned);
    let same: Vec<Line> = Topic::ALL.iter().map(|topic| Line::Same { topic: config.topic(*topic) }).collect();
    assert_eq!(apply(&config, 2, 1).unwrap(), same, "done twice it changes nothing");
    assert_eq!(plan(&named, 2, 1).unwrap(), same, "and the topics are as the other would have made them");
    assert!(apply(&config, 3, 1).is_err(), "partitions never change in place");

    let log = open(&config);
    for number in 1..=5 {
        assert_eq!(commit(&log, epoch(P0, number, Vec::new())), CommitAnswer::Committed);
    }
    log.set_floor(Topic::State, P0, Offset(3));
    leadline_tests::until("old frames are deleted", crate::PATIENCE, || {
        log.range(Topic::State, P0).unwrap() == (Offset(3), Offset(5))
    });

    assert!(append(&log, Topic::Inbound, P0, "taken").is_ok());
    close(&config).unwrap();
    leadline_tests::until("nothing is taken any more", crate::PATIENCE, || {
        matches!(append(&log, Topic::Inbound, P0, "refused"), Err(AppendError::Refused(_)))
    });
    let closed = plan(&named, 2, 1).unwrap();
    let set_back = format!("~ {}: max.message.bytes 0 -> 5242880", config.topic(Topic::Inbound));
    assert_eq!(
        closed.iter().filter(|line| line.is_change()).map(Line::to_string).collect::<Vec<_>>(),
        [set_back]
    );
    apply(&config, 2, 1).unwrap();
    leadline_tests::until("it is set back", crate::PATIENCE, || plan(&named, 2, 1).unwrap() == same);
}

#[test]
fn a_token_that_brokers_do_not_take_is_told_of() {
    let Some(broker) = crate::broker() else { return };
    let (named, folder) = (crate::named(broker), tempfile::tempdir().unwrap());
    let file = folder.path().join("token");
    let config = with_token(&named, &file);
    std::fs::write(&file, "no token").unwrap();
    let refused = plan(&config, 2, 1).unwrap_err();
    assert!(matches!(refused, KafkaLogError::Unavailable { .. }), "{refused}");
    let mut stranger = with_token(&named, &file);
    stranger.security.keys.remove("ssl.ca.location");
    let refused = apply(&stranger, 2, 1).unwrap_err();
    assert!(matches!(refused, KafkaLogError::Unavailable { .. }), "{refused}");
}

#[test]
fn who_is_not_known_is_told_why_and_never_sees_the_password_again() {
    let Some(broker) = crate::broker() else { return };
    let config = fresh(broker, 1);
    let wrong = with_password(&config, "PLAIN", "a-wrong-password");
    assert!(!format!("{wrong:?}").contains("a-wrong-password"));
    let refused = KafkaLog::open(wrong).err().expect("it is refused");
    assert!(matches!(refused, KafkaLogError::Unavailable { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("uthentication") && !text.contains("a-wrong-password"), "{text}");

    let mut unknown = config;
    unknown.security.keys.insert("group.id".to_owned(), "other".to_owned());
    let refused = KafkaLog::open(unknown).err().expect("it is refused");
    assert!(matches!(refused, KafkaLogError::Config(_)), "{refused}");
}
