//! One file's bytes: as the process reads them, as the device has them, and what lies between.

use std::io;

use super::Random;

/// What a device writes at once or not at all, most of the time.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) cached: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Write { bytes: Vec<u8>, offset: usize },
    Length(usize),
}

impl Inode {
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = to_usize(offset);
        let bytes = self.cached.get(from..from.saturating_add(buffer.len()));
        buffer.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let offset = to_usize(offset);
        put(&mut self.cached, bytes, offset);
        self.pending.push(Pending::Write { bytes: bytes.to_vec(), offset });
    }

    pub(super) fn set_length(&mut self, bytes: u64) {
        self.cached.resize(to_usize(bytes), 0);
        self.pending.push(Pending::Length(to_usize(bytes)));
    }

    pub(super) fn sync(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Write { bytes, offset } => put(&mut self.durable, &bytes, offset),
                Pending::Length(bytes) => self.durable.resize(bytes, 0),
            }
        }
    }

    /// Some of it reaches the device, the rest never will, and all of it reads well: pages count as clean.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.reach_device(random);
    }

    pub(super) fn crash(&mut self, random: &mut Random) {
        self.reach_device(random);
        self.cached.clone_from(&self.durable);
    }

    pub(super) fn flip_bit(&mut self, bit: u64) {
        for bytes in [&mut self.cached, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(to_usize(bit / 8)) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    fn reach_device(&mut self, random: &mut Random) {
        for pending in std::mem::take(&mut self.pending) {
            match (pending, random.below(3)) {
                (_, 0) => {}
                (Pending::Length(bytes), _) => self.durable.resize(bytes, 0),
                (Pending::Write { bytes, offset }, 1) => put(&mut self.durable, &bytes, offset),
                (Pending::Write { bytes, offset }, _) => tear(&mut self.durable, &bytes, offset, random),
            }
        }
    }
}

/// Leaves some of the sectors, one of them cut at any byte.
fn tear(durable: &mut Vec<u8>, bytes: &[u8], offset: usize, random: &mut Random) {
    let end = offset + bytes.len();
    let mut from = offset;
    while from < end {
        let to = (from / SECTOR_BYTES + 1).saturating_mul(SECTOR_BYTES).min(end);
        let kept = match random.below(8) {
            0..=3 => to - from,
            4 => to_usize(random.below((to - from) as u64)),
            _ => 0,
        };
        if let Some(sector) = bytes.get(from - offset..from - offset + kept)
            && kept > 0
        {
            put(durable, sector, from);
        }
        from = to;
    }
}

fn put(file: &mut Vec<u8>, bytes: &[u8], offset: usize) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    if let Some(place) = file.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
