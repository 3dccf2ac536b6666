//! Fuzzing without a nightly toolchain: the targets under proptest, over their corpora, for as long as there is time.
//!
//! `cargo test -p leadline-tests --test fuzz -- [TARGET...]`. `LEADLINE_FUZZ_SECONDS` is the time of each target (2
//! when not said), `LEADLINE_FUZZ_SEED` the seed. Every input of a corpus runs first. What breaks a promise is
//! shrunk, written beside the build and named: put it into the corpus, and fix it.
//!
//! Promises: no panic, whatever the target asserts, bounded processor time and memory for each input.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test"
)]

mod mutation;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use targets::{TARGETS, Target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The most processor time for one input; inputs are at most 64 KiB, and this is a debug build.
const CPU_MAX: Duration = Duration::from_secs(2);
/// ... and for the largest that are taken.
const LARGE_CPU_MAX: Duration = Duration::from_secs(20);
/// Attempts to make what fails smaller.
const SHRINKS_MAX: usize = 3_000;

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("LEADLINE_FUZZ_SECONDS").unwrap_or(2);
    let seed = number("LEADLINE_FUZZ_SEED").unwrap_or(1);
    for target in
        TARGETS.iter().filter(|target| wanted.is_empty() || wanted.contains(&target.name.to_owned()))
    {
        if let Err(found) = fuzz(target, Duration::from_secs(seconds), seed) {
            println!("{found}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What broke a promise.
struct Finding {
    target: &'static str,
    why: String,
    at: PathBuf,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (target, at) = (self.target, self.at.display());
        let why: String = self.why.chars().take(2_000).collect();
        writeln!(f, "fuzz {target}: {why}")?;
        write!(f, "  input: {at}\n  keep it: cp {at} tests/fuzz/corpus/{target}/")
    }
}

fn fuzz(target: &'static Target, time: Duration, seed: u64) -> Result<(), Finding> {
    let corpus = corpus(target.name);
    (target.run)(&[]); // What is made once, is made here and counts for no input.
    for (path, input) in &corpus {
        check(target, input, CPU_MAX).map_err(|why| Finding {
            target: target.name,
            why,
            at: path.clone(),
        })?;
    }
    for (name, input) in target.large {
        let input = input();
        let took = check(target, &input, LARGE_CPU_MAX).map_err(|why| {
            let why = format!("large {name:?}: {why}");
            Finding { target: target.name, why, at: write(target.name, &input) }
        })?;
        if std::env::var_os("LEADLINE_FUZZ_LARGE").is_some() {
            let memory = MEMORY.peak_usage();
            println!("fuzz {:<14} large {name:?}: {took:.1?}, {} MiB at the peak", target.name, memory >> 20);
        }
    }
    // Only now: a panic that is looked for must not fill the terminal.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let searched = search(target, corpus.into_iter().map(|(_, input)| input).collect(), time, seed);
    std::panic::set_hook(hook);
    let (inputs, slowest) = searched?;
    println!("fuzz {:<14} {inputs:>8} inputs in {time:?}, seed {seed}, slowest {slowest:.1?}", target.name);
    Ok(())
}

fn search(
    target: &'static Target,
    mut seeds: Vec<Vec<u8>>,
    time: Duration,
    seed: u64,
) -> Result<(u64, Duration), Finding> {
    seeds.push(Vec::new());
    let strategy = mutation::near(seeds, target.tokens);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (until, mut inputs, mut slowest) = (Instant::now() + time, 0, Duration::ZERO);
    while Instant::now() < until {
        let mut tree = strategy.new_tree(&mut runner).unwrap();
        inputs += 1;
        match check(target, &tree.current(), CPU_MAX) {
            Ok(took) => slowest = slowest.max(took),
            Err(why) => {
                let (input, why) = shrink(target, &mut tree, why);
                return Err(Finding { target: target.name, why, at: write(target.name, &input) });
            }
        }
    }
    Ok((inputs, slowest))
}

/// The smallest input near this one that still breaks a promise.
fn shrink(target: &Target, tree: &mut impl ValueTree<Value = Vec<u8>>, why: String) -> (Vec<u8>, String) {
    let mut smallest = (tree.current(), why);
    let mut simpler = tree.simplify();
    for _ in 0..SHRINKS_MAX {
        if !simpler {
            break;
        }
        simpler = match check(target, &tree.current(), CPU_MAX) {
            Err(why) => {
                smallest = (tree.current(), why);
                tree.simplify()
            }
            Ok(_) => tree.complicate(),
        };
    }
    smallest
}

/// Runs one input; what it took, or which promise it broke.
fn check(target: &Target, input: &[u8], cpu_max: Duration) -> Result<Duration, String> {
    MEMORY.reset_peak_usage();
    let (before, started) = (MEMORY.current_usage(), cpu());
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = cpu().saturating_sub(started);
    let memory = MEMORY.peak_usage().saturating_sub(before);
    if let Err(panic) = ran {
        let text = panic.downcast_ref::<String>().cloned();
        return Err(text
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default());
    }
    let allowed = target.memory_bytes_base + target.memory_bytes_per_byte * input.len();
    if memory > allowed {
        return Err(format!(
            "{memory} bytes of memory for {} bytes of input; {allowed} are allowed",
            input.len()
        ));
    }
    if took > cpu_max {
        return Err(format!("{took:?} of processor time for {} bytes of input", input.len()));
    }
    Ok(took)
}

/// Processor time of this thread: a busy machine changes nothing.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The corpus of a target, and the payloads that tests have as fixtures.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&root)
        .unwrap_or_else(|why| panic!("{}: {why}", root.display()))
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let input = std::fs::read(&path).unwrap();
        (path, input)
    };
    paths.into_iter().map(read).collect()
}

/// Writes a finding beside the build.
fn write(name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-findings");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}-{:08x}", crc32c::crc32c(input)));
    std::fs::write(&path, input).unwrap();
    path
}
