//! A disk in memory that forgets what was not synced: for simulation and tests.
//!
//! It has a page cache like a real one. A crash of the process keeps every write; a crash of the machine loses,
//! tears or keeps each unsynced write on its own, and loses or keeps each unsynced creation, renaming and removal of
//! a name on its own, as chance has it. Operations that change or sync something are counted, so that a test can
//! crash at every single one of them. It is deterministic: the same calls and the same chance give the same bytes.

mod content;
mod crash;
mod faults;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::conformance::Seeded;
use crate::contract::disk::{Disk, DiskFile};
use content::Content;
use crash::Chance;
pub use faults::DiskFault;
use faults::{Faults, Refused};
use names::{Inode, Names};

/// A disk in one life of its machine. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk {
    machine: Arc<Mutex<Machine>>,
}

#[derive(Default)]
struct Machine {
    names: Names,
    faults: Faults,
    capacity_bytes: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatedDisk {
    /// An empty disk without bounds.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations there were that change or sync something.
    pub fn operations(&self) -> u64 {
        lock(&self.machine).faults.operations
    }

    /// Makes the `nth` such operation from now (1 is the next) fail. A write that fails has half happened; a sync
    /// that fails makes nothing durable, and no later sync of that file does for what was written before.
    pub fn fail(&self, nth: u64, fault: DiskFault) {
        lock(&self.machine).faults.plan(nth, fault);
    }

    /// Makes the `nth` operation from now that only looks (open, list, read, length) fail.
    pub fn fail_read(&self, nth: u64, fault: DiskFault) {
        lock(&self.machine).faults.plan_read(nth, fault);
    }

    /// Ends the process after `operations` more operations that change or sync something: the next one fails, a
    /// write after half of it, and so does everything after it.
    pub fn kill_after(&self, operations: u64) {
        lock(&self.machine).faults.kill_after(operations);
    }

    /// Takes back every fault that was planned and has not happened, and the bound of the disk.
    pub fn heal(&self) {
        let mut machine = lock(&self.machine);
        machine.capacity_bytes = None;
        machine.faults.heal();
    }

    /// Whether the process has been killed, or this life of the machine is over.
    pub fn is_gone(&self) -> bool {
        lock(&self.machine).faults.gone.is_some()
    }

    /// Bounds the bytes of all files; what would go beyond is refused like on a full disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.machine).capacity_bytes = bytes;
    }

    /// The bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        lock(&self.machine).used_bytes()
    }

    /// How many changes to files and names a crash of the machine could lose now.
    pub fn unsynced(&self) -> usize {
        let machine = lock(&self.machine);
        let in_files: usize = machine.names.live.values().map(|file| lock(file).unsynced()).sum();
        in_files.saturating_add(machine.names.unsynced())
    }

    /// The disk as the next process finds it on the same machine: every write and name is there, synced or not.
    /// Planned faults and the count of operations are not. This value and its files answer errors from now on.
    #[must_use]
    pub fn crash_process(&self) -> Self {
        let old = self.end();
        Self::with(old.names, old.capacity_bytes)
    }

    /// The disk as the next life of the machine finds it. This value and its files answer errors from now on.
    #[must_use]
    pub fn crash_machine(&self, chance: &mut Seeded) -> Self {
        let old = self.end();
        let mut chance = Chance::new(chance);
        let names = old.names.after_crash(&mut chance);
        let survived = |(name, file): (String, Inode)| {
            let content = lock(&file).after_crash(&mut chance);
            (name, Arc::new(Mutex::new(content)))
        };
        let found: BTreeMap<String, Inode> = names.into_iter().map(survived).collect();
        Self::with(Names::durable(found), old.capacity_bytes)
    }

    /// A copy of the disk as it is now, all of it durable: to damage, or to look at beside a running log.
    #[must_use]
    pub fn copy(&self) -> Self {
        let machine = lock(&self.machine);
        let copied = |(name, file): (&String, &Inode)| {
            (name.clone(), Arc::new(Mutex::new(Content::durable(lock(file).live.clone()))))
        };
        Self::with(Names::durable(machine.names.live.iter().map(copied).collect()), machine.capacity_bytes)
    }

    /// Flips one bit of a file, durably and behind everybody's back. False if there is no such bit.
    pub fn flip_bit(&self, name: &str, bit: u64) -> bool {
        self.damage(name, |bytes| {
            let byte = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at));
            byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
        })
    }

    /// Cuts a file off, durably and behind everybody's back. False if it is not longer than that.
    pub fn cut(&self, name: &str, bytes_kept: u64) -> bool {
        self.damage(name, |bytes| {
            let kept = usize::try_from(bytes_kept).unwrap_or(usize::MAX);
            let shortens = kept < bytes.len();
            bytes.truncate(kept);
            shortens
        })
    }

    /// A file's bytes; none if there is no such file. Counts as no operation.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        lock(&self.machine).names.live.get(name).map(|file| lock(file).live.clone())
    }

    fn damage(&self, name: &str, harm: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let machine = lock(&self.machine);
        let Some(file) = machine.names.live.get(name) else { return false };
        let mut content = lock(file);
        let mut bytes = content.live.clone();
        let harmed = harm(&mut bytes);
        *content = Content::durable(bytes);
        harmed
    }

    fn with(names: Names, capacity_bytes: Option<u64>) -> Self {
        let machine = Machine { names, capacity_bytes, ..Machine::default() };
        Self { machine: Arc::new(Mutex::new(machine)) }
    }

    fn end(&self) -> Machine {
        let faults = Faults { gone: Some("the disk has crashed"), ..Faults::default() };
        let after = Machine { faults, ..Machine::default() };
        std::mem::replace(&mut *lock(&self.machine), after)
    }

    fn begin(&self) -> Result<MutexGuard<'_, Machine>, Refused> {
        let mut machine = lock(&self.machine);
        machine.faults.begin()?;
        Ok(machine)
    }

    fn begin_read(&self) -> io::Result<MutexGuard<'_, Machine>> {
        let mut machine = lock(&self.machine);
        machine.faults.begin_read()?;
        Ok(machine)
    }

    fn handle(&self, file: Inode) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile { disk: self.clone(), file })
    }
}

