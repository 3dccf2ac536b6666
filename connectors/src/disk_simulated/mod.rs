//! The simulated disk: it knows what was synced and what was not, and one seed decides what a crash leaves.
//!
//! An unsynced write is lost, kept, or torn: any of its sectors may be missing, and the last kept one may be cut at
//! any byte. Each write fares on its own, so a later one may be kept and an earlier one lost. Unsynced names stay
//! or vanish, each on its own; a rename is atomic, as on every journaling file system. Room is bounded; a sync can
//! be made to fail, after which unsynced bytes read well but are on no later sync's list, as on Linux.

mod inode;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inode::Inode;

use crate::contract::disk::{Disk, DiskFile};

/// A disk in memory; clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    random: Random,
    /// Grows with each crash or restart: open files end with the process that opened them.
    life: u64,
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    room_bytes: u64,
    /// Changes left until the power goes.
    power_left: Option<u64>,
    fail_syncs_in: Option<u64>,
    reads: Reads,
}

#[derive(Clone)]
enum NameChange {
    Create { name: String, inode: u64 },
    Rename { from: String, to: String, inode: u64 },
    Remove { name: String, inode: u64 },
}

/// What has been read since the disk was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Calls.
    pub calls: u64,
    /// Bytes of all calls.
    pub bytes: u64,
}

/// SplitMix64 (Steele, Lea, Flood 2014): one number of state, reproducible anywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

impl SimulatedDisk {
    /// An empty disk without a limit on its room.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                random: Random(seed),
                life: 0,
                inodes: HashMap::new(),
                next_inode: 0,
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                pending_names: Vec::new(),
                room_bytes: u64::MAX,
                power_left: None,
                fail_syncs_in: None,
                reads: Reads::default(),
            })),
        }
    }

    /// How many bytes all files together may have; writes beyond answer `StorageFull` after filling what is left.
    pub fn set_room(&self, bytes: u64) {
        self.lock().room_bytes = bytes;
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// After `changes` more writes, syncs and name changes every call fails, until `crash`. The last of them is
    /// still tried: a write is there unsynced.
    pub fn cut_power_after(&self, changes: u64) {
        self.lock().power_left = Some(changes);
    }

    /// The sync after `syncs` more fails, once.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.lock().fail_syncs_in = Some(syncs);
    }

    /// The machine goes down: chance decides what is left of all that was not synced. Open files are void.
    pub fn crash(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for change in std::mem::take(&mut state.pending_names) {
            if state.random.below(2) == 0 {
                apply(&mut state.durable_names, change);
            }
        }
        state.names.clone_from(&state.durable_names);
        let mut numbers: Vec<u64> = state.inodes.keys().copied().collect();
        // In order, so that one seed gives one result.
        numbers.sort_unstable();
        for number in numbers {
            if let Some(inode) = state.inodes.get_mut(&number) {
                inode.crash(&mut state.random);
            }
        }
        state.restart();
    }

    /// The process ends and the machine goes on: nothing is lost, open files are void.
    pub fn restart(&self) {
        self.lock().restart();
    }

    /// Flips one bit of a file, on the disk and in the cache.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let mut state = self.lock();
        if let Some(inode) = state.find(name) {
            inode.flip_bit(bit);
        }
    }

    /// A file's bytes as they are read; none if there is no such file.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().find(name).map(|inode| inode.cached.clone())
    }

    /// What has been read since the disk was made.
    pub fn reads(&self) -> Reads {
        self.lock().reads
    }

    /// A disk with the same durable and cached bytes and another seed: to try several fates from one state.
    pub fn fork(&self, seed: u64) -> Self {
        let state = self.lock();
        let fork = Self::new(seed);
        {
            let mut other = fork.lock();
            other.inodes.clone_from(&state.inodes);
            other.next_inode = state.next_inode;
            other.names.clone_from(&state.names);
            other.durable_names.clone_from(&state.durable_names);
            other.pending_names.clone_from(&state.pending_names);
            other.room_bytes = state.room_bytes;
        }
        fork
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: u64, life: u64) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile { disk: self.clone(), inode, life })
    }
}

impl State {
    fn restart(&mut self) {
        self.life += 1;
        self.power_left = None;
        self.fail_syncs_in = None;
        let names = self.names.values().chain(self.durable_names.values());
        let linked: HashSet<u64> = names.copied().collect();
        self.inodes.retain(|number, _| linked.contains(number));
    }

