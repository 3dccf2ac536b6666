//! What the suite writes: contents of its own, as values that the log under test can carry.

use bytes::Bytes;
use leadline_schemas::avro;
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::{KEY_GROUPS, Key};
use leadline_schemas::reply::{Answered, Reply, ReplyOutcome};
use leadline_schemas::settings::Tenant;
use leadline_schemas::{EventId, JobId, KeyGroup, Millis, Partition, TenantId, Topic};

/// Makes values out of contents, and finds the contents again. Frames and empty records are never asked for.
pub trait Values: Send + Sync {
    /// A value for this place that carries these bytes; two that carry as many are of one length.
    fn make(&self, place: (Topic, Partition), content: &[u8]) -> Bytes;

    /// The bytes that a value of this topic carries.
    fn content(&self, topic: Topic, value: &[u8]) -> Bytes;
}

/// For logs that carry any bytes: the contents themselves.
pub struct Plain;

impl Values for Plain {
    fn make(&self, _: (Topic, Partition), content: &[u8]) -> Bytes {
        Bytes::copy_from_slice(content)
    }

    fn content(&self, _: Topic, value: &[u8]) -> Bytes {
        Bytes::copy_from_slice(value)
    }
}

/// For logs that look at schemas: events, replies and tenants, with the contents where there is most room.
pub struct Records;

impl Values for Records {
    fn make(&self, (topic, partition): (Topic, Partition), content: &[u8]) -> Bytes {
        let content = Bytes::copy_from_slice(content);
        let encoded = match topic {
            Topic::Replies => avro::encode(&reply(content)),
            Topic::Settings => avro::encode(&tenant(String::from_utf8(content.to_vec()).unwrap())),
            _ => avro::encode(&event(partition, content)),
        };
        Bytes::from(encoded.unwrap())
    }

    fn content(&self, topic: Topic, value: &[u8]) -> Bytes {
        match topic {
            Topic::Replies => match avro::decode::<Reply>(value).unwrap().outcome {
                ReplyOutcome::Answered(answered) => answered.body,
                other => panic!("another reply: {other:?}"),
            },
            Topic::Settings => Bytes::from(avro::decode::<Tenant>(value).unwrap().name),
            _ => Inbound::decode(&Bytes::copy_from_slice(value)).unwrap().body,
        }
    }
}

fn key() -> Key {
    Key::new(TenantId::new("summit").unwrap(), "+13035550142", 1)
}

/// An event that belongs there, where there are two partitions.
fn event(partition: Partition, body: Bytes) -> Inbound {
    let Key { tenant, bucket, .. } = key();
    let key_group = KeyGroup(partition.0.min(1) * (KEY_GROUPS / 2));
    Inbound {
        event_id: EventId::of(&[b"conformance"]),
        tenant,
        key_group,
        bucket,
        caller: "+13035550142".to_owned(),
        origin: Origin::CallrailWebhook,
        kind: EventKind::PostCall,
        received_at: Millis(1_772_625_600_000),
        settings_version: 1,
        attempt: 0,
        key_id: None,
        trace: None,
        content_type: "application/json".into(),
        body,
        body_ref: None,
    }
}

fn reply(body: Bytes) -> Reply {
    let Key { tenant, key_group, bucket } = key();
    let outcome = ReplyOutcome::Answered(Answered { body, attempts: 1, cost_micros: 0 });
    let job_id = JobId::of(&[b"conformance"]);
    Reply { job_id, tenant, key_group, bucket, outcome, at: Millis(1_772_625_600_000) }
}

fn tenant(name: String) -> Tenant {
    Tenant::new(key().tenant, name, Millis(0))
}
