//! What comes to the machine from outside: events, a person's commands, replies that come again, changed settings.

use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::contract::log::{Append, AppendError, Log};
use leadline_schemas::command::Command;
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::Key;
use leadline_schemas::reply::{FailureKind, JobFailed, Reply, ReplyOutcome};
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{EventId, Offset, Partition, TenantId, Topic, avro};

use crate::chance::Chance;
use crate::script::{Planned, TENANTS, Told};
use crate::topics::Brokers;
use crate::world::{Sent, World};

impl World {
    /// The source accepts an event, as far as the log lets it.
    pub fn send(&mut self, planned: Planned) {
        let settings = Arc::clone(&self.settings.lock().unwrap());
        let number = self.sent.len() as u64;
        let event_id = EventId::of(&[b"sent", &number.to_be_bytes()]);
        let Some((key, partition)) = self.address(&planned, &settings) else { return };
        let inbound = Inbound {
            event_id,
            key_group: key.key_group,
            bucket: key.bucket,
            tenant: key.tenant,
            caller: planned.caller.clone(),
            origin: planned.origin,
            kind: planned.kind,
            received_at: self.clock.wall(),
            settings_version: settings.version,
            attempt: 0,
            key_id: None,
            trace: None,
            content_type: match planned.origin {
                Origin::Form => format!("{}; form={}-form", planned.content_type, planned.tenant).into(),
                _ => planned.content_type.into(),
            },
            body: planned.body.clone(),
            body_ref: None,
        };
        let inbound = self.perhaps_by_reference(inbound);
        let value = Bytes::from(avro::encode(&inbound).unwrap());
        let Some(life) = &self.life else { return };
        let log = &life.topics[&self.sources].log;
        let appended =
            log.append(vec![Append { topic: Topic::Inbound, partition, key: Bytes::new(), value }]);
        let acknowledged = Arc::clone(&self.acknowledged);
        life.runtime.spawn(async move {
            match appended.await {
                Ok(_) => acknowledged.lock().unwrap().push(event_id),
                // 503: nobody was promised anything.
                Err(
                    AppendError::Full
                    | AppendError::Busy { .. }
                    | AppendError::Unavailable(_)
                    | AppendError::Refused(_)
                    | AppendError::Failed(_),
                ) => {}
                Err(error @ AppendError::TooLarge { .. }) => panic!("{error}"),
            }
        });
        self.note(format!("send {} {} of {}", inbound.kind.name(), number, planned.tenant));
        self.sent.insert(event_id, Sent { inbound, planned });
    }

    /// Where the layout that sources are in has the caller. One that takes nothing more sends them to the next.
    fn address(&mut self, planned: &Planned, settings: &Settings) -> Option<(Key, Partition)> {
        let newest = self.record().shape.generation;
        let tenant = TenantId::new(planned.tenant).unwrap();
        settings.tenant(&tenant)?;
        for _ in 0..2 {
            let Brokers { shape, group } = &self.layouts[&self.sources];
            let known = settings.of_generation(self.sources).and_then(|of| of.tenant(&tenant).cloned());
            if let Some(known) = known {
                let key = Key::new(tenant.clone(), &planned.caller, known.policy.spread);
                let partition = shape.layout().partition(key.key_group);
                let is_open = self.life.as_ref()?.topics.contains_key(&self.sources);
                if is_open && !group.refuses(partition, self.clock.boot_ms()) {
                    return Some((key, partition));
                }
            }
            self.note(format!("layout {} refuses an event, which goes to {newest}", self.sources));
            self.sources = newest;
        }
        None
    }

    /// Some bodies go to the blob store first, as those of over 4 MiB do.
    fn perhaps_by_reference(&mut self, mut inbound: Inbound) -> Inbound {
        if self.chance.happens(60) {
            let name = format!("bodies/{}/{}", inbound.tenant, inbound.event_id);
            self.blob.hold(&name, std::mem::take(&mut inbound.body));
            inbound.body_ref = Some(name);
        }
        inbound
    }

