//! Closing epochs, committing them, and going back when that fails.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use leadline_connectors::contract::log::{Commit, CommitAnswer};
use leadline_operators::contract::Fault;
use leadline_schemas::audit::Audit;
use leadline_schemas::avro::{self, AvroError};
use leadline_schemas::frame::{FrameOutput, FrameParts, Output};
use leadline_schemas::sabotage::{self, Bug};
use leadline_schemas::{CommitNumber, Topic};
use timely::worker::Worker;

use super::{Committed, InCommit, Names, Partition, Position, install_graph, is_compacted, lock};
use crate::engine::changes::Changes;
use crate::engine::keys;
use crate::engine::limits::*;

impl Partition {
    /// Commits an epoch without inputs. Answers whether it could be opened.
    pub(super) fn close_empty(&mut self) -> bool {
        let opens = self.open();
        if opens {
            self.close(self.leaving && self.quiet);
        }
        opens
    }

    /// Closes the open epoch and sends it to the log; `released` lets the partition go with it.
    pub(super) fn close(&mut self, released: bool) {
        self.close_as(released, false);
    }

    pub(super) fn close_as(&mut self, released: bool, drained: bool) {
        let mut epoch = self.epoch.borrow_mut();
        if let Err(fault) = epoch.overlay.settle() {
            drop(epoch);
            self.stumble(&fault);
            return;
        }
        let outputs = std::mem::take(&mut epoch.outputs);
        for output in outputs.iter().filter(|output| is_compacted(output.topic)) {
            let value = (!output.value.is_empty()).then(|| output.value.clone());
            epoch.overlay.put_raw(keys::output(output.topic, &output.key), value);
        }
        let number = self.base.number.next();
        let (now, watermark) = epoch.times();
        let position = Position {
            number,
            inbound_next: self.inbound_next,
            replies_next: self.replies_next,
            now,
            settings_version: epoch.settings.version,
            watermark,
            released,
            drained,
        };
        self.renew = false;
        let changes = epoch.overlay.close(number);
        epoch.finish();
        drop(epoch);
        metrics::histogram!("leadline_epoch_inputs").record(self.fed.len() as f64);
        let frame = self.frame(&position, &changes, &outputs);
        self.fed.clear();
        self.fed_bytes = 0;
        self.output_bytes = 0;
        self.opened_boot_ms = None;
        self.careful = false;
        match frame {
            Ok(frame) => self.send_commit(position, changes, Arc::new(outputs), frame),
            Err(error) => (self.around.fatal)(format!("a commit frame could not be encoded: {error}")),
        }
    }

    fn frame(&self, position: &Position, changes: &Changes, outputs: &[Output]) -> Result<Bytes, AvroError> {
        // Rows sort before the indexes derived from them and before outputs.
        let rows = changes.rows();
        let count = rows.partition_point(|row| row.key.first() <= Some(&keys::ROWS));
        let count = if sabotage::on(Bug::OffsetsBeforeState) { 0 } else { count };
        let rows = rows.get(..count).unwrap_or_default();
        let frame = FrameParts {
            generation: self.around.generation,
            partition: self.id,
            number: position.number,
            inbound_next: position.inbound_next,
            replies_next: position.replies_next,
            now: position.now,
            settings_version: position.settings_version,
            watermark: position.watermark,
            rows,
            outputs: &FrameOutput::of(outputs, rows),
            released: position.released,
            drained: position.drained,
        };
        Ok(Bytes::from(frame.encode()?))
    }

    fn send_commit(
        &mut self,
        position: Position,
        changes: Arc<Changes>,
        outputs: Arc<Vec<Output>>,
        frame: Bytes,
    ) {
        let answer = Arc::new(Mutex::new(None));
        let (slot, wake) = (Arc::clone(&answer), Arc::clone(&self.around.wake));
        let bytes = frame.len();
        let commit = Commit {
            partition: self.id,
            number: position.number,
            inbound_next: position.inbound_next,
            replies_next: position.replies_next,
            outputs: Arc::clone(&outputs),
            frame,
        };
        let committed = Committed { partition: self.id, position, changes, outputs, bytes };
        if sabotage::on(Bug::ApplyBeforeCommit) {
            (self.around.committed)(committed.clone());
        }
        let asked_boot_ms = self.around.clock.boot_ms();
        self.in_commit = Some(InCommit { position, answer, committed, asked_boot_ms });
        self.base = position;
        let done = Box::new(move |answer| {
            *lock(&slot) = Some(answer);
            wake();
        });
        self.around.log.commit(commit, done);
    }

