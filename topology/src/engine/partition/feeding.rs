//! What an epoch is fed: replies, records and timers, and a sweep of rows past their time.

use bytes::Bytes;
use leadline_connectors::contract::log::ReadError;
use leadline_operators::contract::{Fault, TimerKind};
use leadline_schemas::avro::{self, AvroError};
use leadline_schemas::inbound::Inbound;
use leadline_schemas::reply::Reply;
use leadline_schemas::{Millis, Topic};

use super::Partition;
use crate::engine::feed::{Fed, What, timer_bytes};
use crate::engine::limits::*;
use crate::engine::{keys, overlay};

impl Partition {
    /// Reads what has come in and what is due. Answers from where in `fed` the new inputs stand.
    pub(super) fn feed(&mut self, boot_ms: u64) -> Result<usize, Fault> {
        let from = self.fed.len();
        let opening = self.opened_boot_ms.is_none();
        if opening && !self.open() {
            return Ok(from);
        }
        self.behind = false;
        self.feed_replies()?;
        self.feed_inbound()?;
        if opening {
            self.feed_timers()?;
            self.sweep(boot_ms)?;
        }
        if self.fed.len() > from && opening {
            self.opened_boot_ms = Some(boot_ms);
        }
        Ok(from)
    }

    /// Opens an epoch: its clock and its settings. Answers whether it may run: never below the settings of the last
    /// commit.
    pub(super) fn open(&mut self) -> bool {
        let mut epoch = self.epoch.borrow_mut();
        epoch.now = self.clock.now(&*self.around.clock);
        epoch.settings = (self.around.settings)();
        let (have, needed) = (epoch.settings.version, self.base.settings_version);
        drop(epoch);
        if have < needed {
            self.waits(&format!("has settings version {have} and waits for {needed}"));
        }
        have >= needed
    }

    fn room(&self) -> usize {
        READ_BYTES_MAX.min(EPOCH_BYTES_MAX.saturating_sub(self.fed_bytes)).max(1)
    }

    fn push(&mut self, fed: Fed) {
        self.fed_bytes += fed.bytes_len();
        self.fed.push(fed);
    }

    fn feed_replies(&mut self) -> Result<(), Fault> {
        let chunk = self
            .around
            .log
            .read(Topic::Replies, self.id, self.replies_next, self.room())
            .map_err(read_fault)?;
        for record in chunk.records {
            if self.fed.len() >= EPOCH_INPUTS_MAX {
                return Ok(());
            }
            let what = match avro::decode::<Reply>(&record.value) {
                Ok(reply) => What::Reply(Box::new(reply)),
                Err(AvroError::Malformed { why, .. }) => What::Malformed { why },
                Err(unknown) => return self.wait_for_newer_binary(&unknown),
            };
            self.replies_next = record.offset.next();
            self.push(Fed {
                offset: i64::try_from(record.offset.0).unwrap_or(i64::MAX),
                bytes: record.value,
                what,
            });
        }
        self.behind |= chunk.next < chunk.end;
        Ok(())
    }

    fn feed_inbound(&mut self) -> Result<(), Fault> {
        let chunk = self
            .around
            .log
            .read(Topic::Inbound, self.id, self.inbound_next, self.room())
            .map_err(read_fault)?;
        let settings_version = self.epoch.borrow().settings.version;
        for record in chunk.records {
            if self.fed.len() >= EPOCH_INPUTS_MAX {
                return Ok(());
            }
            if self.ends.inbound.is_some_and(|end| record.offset >= end) {
                return Ok(()); // The next layout's.
            }
            if record.value.is_empty() {
                self.inbound_next = record.offset.next(); // A fence: it asks whether the topic still takes records.
                continue;
            }
            let fed = match Inbound::decode(&record.value) {
                Ok(mut inbound) => {
                    if inbound.settings_version > settings_version {
                        return Ok(()); // The next epoch takes it, with newer settings.
                    }
                    if !self.body_is_here(&mut inbound)? {
                        return Ok(());
                    }
                    let mut fed = Fed::record(record.offset, record.value, inbound);
                    if let Some(replayed) = fed.replayed()
                        && !self.body_is_here(replayed)?
                    {
                        return Ok(());
                    }
                    fed
                }
                Err(AvroError::Malformed { why, .. }) => Fed {
                    offset: i64::try_from(record.offset.0).unwrap_or(i64::MAX),
                    bytes: record.value,
                    what: What::Malformed { why },
                },
                Err(unknown) => return self.wait_for_newer_binary(&unknown),
            };
            self.inbound_next = record.offset.next();
            self.bodies.clear();
            self.push(fed);
        }
        self.behind |= chunk.next < chunk.end;
        Ok(())
    }

