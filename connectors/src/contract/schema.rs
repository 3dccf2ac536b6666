//! StoreSchema: how a record store's tables come to the version that this leadline writes.
//!
//! Versions are numbers from 1; a store of version 0 is empty, or not there. Each version adds statements to those before
//! and changes none, so a store of any older version comes up by what it lacks. Opening a store that one process owns
//! (SQLite) applies what is missing; a shared one (Spanner, Cassandra) is refused until `leadline db apply` has run, for
//! others may still write the version before.

use super::store::StoreError;

/// A store's tables and their version. Calls block; `leadline db` makes them.
pub trait StoreSchema {
    /// The version that the store has; 0 = no tables. Changes nothing: a store that is not there is not made.
    fn applied(&mut self) -> Result<u32, StoreError>;

    /// The version that this leadline reads and writes.
    fn wanted(&self) -> u32;

    /// The statements that `apply` would run, in their order; none when the store is at `wanted`. A store ahead of
    /// `wanted`, or of another program, answers `Damaged` and is left alone.
    fn plan(&mut self) -> Result<Vec<String>, StoreError>;

    /// Brings the store from `applied` to `wanted`. Cut short, it may be called again: what is there is kept.
    fn apply(&mut self) -> Result<(), StoreError>;
}
