//! A company of processes on one cluster: one that takes webhooks, and workers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use leadline_schemas::Topic;
use leadline_schemas::avro::{self, AvroRecord};
use leadline_schemas::call::CallRecord;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::lead::Lead;
use leadline_schemas::request::{Request, RequestStatus};
use leadline_tests::kafka::Cluster;
use leadline_tests::{COMPANY, Instance, binary, call, free_port, post, sign, until, within};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message as _, TopicPartitionList};
use tempfile::TempDir;

use crate::oracle::window_calls;

/// How long it may take on the slowest machine until all is done.
const PATIENCE: Duration = Duration::from_secs(120);
/// Others take over soon after a kill.
const SHORT_SESSION: &str = "session_timeout_ms = 6000\n";
/// The topics' prefix and the group.
const GROUP: &str = "leadline";

/// What the processes of a test share.
pub struct Company {
    pub brokers: String,
    pub webhook: Instance,
    pub workers: Vec<Instance>,
    /// In front of the topics' names.
    prefix: String,
    partitions: u16,
    /// Variables of all workers.
    env: Vec<(&'static str, String)>,
    setup: Setup,
    shared: TempDir,
}

/// How the processes of a company are configured.
#[derive(Clone)]
struct Setup {
    /// What workers do beside their work.
    role: &'static str,
    /// Section `records` without its head, and what else the store needs.
    records: String,
    /// More of section `kafka`.
    more: String,
}

impl Setup {
    /// Nobody keeps records.
    fn without_records(more: &str) -> Self {
        Self { role: "worker", records: "store = \"none\"".to_owned(), more: more.to_owned() }
    }
}

impl Company {
    /// Makes the topics, starts everybody and adds a tenant.
    pub fn start(cluster: &Cluster, partitions: u16, workers: usize, tenant: &[&str]) -> Self {
        Self::start_with(cluster, partitions, workers, tenant, &[])
    }

