//! Teeth: each deliberate bug must be found, and within few seeds.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use leadline_schemas::sabotage::{self, Bug};

use crate::THREADS;
use crate::run::run;

/// Seeds within which a bug must be found.
const SEEDS_MAX: u64 = 400;
/// Bugs of the log's own recovery are looked for by its crash suite, at every operation of the disk.
const ELSEWHERE: [Bug; 1] = [Bug::TailCutTooFar];

/// What became of one bug: a line about it, and whether it was found.
type Bitten = (Bug, Option<String>);

/// Turns on one bug after the other, on all threads; prints what found it.
pub fn bite() -> ExitCode {
    let bugs: Vec<Bug> = Bug::ALL.into_iter().filter(|bug| !ELSEWHERE.contains(bug)).collect();
    let (next, bitten) = (AtomicUsize::new(0), Mutex::<Vec<Bitten>>::default());
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Relaxed)) {
                    let found = bites(*bug);
                    bitten.lock().unwrap().push((*bug, found));
                }
            });
        }
    });
    std::panic::set_hook(hook);
    let mut bitten = bitten.into_inner().unwrap();
    bitten.sort_by_key(|(bug, _)| *bug);
    let mut exit = ExitCode::SUCCESS;
    for (bug, found) in bitten {
        match found {
            Some(found) => println!("{bug:?}: {found}"),
            None => {
                println!("{bug:?}: not found within {SEEDS_MAX} seeds");
                exit = ExitCode::FAILURE;
            }
        }
    }
    exit
}

fn bites(bug: Bug) -> Option<String> {
    (1..=SEEDS_MAX).find_map(|seed| {
        sabotage::set(Some(bug));
        let found =
            std::panic::catch_unwind(|| run(seed).found).unwrap_or_else(|_| Err("a panic".to_owned()));
        sabotage::set(None);
        let why: String = found.err()?.chars().take(110).collect();
        Some(format!("found by seed {seed}: {why}"))
    })
}