    /// A record of an unknown schema is never poison: the partition waits, and says so.
    fn wait_for_newer_binary(&self, error: &AvroError) -> Result<(), Fault> {
        Err(Fault::Engine(format!("partition {} waits: {error}; start a leadline that knows it", self.id)))
    }

    /// Whether the record's body is here; a body by reference is fetched without holding the worker.
    fn body_is_here(&mut self, inbound: &mut Inbound) -> Result<bool, Fault> {
        let Some(name) = &inbound.body_ref else { return Ok(true) };
        let Some(found) = self.bodies.take(name, &self.around) else { return Ok(false) };
        inbound.body = found.map_err(|why| Fault::Engine(format!("body {name}: {why}")))?;
        Ok(true)
    }

    fn feed_timers(&mut self) -> Result<(), Fault> {
        let (now, watermark) = self.epoch.borrow_mut().times();
        for (kind, bound) in [(TimerKind::Now, now), (TimerKind::Event, watermark)] {
            let slot = kind as usize;
            let due = self.epoch.borrow().next_due.get(slot).copied().flatten();
            let Some(due) = due.filter(|due| *due <= bound.0) else { continue };
            // Nothing is due before; a scan from the very first would pass over the remains of all that was.
            let (first, behind) =
                (keys::due_bound(kind, due), keys::due_bound(kind, bound.0.saturating_add(1)));
            let mut entries = self.epoch.borrow().overlay.scan(&first, &behind, EPOCH_TIMERS_MAX + 1)?;
            let mut waits = entries.split_off(EPOCH_TIMERS_MAX.min(entries.len()));
            if waits.is_empty() {
                let end = keys::behind(&[keys::DUE, keys::timer_table(kind)]);
                waits = self.epoch.borrow().overlay.scan(&behind, &end, 1)?;
            }
            for (entry, _) in &entries {
                let Some((at, row_key)) = keys::parse_due(entry) else { continue };
                let row_key = Bytes::copy_from_slice(row_key);
                let bytes = timer_bytes(kind, Millis(at), &row_key);
                self.push(Fed { offset: -1, bytes, what: What::Timer { kind, at: Millis(at), row_key } });
            }
            let next = waits.first().and_then(|(entry, _)| keys::parse_due(entry)).map(|(at, _)| at);
            if let Some(due) = self.epoch.borrow_mut().next_due.get_mut(slot) {
                *due = next;
            }
        }
        Ok(())
    }

    /// Deletes a bounded piece of the rows whose time to live has passed.
    fn sweep(&mut self, boot_ms: u64) -> Result<(), Fault> {
        // Only on the back of an epoch that is open anyway, or an idle partition would commit for ever.
        let due = u128::from(boot_ms.saturating_sub(self.swept_boot_ms)) >= SWEEP_INTERVAL.as_millis();
        if !due || self.fed.is_empty() {
            return Ok(());
        }
        self.swept_boot_ms = boot_ms;
        let mut epoch = self.epoch.borrow_mut();
        let rows = epoch.overlay.scan(&self.sweep_from, &keys::behind(&[keys::ROWS]), SWEEP_ROWS_MAX)?;
        let now_ms = epoch.now.0;
        let mut swept = 0_u64;
        for (key, value) in &rows {
            let (expires_ms, _, _) = overlay::split_value(value)?;
            if expires_ms != 0 && expires_ms <= now_ms {
                epoch.overlay.put_raw(key.to_vec(), None);
                swept += 1;
            }
        }
        metrics::counter!("leadline_rows_expired_total").increment(swept);
        self.sweep_from = match rows.last() {
            Some((last, _)) if rows.len() == SWEEP_ROWS_MAX => {
                let mut next = last.to_vec();
                next.push(0);
                Bytes::from(next)
            }
            _ => Bytes::from_static(&[keys::ROWS]),
        };
        Ok(())
    }
}

fn read_fault(error: ReadError) -> Fault {
    Fault::Engine(error.to_string())
}