    /// The same with variables of all workers.
    pub fn start_with(
        cluster: &Cluster,
        partitions: u16,
        workers: usize,
        tenant: &[&str],
        env: &[(&'static str, String)],
    ) -> Self {
        let setup = Setup::without_records(SHORT_SESSION);
        Self::configured(cluster, partitions, workers, tenant, env, setup)
    }

    /// As `start`, with workers that write one record store and answer from it. Its tables are made before they start.
    pub fn sharing(cluster: &Cluster, partitions: u16, workers: usize, records: &str) -> Self {
        let setup = Setup { role: "all", records: records.to_owned(), more: SHORT_SESSION.to_owned() };
        Self::configured(cluster, partitions, workers, &[], &[], setup)
    }

    /// As `start`, with a webhook process that has a spool of so many bytes.
    pub fn spooling(cluster: &Cluster, partitions: u16, workers: usize, bytes_max: u64) -> Self {
        // The worker keeps its session over the time that it takes until events are spooled.
        let more = format!("session_timeout_ms = 30000\nspool = true\nspool_max_bytes = {bytes_max}\n");
        Self::configured(cluster, partitions, workers, &[], &[], Setup::without_records(&more))
    }

    /// As `start_with`, with another configuration.
    fn configured(
        cluster: &Cluster,
        partitions: u16,
        workers: usize,
        tenant: &[&str],
        env: &[(&'static str, String)],
        setup: Setup,
    ) -> Self {
        let brokers = cluster.bootstrap();
        let (count, replication) = (partitions.to_string(), "1".to_owned());
        let args = ["--brokers", &brokers, "--partitions", &count, "--replication", &replication];
        let done = Command::new(binary()).args(["topics", "apply"]).args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let shared = tempfile::tempdir().unwrap();
        let webhook = instance(&brokers, shared.path(), "webhook", "webhook", workers.max(1), &setup);
        let (env, prefix) = (env.to_vec(), format!("{GROUP}."));
        let mut company =
            Self { brokers, webhook, workers: Vec::new(), prefix, partitions, env, setup, shared };
        company.webhook.start();
        company.webhook.tenant("summit", COMPANY, tenant);
        if company.setup.role == "all" {
            // A store may be asked before it lets anybody in.
            let applied = || company.webhook.cli(&["db", "apply"]).status.success();
            until("the record store's tables", PATIENCE, applied);
        }
        for index in 0..workers {
            let mut worker = company.worker(index, workers);
            worker.start();
            company.workers.push(worker);
        }
        company
    }

    /// A process that is not started: worker `index`, on a data folder of its own.
    fn worker(&self, index: usize, workers: usize) -> Instance {
        let name = format!("worker-{index}");
        let mut worker =
            instance(&self.brokers, self.shared.path(), &name, self.setup.role, workers, &self.setup);
        worker.env.clone_from(&self.env);
        worker
    }

    /// A process that is not started and says that it is alone, with its records in a file.
    pub fn with_a_file(&self) -> Instance {
        let setup = Setup { records: "store = \"sqlite\"".to_owned(), ..self.setup.clone() };
        instance(&self.brokers, self.shared.path(), "stranger", "worker", 1, &setup)
    }

    /// A process that is not started and is to take the place of worker `index`.
    pub fn standby(&self, index: usize) -> Instance {
        let mut standby = self.worker(index, self.workers.len());
        standby.args.extend(["--standby".to_owned(), admin_url(&self.workers[index])]);
        standby
    }

    /// A process that is not started and is to take the place of the one that takes webhooks.
    pub fn standby_of_webhook(&self) -> Instance {
        let (shared, workers) = (self.shared.path(), self.workers.len());
        let mut standby = instance(&self.brokers, shared, "webhook", "webhook", workers.max(1), &self.setup);
        standby.args.extend(["--standby".to_owned(), admin_url(&self.webhook)]);
        standby
    }

    /// Another layout will be there: its topics are read from now on, and no others.
    pub fn expect_layout(&mut self, generation: u32, partitions: u16) {
        (self.prefix, self.partitions) = (format!("{GROUP}.g{generation}."), partitions);
    }

    /// `leadline layout` on this cluster.
    pub fn layout(&self, what: &str, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["layout", what, "--brokers", &self.brokers, "--replication", "1"]).args(args);
        command.arg("--config").arg(self.webhook.data.path().join("leadline.toml"));
        command
    }

    /// All records of a topic that are committed, as any client of Kafka reads them.
    pub fn records<R: AvroRecord>(&self, topic: Topic) -> Vec<R> {
        self.records_under(topic, "read_committed")
    }

    fn records_under<R: AvroRecord>(&self, topic: Topic, isolation: &str) -> Vec<R> {
        let (prefix, partitions) = (&*self.prefix, self.partitions);
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "foreign")
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let name = format!("{prefix}{topic}");
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(&name, i32::from(partition), rdkafka::Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        // Under load there is no end but that of now.
        let end = |partition| {
            let mut end = None;
            // A topic that is new, or whose broker is, has no leader for a moment.
            until("the end of a topic", PATIENCE, || {
                let asked = consumer.fetch_watermarks(&name, partition, Duration::from_secs(10));
                end = asked.ok().map(|(_, end)| end);
                end.is_some()
            });
            end.unwrap()
        };
        let ends: Vec<i64> = (0..i32::from(self.partitions)).map(end).collect();
        let (mut records, mut at_end) = (Vec::new(), BTreeSet::new());
        while at_end.len() < usize::from(partitions) {
            match consumer.poll(Duration::from_secs(10)).expect("records, or that there are no more") {
                Ok(message) => {
                    if message.offset() + 1 >= ends[usize::try_from(message.partition()).unwrap()] {
                        at_end.insert(message.partition());
                    }
                    let value = message.payload().filter(|value| !value.is_empty());
                    records.extend(value.map(|value| avro::decode::<R>(value).unwrap()));
                }
                Err(KafkaError::PartitionEOF(partition)) => _ = at_end.insert(partition),
                Err(error) => panic!("{error}"),
            }
        }
        records
    }

    /// Where the partitions of a topic end for readers of what is committed, and for those of all; none where nobody says.
    /// The first lies before the second where a transaction is open.
    fn ends(&self, topic: Topic) -> Vec<[Option<i64>; 2]> {
        let name = format!("{}{topic}", self.prefix);
        let asked = ["read_committed", "read_uncommitted"].map(|isolation| -> BaseConsumer {
            let mut client = ClientConfig::new();
            client.set("bootstrap.servers", &self.brokers).set("isolation.level", isolation).create().unwrap()
        });
        let end = |consumer: &BaseConsumer, partition| {
            let asked = consumer.fetch_watermarks(&name, partition, Duration::from_secs(10));
            asked.ok().map(|(_, end)| end)
        };
        (0..i32::from(self.partitions)).map(|at| asked.each_ref().map(|consumer| end(consumer, at))).collect()
    }

    /// Each accepted call is there once, however often its event is in the log; says how often that was.
    pub fn counts_each_once(&self, accepted: &BTreeSet<String>) -> String {
        let events: Vec<Inbound> = self.records(Topic::Inbound);
        let events = counts(events.iter().map(|event| event.event_id));
        let twice = events.values().filter(|count| **count > 1).count();
        let scored = || -> BTreeSet<String> {
            let calls: Vec<CallRecord> = self.records(Topic::Calls);
            calls.into_iter().filter(|call| call.lead_id.is_some()).map(|call| call.call_id).collect()
        };
        // No call is sent twice, so each event is one; more than were accepted where the answer was not heard.
        let all_there = within(PATIENCE, || scored().len() == events.len());
        let known = scored();
        let missing: Vec<&String> = accepted.iter().filter(|id| !known.contains(*id)).take(5).collect();
        let (found, count) = (known.len(), events.len());
        assert!(
            all_there && missing.is_empty(),
            "{found} of {count}, without {missing:?}; topic state ends for readers of what is committed, and of all, at {:?}\n{}",
            self.ends(Topic::State),
            self.said()
        );

        let statuses = || {
            let requests: Vec<Request> = self.records(Topic::Requests);
            let last: BTreeMap<_, _> =
                requests.into_iter().map(|last| (last.request_id, last.status)).collect();
            counts(last.into_values().map(RequestStatus::name))
        };
        let done = BTreeMap::from([(RequestStatus::Done.name(), count)]);
        let settled = within(PATIENCE, || statuses() == done && window_calls(self) == count as i64);
        assert!(settled, "{:?} and {} calls in windows of {count}", statuses(), window_calls(self));
        let leads = || -> BTreeMap<_, _> {
            let leads: Vec<Lead> = self.records(Topic::Leads);
            leads.into_iter().map(|lead| (lead.lead_id, lead.revision)).collect()
        };
        // A broker that restarts may forget to end a transaction in some of its topics: then leadline does, within 40 s.
        let all_have_one = within(PATIENCE, || leads().len() == count);
        let last = leads();
        let written = || self.records_under::<Lead>(Topic::Leads, "read_uncommitted").len();
        let (found, said) = (last.len(), || self.said());
        assert!(all_have_one, "{found} leads of {count} callers, {} written\n{}", written(), said());
        assert!(last.values().all(|revision| *revision == 1), "each call had its effect once");
        format!("{} calls accepted, {twice} of {count} events are in the log more than once", accepted.len())
    }

    /// What all of the processes have said.
    pub fn said(&self) -> String {
        let all = std::iter::once(&self.webhook).chain(&self.workers);
        all.map(|instance| format!("== {}\n{}", instance.data.path().display(), instance.log_text()))
            .collect()
    }
}

/// The port of an instance's admin address.
pub fn admin_port(instance: &Instance) -> u16 {
    let at = instance.args.iter().position(|arg| arg == "--admin-listen").unwrap();
    instance.args[at + 1].parse().unwrap()
}

pub fn admin_url(instance: &Instance) -> String {
    format!("http://127.0.0.1:{}", admin_port(instance))
}

fn instance(
    brokers: &str,
    shared: &std::path::Path,
    name: &str,
    role: &str,
    processes: usize,
    setup: &Setup,
) -> Instance {
    let Setup { records, more, .. } = setup;
    let path = |name: &str| -> PathBuf { shared.join(name) };
    let (blobs, key) = (path("blobs"), path("secret.key"));
    let mut instance = Instance::configured(&format!(
        "role = {role:?}\n[log]\nkind = \"kafka\"\n[records]\n{records}\n[blobs]\nfolder = {blobs:?}\n\
         [secrets]\nkey_file = {key:?}\n[state]\nsnapshot_interval_s = 5\n[kafka]\nbrokers = {brokers:?}\n\
         instance = {name:?}\ngroup = {GROUP:?}\nprocesses = {processes}\n{more}"
    ));
    instance.args = vec!["--admin-listen".to_owned(), free_port().to_string()];
    // A transaction that hangs is rare: what was done about it should be known the first time.
    const SAID: &str =
        "info,leadline_connectors::log_kafka::committer=debug,leadline_connectors::log_kafka::hanging=debug";
    instance.env = vec![("LOG_LEVEL", SAID.to_owned())];
    instance
}

/// Senders of post-calls, each call of another caller.
pub struct Senders {
    accepted: Arc<Mutex<BTreeMap<u64, String>>>,
    /// Where they send.
    pub port: Arc<AtomicU16>,
    /// How many calls were not accepted.
    pub refused: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    /// So many send as fast as they are answered, with a pause between.
    pub fn start(port: u16, count: u64, pause: Duration) -> Self {
        Self::start_for(port, count, pause, &[COMPANY.to_owned()])
    }

    /// The same for several companies in turn.
    pub fn start_for(port: u16, count: u64, pause: Duration, companies: &[String]) -> Self {
        let (accepted, stop) = (Arc::<Mutex<BTreeMap<u64, String>>>::default(), Arc::<AtomicBool>::default());
        let (next, refused) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
        let port = Arc::new(AtomicU16::new(port));
        let threads = (0..count).map(|_| {
            let (accepted, next, stop) = (Arc::clone(&accepted), Arc::clone(&next), Arc::clone(&stop));
            let (refused, port) = (Arc::clone(&refused), Arc::clone(&port));
            let companies = companies.to_vec();
            std::thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let n = next.fetch_add(1, Relaxed);
                    let body = call(&companies[n as usize % companies.len()], n);
                    let headers = [("Signature", &*sign(&body))];
                    match post(port.load(Relaxed), "/v1/callrail/webhook/post_call", &headers, &body) {
                        Some((200, _)) => _ = accepted.lock().unwrap().insert(n, body),
                        _ => _ = refused.fetch_add(1, Relaxed),
                    }
                    std::thread::sleep(pause);
                }
            })
        });
        let threads = threads.collect();
        Self { accepted, port, refused, stop, threads }
    }

    /// The bodies that were accepted so far.
    pub fn accepted(&self) -> Vec<String> {
        self.accepted.lock().unwrap().values().cloned().collect()
    }

    /// Ends them; answers the bodies that were accepted.
    pub fn accepted_at_end(self) -> Vec<String> {
        let accepted = Arc::clone(&self.accepted);
        self.finish();
        let accepted = accepted.lock().unwrap();
        accepted.values().cloned().collect()
    }

    /// Ends them; answers the ids of the calls that were accepted.
    pub fn finish(self) -> BTreeSet<String> {
        self.stop.store(true, Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.accepted.lock().unwrap().keys().map(|n| format!("CAL{n:032x}")).collect()
    }
}

/// How long calls are sent: so many seconds, or what `KAFKA_SECONDS` says.
pub fn seconds(usual: u64) -> Duration {
    let asked = std::env::var("KAFKA_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(usual))
}

/// How often each occurs.
pub fn counts<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    all.into_iter().fold(BTreeMap::new(), |mut counts, one| {
        *counts.entry(one).or_default() += 1;
        counts
    })
}
