//! Several processes write one record store, and each answers from it: what was accepted is there once, as it was last,
//! whoever has written it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use leadline_tests::cassandra::{Cassandra, USER};
use leadline_tests::kafka::Cluster;
use leadline_tests::{Instance, binary, call, get, post, until, within};
use serde_json::{Value, json};

use crate::company::{Company, Senders, seconds};
use crate::redeploy::holding;

const PARTITIONS: u16 = 6;
const WORKERS: usize = 3;
/// So many that most partitions have one.
const CUSTOMERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than the session's time-out of 6 s: others take over meanwhile.
const FROZEN: Duration = Duration::from_secs(7);
/// How long calls are sent before anything happens.
const UNDISTURBED_S: u64 = 3;

/// A tenant whose calls are sent.
struct Customer {
    name: String,
    company: String,
    token: String,
}

impl Customer {
    fn add(company: &Company, number: usize) -> Self {
        let (name, id) = (format!("customer-{number}"), format!("COM{number:032x}"));
        let token = company.webhook.tenant(&name, &id, &[]);
        Self { name, company: id, token }
    }

    /// What a process shows of a list, by the field that tells its rows apart; none when it does not answer now.
    fn list(&self, process: &Instance, what: &str, key: &str) -> Option<BTreeMap<String, Value>> {
        let (mut rows, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let mark = if what.contains('?') { '&' } else { '?' };
            let path = format!("/v1/tenants/{}/{what}{mark}limit=200{cursor}", self.name);
            let (status, body) = get(process.port, &path, &self.token)?;
            let page: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
            for row in page["items"].as_array()? {
                let twice = rows.insert(row[key].as_str()?.to_owned(), row.clone());
                assert!(twice.is_none(), "{what} of {} show a row twice: {row}", self.name);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(rows),
            }
        }
    }
}

