//! Teeth: each deliberate bug must be found, and within few seeds.

use std::process::ExitCode;

use leadline_schemas::sabotage::{self, Bug};

use crate::run::run;

/// Seeds within which a bug must be found.
const SEEDS_MAX: u64 = 400;
/// Bugs of the log's own recovery are looked for by its crash suite, at every operation of the disk.
const ELSEWHERE: [Bug; 1] = [Bug::TailCutTooFar];

/// Turns on one bug after the other; prints what found it.
pub fn bite() -> ExitCode {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let missed: Vec<Bug> =
        Bug::ALL.into_iter().filter(|bug| !ELSEWHERE.contains(bug) && !bites(*bug)).collect();
    std::panic::set_hook(hook);
    if missed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("not found within {SEEDS_MAX} seeds: {missed:?}");
    ExitCode::FAILURE
}

fn bites(bug: Bug) -> bool {
    for seed in 1..=SEEDS_MAX {
        sabotage::set(Some(bug));
        let found =
            std::panic::catch_unwind(|| run(seed).found).unwrap_or_else(|_| Err("a panic".to_owned()));
        sabotage::set(None);
        if let Err(why) = found {
            let why: String = why.chars().take(110).collect();
            println!("{bug:?}: found by seed {seed}: {why}");
            return true;
        }
    }
    false
}
