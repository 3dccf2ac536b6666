//! Newer processes take the place of running ones: one after the other, all at once, with calls that run, and not at all.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leadline_tests::kafka::Cluster;
use leadline_tests::{COMPANY, Instance, Receiver, call, get, post, until};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::{Value, json};

use crate::company::{Company, Senders, admin_port};
use crate::oracle::{check, scored};
use crate::provider::Provider;

const PARTITIONS: u16 = 6;
const WORKERS: usize = 3;
/// A process that handed over listens for 5 s more and waits for calls of at most 30 s.
const END_MAX: Duration = Duration::from_secs(60);
/// Between two steps under load.
const BETWEEN: Duration = Duration::from_secs(2);

/// Replaces workers by standbys that were started already.
pub fn replace(company: &mut Company, standbys: Vec<(usize, Instance)>) {
    for (index, mut standby) in standbys {
        standby.wait_ready();
        let mut old = std::mem::replace(&mut company.workers[index], standby);
        assert!(old.wait_end(END_MAX), "the old worker {index} did not end well: {}", old.log_text());
        let said = company.workers[index].log_text();
        assert!(said.contains("was given what the old process had"), "{said}");
    }
}

/// A standby for a worker.
pub fn started(company: &Company, index: usize) -> (usize, Instance) {
    let mut standby = company.standby(index);
    standby.spawn();
    (index, standby)
}

#[test]
fn rolling_and_blue_green_redeploys_under_load_lose_nothing_and_double_nothing() {
    let Some(cluster) = Cluster::start(1) else { return };
    let receiver = Receiver::start(false);
    let mut company = Company::start(&cluster, PARTITIONS, WORKERS, &["--integration", &receiver.address]);
    let senders = Senders::start(company.webhook.port, 4, Duration::from_millis(10));
    let refused = Arc::clone(&senders.refused);
    until("calls come out", Duration::from_secs(60), || !scored(&company).is_empty());
    for index in 0..WORKERS {
        let standby = started(&company, index);
        replace(&mut company, vec![standby]);
        std::thread::sleep(BETWEEN);
    }
    let standbys = (0..WORKERS).map(|index| started(&company, index)).collect();
    replace(&mut company, standbys);

    // Whoever shares out requests sends them to the new one when it is ready; the old one listens until then.
    let mut webhook = company.standby_of_webhook();
    webhook.start();
    senders.port.store(webhook.port, Relaxed);
    let mut old = std::mem::replace(&mut company.webhook, webhook);
    assert!(old.wait_end(END_MAX), "{}", old.log_text());
    std::thread::sleep(BETWEEN);

    let accepted = senders.finish();
    println!("{} calls accepted over seven redeploys", accepted.len());
    assert!(accepted.len() > 200, "only {} were accepted\n{}", accepted.len(), company.said());
    assert_eq!(refused.load(Relaxed), 0, "no request was refused");
    check(&company, &accepted, Some(&receiver));
    for worker in &mut company.workers {
        worker.terminate();
    }
}

#[test]
fn a_call_that_runs_is_answered_by_the_old_process_and_not_started_twice() {
    let Some(cluster) = Cluster::start(1) else { return };
    let provider = Provider::start();
    let env = [("AI_MODEL_ENDPOINT", provider.address.clone())];
    let tenant = ["--score-provider", "http"];
    let mut company = Company::start_with(&cluster, 2, 1, &tenant, &env);
    assert_eq!(company.webhook.hook(&call(COMPANY, 1)), Some(200));
    until("the provider is asked", Duration::from_secs(30), || provider.seen().len() == 1);

    let mut standby = company.standby(0);
    standby.start();
    let mut old = std::mem::replace(&mut company.workers[0], standby);
    assert_eq!(company.webhook.hook(&call(COMPANY, 2)), Some(200));
    until("the new process asks the provider", Duration::from_secs(30), || provider.seen().len() == 2);
    let still_there = old.process.as_mut().unwrap().try_wait().unwrap().is_none();
    assert!(still_there, "the old process waits for its call: {}", old.log_text());
    provider.open();
    until("both calls are scored", Duration::from_secs(20), || scored(&company).len() == 2);
    assert!(old.wait_end(END_MAX), "{}", old.log_text());
    let seen = provider.seen();
    let keys: BTreeSet<&String> = seen.iter().collect();
    assert_eq!((seen.len(), keys.len()), (2, 2), "no call was made twice: {seen:?}");
    let by: BTreeSet<String> =
        scored(&company).into_values().map(|call| call.score.unwrap().provider).collect();
    assert_eq!(by, BTreeSet::from(["http".to_owned()]), "both answers counted");
    let accepted = [1, 2].map(|n: u64| format!("CAL{n:032x}"));
    check(&company, &accepted.into_iter().collect(), None);
}

/// As a standby asks.
fn take(company: &Company, index: usize) -> (u16, Value) {
    let holding = holding(&company.workers[index]);
    let asking = json!({ "by": "0197a1d2-0000-7000-8000-000000000001", "identity": holding["identity"] });
    let port = admin_port(&company.workers[index]);
    let (status, body) = post(port, "/v1/handover/take", &[], &asking.to_string()).unwrap();
    (status, serde_json::from_str(&body).unwrap())
}

pub fn holding(worker: &Instance) -> Value {
    let (status, body) = get(admin_port(worker), "/v1/handover", "").unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Client ids of the members of the group.
fn members(company: &Company) -> BTreeSet<String> {
    let asked: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &company.brokers).create().unwrap();
    let groups = asked.fetch_group_list(Some("leadline"), Duration::from_secs(10)).unwrap();
    let members = groups.groups().iter().flat_map(|group| group.members());
    members.map(|member| member.client_id().to_owned()).collect()
}

