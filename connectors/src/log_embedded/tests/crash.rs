//! Crashes: whatever was acknowledged is there afterwards, and nothing else but what was sent.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::life::Life;
use super::model::Model;
use super::*;

/// A machine over several lives of its process.
struct Machine {
    disk: SimulatedDisk,
    clock: Arc<HandClock>,
    model: Model,
    lives: u64,
}

impl Machine {
    fn new() -> Self {
        let clock = Arc::new(HandClock(AtomicU64::new(1_000)));
        Self { disk: SimulatedDisk::new(), clock, model: Model::default(), lives: 0 }
    }

    /// One life of `actions`, unless the process is killed before; answers whether it was.
    fn live(&mut self, chance: &mut Seeded, actions: u64) -> bool {
        self.lives += 1;
        match Life::begin(&self.disk, &self.clock, &mut self.model, self.lives) {
            Ok(mut life) => {
                for _ in 0..actions {
                    if self.disk.is_gone() {
                        break;
                    }
                    life.act(chance);
                }
            }
            Err(OpenError::Disk { .. }) if self.disk.is_gone() => {}
            Err(error) => panic!("life {} does not begin: {error}", self.lives),
        }
        self.disk.is_gone()
    }

    fn crash(&mut self, chance: &mut Seeded) {
        self.disk = match chance.below(4) {
            0 => self.disk.crash_process(),
            _ => self.disk.crash_machine(chance),
        };
    }

    /// A last life without a crash, with everything answered and read.
    fn end(&mut self) {
        self.lives += 1;
        let mut life = Life::begin(&self.disk, &self.clock, &mut self.model, self.lives).unwrap();
        life.settle();
        life.check();
    }
}

/// Runs one seed; names it when it fails.
pub(super) fn seeded(what: &str, seed: u64, run: impl FnOnce(&mut Seeded)) {
    let result = catch_unwind(AssertUnwindSafe(|| run(&mut Seeded::new(seed))));
    if let Err(panic) = result {
        eprintln!("{what}: seed {seed} fails");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn acknowledged_work_survives_a_crash_at_every_single_operation() {
    for seed in 0..4 {
        for kill_after in 0.. {
            let mut ended = false;
            seeded(&format!("killed after {kill_after} operations"), seed, |chance| {
                let mut machine = Machine::new();
                machine.disk.kill_after(kill_after);
                ended = !machine.live(chance, 60);
                let mut chance = Seeded::new(seed ^ kill_after << 32);
                machine.crash(&mut chance);
                machine.disk.kill_after(chance.below(40));
                machine.live(&mut chance, 20);
                machine.crash(&mut chance);
                machine.end();
            });
            if ended {
                assert!(kill_after > 50, "the run is too short to say much: {kill_after} operations");
                break;
            }
        }
    }
}

#[test]
fn acknowledged_work_survives_many_lives_of_random_length() {
    for seed in 0..60 {
        seeded("many lives", seed, |chance| {
            let mut machine = Machine::new();
            for _ in 0..8 {
                machine.disk.kill_after(chance.below(300));
                machine.live(chance, 150);
                machine.crash(chance);
            }
            machine.end();
        });
    }
}
