//! Members: who is in a group, asked from outside it.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use super::KafkaLogError;
use super::assignment::ROLE;
use super::config::KafkaConfig;
use super::error::describe;
use super::link::Link;
use super::orphans::VISITOR;

/// The instances that have partitions of a layout, or may get some. One that was killed is a member
/// until its session ends, and so is one that has stopped: its name is kept for the next process of that name.
pub fn members(config: &KafkaConfig) -> Result<Vec<String>, KafkaLogError> {
    let wrong = |error: KafkaError| KafkaLogError::Config(error.to_string());
    let consumer = Link::alone(config).asks(&config.consumer("members")).map_err(wrong)?;
    let patience = Duration::from_millis(config.fetch_timeout_ms);
    let groups = consumer.fetch_group_list(Some(&config.group_id), patience).map_err(|error| {
        KafkaLogError::Unavailable {
            brokers: config.brokers.clone(),
            why: consumer.context().health.reason_or(describe(&error)),
        }
    })?;
    let all = groups.groups().iter().flat_map(|group| group.members());
    let lasting = all.filter(|member| !member.client_id().ends_with(VISITOR));
    let mut names: Vec<String> = lasting.map(|member| instance_of(member.client_id()).to_owned()).collect();
    names.sort();
    Ok(names)
}

/// Whose client it is; the whole name where it is none of ours.
fn instance_of(client_id: &str) -> &str {
    let ours = client_id.strip_prefix("leadline-").and_then(|rest| rest.strip_suffix(ROLE));
    ours.and_then(|instance| instance.strip_suffix('-')).unwrap_or(client_id)
}
