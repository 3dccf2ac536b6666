//! restart: how long a start takes with a million ids in the state of dedupe.
//!
//! The ids come in as webhooks. The time to the first commit is taken from outside: from the start of the process until
//! the record of a webhook, sent as soon as it is taken, can be read; so the commit was before that.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::arguments::numbers;
use crate::instance::{Client, Instance, folder};
use crate::load::{self, Plan};
use crate::payload::{Events, Request, call_id, now};
use crate::process::{cpu_s, memory};
use crate::stats::{median, ms};

const CONNECTIONS: usize = 64;
const TENANTS: usize = 16;
/// The smallest post-call: what is measured is ids, not words.
const BODY_BYTES: usize = 640;
/// How long the dataflow may take to work the events off.
const WORK_MAX: Duration = Duration::from_secs(3_600);
/// A first commit that takes longer has failed.
const COMMIT_MAX: Duration = Duration::from_secs(60);
/// Between two looks for the record.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// One restart.
struct Restart {
    ready_ms: f64,
    commit_ms: f64,
    peak_mb: f64,
}

/// Runs it: `--ids 1000000 --restarts 3` after a stop and after a kill each.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [ids, restarts] = numbers(args, [("ids", 1_000_000), ("restarts", 3)])?;
    let data = folder()?;
    let request = Request::post_call(BODY_BYTES, TENANTS, &now()?)?;
    let (mut instance, tokens) = load_ids(data.path(), &request, ids)?;
    let mut next = ids;
    for stops in [true, false] {
        let mut all = Vec::new();
        for _ in 0..restarts {
            match stops {
                true => instance.terminate()?,
                false => drop(instance), // SIGKILL
            }
            let restarted;
            (instance, restarted) = restart(data.path(), &request, next, &tokens)?;
            next += 1;
            all.push(restarted);
        }
        let of = |value: fn(&Restart) -> f64| median(all.iter().map(value));
        println!(
            "after {}: ready in {:.0} ms, first commit in {:.0} ms, {:.0} MB resident at most (medians of {restarts})",
            if stops { "SIGTERM" } else { "SIGKILL" },
            of(|restart| restart.ready_ms),
            of(|restart| restart.commit_ms),
            of(|restart| restart.peak_mb),
        );
    }
    Ok(())
}

/// Takes in so many distinct calls and works them off; answers the instance and its tenants' tokens.
fn load_ids(data: &Path, request: &Request, ids: u64) -> Result<(Instance, Vec<String>)> {
    let instance = Instance::start("all", data)?;
    let tokens = instance.add_tenants(TENANTS, |_| {})?;
    let events = Events::sign(request, 0, ids)?;
    let started = Instant::now();
    let plan = Plan { warm_up: Duration::ZERO, measure: None, begins: &mut || Ok(()) };
    let answers = load::run(instance.address, CONNECTIONS, request, &events, plan)?;
    ensure!(answers.refused == 0, "{} requests were refused: {:?}", answers.refused, answers.refusal);
    let taken = started.elapsed();
    instance.settle(WORK_MAX)?;
    let (worked, memory) = (started.elapsed(), memory(instance.pid())?);
    println!(
        "{ids} distinct ids taken in {:.0} s, worked off in {:.0} s with {:.0} CPU s; resident {:.0} MB, {:.0} MB at most",
        taken.as_secs_f64(),
        worked.as_secs_f64(),
        cpu_s(instance.pid())?,
        memory.resident_mb,
        memory.peak_mb
    );
    Ok((instance, tokens))
}

/// Starts on what is there and waits for the record of event `number`; then checks that an old id is still known.
fn restart(data: &Path, request: &Request, number: u64, tokens: &[String]) -> Result<(Instance, Restart)> {
    let events = Events::sign(request, number, 1)?;
    let started = Instant::now();
    let instance = Instance::start("all", data)?;
    let mut client = Client::open(instance.address)?;
    send(&mut client, request, &events, number)?;
    let tenant = usize::try_from(number)? % TENANTS;
    let token = tokens.get(tenant).context("each tenant has a token")?;
    let path = format!("/v1/tenants/bench-{tenant}/calls/{}", call_id(number));
    while client.get(&path, token)?.0 != 200 {
        ensure!(started.elapsed() < COMMIT_MAX, "there was no {path} after {COMMIT_MAX:?}");
        std::thread::sleep(LOOK_EVERY);
    }
    let commit_ms = ms(started.elapsed());
    check_duplicate(&mut client, request, tokens)?;
    let restart =
        Restart { ready_ms: ms(instance.ready_after), commit_ms, peak_mb: memory(instance.pid())?.peak_mb };
    Ok((instance, restart))
}

/// Sends an event; answers its request's id.
fn send(client: &mut Client, request: &Request, events: &Events, number: u64) -> Result<String> {
    let mut request = request.clone();
    let (status, body) = client.send(request.of(events, number).context("the event is signed")?)?;
    ensure!(status == 200, "a webhook was answered by {status}: {body}");
    let answer: serde_json::Value = serde_json::from_str(&body)?;
    Ok(answer.get("request_id").and_then(|id| id.as_str()).unwrap_or_default().to_owned())
}

/// The first event of all must be a duplicate.
fn check_duplicate(client: &mut Client, request: &Request, tokens: &[String]) -> Result<()> {
    let id = send(client, request, &Events::sign(request, 0, 1)?, 0)?;
    let token = tokens.first().context("each tenant has a token")?;
    let path = format!("/v1/tenants/bench-0/requests/{id}");
    let started = Instant::now();
    loop {
        let (status, body) = client.get(&path, token)?;
        if status == 200 {
            let row: serde_json::Value = serde_json::from_str(&body)?;
            let found = row.get("status").and_then(|status| status.as_str()).unwrap_or_default();
            ensure!(found == "duplicate", "an id from before the restart was taken as new: {body}");
            return Ok(());
        }
        ensure!(started.elapsed() < COMMIT_MAX, "there was no {path} after {COMMIT_MAX:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}
