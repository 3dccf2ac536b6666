//! The baseline of `ingest`: a loop around a producer, configured as leadline's is, with records made ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leadline_schemas::Topic;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset};

use super::scene::{ANSWER_MAX, Scene};
use crate::process::cpu_s;

/// Before anything is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// A record of `inbound`, to be sent once more.
pub(super) struct Sent {
    partition: i32,
    value: Vec<u8>,
}

/// What a loop has reached.
pub(super) struct Produced {
    pub(super) per_s: f64,
    pub(super) cpu_s_per_100k: f64,
}

/// So many records of `inbound`: what leadline has made of webhooks.
pub(super) fn records(scene: &Scene, count: usize) -> Result<Vec<Sent>> {
    let reader = scene.reader(&[Topic::Inbound], Offset::Beginning)?;
    let mut records = Vec::with_capacity(count);
    while records.len() < count {
        match reader.poll(ANSWER_MAX).context("inbound ends early")? {
            Ok(message) => {
                let value = message.payload().unwrap_or_default().to_vec();
                records.push(Sent { partition: message.partition(), value });
            }
            Err(KafkaError::PartitionEOF(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(records)
}

/// Sends records round and round for some time, with so many under way.
pub(super) fn run(scene: &Scene, records: &[Sent], under_way: usize, time: Duration) -> Result<Produced> {
    let (answered, answers) = sync_channel(under_way);
    let failed = Arc::new(AtomicU64::new(0));
    let reports = Reports { answered, failed: Arc::clone(&failed) };
    // Cf. `connectors/src/log_kafka/config.rs`.
    let producer: ThreadedProducer<Reports> = scene
        .client()
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.codec", "lz4")
        .set("linger.ms", "1")
        .set("socket.nagle.disable", "true")
        .create_with_context(reports)?;
    let sending = Sending { producer, topic: scene.topic(Topic::Inbound), records, answers };
    let mut next = 0;
    for _ in 0..under_way {
        sending.send(&mut next)?;
    }
    sending.go_on(&mut next, WARM_UP)?;
    let (cpu, started) = (cpu_s(std::process::id())?, Instant::now());
    let count = sending.go_on(&mut next, time)?;
    let (cpu, took) = (cpu_s(std::process::id())? - cpu, started.elapsed());
    sending.producer.flush(ANSWER_MAX)?;
    ensure!(failed.load(Ordering::Relaxed) == 0, "records were not taken");
    Ok(Produced { per_s: count as f64 / took.as_secs_f64(), cpu_s_per_100k: cpu * 1e5 / count as f64 })
}

struct Sending<'r> {
    producer: ThreadedProducer<Reports>,
    topic: String,
    records: &'r [Sent],
    answers: Receiver<()>,
}

impl Sending<'_> {
    /// Sends one for each that is answered; answers how many that were.
    fn go_on(&self, next: &mut usize, time: Duration) -> Result<u64> {
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < time {
            self.answers.recv_timeout(ANSWER_MAX).context("the broker does not answer")?;
            self.send(next)?;
            count += 1;
        }
        Ok(count)
    }

    fn send(&self, next: &mut usize) -> Result<()> {
        let record = self.records.get(*next % self.records.len().max(1)).context("there are records")?;
        *next += 1;
        let message = BaseRecord::<[u8], [u8]>::to(&self.topic)
            .partition(record.partition)
            .key(&[])
            .payload(&record.value);
        self.producer.send(message).map_err(|(error, _)| error.into())
    }
}

/// Hands on that a record was answered.
struct Reports {
    answered: SyncSender<()>,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let _ = self.answered.try_send(()); // Nobody waits for the last ones.
    }
}