#[test]
fn a_standby_that_dies_before_it_joins_leaves_its_partitions_to_the_others() {
    let Some(cluster) = Cluster::start(1) else { return };
    let mut company = Company::start(&cluster, PARTITIONS, 2, &[]);
    let senders = Senders::start(company.webhook.port, 2, Duration::from_millis(20));
    until("calls come out", Duration::from_secs(60), || scored(&company).len() > 20);
    until("both have their part", Duration::from_secs(60), || {
        let held = |worker| holding(worker)["handed"]["commits"].as_object().map_or(0, |held| held.len());
        company.workers.iter().all(|worker| held(worker) == usize::from(PARTITIONS / 2))
    });
    // One that dies while it follows is nobody's business.
    let mut early = company.standby(0);
    early.spawn();
    until("it stands by", Duration::from_secs(30), || early.log_text().contains("phase=Restoring"));
    early.kill();

    let before = holding(&company.workers[0]);
    let (status, given) = take(&company, 0);
    assert_eq!(status, 200, "{given}");
    assert_eq!(take(&company, 0), (200, given.clone()), "who asks again is told the same");
    let partitions =
        |holding: &Value| holding["handed"]["commits"].as_object().unwrap().keys().cloned().collect();
    let (had, got): (BTreeSet<String>, BTreeSet<String>) = (partitions(&before), partitions(&given));
    assert!(!had.is_empty() && had == got, "{before} {given}");
    assert_eq!(given["producers"], json!(["leadline/worker-0/0", "leadline/worker-0/1"]), "{given}");
    let left = members(&company);
    assert!(left.contains("leadline-worker-0-group"), "it has not left its group: {left:?}");

    let mut other = json!({ "by": "0197a1d2-0000-7000-8000-000000000002", "identity": before["identity"] });
    let port = admin_port(&company.workers[0]);
    let (status, why) = post(port, "/v1/handover/take", &[], &other.to_string()).unwrap();
    assert_eq!(status, 409, "{why}");
    other["by"] = json!("no id");
    let (status, _) = post(port, "/v1/handover/take", &[], &other.to_string()).unwrap();
    assert!((400..500).contains(&status), "{status}");

    until("the other worker has all partitions", Duration::from_secs(60), || {
        holding(&company.workers[1])["handed"]["commits"].as_object().unwrap().len()
            == usize::from(PARTITIONS)
    });
    let accepted = senders.finish();
    check(&company, &accepted, None);
    company.workers[0].terminate();
    company.workers[1].terminate();
}

/// Answers every GET with this; notes the methods.
fn fake_admin(answer: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let methods = Arc::<Mutex<Vec<String>>>::default();
    let noted = Arc::clone(&methods);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4_096];
            let read = stream.read(&mut head).unwrap_or(0);
            let method =
                String::from_utf8_lossy(&head[..read]).split(' ').next().unwrap_or_default().to_owned();
            noted.lock().unwrap().push(method);
            let length = answer.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}"
            );
        }
    });
    (url, methods)
}

/// What a standby says that does not become one.
fn refusal(standby: &mut Instance) -> String {
    let done = standby.command().stderr(Stdio::piped()).output().unwrap();
    let why = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success(), "{why}");
    why
}

#[test]
fn what_cannot_be_taken_over_is_refused_in_words_before_anything_is_taken() {
    let Some(cluster) = Cluster::start(1) else { return };
    let mut company = Company::start(&cluster, 2, 1, &[]);
    let mut future = holding(&company.workers[0]);
    let (_, table) = future["tables"].as_object_mut().unwrap().iter_mut().next().unwrap();
    table[1]["version"] = json!(200);
    let (url, methods) = fake_admin(future.to_string());
    let mut standby = company.standby(0);
    *standby.args.last_mut().unwrap() = url;
    let why = refusal(&mut standby);
    assert!(why.contains("cannot be read by this binary") && why.contains("version 200"), "{why}");
    assert_eq!(*methods.lock().unwrap(), ["GET"], "nothing was taken");

    let mut stranger = company.standby_of_webhook();
    *stranger.args.last_mut().unwrap() = format!("http://127.0.0.1:{}", admin_port(&company.workers[0]));
    let why = refusal(&mut stranger);
    assert!(why.contains("give both the same kafka.instance"), "{why}");

    let mut lost = company.standby(0);
    *lost.args.last_mut().unwrap() = format!("http://127.0.0.1:{}", leadline_tests::free_port());
    let why = refusal(&mut lost);
    assert!(why.contains("nobody answers") && why.contains("admin.listen"), "{why}");

    let mut alone = Instance::new();
    alone.args.extend(["--standby".to_owned(), "http://127.0.0.1:1".to_owned()]);
    let why = refusal(&mut alone);
    assert!(why.contains("--standby needs --log kafka"), "{why}");

    let worker = &mut company.workers[0];
    let token = worker.data.path().join("admin.token");
    std::fs::write(&token, "a secret\n").unwrap();
    let config = worker.data.path().join("leadline.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    worker.terminate();
    std::fs::write(&config, format!("{text}[admin]\ntoken_file = {token:?}\n")).unwrap();
    worker.start();
    let asked = |shown: &str| get(admin_port(worker), "/v1/handover", shown).unwrap().0;
    assert_eq!((asked("another"), asked("a secret")), (401, 200));
    worker.terminate();
}
