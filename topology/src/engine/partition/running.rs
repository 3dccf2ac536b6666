//! Running an epoch's inputs: together, and one at a time when one of them is poison.

use leadline_operators::contract::Fault;
use leadline_schemas::CommitNumber;
use timely::worker::Worker;

use super::Partition;
use crate::engine::feed::{Fed, recall};
use crate::engine::limits::ABORTS_MAX;

impl Partition {
    /// Runs the inputs from `from` on; on poison the whole epoch again, one input at a time.
    pub(super) fn run_fed(&mut self, worker: &mut Worker, from: usize) {
        let fault = if self.careful {
            Some(Fault::poison("after an unclean stop"))
        } else {
            self.run_together(worker, from)
        };
        match fault {
            None => {}
            Some(Fault::Engine(why)) => self.stumble(&Fault::Engine(why)),
            Some(Fault::Poison(_)) => {
                if let Err(fault) = self.run_alone(worker) {
                    self.stumble(&fault);
                }
            }
        }
    }

    fn run_together(&mut self, worker: &mut Worker, from: usize) -> Option<Fault> {
        let number = self.base.number.next();
        {
            let mut epoch = self.epoch.borrow_mut();
            for fed in self.fed.iter_mut().skip(from) {
                if let Err(fault) = fed.send(&mut epoch, &mut self.inputs, &self.names, number) {
                    epoch.fail("source", fault);
                }
            }
        }
        self.drain(worker);
        self.epoch.borrow_mut().fault.take().map(|(_, fault)| fault)
    }

    /// Ends the tick and steps until everything fed has left the graph.
    fn drain(&mut self, worker: &mut Worker) {
        self.tick += 1;
        self.inputs.inbound.advance_to(self.tick);
        self.inputs.signals.advance_to(self.tick);
        while self.inputs.probe.less_than(&self.tick) {
            worker.step();
        }
    }

    /// Runs the open epoch's inputs one by one, each under a savepoint; the bad ones become dead letters.
    fn run_alone(&mut self, worker: &mut Worker) -> Result<(), Fault> {
        let number = self.base.number.next();
        {
            let mut epoch = self.epoch.borrow_mut();
            // An epoch is fed more than once, so some of its inputs may have run alone already.
            epoch.overlay.undo_epoch();
            epoch.outputs.clear();
            epoch.finish();
        }
        recall(&*self.around.log, self.id, &mut self.fed)?;
        for mut fed in std::mem::take(&mut self.fed) {
            let outputs = self.epoch.borrow().outputs.len();
            let aborts = self.around.suspects.note(self.id, fed.offset);
            let fault = if aborts >= ABORTS_MAX {
                Some((
                    "process",
                    Fault::poison(format!("took the process down {aborts} times, running alone")),
                ))
            } else {
                self.run_one(worker, &mut fed, number)
            };
            let mut epoch = self.epoch.borrow_mut();
            match fault {
                None => epoch.overlay.settle()?,
                Some((_, Fault::Engine(why))) => return Err(Fault::Engine(why)),
                Some((operator, Fault::Poison(why))) => {
                    epoch.overlay.undo();
                    epoch.outputs.truncate(outputs);
                    fed.bury(&mut epoch, self.id, operator, &why)?;
                }
            }
            epoch.overlay.accept();
            drop(epoch);
            self.fed.push(fed);
        }
        self.around.suspects.clear(self.id);
        Ok(())
    }

    fn run_one(
        &mut self,
        worker: &mut Worker,
        fed: &mut Fed,
        number: CommitNumber,
    ) -> Option<(&'static str, Fault)> {
        let sent = fed.send(&mut self.epoch.borrow_mut(), &mut self.inputs, &self.names, number);
        if let Err(fault) = sent {
            return Some(("source", fault));
        }
        self.drain(worker);
        self.epoch.borrow_mut().fault.take()
    }
}
