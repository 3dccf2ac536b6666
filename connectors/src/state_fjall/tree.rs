//! A partition's tree, made when its first rows are written out.
//!
//! fjall makes a tree with some twenty syncs. With sixteen partitions and the settings these are most of what the first
//! start on a new folder waits for, a second and more on a busy disk, and most of them hold nothing for a long time.

use std::sync::OnceLock;

use fjall::{Database, Keyspace};

use super::config::keyspace_options;
use super::error::running;
use crate::contract::state::StateError;

pub(super) struct Tree {
    database: Database,
    name: String,
    keyspace: OnceLock<Keyspace>,
}

impl Tree {
    /// The tree of this name, if there is one.
    pub(super) fn open(database: Database, name: String) -> Result<Self, StateError> {
        let tree = Self { database, name, keyspace: OnceLock::new() };
        if tree.database.keyspace_exists(&tree.name) {
            tree.make()?;
        }
        Ok(tree)
    }

    /// The tree, once it was made. Until then it has no rows.
    pub(super) fn there(&self) -> Option<&Keyspace> {
        self.keyspace.get()
    }

    /// The tree, made if need be. Two that make it at once get the same.
    pub(super) fn make(&self) -> Result<&Keyspace, StateError> {
        if let Some(keyspace) = self.keyspace.get() {
            return Ok(keyspace);
        }
        let made = self.database.keyspace(&self.name, keyspace_options).map_err(running)?;
        Ok(self.keyspace.get_or_init(|| made))
    }
}