    fn used_bytes(&self) -> u64 {
        let linked = self.names.values().filter_map(|number| self.inodes.get(number));
        linked.map(|inode| inode.cached.len() as u64).sum()
    }

    fn find(&mut self, name: &str) -> Option<&mut Inode> {
        let number = self.names.get(name)?;
        self.inodes.get_mut(number)
    }

    fn named(&self, name: &str) -> io::Result<u64> {
        self.powered()?;
        self.names.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn powered(&self) -> io::Result<()> {
        if self.power_left == Some(0) { Err(no_power()) } else { Ok(()) }
    }

    /// Before a change: false if it is the last one, which is tried but not answered well.
    fn change(&mut self) -> io::Result<bool> {
        self.powered()?;
        self.power_left = self.power_left.map(|left| left - 1);
        Ok(self.power_left != Some(0))
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let answered = self.change()?;
        apply(&mut self.names, change.clone());
        self.pending_names.push(change);
        if answered { Ok(()) } else { Err(no_power()) }
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is gone")
}

fn apply(names: &mut BTreeMap<String, u64>, change: NameChange) {
    match change {
        NameChange::Create { name, inode } => drop(names.insert(name, inode)),
        NameChange::Rename { from, to, inode } => {
            if names.get(&from) == Some(&inode) {
                names.remove(&from);
            }
            names.insert(to, inode);
        }
        NameChange::Remove { name, inode } => {
            if names.get(&name) == Some(&inode) {
                names.remove(&name);
            }
        }
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        if state.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        state.next_inode += 1;
        let (inode, life) = (state.next_inode, state.life);
        state.inodes.insert(inode, Inode::default());
        state.change_name(NameChange::Create { name: name.to_owned(), inode })?;
        Ok(self.file(inode, life))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.lock();
        Ok(self.file(state.named(name)?, state.life))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.powered()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.named(from)?;
        state.change_name(NameChange::Rename { from: from.to_owned(), to: to.to_owned(), inode })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let inode = state.named(name)?;
        state.change_name(NameChange::Remove { name: name.to_owned(), inode })
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.lock();
        if !state.change()? {
            return Err(no_power());
        }
        for change in std::mem::take(&mut state.pending_names) {
            apply(&mut state.durable_names, change);
        }
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
    life: u64,
}

impl SimulatedFile {
    /// Runs `act` on the file; refused if its process is gone.
    fn with<T>(&self, act: impl FnOnce(&mut State, &mut Inode) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock();
        if state.life != self.life {
            return Err(io::Error::other("the file was opened before a crash"));
        }
        let Some(mut inode) = state.inodes.remove(&self.inode) else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        let result = act(&mut state, &mut inode);
        state.inodes.insert(self.inode, inode);
        result
    }
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|state, inode| {
            state.powered()?;
            state.reads.calls += 1;
            state.reads.bytes += buffer.len() as u64;
            inode.read(buffer, offset)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, inode| {
            let answered = state.change()?;
            let end = offset.saturating_add(bytes.len() as u64);
            let grows = end.saturating_sub(inode.cached.len() as u64);
            // This file is taken out of the table while it is worked on.
            let used = state.used_bytes() + inode.cached.len() as u64;
            let lacks = used.saturating_add(grows).saturating_sub(state.room_bytes).min(grows);
            let fits = bytes.len() - usize::try_from(lacks).unwrap_or(0).min(bytes.len());
            inode.write(bytes.get(..fits).unwrap_or(bytes), offset);
            match (lacks, answered) {
                (0, true) => Ok(()),
                (0, false) => Err(no_power()),
                _ => Err(io::Error::from(io::ErrorKind::StorageFull)),
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state, inode| {
            if !state.change()? {
                return Err(no_power());
            }
            match state.fail_syncs_in {
                Some(0) => {
                    state.fail_syncs_in = None;
                    inode.fail_sync(&mut state.random);
                    return Err(io::Error::other("the device failed"));
                }
                Some(left) => state.fail_syncs_in = Some(left - 1),
                None => {}
            }
            inode.sync();
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.with(|state, inode| {
            state.powered()?;
            Ok(inode.cached.len() as u64)
        })
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.with(|state, inode| {
            let answered = state.change()?;
            inode.set_length(bytes);
            if answered { Ok(()) } else { Err(no_power()) }
        })
    }
}
