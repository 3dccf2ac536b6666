//! deliveries: what a thousand tenants' integrations get when a tenth of them fails, beside a run in which none does.
//!
//! A tenth of the integrations is the same in both runs; in one it answers at once, in the other a third of it refuses
//! connections, a third answers 500, and a third never answers. What counts is when the other nine tenths have everything.
//!
//! Then missed calls to a channel of Slack that takes a message a second: one a second, and bursts; each counts from the
//! webhook that proves it to the message that tells of it, alone or with others.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use leadline::control::{Ask, ask_running};
use leadline::integrations::{IntegrationSpec, IntegrationStep};
use serde_json::{Value, json};

use crate::arguments::numbers;
use crate::instance::{Client, Instance, START_MAX, folder};
use crate::load::{self, Plan};
use crate::payload::{Events, Request, now};
use crate::process::cpu_s;
use crate::stats::{median, ms, percentile, sorted};

const TENANTS: usize = 1_000;
const INTEGRATIONS: usize = 3;
/// One integration in so many fails.
const FAILING_OF: usize = 10;
const CONNECTIONS: usize = 16;
const BODY_BYTES: usize = 1_024;
/// Deliveries that take longer are lost.
const DELIVERY_MAX: Duration = Duration::from_secs(300);
/// Between two looks whether all is there.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Calls of a burst: as many as a tenant has under way at once.
const BURST: u64 = 8;
/// Between bursts: the channel has rest.
const BURST_EVERY: Duration = Duration::from_secs(5);
/// What the issue asks.
const AIM_MS: f64 = 5_000.0;

/// What the receiver has heard.
#[derive(Default)]
struct Heard {
    healthy: AtomicUsize,
    /// When a message first named a caller, by the last digits of the number.
    callers: Mutex<HashMap<u64, Instant>>,
}

/// Runs it: `--rounds 5 --events 10000 --calls 60`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [rounds, events, calls] = numbers(args, [("rounds", 5), ("events", 10_000), ("calls", 60)])?;
    let heard = Arc::new(Heard::default());
    let address = receiver(Arc::clone(&heard))?;
    println!(
        "{rounds} interleaved pairs of {events} events; {TENANTS} tenants with {INTEGRATIONS} integrations each"
    );
    let mut ratios = Vec::new();
    let mut healthy_runs = Vec::new();
    for round in 1..=rounds {
        let healthy = measure(address, &heard, events, false)?;
        let failing = measure(address, &heard, events, true)?;
        ratios.push(failing.per_s / healthy.per_s);
        println!(
            "round {round}: nobody fails {:.0}/s ({:.0}/s and core), a tenth fails {:.0}/s: {:.2}",
            healthy.per_s,
            healthy.per_core_s,
            failing.per_s,
            failing.per_s / healthy.per_s
        );
        healthy_runs.push(healthy);
    }
    println!(
        "healthy integrations get {:.2} of what they get when nobody fails (median; the aim is 0.95)",
        median(ratios)
    );
    println!("{:.0} deliveries/s and core (median)", median(healthy_runs.iter().map(|one| one.per_core_s)));
    let (steady, bursts) = slack(address, &heard, calls)?;
    for (what, latencies) in [("one a second", steady), ("bursts of 8", bursts)] {
        println!(
            "missed call to Slack, {what}: p50 {:.0} ms, p99 {:.0} ms (the aim is {AIM_MS:.0})",
            percentile(&latencies, 0.5),
            percentile(&latencies, 0.99)
        );
    }
    Ok(())
}

/// One run.
struct Sample {
    per_s: f64,
    per_core_s: f64,
}

/// Whether an integration is one of the tenth.
fn is_of_the_tenth(tenant: usize, which: usize) -> bool {
    (tenant * INTEGRATIONS + which).is_multiple_of(FAILING_OF)
}

fn url_of(address: SocketAddr, tenant: usize, which: usize, fails: bool) -> String {
    let number = tenant * INTEGRATIONS + which;
    match (is_of_the_tenth(tenant, which), fails, (number / FAILING_OF) % 3) {
        (false, ..) => format!("http://{address}/healthy/{number}"),
        (true, false, _) => format!("http://{address}/tenth/{number}"),
        (true, true, 0) => format!("http://127.0.0.1:1/{number}"),
        (true, true, 1) => format!("http://{address}/refuses/{number}"),
        (true, true, _) => format!("http://{address}/hangs/{number}"),
    }
}

