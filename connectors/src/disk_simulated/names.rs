//! Names: the folder, as processes see it and as the platters have it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::content::Content;
use super::crash::{Chance, Fate};

/// A file; handles and names share it.
pub(super) type Inode = Arc<Mutex<Content>>;

#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) live: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Create(String, Inode),
    Rename(String, Inode),
    Remove(String, Inode),
}

impl Names {
    /// The folder of a machine that has just started.
    pub(super) fn durable(names: BTreeMap<String, Inode>) -> Self {
        Self { live: names.clone(), durable: names, unsynced: Vec::new() }
    }

    pub(super) fn create(&mut self, name: &str, file: Inode) {
        self.change(Change::Create(name.to_owned(), file));
    }

    /// False when there is no such file.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(file) = self.live.get(from).cloned() else { return false };
        self.change(Change::Rename(to.to_owned(), file));
        true
    }

    /// False when there is no such file.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let Some(file) = self.live.get(name).cloned() else { return false };
        self.change(Change::Remove(name.to_owned(), file));
        true
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The folder that the next life of the machine finds: each unsynced change is kept or not, on its own.
    pub(super) fn after_crash(&self, chance: &mut Chance<'_>) -> BTreeMap<String, Inode> {
        let mut found = self.durable.clone();
        for change in &self.unsynced {
            // A name is changed as a whole: there is no half of it to find.
            if chance.fate() == Fate::Kept {
                change.apply(&mut found);
            }
        }
        found
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Inode>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), Arc::clone(file));
            }
            Self::Rename(to, file) => {
                // Whatever its name was: a rename before this one may have been lost.
                names.retain(|_, named| !Arc::ptr_eq(named, file));
                names.insert(to.clone(), Arc::clone(file));
            }
            Self::Remove(name, file) => {
                if names.get(name).is_some_and(|named| Arc::ptr_eq(named, file)) {
                    names.remove(name);
                }
            }
        }
    }
}
