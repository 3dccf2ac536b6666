//! calls: thousands of jobs that wait for a slow model, hundreds of them in flight: what each costs, whether anything
//! else waits for them, and whether a tenant that submits nearly all of them leaves the others their turn.
//!
//! Beside it an instance that does the same with the built-in rules: what its events cost is no cost of jobs. What the jobs
//! alone take is seen once both have been stopped and started again: then what events have left in memory is gone from both,
//! and all that is different is that the jobs of one of them wait.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::arguments::numbers;
use crate::instance::{Client, Instance, START_MAX, folder, get};
use crate::load::{self, Plan};
use crate::model::Model;
use crate::payload::{Events, Request, call_id, now};
use crate::process::memory;
use crate::stats::{median, ms, percentile, sorted};

/// Tenants that submit jobs; the first of them submits nine tenths.
const TENANTS: usize = 1_000;
/// The tenant whose calls are scored by the rules: nothing of it waits for the model.
const PROBE: u64 = 1_000;
/// Calls of the probe in one half of a pair: all pairs are over before the other tenants have their answers, and the greedy one
/// alone may not have all that may be in flight.
const PROBES: u64 = 400;
const PAIRS: u64 = 5;
const BODY_BYTES: usize = 1_024;
const CONNECTIONS: usize = 16;
/// A record that takes longer is lost.
const RECORD_MAX: Duration = Duration::from_secs(30);
/// Where the numbers of the others' calls, and of the probe's, begin.
const OTHERS_FROM: u64 = 10_000_000;
const PROBES_FROM: u64 = 20_000_000;

/// An instance and what its tenants' tokens are.
struct Side {
    instance: Instance,
    tokens: Vec<String>,
    probed: u64,
}

/// Runs it: `--jobs 10000 --seconds 5 --in-flight 500`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [jobs, seconds, in_flight] = numbers(args, [("jobs", 10_000), ("seconds", 5), ("in-flight", 500)])?;
    let (data, beside) = (folder()?, folder()?);
    let certificate = data.path().join("model.pem");
    let model = Model::start(Duration::from_secs(seconds), &certificate)?;
    let start = |calls_max: u64| {
        let config =
            format!("[ai]\nendpoint = \"{}\"\ncalls_max = {calls_max}\nanswers_kept_days = 0\n", model.url());
        std::fs::write(data.path().join("leadline.toml"), config)?;
        Instance::start_env("all", data.path(), &[], &[("SSL_CERT_FILE", certificate.as_path())])
    };
    // One in flight: the others wait for as long as is looked at them.
    let mut asking = Side::start(start(1)?, Some("http"))?;
    let mut alone = Side::start(Instance::start("all", beside.path())?, None)?;
    let others = TENANTS as u64 - 1;
    println!(
        "{} jobs of one tenant, then one of each of {others} others; a model that takes {seconds} s",
        jobs.saturating_sub(others)
    );
    let event_kib = [asking.take_in(jobs, others)?, alone.take_in(jobs, others)?];
    asking = asking.restart(|| start(1))?;
    alone = alone.restart(|| Instance::start("all", beside.path()))?;
    asking.instance.settle(START_MAX)?;
    alone.instance.settle(START_MAX)?;
    waiting(&model, jobs, event_kib, asking.resident_mb()?, alone.resident_mb()?);

    let mut began = Instant::now();
    asking = asking.restart(|| {
        began = Instant::now();
        start(in_flight)
    })?;
    flying(&model, &asking, began, in_flight)?;
    beside_them(&model, &mut asking, &mut alone)?;
    let answered = wait_for(&model, jobs as usize, began, seconds)?;
    fairness(&answered, began, (others as f64 / in_flight as f64).ceil() * seconds as f64);
    let (most, connections) = model.most();
    println!(
        "at most        {most} in flight, over {connections} connections of HTTP/2; peak {:.0} MB",
        memory(asking.instance.pid())?.peak_mb
    );
    Ok(())
}

