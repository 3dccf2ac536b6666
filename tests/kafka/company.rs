//! A company of processes on one cluster: one that takes webhooks, and workers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use leadline_schemas::Topic;
use leadline_schemas::avro::{self, AvroRecord};
use leadline_tests::kafka::Cluster;
use leadline_tests::{COMPANY, Instance, binary, call, post, sign};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message as _, TopicPartitionList};
use tempfile::TempDir;

/// The topics' prefix and the group.
const GROUP: &str = "leadline";

/// What the processes of a test share.
pub struct Company {
    pub brokers: String,
    pub webhook: Instance,
    pub workers: Vec<Instance>,
    partitions: u16,
    shared: TempDir,
}

impl Company {
    /// Makes the topics, starts everybody and adds a tenant.
    pub fn start(cluster: &Cluster, partitions: u16, workers: usize, tenant: &[&str]) -> Self {
        let brokers = cluster.bootstrap();
        let (count, replication) = (partitions.to_string(), "1".to_owned());
        let args = ["--brokers", &brokers, "--partitions", &count, "--replication", &replication];
        let done = Command::new(binary()).args(["topics", "apply"]).args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let shared = tempfile::tempdir().unwrap();
        let webhook = instance(&brokers, shared.path(), "webhook", "webhook", workers);
        let mut company = Self { brokers, webhook, workers: Vec::new(), partitions, shared };
        company.webhook.start();
        company.webhook.tenant("summit", COMPANY, tenant);
        for index in 0..workers {
            let mut worker = company.worker(index, workers);
            worker.start();
            company.workers.push(worker);
        }
        company
    }

    fn worker(&self, index: usize, workers: usize) -> Instance {
        instance(&self.brokers, self.shared.path(), &format!("worker-{index}"), "worker", workers)
    }

    /// All records of a topic that are committed, as any client of Kafka reads them.
    pub fn records<R: AvroRecord>(&self, topic: Topic) -> Vec<R> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "foreign")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let name = format!("{GROUP}.{topic}");
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(&name, i32::from(partition), rdkafka::Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut records, mut at_end) = (Vec::new(), BTreeSet::new());
        while at_end.len() < usize::from(self.partitions) {
            match consumer.poll(Duration::from_secs(10)).expect("records, or that there are no more") {
                Ok(message) => {
                    let value = message.payload().filter(|value| !value.is_empty());
                    records.extend(value.map(|value| avro::decode::<R>(value).unwrap()));
                }
                Err(KafkaError::PartitionEOF(partition)) => _ = at_end.insert(partition),
                Err(error) => panic!("{error}"),
            }
        }
        records
    }

    /// What all of the processes have said.
    pub fn said(&self) -> String {
        let all = std::iter::once(&self.webhook).chain(&self.workers);
        all.map(|instance| format!("== {}\n{}", instance.data.path().display(), instance.log_text()))
            .collect()
    }
}

fn instance(brokers: &str, shared: &std::path::Path, name: &str, role: &str, processes: usize) -> Instance {
    let path = |name: &str| -> PathBuf { shared.join(name) };
    let (blobs, key) = (path("blobs"), path("secret.key"));
    Instance::configured(&format!(
        "role = {role:?}\n[log]\nkind = \"kafka\"\n[records]\nstore = \"none\"\n[blobs]\nfolder = {blobs:?}\n\
         [secrets]\nkey_file = {key:?}\n[state]\nsnapshot_interval_s = 5\n[kafka]\nbrokers = {brokers:?}\n\
         instance = {name:?}\ngroup = {GROUP:?}\nprocesses = {processes}\nsession_timeout_ms = 6000\n"
    ))
}

/// Senders of post-calls, each call of another caller.
pub struct Senders {
    accepted: Arc<Mutex<BTreeSet<u64>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    /// So many send as fast as they are answered, with a pause between.
    pub fn start(port: u16, count: u64, pause: Duration) -> Self {
        let (accepted, stop) = (Arc::<Mutex<BTreeSet<u64>>>::default(), Arc::<AtomicBool>::default());
        let next = Arc::new(AtomicU64::new(1));
        let threads = (0..count).map(|_| {
            let (accepted, next, stop) = (Arc::clone(&accepted), Arc::clone(&next), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let n = next.fetch_add(1, Relaxed);
                    let body = call(COMPANY, n);
                    let headers = [("Signature", &*sign(&body))];
                    if let Some((200, _)) = post(port, "/v1/callrail/webhook/post_call", &headers, &body) {
                        accepted.lock().unwrap().insert(n);
                    }
                    std::thread::sleep(pause);
                }
            })
        });
        let threads = threads.collect();
        Self { accepted, stop, threads }
    }

    /// Ends them; answers the ids of the calls that were accepted.
    pub fn finish(self) -> BTreeSet<String> {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.accepted.lock().unwrap().iter().map(|n| format!("CAL{n:032x}")).collect()
    }
}

/// How often each occurs.
pub fn counts<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    all.into_iter().fold(BTreeMap::new(), |mut counts, one| {
        *counts.entry(one).or_default() += 1;
        counts
    })
}