impl Machine {
    fn used_bytes(&self) -> u64 {
        self.names.live.values().map(|file| lock(file).live.len() as u64).sum()
    }

    /// How many more bytes files may have.
    fn room_bytes(&self) -> u64 {
        self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()))
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut machine = self.begin().map_err(Refused::error)?;
        if machine.names.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Inode::default();
        machine.names.create(name, Arc::clone(&file));
        Ok(self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let machine = self.begin_read()?;
        let file = machine.names.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(Arc::clone(file)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.begin_read()?.names.live.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let renamed = self.begin().map_err(Refused::error)?.names.rename(from, to);
        if renamed { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.begin().map_err(Refused::error)?.names.remove(name);
        if removed { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.begin().map_err(Refused::error)?.names.sync();
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: Inode,
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let _machine = self.disk.begin_read()?;
        lock(&self.file).read(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let machine = match self.disk.begin() {
            Ok(machine) => machine,
            Err(Refused::Gone(error)) => return Err(error),
            Err(Refused::Fails(error) | Refused::Killed(error)) => {
                let _machine = lock(&self.disk.machine);
                lock(&self.file).write(bytes.get(..bytes.len() / 2).unwrap_or_default(), offset)?;
                return Err(error);
            }
        };
        let room = machine.room_bytes();
        let mut content = lock(&self.file);
        let fits_to = (content.live.len() as u64).saturating_add(room);
        let fits = usize::try_from(fits_to.saturating_sub(offset)).unwrap_or(usize::MAX);
        if fits >= bytes.len() {
            return content.write(bytes, offset);
        }
        content.write(bytes.get(..fits).unwrap_or_default(), offset)?;
        Err(DiskFault::Full.error())
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.disk.begin() {
            Ok(_machine) => {
                lock(&self.file).sync();
                Ok(())
            }
            Err(Refused::Fails(error)) => {
                lock(&self.file).fail_sync();
                Err(error)
            }
            Err(refused) => Err(refused.error()),
        }
    }

    fn length(&self) -> io::Result<u64> {
        let _machine = self.disk.begin_read()?;
        Ok(lock(&self.file).live.len() as u64)
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        let machine = self.disk.begin().map_err(Refused::error)?;
        let room = machine.room_bytes();
        let mut content = lock(&self.file);
        if bytes.saturating_sub(content.live.len() as u64) > room {
            return Err(DiskFault::Full.error());
        }
        content.set_length(bytes)
    }
}