    /// A person's word, on its way through `inbound` like everything else.
    pub fn command(&mut self, like: &Inbound, command: &Command) {
        let planned = Planned {
            at: self.clock.wall(),
            tenant: TENANTS.into_iter().find(|name| *name == like.tenant.as_str()).unwrap(),
            caller: like.caller.clone(),
            subject: None,
            origin: Origin::Command,
            kind: EventKind::Command,
            content_type: "application/json",
            body: Bytes::from(serde_json::to_vec(command).unwrap()),
            told: Told::Command,
            happened_at: None,
        };
        self.send(planned);
    }

    /// Replays a dead letter, or speaks about a delivery.
    pub fn speak(&mut self) {
        let contents = self.store.contents();
        if self.chance.happens(500) && !contents.dead_letters.is_empty() {
            let letter = self.chance.pick(&contents.dead_letters).clone();
            let input = letter.input.unwrap();
            let origin: Inbound = avro::decode(&input).unwrap();
            let (dead_letter, operator) = (letter.id.to_string(), letter.operator);
            let command = Command::Replay { dead_letter, operator, input_kind: letter.input_kind, input };
            self.note(format!("dead letter {} is replayed", letter.id));
            self.command(&origin, &command);
        } else if !contents.deliveries.is_empty() {
            let line = self.chance.pick(&contents.deliveries).clone();
            let Some(lead) = contents.leads.iter().find(|lead| Some(lead.lead_id) == line.lead_id) else {
                return;
            };
            let Some(like) = self
                .sent
                .values()
                .find(|sent| sent.inbound.tenant == line.tenant && sent.inbound.caller == lead.caller)
            else {
                return;
            };
            let like = like.inbound.clone();
            self.note(format!("delivery {} to {} is sent again", line.subject, line.integration));
            let command = Command::RetryDelivery { integration: line.integration, subject: line.subject };
            self.command(&like, &command);
        }
    }

    /// Appends a reply that the log has already once more: as it was, or saying something else.
    pub fn repeat_reply(&mut self) {
        let Some(life) = &self.life else { return };
        let generation = life.members.iter().flatten().next().map_or(1, |member| member.generation);
        let log = &life.topics[&generation].log;
        let partition = Partition(self.chance.below(u64::from(log.partitions())) as u16);
        let Ok((first, end)) = log.range(Topic::Replies, partition) else { return };
        if first == end {
            return;
        }
        let at = Offset(first.0 + self.chance.below(end.0 - first.0));
        let Ok(chunk) = log.read(Topic::Replies, partition, at, 1) else { return };
        let Some(record) = chunk.records.first() else { return };
        let mut reply: Reply = avro::decode(&record.value).unwrap();
        let contradicts = self.chance.happens(500) && !matches!(reply.outcome, ReplyOutcome::Started(_));
        if contradicts {
            reply.outcome = ReplyOutcome::JobFailed(JobFailed {
                kind: FailureKind::Rejected,
                why: "the simulator contradicts".to_owned(),
                attempts: 1,
                exchange: None,
            });
        }
        let value = Bytes::from(avro::encode(&reply).unwrap());
        let appended =
            log.append(vec![Append { topic: Topic::Replies, partition, key: Bytes::new(), value }]);
        life.runtime.spawn(async move {
            let _ = appended.await;
        });
        self.note(format!(
            "the reply to job {} comes again{}",
            reply.job_id,
            if contradicts { ", changed" } else { "" }
        ));
    }

    /// Changes a tenant's settings.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Tenant)) {
        let mut settings = self.settings.lock().unwrap();
        let id = TenantId::new(name).unwrap();
        let Some(mut tenant) = settings.tenant(&id).map(|tenant| (**tenant).clone()) else { return };
        change(&mut tenant);
        let version = settings.version + 1;
        *settings = Arc::new(settings.with(tenant, version));
    }
}
