//! Hostile files: whatever stands in a log's files, opening, reading and inspecting end in words and bounded memory.

use std::io;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::contract::disk::{Disk, DiskFile};

/// A disk on which nobody asks for more bytes at once than a file has, or a frame may have.
struct Watched(SimulatedDisk);

struct WatchedFile(Box<dyn DiskFile>);

impl Disk for Watched {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(WatchedFile(self.0.create(name)?)))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(WatchedFile(self.0.open(name)?)))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.0.sync_folder()
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let most = self.0.length()?.max(4_096);
        assert!(buffer.len() as u64 <= most, "{} bytes are read at once of a file of {most}", buffer.len());
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.0.set_length(bytes)
    }
}

/// One harm; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Harm {
    Flip(u64),
    Cut(u64),
    Overwrite(u64, Vec<u8>),
    /// A piece of the file over another place of it.
    Copy(u64, u64, u64),
    /// A flipped bit in a header, whose checksum is made right again: only its own checks are left.
    Forge(u64),
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => any::<u64>().prop_map(Harm::Flip),
        2 => any::<u64>().prop_map(Harm::Cut),
        2 => (any::<u64>(), vec(any::<u8>(), 1..80)).prop_map(|(at, bytes)| Harm::Overwrite(at, bytes)),
        2 => (any::<u64>(), any::<u64>(), 1..6_000_u64).prop_map(|(from, to, count)| Harm::Copy(from, to, count)),
        4 => any::<u64>().prop_map(Harm::Forge),
    ]
}

fn inflict(bytes: &mut Vec<u8>, harm: &Harm) {
    let length = bytes.len() as u64;
    if length == 0 {
        return;
    }
    match harm {
        Harm::Flip(bit) => {
            let bit = bit % (length * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        Harm::Cut(kept) => bytes.truncate((kept % length) as usize),
        Harm::Overwrite(at, with) => {
            for (n, byte) in with.iter().enumerate() {
                bytes[((at % length) as usize + n) % length as usize] = *byte;
            }
        }
        Harm::Copy(from, to, count) => {
            let (from, to) = ((from % length) as usize, (to % length) as usize);
            let count = (*count as usize).min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + count, to);
        }
        Harm::Forge(bit) => forge(bytes, *bit),
    }
}

/// Flips a bit of a segment header, a footer or a frame, and makes the checksums right again.
fn forge(bytes: &mut [u8], bit: u64) {
    if !bytes.starts_with(b"LEADSEG1") {
        return;
    }
    let number = |bytes: &[u8], at: usize| {
        let found = bytes.get(at..at + 4).map_or(0, |found| u32::from_le_bytes(found.try_into().unwrap()));
        (found as usize).clamp(1, bytes.len().saturating_sub(at + 8).max(1))
    };
    let footer = bytes.windows(8).position(|window| window == b"LEADFOOT").filter(|at| at + 40 < bytes.len());
    if bytes.len() < 100 {
        return;
    }
    let flip = |bytes: &mut [u8], within: std::ops::Range<usize>| {
        let at = within.start + (bit / 64) as usize % within.len();
        bytes[at] ^= 1 << (bit / 8 % 8);
    };
    let put = |bytes: &mut [u8], at: usize, of: std::ops::Range<usize>| {
        let crc = crc32c::crc32c(&bytes[of]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    };
    match (bit % 4, footer) {
        (0, Some(at)) => {
            let body = at + 32..at + 32 + number(bytes, at + 24);
            flip(bytes, body.clone());
            put(bytes, at + 12, body);
            put(bytes, at + 8, at + 12..at + 32);
        }
        (1, Some(at)) => {
            flip(bytes, at + 16..at + 32);
            put(bytes, at + 8, at + 12..at + 32);
        }
        (2, _) => {
            let frames = frames(bytes);
            let Some(frame) = frames.get((bit / 4_096) as usize % frames.len().max(1)).cloned() else {
                return;
            };
            flip(bytes, frame.start + 4..frame.start + 48);
            put(bytes, frame.start, frame.start + 4..frame.end);
        }
        _ => {
            let fields = 16..16 + number(bytes, 12);
            flip(bytes, fields.clone());
            put(bytes, 8, fields);
        }
    }
}

fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut found) = (4_096, Vec::new());
    while let Some((frame, _)) = bytes.get(at..).and_then(frame::FrameHeader::decode_frame) {
        found.push(at..at + frame.frame_bytes());
        at += frame.frame_bytes();
    }
    found
}

fn read_everything(log: &EmbeddedLog) {
    for place in life::PLACES.into_iter().chain([0, 1].map(|p| (Topic::State, Partition(p)))) {
        let Ok((mut from, end)) = log.range(place.0, place.1) else { continue };
        for _ in 0..2_000 {
            match log.read(place.0, place.1, from, 5_000) {
                Ok(chunk) if from < end => {
                    assert!(chunk.next > from, "a reader before the end goes on");
                    from = chunk.next;
                }
                Ok(_) => break,
                // A reader stops at damage; this one looks behind it.
                Err(_) => from.0 += 1,
            }
        }
    }
}

static SOUND: LazyLock<[SimulatedDisk; 4]> = LazyLock::new(|| [0, 1, 2, 3].map(damage::sound_disk));

proptest! {
    #![proptest_config(ProptestConfig { cases: crash::seeds(500).end as u32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn harmed_files_end_in_words(
        seed in 0..4_usize,
        harms in vec((any::<prop::sample::Index>(), harm()), 1..6),
    ) {
        let disk = SOUND[seed].copy();
        let names: Vec<String> = disk.list().unwrap();
        for (name, harm) in &harms {
            let name = name.get(&names);
            let mut bytes = disk.bytes(name).unwrap();
            inflict(&mut bytes, harm);
            let _ = disk.remove(name);
            disk.create(name).unwrap().write_at(&bytes, 0).unwrap();
        }
        let _ = inspect(&Watched(disk.copy()), |_, _| {});
        let clock = Arc::new(HandClock(AtomicU64::new(1_000)));
        let opened = EmbeddedLog::open_stepped(life::config(), Arc::new(Watched(disk)), clock, incarnations(9));
        match opened {
            Err(error) => prop_assert!(!error.to_string().is_empty()),
            Ok((log, _steps)) => read_everything(&log),
        }
    }
}
