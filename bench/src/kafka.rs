//! kafka: leadline on a real broker of its own, which runs on the same two cores.
//!
//! Each benchmark starts a broker, makes the topics as `leadline topics apply` does, and starts the release binary as
//! many times as it needs. What is read back is read as any client of Kafka would: committed records only.

mod bare_producer;
mod ingest;
mod latency;
mod members;
mod open_loop;
mod pauses;
mod peers;
mod redeploy;
mod scene;
mod stream;

use anyhow::{Result, bail};

use crate::Bench;

const BENCHES: &[Bench] = &[
    Bench {
        name: "ingest",
        about: "signed webhooks to acks=all, beside a bare handler and a bare producer",
        run: ingest::run,
    },
    Bench { name: "latency", about: "webhook to output topic, at a fixed rate", run: latency::run },
    Bench {
        name: "redeploy",
        about: "how long partitions pause when a worker stops, is killed, is gone",
        run: redeploy::run,
    },
    Bench {
        name: "stream",
        about: "decode, dedupe and one-minute windows, exactly once, topic to topic",
        run: stream::run,
    },
];

/// Runs one of them, or all: `[NAME ARGUMENTS]`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let Some((name, rest)) = args.split_first() else {
        return BENCHES.iter().try_for_each(|bench| crate::run(bench, &[]));
    };
    // Not for people: the engine of `stream` in a process of its own.
    if name == stream::COMMAND {
        return stream::child(rest);
    }
    match BENCHES.iter().find(|bench| bench.name == name) {
        Some(bench) => crate::run(bench, rest),
        None => {
            let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
            bail!("there is no benchmark {name:?} on Kafka: use one of {}", names.join(", "))
        }
    }
}
