//! `make bench`: the figures of bench/README.md, each against a baseline in the same run.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

mod arguments;
mod bare;
mod calls;
mod deliveries;
mod disk;
mod double;
mod idle;
mod ingest;
mod instance;
#[cfg(feature = "kafka")]
mod kafka;
mod latency;
mod load;
mod model;
mod payload;
mod process;
mod recordings;
mod restart;
mod stats;
mod stores;
mod stream;

use anyhow::{Result, bail};

/// The one of `leadline` itself, for what is measured in this process.
#[cfg(not(feature = "live"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One that counts.
#[cfg(feature = "live")]
#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// A benchmark: its name on the command line, what it prints, and what runs it.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

/// All of them, in the order in which `make bench` runs them.
const BENCHES: &[Bench] = &[
    Bench { name: "ingest", about: "signed webhooks at full speed, beside a bare handler", run: ingest::run },
    Bench {
        name: "stream",
        about: "the log through dedupe and windows to committed output",
        run: stream::run,
    },
    Bench { name: "latency", about: "webhook to record and to delivery, at a fixed rate", run: latency::run },
    Bench {
        name: "calls",
        about: "jobs that wait for a slow model, and what waits for them",
        run: calls::run,
    },
    Bench {
        name: "deliveries",
        about: "deliveries of a thousand tenants, a tenth of whose targets fail; and missed calls to Slack",
        run: deliveries::run,
    },
    Bench { name: "idle", about: "CPU, memory and start of an instance with nothing to do", run: idle::run },
    Bench {
        name: "recordings",
        about: "recordings fetched into the blob store, beside a bare copy to files",
        run: recordings::run,
    },
    Bench { name: "restart", about: "start to first commit with a million known ids", run: restart::run },
    Bench { name: "stores", about: "record stores: rows, lists, and one filled anew", run: stores::run },
];

/// Those on a broker, which are built only where asked for.
const KAFKA: &str = "kafka";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let wanted = args.next();
    let rest: Vec<String> = args.collect();
    match wanted.as_deref() {
        None => BENCHES.iter().try_for_each(|bench| run(bench, &rest)),
        // Not for people: the baseline of `ingest`, and the server of `recordings`, are this binary once more.
        Some(bare::COMMAND) => bare::serve(),
        Some(recordings::COMMAND) => recordings::serve(&rest),
        Some(recordings::PART_COMMAND) => recordings::run_part(&rest),
        Some("--help" | "-h") => {
            for bench in BENCHES {
                println!("{:<10} {}", bench.name, bench.about);
            }
            println!("{:<10} the same on a real broker: ingest, latency, redeploy, stream", KAFKA);
            Ok(())
        }
        Some(KAFKA) => on_kafka(&rest),
        Some(name) => match BENCHES.iter().find(|bench| bench.name == name) {
            Some(bench) => run(bench, &rest),
            None => bail!("there is no benchmark {name:?}: `--help` lists them"),
        },
    }
}

#[cfg(feature = "kafka")]
fn on_kafka(args: &[String]) -> Result<()> {
    kafka::run(args)
}

#[cfg(not(feature = "kafka"))]
fn on_kafka(_: &[String]) -> Result<()> {
    bail!("this was built without Kafka: use `make bench-kafka`, or --features kafka")
}

/// How `deploy/pgo.sh` has built this, if it has.
const PGO: Option<&str> = option_env!("LEADLINE_PGO");

fn run(bench: &Bench, args: &[String]) -> Result<()> {
    let built = match PGO {
        Some("guided") => "by profile-guided optimisation",
        Some(other) => other,
        None => "without a profile: `make release` builds with one",
    };
    println!("# {}: {} (built {built})", bench.name, bench.about);
    (bench.run)(args)
}
