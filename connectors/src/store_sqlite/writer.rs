//! The writing side: whole commits in one transaction, progress with them.

use std::collections::HashMap;

use leadline_schemas::{CommitNumber, Millis, Partition};
use rusqlite::{Connection, TransactionBehavior};

use super::config::SqliteConfig;
use super::connection;
use super::error::failed;
use super::fill;
use super::rows::{Rows, progress, signed};
use super::sweep::Sweep;
use crate::contract::store::{Batch, RecordWriter, StoreError};
use crate::contract::tenants::TenantRow;
use crate::disk_room::{DiskRoom, Purpose};

/// Batches between sweeps.
const SWEEP_EVERY: u64 = 256;

/// The one connection that writes.
pub struct SqliteWriter {
    connection: Connection,
    config: SqliteConfig,
    room: DiskRoom,
    /// Numbers of tenants that are committed.
    tenants: HashMap<String, i64>,
    batches: u64,
    sweep: Sweep,
    /// The newest time seen in a record: what retention counts from, for this side has no clock.
    newest: Millis,
}

impl SqliteWriter {
    /// Opens or makes the file.
    pub fn open(config: SqliteConfig) -> Result<Self, StoreError> {
        fill::tidy(&config)?;
        let connection = connection::writer(&config)?;
        let room = DiskRoom::of(config.folder());
        Ok(Self {
            connection,
            config,
            room,
            tenants: HashMap::new(),
            batches: 0,
            sweep: Sweep::default(),
            newest: Millis(0),
        })
    }
}

impl RecordWriter for SqliteWriter {
    fn progress(&mut self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        progress(&self.connection, generation, partition)
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        self.room.check(Purpose::Ends).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut rows = Rows::new(&transaction, &self.tenants, self.newest);
        batches.iter().try_for_each(|batch| rows.batch(batch))?;
        let (fresh, newest) = (rows.fresh, rows.newest);
        transaction.commit().map_err(failed)?;
        // Only now: a number of a transaction that was rolled back belongs to nobody.
        self.tenants.extend(fresh);
        self.newest = newest;
        self.batches += 1;
        if self.batches.is_multiple_of(SWEEP_EVERY) {
            self.sweep.turn(&self.connection, &self.config, self.newest)?;
        }
        Ok(())
    }

    fn put_tenants(&mut self, version: u64, tenants: &[TenantRow]) -> Result<(), StoreError> {
        super::tenants::put(&mut self.connection, signed(version), tenants)
    }
}
