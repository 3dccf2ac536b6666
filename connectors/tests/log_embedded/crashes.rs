//! What a crash may do to the embedded log, and what it may not: seeded, on a simulated disk.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::simulated::{World, small};

fn seeds(default: u64) -> u64 {
    std::env::var("LOG_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn after_any_crash_what_was_acknowledged_is_there_once_and_in_order() {
    for seed in 0..seeds(1_500) {
        let run = || {
            let mut world = World::new(seed, small());
            for _ in 0..4 {
                for _ in 0..world.random.below(80) {
                    world.step();
                }
                world.crash();
                if world.random.below(4) == 0 {
                    world.restart();
                }
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            eprintln!("seed {seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}