    /// Takes the answer to the commit that is out, if it is there.
    pub(super) fn poll_commit(&mut self, worker: &mut Worker) -> bool {
        let Some(out) = &self.in_commit else { return false };
        let Some(answer) = lock(&out.answer).take() else { return false };
        let answer = match answer {
            CommitAnswer::Unknown(why) => self.resolve(out.position.number, &why),
            known => known,
        };
        let Some(out) = self.in_commit.take() else { return false };
        match answer {
            CommitAnswer::Committed => {
                let took_ms = self.around.clock.boot_ms().saturating_sub(out.asked_boot_ms);
                metrics::histogram!("leadline_commit_ms").record(took_ms as f64);
                metrics::counter!("leadline_commits_total").increment(1);
                self.committed = out.position;
                self.around.ownership.committed(self.id, out.asked_boot_ms);
                self.gets_on();
                count_audit(&out.committed.outputs);
                (self.around.committed)(out.committed);
            }
            CommitAnswer::Aborted(why) => {
                tracing::warn!(
                    partition = self.id.0,
                    number = out.position.number.0,
                    why,
                    "commit aborted; running again"
                );
                self.restart(worker);
                self.retry_boot_ms = Some(self.around.clock.boot_ms() + ABORT_PAUSE_MS);
            }
            CommitAnswer::Fenced(why) | CommitAnswer::Unknown(why) => {
                self.lost = true;
                self.around.ownership.fenced(self.id, &why);
            }
        }
        true
    }

    /// Finds out by reading whether a commit is in the log.
    fn resolve(&self, number: CommitNumber, why: &str) -> CommitAnswer {
        match self.around.log.range(Topic::State, self.id) {
            _ if sabotage::on(Bug::UnknownIsCommitted) => CommitAnswer::Committed,
            Ok((_, end)) if end.0 >= number.0 => CommitAnswer::Committed,
            Ok(_) => CommitAnswer::Aborted(why.to_owned()),
            Err(error) => CommitAnswer::Unknown(format!("{why}; {error}")),
        }
    }

    /// An engine fault: the partition goes back to its last commit and tries again after a pause.
    pub(super) fn stumble(&mut self, fault: &Fault) {
        tracing::error!(partition = self.id.0, %fault, "the partition goes back to its last commit");
        metrics::counter!("leadline_partition_faults_total").increment(1);
        self.stumbled = true;
        self.waits(&fault.to_string());
    }

    /// Lets health say why it does not get on.
    pub(super) fn waits(&mut self, why: &str) {
        self.troubled = true;
        self.around.ownership.note_trouble(self.id, Some(why));
    }

    /// It gets on (again).
    pub(super) fn gets_on(&mut self) {
        if std::mem::take(&mut self.troubled) {
            self.around.ownership.note_trouble(self.id, None);
        }
    }

    /// Goes back once nothing is out: what is in commit may have happened, and that must be known before anything
    /// is built on it again. Answers whether it has.
    pub(super) fn get_up(&mut self, worker: &mut Worker, boot_ms: u64) -> bool {
        if self.in_commit.is_some() {
            return false;
        }
        self.stumbled = false;
        self.restart(worker);
        self.retry_boot_ms = Some(boot_ms + STUMBLE_PAUSE_MS);
        true
    }

    /// Drops everything uncommitted and the dataflow, and starts behind the last commit.
    pub(super) fn restart(&mut self, worker: &mut Worker) {
        {
            let mut epoch = self.epoch.borrow_mut();
            epoch.overlay.abandon(self.committed.number);
            epoch.rewind(self.committed.watermark);
            epoch.outputs.clear();
            epoch.finish();
            epoch.next_due = [Some(i64::MIN); 2];
        }
        worker.drop_dataflow(self.dataflow);
        let (dataflow, inputs, topology) = install_graph(worker, &self.epoch, self.around.pipeline);
        (self.dataflow, self.inputs, self.names) = (dataflow, inputs, Names(topology));
        self.tick = 0;
        self.base = self.committed;
        self.inbound_next = self.committed.inbound_next;
        self.replies_next = self.committed.replies_next;
        self.in_commit = None;
        self.fed.clear();
        self.fed_bytes = 0;
        self.output_bytes = 0;
        self.opened_boot_ms = None;
        self.bodies.clear();
    }
}

/// Lines of the audit log are what somebody should look at: each kind is counted, once it is committed.
fn count_audit(outputs: &[Output]) {
    for output in outputs.iter().filter(|output| output.topic == Topic::Audit) {
        if let Ok(line) = avro::decode::<Audit>(&output.value) {
            metrics::counter!("leadline_audit_lines_total", "kind" => line.kind).increment(1);
        }
    }
}
