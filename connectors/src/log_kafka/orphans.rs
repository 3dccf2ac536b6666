//! Orphans: partitions that the group has given to nobody.
//!
//! A partition that moves is nobody's until the process that let it go has said so, by joining once more. If that process
//! is killed before, and is back under its name before its session ends, the broker takes it for the member it knows: it
//! gets what it had left, the group stays as it was, and what it let go has no owner until somebody comes or goes. So it
//! is looked now and then, and then somebody does: a visitor, who wants nothing of `inbound`. The group deals all
//! partitions out anew for it, and nobody has to let go of one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Buf as _;
use leadline_schemas::{Partition, Topic};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::groups::{GroupInfo, GroupMemberInfo};

use super::KafkaConfig;
use super::assignment::{Context, ROLE};
use super::error::describe;
use super::group::MEMBERS_MAX;
use super::link::Link;

/// What a visitor is called beside this process's other clients.
pub(super) const VISITOR: &str = "visitor";
/// How often it is looked within a session. What was seen at one look may be on its way; at two it is not.
const LOOKS_A_SESSION: u32 = 2;
/// How many sessions a visitor waits to be let in.
const VISIT_SESSIONS_MAX: u32 = 2;
/// A group that deals nothing out at present.
const STABLE: &str = "Stable";

/// Looks for them.
pub(super) struct Orphans {
    next_look: Instant,
    /// Those without an owner at the last look.
    seen: BTreeSet<Partition>,
    visitor: Option<(BaseConsumer<Link>, Instant)>,
}

impl Orphans {
    pub(super) fn new() -> Self {
        Self { next_look: Instant::now(), seen: BTreeSet::new(), visitor: None }
    }

    /// Looks, if it is time, and does what there is to do. Called by the group's thread.
    pub(super) fn turn(&mut self, consumer: &BaseConsumer<Context>) {
        let inner = &consumer.context().inner;
        let session = Duration::from_millis(inner.config.session_timeout_ms);
        if let Some((visitor, until)) = &self.visitor {
            let _ = visitor.poll(Duration::ZERO); // What it says beside its assignment is of no use to anybody.
            let is_in = visitor.assignment().is_ok_and(|given| given.count() > 0);
            if is_in || Instant::now() >= *until {
                self.visitor = None;
                self.seen.clear();
            }
            return;
        }
        if Instant::now() < self.next_look {
            return;
        }
        self.next_look = Instant::now() + session / LOOKS_A_SESSION;
        let found = if inner.membership.ticket().is_some() {
            look(&inner.config, inner.partitions, consumer)
        } else {
            BTreeSet::new()
        };
        let lasting: Vec<Partition> = found.intersection(&self.seen).copied().collect();
        self.seen = found;
        if lasting.is_empty() {
            return;
        }
        tracing::warn!(partitions = ?lasting, "partitions have no owner: the group deals them out anew");
        match visit(&inner.config, inner.link.clone()) {
            Ok(visitor) => self.visitor = Some((visitor, Instant::now() + session * VISIT_SESSIONS_MAX)),
            Err(error) => tracing::warn!(error = describe(&error), "it is tried again"),
        }
    }
}

/// The partitions without an owner, where it is this process that has to care for them: the first of the group.
fn look(config: &KafkaConfig, partitions: u16, consumer: &BaseConsumer<Context>) -> BTreeSet<Partition> {
    // Brokers that are away are asked again.
    let Ok(groups) = consumer.fetch_group_list(Some(&config.group_id), MEMBERS_MAX) else {
        return BTreeSet::new();
    };
    let is_ours = |group: &&GroupInfo| group.name() == config.group_id && group.state() == STABLE;
    let members = groups.groups().iter().find(is_ours).map_or(&[][..], GroupInfo::members);
    let workers = members.iter().map(GroupMemberInfo::client_id).filter(|name| name.ends_with(ROLE));
    if workers.min() != Some(&config.client_id(ROLE)) {
        return BTreeSet::new();
    }
    let topic = config.topic(Topic::Inbound);
    let mut nobodys: BTreeSet<Partition> = (0..partitions).map(Partition).collect();
    for member in members {
        // One that cannot be read is a foreign client's, and nothing can be said of the group.
        let Some(given) = given(&topic, member.assignment().unwrap_or_default()) else {
            return BTreeSet::new();
        };
        nobodys.retain(|partition| !given.contains(&i32::from(partition.0)));
    }
    nobodys
}

/// A member that the group has to be dealt out for.
fn visit(config: &KafkaConfig, link: Link) -> Result<BaseConsumer<Link>, KafkaError> {
    let visitor = link.asks(&config.member(VISITOR))?;
    visitor.subscribe(&[&config.topic(Topic::Settings)])?;
    Ok(visitor)
}

/// The partitions of a topic that a member has: a `ConsumerProtocolAssignment`, as clients write it
/// (<https://kafka.apache.org/protocol>). One that was given nothing may have no bytes.
fn given(topic: &str, mut assignment: &[u8]) -> Option<BTreeSet<i32>> {
    let mut given = BTreeSet::new();
    if assignment.is_empty() {
        return Some(given);
    }
    let _version = assignment.try_get_i16().ok()?;
    for _ in 0..assignment.try_get_i32().ok()? {
        let length = usize::try_from(assignment.try_get_i16().ok()?).ok()?;
        let name = assignment.split_off(..length)?;
        for _ in 0..assignment.try_get_i32().ok()? {
            let number = assignment.try_get_i32().ok()?;
            if name == topic.as_bytes() {
                given.insert(number);
            }
        }
    }
    Some(given)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    #[test]
    fn what_a_member_has_of_a_topic_is_read_and_what_is_no_assignment_is_refused() {
        let mut bytes = Vec::new();
        bytes.put_i16(1);
        bytes.put_i32(2);
        for (topic, partitions) in [("settings", &[0][..]), ("inbound", &[2, 5])] {
            bytes.put_i16(i16::try_from(topic.len()).unwrap());
            bytes.put_slice(topic.as_bytes());
            bytes.put_i32(i32::try_from(partitions.len()).unwrap());
            partitions.iter().for_each(|partition| bytes.put_i32(*partition));
        }
        assert_eq!(given("inbound", &bytes), Some(BTreeSet::from([2, 5])));
        assert_eq!(given("settings", &bytes), Some(BTreeSet::from([0])));
        assert_eq!(given("replies", &bytes), Some(BTreeSet::new()));
        for end in 1..bytes.len() {
            assert_eq!(given("inbound", &bytes[..end]), None, "{end} bytes");
        }
        bytes.put_i32(-1);
        assert_eq!(given("inbound", &bytes), Some(BTreeSet::from([2, 5])), "what follows is user data");
        assert_eq!(given("inbound", &[]), Some(BTreeSet::new()), "a member that has nothing");
    }
}