/// Calls of all customers, and how long each was when it was last told.
struct Told {
    customers: Vec<Customer>,
    /// By company, then call.
    durations: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Told {
    fn add(company: &Company) -> Self {
        let customers = (0..CUSTOMERS).map(|number| Customer::add(company, number)).collect();
        Self { customers, durations: BTreeMap::new() }
    }

    fn send(&self, company: &Company) -> Senders {
        let companies: Vec<String> = self.customers.iter().map(|one| one.company.clone()).collect();
        Senders::start_for(company.webhook.port, 2, Duration::from_millis(60), &companies)
    }

    fn note(&mut self, body: &str) {
        let body: Value = serde_json::from_str(body).unwrap();
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        let of_company = self.durations.entry(text("company_resource_id")).or_default();
        of_company.insert(text("resource_id"), text("duration").parse().unwrap());
    }

    /// Calls turn out longer, and to be about something else, or not: so they go to other places in lists.
    fn tell_again(&mut self, company: &Company, bodies: &[String], duration: i64, is_wrong_number: bool) {
        for body in bodies {
            let mut changed: Value = serde_json::from_str(body).unwrap();
            changed["duration"] = json!(duration.to_string());
            if is_wrong_number {
                changed["transcription"] = json!("Agent: Summit Kitchens. Caller: Sorry, wrong number.");
            }
            let changed = changed.to_string();
            assert_eq!(company.webhook.hook(&changed), Some(200));
            self.note(&changed);
        }
    }

    /// Whether a process shows every call as it was last told, and one lead of each.
    fn is_shown_by(&self, process: &Instance) -> bool {
        self.customers.iter().all(|customer| {
            let Some(wanted) = self.durations.get(&customer.company) else { return true };
            let calls = customer.list(process, "calls", "call_id").unwrap_or_default();
            let found: BTreeMap<String, i64> = calls
                .iter()
                .map(|(id, call)| (id.clone(), call["duration_s"].as_i64().unwrap_or(-1)))
                .collect();
            let requests = customer.list(process, "requests", "request_id").unwrap_or_default();
            let leads = customer.list(process, "leads", "lead_id").unwrap_or_default();
            found == *wanted
                && leads.len() == wanted.len()
                && calls.values().all(|call| !call["score"].is_null() && !call["lead_id"].is_null())
                && requests.values().all(|request| request["status"] == "done")
        })
    }

    /// What was told again lies elsewhere in lists, or they have proved nothing.
    fn some_moved(&self, process: &Instance) {
        let calls = |one: &Customer| one.list(process, "calls", "call_id").unwrap();
        let calls: Vec<Value> = self.customers.iter().flat_map(|one| calls(one).into_values()).collect();
        let bands: BTreeSet<&str> = calls.iter().filter_map(|call| call["score"]["band"].as_str()).collect();
        assert!(bands.len() > 1, "{bands:?} of {} calls, such as {:?}", calls.len(), calls.first());
    }

    /// Lists by band and by status have each row of the whole list once, in its place.
    fn lists_agree(&self, process: &Instance) {
        for customer in &self.customers {
            for (list, key, field, values) in [
                ("calls", "call_id", "band", &["hot", "warm", "nurture", "cold"][..]),
                ("leads", "lead_id", "band", &["hot", "warm", "nurture", "cold"][..]),
                ("requests", "request_id", "status", &["processing", "done", "duplicate", "failed"][..]),
            ] {
                let whole = customer.list(process, list, key).unwrap();
                let mut parts = BTreeMap::new();
                for value in values {
                    let part = customer.list(process, &format!("{list}?{field}={value}"), key);
                    for (id, row) in part.unwrap_or_default() {
                        assert!(parts.insert(id.clone(), row).is_none(), "{id} is in two lists of {list}");
                    }
                }
                assert!(parts == whole, "{list} of {} by {field}: {parts:?} not {whole:?}", customer.name);
            }
        }
    }
}

/// What `db verify` finds in the folder of a stopped process: nothing, in so many records; and that the store stands at
/// the newest commit of each partition.
fn has_everything(stopped: &Instance, count_min: usize) {
    let done = stopped.cli(&["db", "verify", "--json"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let found: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert!(done.status.success() && found["differ"] == 0, "{found:#} {said}");
    assert!(found["records"].as_u64().unwrap() >= count_min as u64, "{found}");
    assert_eq!(found["behind"], 0, "{found}");
}

fn done(process: &Instance, args: &[&str]) -> String {
    let output = process.cli(args);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

/// A request that one process has taken and another works on is waited for where it was asked.
fn each_process_waits_for_its_requests(company: &Company, told: &Told) {
    for (worker, customer) in company.workers.iter().zip(&told.customers) {
        let bearer = format!("Bearer {}", customer.token);
        let caller = format!("+1720555{:04}", worker.port % 10_000);
        let words = "We own our home in Denver and need a new kitchen, our budget is sixty thousand dollars.";
        let said = json!([{ "speaker": "caller", "text": words }]);
        let body = json!({ "transcript": said, "caller": { "phone": caller } });
        let path = format!("/v1/tenants/{}/process", customer.name);
        let (status, answer) =
            post(worker.port, &path, &[("Authorization", &*bearer)], &body.to_string()).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(status == 200 && answer["request"]["status"] == "done", "{status} {answer}");
    }
}

/// Waits until each partition has one owner, and each worker some.
fn each_has_its_part(company: &Company) {
    until("each worker has its part", PATIENCE, || {
        let held = |worker| holding(worker)["handed"]["commits"].as_object().map_or(0, |held| held.len());
        let parts: Vec<usize> = company.workers.iter().map(held).collect();
        parts.iter().all(|part| *part > 0) && parts.iter().sum::<usize>() == usize::from(PARTITIONS)
    });
}

/// Waits until all processes show the same, and that it is right.
fn all_show_what_was_told(company: &Company, told: &Told) {
    let shown = within(PATIENCE, || company.workers.iter().all(|worker| told.is_shown_by(worker)));
    assert!(shown, "{}", company.said());
    company.workers.iter().for_each(|worker| told.lists_agree(worker));
}

#[test]
fn records_in_cassandra_are_whole_after_a_kill_and_a_freeze_and_are_filled_anew_from_the_topics() {
    let (cluster, server) = std::thread::scope(|threads| {
        let server = threads.spawn(Cassandra::start);
        (Cluster::start(1), server.join().unwrap())
    });
    let (Some(cluster), Some(server)) = (cluster, server) else { return };
    let password = server.certificate().with_file_name("password");
    std::fs::write(&password, USER.1).unwrap();
    let records = |keyspace: &str| {
        format!(
            "store = \"cassandra\"\n[cassandra]\ncontact_points = \"{}\"\nkeyspace = \"{keyspace}\"\nreplication = 1\n\
             user = \"{}\"\npassword_file = {password:?}",
            server.contact_point(),
            USER.0
        )
    };
    let mut company = Company::sharing(&cluster, PARTITIONS, WORKERS, &records("first"));
    let mut told = Told::add(&company);
    let senders = told.send(&company);
    std::thread::sleep(seconds(UNDISTURBED_S));
    let early = senders.accepted();

    // Others write on what it has written, and it comes back to what they have.
    company.workers[0].kill();
    let refused = verify_while_workers_run(&company);
    a_file_of_its_own_is_refused(&company);
    until("they have its partitions", PATIENCE, || {
        told.customers.iter().all(|customer| {
            let calls = customer.list(&company.workers[1], "calls", "call_id").unwrap_or_default();
            senders.accepted().len() > early.len() && !calls.is_empty()
        })
    });
    told.tell_again(&company, &early, 500, true);
    company.workers[0].start();
    each_has_its_part(&company);
    // One that wakes up still knows where records were.
    company.workers[1].signal("-STOP");
    std::thread::sleep(FROZEN);
    told.tell_again(&company, &early, 600, false);
    company.workers[1].signal("-CONT");
    each_has_its_part(&company);
    told.tell_again(&company, &early[..early.len() / 2], 700, true);
    let why = refused.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&why.stderr).into_owned();
    assert!(why.contains("workers are running") && why.contains("worker-2"), "{why}");

    let changed: BTreeSet<String> = early.iter().cloned().collect();
    let accepted = senders.accepted_at_end();
    accepted.iter().filter(|body| !changed.contains(*body)).for_each(|body| told.note(body));
    println!("{} calls accepted, {} of them changed twice or more", accepted.len(), early.len());
    assert!(early.len() > 30 && accepted.len() > early.len(), "{}", company.said());
    all_show_what_was_told(&company, &told);
    told.some_moved(&company.workers[0]);
    each_process_waits_for_its_requests(&company, &told);
    assert!(done(&company.workers[2], &["dlq", "list"]).contains("0 dead letters"));
    company.workers.iter_mut().for_each(|worker| _ = worker.terminate());

    let stopped = &company.workers[0];
    has_everything(stopped, accepted.len() * 4);
    let config = stopped.data.path().join("leadline.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"first\"", "\"second\"")).unwrap();
    done(stopped, &["db", "apply"]);
    let missing = stopped.cli(&["db", "verify", "--json"]);
    assert!(!missing.status.success(), "an empty keyspace has nothing");
    assert!(done(stopped, &["db", "rebuild", "--from-log"]).contains("keyspace second"));
    has_everything(stopped, accepted.len() * 4);
    let again = stopped.cli(&["db", "rebuild", "--from-log"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"));
    // What works on goes on with it.
    company.workers[0].start();
    assert_eq!(company.webhook.hook(&call(&told.customers[0].company, 999_999)), Some(200));
    let longer = told.durations.values().map(BTreeMap::len).sum::<usize>();
    until("the call behind the rebuild", PATIENCE, || {
        let calls = |one: &Customer| one.list(&company.workers[0], "calls", "call_id").unwrap_or_default();
        // The requests that were waited for are contacts of their own.
        told.customers.iter().map(|one| calls(one).len()).sum::<usize>() == longer + WORKERS + 1
    });
}

/// One that would keep what it gets in a file of its own does not start beside others.
fn a_file_of_its_own_is_refused(company: &Company) {
    let stranger = company.with_a_file();
    let refused = stranger.command().output().unwrap();
    let why = stranger.log_text();
    assert!(!refused.status.success() && why.contains("worker-2") && why.contains("sqlite"), "{why}");
}

/// Begins to verify; it is to be refused, when it has waited as long as a session lasts.
fn verify_while_workers_run(company: &Company) -> std::process::Child {
    let data = company.webhook.data.path();
    let mut command = Command::new(binary());
    command.args(["db", "verify", "--data"]).arg(data).arg("--config").arg(data.join("leadline.toml"));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[cfg(feature = "spanner")]
#[test]
fn records_in_spanner_are_whole_after_standbys_and_another_layout_while_commits_are_lost() {
    use leadline_tests::spanner::{Lost, SpannerFront};

    use crate::redeploy::{replace, started};

    let (Some(cluster), Some(front)) = (Cluster::start(1), SpannerFront::start()) else { return };
    let records = format!(
        "store = \"spanner\"\n[google]\nproject = \"test-project\"\nspanner_endpoint = \"{}\"\n\
         spanner_staleness_ms = 0",
        front.host()
    );
    let mut company = Company::sharing(&cluster, PARTITIONS, WORKERS, &records);
    let mut told = Told::add(&company);
    let senders = told.send(&company);
    std::thread::sleep(seconds(UNDISTURBED_S));
    let early = senders.accepted();
    for index in 0..WORKERS {
        front.faults().abort_commits(2);
        front.faults().lose_answers(1, Lost::Gone);
        let standby = started(&company, index);
        told.tell_again(&company, &early, [500, 600, 700][index], index % 2 == 0);
        replace(&mut company, vec![standby]);
    }
    // The rows go to another layout, and the store with them.
    company.expect_layout(2, 2 * PARTITIONS);
    let partitions = (2 * PARTITIONS).to_string();
    let applied = company.layout("apply", &["--partitions", &partitions]).output().unwrap();
    let said = String::from_utf8_lossy(&[applied.stdout, applied.stderr].concat()).into_owned();
    assert!(said.contains("layout 2 is in use"), "{said}\n{}", company.said());
    told.tell_again(&company, &early[..early.len() / 2], 800, false);
    let changed: BTreeSet<String> = early.iter().cloned().collect();
    let accepted = senders.accepted_at_end();
    accepted.iter().filter(|body| !changed.contains(*body)).for_each(|body| told.note(body));
    println!("{} calls accepted, {} of them changed three times or four", accepted.len(), early.len());
    all_show_what_was_told(&company, &told);
    told.some_moved(&company.workers[0]);
    each_process_waits_for_its_requests(&company, &told);
    company.workers.iter_mut().for_each(|worker| _ = worker.terminate());
    let stopped = &company.workers[0];
    has_everything(stopped, accepted.len() * 4);
    let config = stopped.data.path().join("leadline.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let elsewhere =
        text.replace("spanner_staleness_ms", "spanner_database = \"second\"\nspanner_staleness_ms");
    std::fs::write(&config, elsewhere).unwrap();
    done(stopped, &["db", "apply"]);
    assert!(done(stopped, &["db", "rebuild", "--from-log"]).contains("database second"));
    has_everything(stopped, accepted.len() * 4);
}
