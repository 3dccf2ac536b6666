//! Retelling: what layouts before have told comes into the topics of this one, so that a reader needs these alone.
//!
//! It is told from the rows of the compacted topics, a piece to a commit between those of inputs. How far it is stands in
//! a row of its own, which hand-over makes and the last piece deletes; so it goes on after a crash, and elsewhere.

use bytes::Bytes;
use leadline_operators::contract::Fault;
use leadline_schemas::Topic;
use leadline_schemas::frame::Output;

use super::Partition;
use crate::engine::limits::RETOLD_RECORDS_MAX;
use crate::engine::{keys, moving, overlay};

impl Partition {
    /// Commits the next piece, if there is one. Answers whether it has.
    pub(super) fn retell(&mut self) -> bool {
        if !self.retells || !self.open() {
            return false;
        }
        match self.tell_next() {
            Ok(true) => self.close(false),
            Ok(false) => self.retells = false,
            Err(fault) => self.stumble(&fault),
        }
        true
    }

    /// Puts the next piece into the open epoch. Answers whether anything was left.
    fn tell_next(&mut self) -> Result<bool, Fault> {
        let mut epoch = self.epoch.borrow_mut();
        let Some(stored) = epoch.overlay.get_raw(&keys::retold())? else { return Ok(false) };
        let (_, _, from) = overlay::split_value(&stored)?;
        let rows = epoch.overlay.scan(from, &keys::behind(&[keys::OUTPUTS]), RETOLD_RECORDS_MAX + 1)?;
        let next = rows.get(RETOLD_RECORDS_MAX).map(|(key, _)| moving::retold_up_to(key));
        for (row_key, value) in rows.into_iter().take(RETOLD_RECORDS_MAX) {
            let topic = row_key.get(1).and_then(|number| Topic::from_number(*number));
            let topic = topic.ok_or_else(|| Fault::Engine("a record's row names no topic".to_owned()))?;
            let key = row_key.slice(2..);
            epoch.outputs.push(Output { topic, key, value });
        }
        epoch.overlay.put_raw(keys::retold(), next.map(Bytes::from));
        Ok(true)
    }
}