fn measure(address: SocketAddr, heard: &Heard, events: u64, fails: bool) -> Result<Sample> {
    let data = folder()?;
    let instance = Instance::start("all", data.path())?;
    let count = std::cell::Cell::new(0);
    instance.add_tenants(TENANTS, |spec| {
        let tenant = count.replace(count.get() + 1);
        spec.integrations = (0..INTEGRATIONS).map(|which| url_of(address, tenant, which, fails)).collect();
        spec.band_min = Some("cold".to_owned());
    })?;
    instance.settle(START_MAX)?;
    let request = Request::post_call(BODY_BYTES, TENANTS, &now()?)?;
    let signed = Events::sign(&request, 0, events)?;
    let wanted: usize = (0..events)
        .map(|number| {
            let tenant = usize::try_from(number).unwrap_or_default() % TENANTS;
            (0..INTEGRATIONS).filter(|which| !is_of_the_tenth(tenant, *which)).count()
        })
        .sum();
    heard.healthy.store(0, Ordering::Relaxed);
    let (cpu_before, started) = (cpu_s(instance.pid())?, Instant::now());
    let plan = Plan { warm_up: Duration::ZERO, measure: None, begins: &mut || Ok(()) };
    let answers = load::run(instance.address, CONNECTIONS, &request, &signed, plan)?;
    ensure!(answers.refused == 0, "{} webhooks were refused: {:?}", answers.refused, answers.refusal);
    while heard.healthy.load(Ordering::Relaxed) < wanted {
        let got = heard.healthy.load(Ordering::Relaxed);
        ensure!(started.elapsed() < DELIVERY_MAX, "{got} of {wanted} deliveries after {DELIVERY_MAX:?}");
        std::thread::sleep(LOOK_EVERY);
    }
    let (time_s, cores_s) = (started.elapsed().as_secs_f64(), cpu_s(instance.pid())? - cpu_before);
    Ok(Sample { per_s: wanted as f64 / time_s, per_core_s: wanted as f64 / cores_s })
}

/// Latencies in ms of missed calls, one a second and in bursts.
fn slack(address: SocketAddr, heard: &Heard, calls: u64) -> Result<(Vec<f64>, Vec<f64>)> {
    let data = folder()?;
    let instance = Instance::start("all", data.path())?;
    instance.add_tenants(1, |_| ())?;
    let spec = IntegrationSpec {
        id: "sales".to_owned(),
        kind: Some("slack".to_owned()),
        url: Some(format!("http://{address}/slack")),
        secret: Some("xoxb-bench".to_owned()),
        band_min: Some("hot".to_owned()),
        options: [("channel".to_owned(), "C0BENCH".to_owned())].into_iter().collect(),
        ..IntegrationSpec::default()
    };
    let step = Box::new(IntegrationStep::Put { spec });
    let ask = Ask::Integrations { tenant: "bench-0".to_owned(), step };
    ask_running(&data.path().join("control.sock"), &ask)?.context("leadline has no control socket")?;
    instance.settle(START_MAX)?;
    let mut request = Request::missed_call(BODY_BYTES, 1, &now()?)?;
    let signed = Events::sign(&request, 0, 2 * calls)?;
    let mut client = Client::open(instance.address)?;
    let mut phase = |numbers: std::ops::Range<u64>, burst: u64, every: Duration| {
        let mut due = HashMap::new();
        let mut next = Instant::now();
        for number in numbers {
            if number.is_multiple_of(burst) {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                next += every;
            }
            due.insert(number, Instant::now());
            let (status, body) = client.send(request.of(&signed, number).context("it is signed")?)?;
            ensure!(status == 200, "a webhook was answered {status} {body}");
        }
        latencies(heard, &due)
    };
    Ok((phase(0..calls, 1, Duration::from_secs(1))?, phase(calls..2 * calls, BURST, BURST_EVERY)?))
}

/// Waits until all callers were told of.
fn latencies(heard: &Heard, due: &HashMap<u64, Instant>) -> Result<Vec<f64>> {
    let started = Instant::now();
    loop {
        let told = heard.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<f64> =
            due.iter().filter_map(|(number, due)| Some(ms(*told.get(number)? - *due))).collect();
        drop(told);
        if found.len() == due.len() {
            return Ok(sorted(found));
        }
        ensure!(
            started.elapsed() < DELIVERY_MAX,
            "{} of {} missed calls were told of",
            found.len(),
            due.len()
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Starts the receiver, on a thread of its own.
fn receiver(heard: Arc<Heard>) -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/healthy/{number}", post(healthy))
        .route("/tenth/{number}", post(|| async { StatusCode::OK }))
        .route("/refuses/{number}", post(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/hangs/{number}", post(std::future::pending::<StatusCode>))
        .route("/slack/chat.postMessage", post(message))
        .with_state(heard);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("receiver".to_owned()).spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router).await
        })
    })?;
    Ok(address)
}

async fn healthy(State(heard): State<Arc<Heard>>) -> StatusCode {
    heard.healthy.fetch_add(1, Ordering::Relaxed);
    StatusCode::OK
}

/// A message of Slack's: notes every caller that it names.
async fn message(State(heard): State<Arc<Heard>>, body: Bytes) -> axum::Json<Value> {
    let now = Instant::now();
    let text = String::from_utf8_lossy(&body);
    let mut callers = heard.callers.lock().unwrap_or_else(PoisonError::into_inner);
    for part in text.split("tel:+1303").skip(1) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        if let Ok(number) = digits.parse() {
            callers.entry(number).or_insert(now);
        }
    }
    axum::Json(json!({"ok": true, "channel": "C0BENCH", "ts": format!("{}.0", callers.len())}))
}