/// What a job takes that waits: two instances that have begun anew, one of which has them all to do.
fn waiting(model: &Model, jobs: u64, [asked_kib, scored_kib]: [f64; 2], asking_mb: f64, alone_mb: f64) {
    let waiting = jobs as usize - model.answered().len() - model.in_flight();
    let each_kib = (asking_mb - alone_mb) * 1e6 / 1_024.0 / waiting as f64;
    println!(
        "waiting        {waiting} jobs: {each_kib:.1} KiB each (aim below 4): {asking_mb:.0} MB resident after a restart, {alone_mb:.0} MB where the same events wait for nothing"
    );
    println!(
        "their events   left {asked_kib:.1} KiB each in memory as they came, {scored_kib:.1} KiB where the rules scored at once; a restart gives both back"
    );
}

/// Waits until nearly all are in flight that may be, and tells what each more of them takes.
fn flying(model: &Model, asking: &Side, began: Instant, in_flight: u64) -> Result<()> {
    asking.wait_flying(model, 1)?;
    let (few, few_mb) = (model.in_flight(), asking.resident_mb()?);
    asking.wait_flying(model, in_flight as usize * 19 / 20)?;
    let each_kib = (asking.resident_mb()? - few_mb) * 1e6 / 1_024.0 / (model.in_flight() - few).max(1) as f64;
    println!(
        "in flight      {} after {:.0} s, {few} at first: {each_kib:.0} KiB for each more",
        model.in_flight(),
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Whether commits, and another tenant's records, wait for the jobs in flight.
fn beside_them(model: &Model, asking: &mut Side, alone: &mut Side) -> Result<()> {
    let mut ratios = Vec::new();
    let (mut commits, mut probes, mut flying) = (0.0, 0, Vec::new());
    for _ in 0..PAIRS {
        let before = asking.metric("leadline_commits_total")?;
        let with_jobs = asking.p99_ms()?;
        commits += asking.metric("leadline_commits_total")? - before;
        probes += PROBES;
        flying.push(model.in_flight() as f64);
        ratios.push(with_jobs / alone.p99_ms()?);
    }
    let ratios = sorted(ratios);
    println!(
        "beside them    {commits:.0} epochs committed for {probes} calls of another tenant, one after the other; {:.0} in flight; p99 webhook to record {:.2}x of an instance without jobs (median of {PAIRS} pairs from {:.2} to {:.2}, aim 1.2)",
        median(flying),
        percentile(&ratios, 0.5),
        percentile(&ratios, 0.0),
        percentile(&ratios, 1.0)
    );
    ensure!(commits >= probes as f64, "an epoch waited for a job");
    Ok(())
}

/// When the others had their answers, and when the greedy one had its last.
fn fairness(answered: &[(u64, Instant)], began: Instant, best_s: f64) {
    let of = |is_others: bool| {
        let times = answered.iter().filter(move |(number, _)| (*number >= OTHERS_FROM) == is_others);
        sorted(times.map(|(_, at)| at.duration_since(began).as_secs_f64()))
    };
    let (greedy_s, others_s) = (of(false), of(true));
    println!(
        "fairness       the {} others were answered after p50 {:.1} s, p99 {:.1} s, the greedy one's last after {:.1} s; with the model to themselves the others take {best_s:.0} s at best",
        others_s.len(),
        percentile(&others_s, 0.5),
        percentile(&others_s, 0.99),
        greedy_s.last().copied().unwrap_or(0.0)
    );
}

/// All answers, each job's once.
fn wait_for(model: &Model, jobs: usize, began: Instant, seconds: u64) -> Result<Vec<(u64, Instant)>> {
    let longest = Duration::from_secs(60 + 20 * seconds) + Duration::from_millis(jobs as u64 * seconds * 10);
    // What a stopped process had in flight is asked again by the next.
    let distinct = || {
        let mut answered = model.answered();
        answered.sort_unstable();
        answered.dedup_by_key(|(number, _)| *number);
        answered
    };
    let mut answered = distinct();
    while answered.len() < jobs {
        ensure!(began.elapsed() < longest, "{} of {jobs} jobs were answered", answered.len());
        std::thread::sleep(Duration::from_millis(100));
        answered = distinct();
    }
    let again = model.answered().len() - answered.len();
    ensure!(again <= 2, "{again} jobs were asked twice, at two restarts with one in flight");
    Ok(answered)
}

impl Side {
    fn start(instance: Instance, provider: Option<&str>) -> Result<Self> {
        let tokens = instance.add_tenants(TENANTS + 1, |spec| {
            let is_probe = spec.tenant == format!("bench-{PROBE}");
            spec.score_provider = provider.filter(|_| !is_probe).map(str::to_owned);
        })?;
        instance.settle(START_MAX)?;
        Ok(Self { instance, tokens, probed: 0 })
    }

    /// Takes in nine tenths of one tenant and one of each of the others; what each event leaves in memory, in KiB. What is
    /// new to the process at its first events is none of that: so the first tenth is not counted.
    fn take_in(&self, jobs: u64, others: u64) -> Result<f64> {
        let greedy = jobs.saturating_sub(others);
        let first = greedy / 10;
        self.submit(0, first, 1)?;
        self.wait_fed(first)?;
        let before_mb = self.resident_mb()?;
        self.submit(first, greedy - first, 1)?;
        self.submit(OTHERS_FROM + 1, others, TENANTS)?;
        self.wait_fed(jobs)?;
        Ok((self.resident_mb()? - before_mb) * 1e6 / 1_024.0 / (jobs - first) as f64)
    }

    /// The same, stopped once it is at rest and started again.
    fn restart(self, start: impl FnOnce() -> Result<Instance>) -> Result<Self> {
        let Self { instance, tokens, probed } = self;
        instance.settle(START_MAX)?;
        instance.terminate()?;
        Ok(Self { instance: start()?, tokens, probed })
    }

    fn resident_mb(&self) -> Result<f64> {
        Ok(memory(self.instance.pid())?.resident_mb)
    }

    /// Sends calls of as many tenants in turn.
    fn submit(&self, first: u64, count: u64, tenants: usize) -> Result<()> {
        let request = Request::post_call(BODY_BYTES, tenants, &now()?)?;
        let events = Events::sign(&request, first, count)?;
        let plan = Plan { warm_up: Duration::ZERO, measure: None, begins: &mut || Ok(()) };
        let answers = load::run(self.instance.address, CONNECTIONS, &request, &events, plan)?;
        ensure!(answers.refused == 0, "{} were refused: {:?}", answers.refused, answers.refusal);
        Ok(())
    }

    /// Waits until so many events have gone through an epoch; replies are none.
    fn wait_fed(&self, events: u64) -> Result<()> {
        let started = Instant::now();
        while self.metric("leadline_epoch_inputs_sum")? - self.metric("leadline_jobs_total")? < events as f64
        {
            ensure!(started.elapsed() < START_MAX, "the events were not taken in");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until so many of its calls are in flight.
    fn wait_flying(&self, model: &Model, in_flight: usize) -> Result<()> {
        let started = Instant::now();
        while model.in_flight() < in_flight {
            ensure!(started.elapsed() < START_MAX, "no more than {} calls were in flight", model.in_flight());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Calls of the probe, each sent when the last one's record can be read.
    fn p99_ms(&mut self) -> Result<f64> {
        let probe = usize::try_from(PROBE)?;
        let mut request = Request::post_call(BODY_BYTES, probe + 1, &now()?)?;
        let token = self.tokens.get(probe).context("the probe has a token")?;
        let (mut sender, mut reader) =
            (Client::open(self.instance.address)?, Client::open(self.instance.address)?);
        let mut times = Vec::new();
        for _ in 0..PROBES {
            self.probed += 1;
            let number = (PROBES_FROM / (PROBE + 1) + self.probed) * (PROBE + 1) + PROBE;
            let events = Events::sign(&request, number, 1)?;
            let sent = Instant::now();
            let (status, body) = sender.send(request.of(&events, number).context("it is signed")?)?;
            ensure!(status == 200, "a webhook was answered by {status}: {body}");
            let path = format!("/v1/tenants/bench-{PROBE}/calls/{}", call_id(number));
            while reader.get(&path, token)?.0 != 200 {
                ensure!(sent.elapsed() < RECORD_MAX, "there was no {path} after {RECORD_MAX:?}");
                std::thread::sleep(Duration::from_micros(500));
            }
            times.push(ms(sent.elapsed()));
        }
        Ok(percentile(&sorted(times), 0.99))
    }

    /// A metric, over all its labels.
    fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = get(self.instance.address, "/metrics", "")?;
        let lines = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}
