//! Forwarder: takes events out of the spool, in order, as soon as somebody answers behind it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use leadline_schemas::inbound::Inbound;
use leadline_schemas::partitioning::Layout;
use leadline_schemas::{Offset, Topic};

use super::cursor::Cursor;
use super::{NOTHING, P0, READ_BYTES, Shared, bytes_of, lock};
use crate::contract::log::{Append, AppendError, Chunk};

/// How often it is looked whether somebody answers; also how old the gauges are.
const LOOK: Duration = Duration::from_millis(100);
/// How long it is waited after the log behind refused.
const REFUSED: Duration = Duration::from_millis(500);
/// After each batch the brokers and their clients have as long for everything else, but not longer than this. So
/// forwarding takes at most half of what there is, and one batch is under way at a time.
const REST_MAX: Duration = Duration::from_millis(100);

/// Forwards what was spooled.
pub struct Forwarder {
    shared: Arc<Shared>,
    cursor: Cursor,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A batch went on; the next one waits that long.
    Forwarded(Duration),
    /// Nobody takes it, or it cannot be read.
    Refused,
    /// There is nothing, or nobody there to take it.
    Idle,
}

/// Runs it in a thread of its own until the log is closed.
pub(super) fn spawn(mut forwarder: Forwarder) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let run = move || {
        runtime.block_on(async {
            let shared = Arc::clone(&forwarder.shared);
            tokio::select! {
                () = shared.closed.notified() => {}
                () = forwarder.run() => {}
            }
        });
    };
    std::thread::Builder::new().name("spool".to_owned()).spawn(run)
}

impl Forwarder {
    pub(super) fn new(shared: Arc<Shared>, cursor: Cursor) -> Self {
        Self { shared, cursor }
    }

    async fn run(&mut self) {
        let mut told = Instant::now();
        loop {
            let turn = self.turn().await;
            if told.elapsed() >= LOOK || turn == Turn::Idle {
                told = Instant::now();
                self.tell();
            }
            match turn {
                Turn::Forwarded(rest) => tokio::time::sleep(rest).await,
                Turn::Refused => tokio::time::sleep(REFUSED).await,
                // While nobody answers there is nothing to wake up for.
                Turn::Idle if self.shared.away.load(Ordering::Relaxed) => tokio::time::sleep(LOOK).await,
                Turn::Idle => {
                    // Woken or not, it looks again.
                    let _ = tokio::time::timeout(LOOK, self.shared.came.notified()).await;
                }
            }
        }
    }

    /// Forwards one batch, if there is one and somebody answers. Waits for the answer.
    pub async fn turn(&mut self) -> Turn {
        let away = self.shared.behind.health().unavailable.is_some();
        self.shared.away.store(away, Ordering::Relaxed);
        let from = Offset(self.shared.forwarded.load(Ordering::Acquire));
        let mut batch = match self.batch(from) {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                *lock(&self.shared.stuck) = None;
                return Turn::Idle;
            }
            Err(why) => return self.refused(why),
        };
        if away {
            return Turn::Idle;
        }
        let ending = batch.is_last.then(|| Ending::begin(Arc::clone(&self.shared)));
        if ending.is_some() {
            // What came before it began is a part of it.
            match self.batch(from) {
                Ok(Some(whole)) => batch = whole,
                Ok(None) => return Turn::Idle,
                Err(why) => return self.refused(why),
            }
        }
        let turn = self.forward(batch).await;
        drop(ending);
        turn
    }

    async fn forward(&mut self, batch: Batch) -> Turn {
        let (started, count, bytes) = (Instant::now(), batch.records.len(), bytes_of(&batch.records));
        match self.shared.behind.append(batch.records).await {
            Ok(_) => {
                self.forwarded(batch.next, count, bytes);
                let rest = if batch.is_last { Duration::ZERO } else { started.elapsed().min(REST_MAX) };
                Turn::Forwarded(rest)
            }
            // It is said by the log behind, which goes on when it can.
            Err(AppendError::Unavailable(_) | AppendError::Busy { .. }) => Turn::Refused,
            Err(error) => self.refused(format!("spooled events are not taken: {error}")),
        }
    }

    /// What is to be forwarded next; none when nothing waits.
    fn batch(&self, from: Offset) -> Result<Option<Batch>, String> {
        let unreadable = |why: String| format!("the spool cannot be read at {from}: {why}");
        let (_, end) =
            self.shared.spool.range(Topic::Inbound, P0).map_err(|error| unreadable(error.to_string()))?;
        if from >= end {
            self.shared.oldest.store(NOTHING, Ordering::Relaxed);
            return Ok(None);
        }
        let chunk = self.shared.spool.fetch(Topic::Inbound, P0, from, READ_BYTES);
        let chunk = chunk.map_err(|error| unreadable(error.to_string()))?;
        let is_last = chunk.next >= end;
        let batch = self.addressed(&chunk).map_err(unreadable)?;
        Ok(Some(Batch { is_last, ..batch }))
    }

    /// Where each event belongs, by its envelope: the layout may have changed since it was spooled.
    fn addressed(&self, chunk: &Chunk) -> Result<Batch, String> {
        let layout = Layout { partitions: self.shared.behind.partitions(), ..Layout::default() };
        let mut records = Vec::with_capacity(chunk.records.len());
        for record in &chunk.records {
            let event = Inbound::decode(&record.value).map_err(|error| error.to_string())?;
            if records.is_empty() {
                self.shared.oldest.store(event.received_at.0, Ordering::Relaxed);
            }
            records.push(Append {
                topic: Topic::Inbound,
                partition: layout.partition(event.key_group),
                key: event.tenant.to_bytes(),
                value: record.value.clone(),
            });
        }
        Ok(Batch { records, next: chunk.next, is_last: false })
    }

    fn forwarded(&mut self, next: Offset, count: usize, bytes: u64) {
        // Noted first: once nothing waits, events go past the spool.
        self.cursor.keep(next);
        self.shared.less(bytes);
        self.shared.forwarded.store(next.0, Ordering::Release);
        *lock(&self.shared.stuck) = None;
        metrics::counter!("leadline_spool_forwarded_total").increment(count as u64);
        if self.shared.waiting() == 0 {
            tracing::info!("all spooled events were forwarded");
        }
    }

    /// A person has to look; nothing is dropped.
    fn refused(&self, why: String) -> Turn {
        if lock(&self.shared.stuck).replace(why.clone()).as_ref() != Some(&why) {
            tracing::error!(why, "spooled events cannot be forwarded");
        }
        Turn::Refused
    }

    fn tell(&self) {
        let shared = &self.shared;
        let waiting = shared.waiting();
        let bytes = if waiting == 0 { 0 } else { shared.bytes.load(Ordering::Relaxed) };
        metrics::gauge!("leadline_spool_records").set(waiting as f64);
        metrics::gauge!("leadline_spool_bytes").set(bytes as f64);
        let oldest_ms = shared.oldest_age_ms().unwrap_or_default();
        metrics::gauge!("leadline_spool_oldest_ms").set(oldest_ms as f64);
    }
}

/// Events on their way.
struct Batch {
    records: Vec<Append>,
    next: Offset,
    /// Whether nothing waits behind it.
    is_last: bool,
}

/// As long as it lives, new events wait for the last batch.
struct Ending(Arc<Shared>);

impl Ending {
    fn begin(shared: Arc<Shared>) -> Self {
        shared.is_ending.store(true, Ordering::Release);
        Self(shared)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.is_ending.store(false, Ordering::Release);
        self.0.ended.notify_waiters();
    }
}
