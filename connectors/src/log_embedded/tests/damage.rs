//! Damage: what was known synced and has changed is reported with its place and refused, never skipped.

use std::collections::BTreeMap;

use super::life::{Life, PLACES};
use super::model::{Model, Place};
use super::*;

/// A log of several lives, closed with its last group witnessed, and what it holds.
struct Sound {
    disk: SimulatedDisk,
    holds: BTreeMap<Place, Vec<Bytes>>,
}

fn sound(seed: u64) -> Sound {
    let (mut disk, clock) = (SimulatedDisk::new(), Arc::new(HandClock(AtomicU64::new(1_000))));
    let (mut model, mut chance) = (Model::default(), Seeded::new(seed));
    for number in 1..4 {
        let mut life = Life::begin(&disk, &clock, &mut model, number).unwrap();
        for _ in 0..60 {
            life.act(&mut chance);
        }
        life.settle();
        drop(life);
        disk = disk.crash_process();
    }
    let checked = disk.copy();
    Life::begin(&checked, &clock, &mut model, 9).unwrap();
    let places = PLACES.into_iter().chain([0, 1].map(|p| (Topic::State, Partition(p))));
    Sound { disk, holds: places.map(|place| (place, model.values(place))).collect() }
}

pub(super) fn sound_disk(seed: u64) -> SimulatedDisk {
    sound(seed).disk
}

/// What a reader of a harmed log sees.
enum Seen {
    Refused(Damage),
    /// Reports of readers; all else was read and is right.
    Reports(Vec<String>),
}

impl Sound {
    fn look(&self, harmed: &SimulatedDisk) -> Seen {
        let clock = Arc::new(HandClock(AtomicU64::new(1_000)));
        let opened =
            EmbeddedLog::open_stepped(life::config(), Arc::new(harmed.copy()), clock, incarnations(99));
        match opened {
            Err(OpenError::Damaged(damage)) => Seen::Refused(damage),
            Err(error) => panic!("{error}"),
            Ok((log, _steps)) => {
                Seen::Reports(self.holds.keys().flat_map(|place| self.read(&log, *place)).collect())
            }
        }
    }

    /// Reads a place record by record; answers what was reported instead of records.
    fn read(&self, log: &EmbeddedLog, place: Place) -> Vec<String> {
        let (first, end) = log.range(place.0, place.1).unwrap();
        let holds = &self.holds[&place];
        assert_eq!(end.0, holds.len() as u64, "{place:?}: nothing is missing at the end");
        let mut reports = Vec::new();
        for offset in first.0..end.0 {
            match log.read(place.0, place.1, Offset(offset), 1) {
                Ok(chunk) => {
                    assert_eq!(chunk.records.len(), 1);
                    let right = chunk.records[0].value == holds[offset as usize];
                    assert!(right, "{place:?}/{offset} is another");
                }
                Err(ReadError::Damaged(report)) => reports.push(report),
                Err(error) => panic!("{error}"),
            }
        }
        reports
    }

    fn segments(&self) -> Vec<(String, u64)> {
        let names = self.disk.list().unwrap().into_iter();
        let segments = names.filter(|name| header::segment_number(name).is_some());
        segments.map(|name| (name.clone(), self.disk.bytes(&name).unwrap().len() as u64)).collect()
    }
}

fn inspected(disk: &SimulatedDisk) -> Vec<SegmentReport> {
    inspect(&disk.copy(), |_, _| {}).unwrap()
}

/// Checks that harm at `byte` of `file` is harmless or reported there; answers whether it was reported.
fn is_reported(sound: &Sound, harmed: &SimulatedDisk, file: &str, byte: u64) -> bool {
    let reports = inspected(harmed);
    let by_inspect = reports.iter().any(|report| report.damage.is_some());
    match sound.look(harmed) {
        Seen::Refused(damage) => {
            assert_eq!(damage.file, file);
            assert!(damage.position <= byte, "{damage} for harm at byte {byte}");
            assert!(by_inspect, "inspect finds what a start refuses: {damage}");
            true
        }
        Seen::Reports(damages) => {
            let place = format!("{file} at byte ");
            for damage in &damages {
                let at = damage.split(&place).nth(1).unwrap_or_else(|| panic!("{damage} is not in {file}"));
                let at: u64 = at.split(':').next().unwrap().parse().unwrap();
                assert!(at <= byte, "{damage} for harm at byte {byte}");
            }
            // And more: the witnesses, which nobody reads.
            assert!(by_inspect || damages.is_empty(), "inspect finds what readers find: {damages:?}");
            !damages.is_empty()
        }
    }
}

#[test]
fn a_flipped_bit_is_reported_where_it_is_or_harmless() {
    for seed in crash::seeds(2) {
        let sound = sound(seed);
        let mut chance = Seeded::new(seed);
        let (mut reported, mut harmless) = (0, 0);
        for _ in 0..200 {
            let segments = sound.segments();
            let (file, bytes) = &segments[chance.below(segments.len() as u64) as usize];
            let bit = chance.below(bytes * 8);
            let harmed = sound.disk.copy();
            assert!(harmed.flip_bit(file, bit));
            match is_reported(&sound, &harmed, file, bit / 8) {
                true => reported += 1,
                false => harmless += 1,
            }
        }
        assert!(reported > 50 && harmless > 20, "{reported} reported, {harmless} harmless");
    }
}

#[test]
fn every_bit_of_the_newest_segments_frames_counts() {
    let sound = sound(5);
    let newest = inspected(&sound.disk).pop().unwrap();
    let frames = newest.bytes.min(header::frames_at(slots::Slots { partitions: 2 }.count()))..newest.end;
    assert!(frames.end - frames.start > 1_000, "{frames:?}");
    let witness = frames.end - frame::FRAME_HEADER_BYTES as u64;
    for byte in frames.step_by(7) {
        let harmed = sound.disk.copy();
        harmed.flip_bit(&newest.file, byte * 8 + byte % 8);
        // The witness itself holds nothing that could be missed.
        assert_eq!(is_reported(&sound, &harmed, &newest.file, byte), byte < witness, "byte {byte}");
    }
}

#[test]
fn the_last_group_of_a_full_segment_has_a_witness_too() {
    let room = (16 << 10) - header::frames_at(slots::Slots { partitions: 2 }.count()) as usize;
    for left in 0..2 * frame::FRAME_HEADER_BYTES {
        let (disk, clock) = (SimulatedDisk::new(), Arc::new(HandClock(AtomicU64::new(1_000))));
        let opened =
            EmbeddedLog::open_stepped(life::config(), Arc::new(disk.clone()), clock.clone(), incarnations(1));
        let (log, mut steps) = opened.unwrap();
        let value = Bytes::from(vec![7; room - frame::FRAME_HEADER_BYTES - left]);
        let record = Append { topic: Topic::Inbound, partition: Partition(0), key: Bytes::new(), value };
        let mut answer = polled(log.append(vec![record]));
        while steps.turn() {}
        assert_eq!(answer(), Some(Ok(vec![Offset(0)])));
        clock.0.fetch_add(500, Relaxed);
        while steps.turn() {}
        drop((log, steps));
        let disk = disk.crash_process();
        let newest = inspected(&disk).pop().unwrap();
        disk.flip_bit(&newest.file, 5_000 * 8);
        let opened = EmbeddedLog::open_stepped(life::config(), Arc::new(disk), clock, incarnations(2));
        assert!(matches!(opened, Err(OpenError::Damaged(_))), "{left} bytes left: what was answered is cut");
    }
}

#[test]
fn a_file_that_was_cut_is_reported_where_it_ends_or_harmless() {
    for seed in crash::seeds(3) {
        let sound = sound(seed);
        let mut chance = Seeded::new(seed);
        for (file, bytes) in sound.segments() {
            let made = if bytes < 16 << 10 { bytes } else { 16 << 10 };
            for kept in [0, 1, 15, 16, 100, 4_095, 4_096, 5_000, made - 1]
                .into_iter()
                .chain([0; 4].map(|_| chance.below(bytes)))
            {
                let harmed = sound.disk.copy();
                assert!(harmed.cut(&file, kept) || kept >= bytes);
                let reported = is_reported(&sound, &harmed, &file, kept);
                assert!(reported || kept >= made, "{file} cut to {kept} of {bytes} bytes");
            }
        }
    }
}

#[test]
fn a_missing_segment_is_reported() {
    let sound = sound(1);
    let segments = sound.segments();
    for (at, (file, _)) in segments.iter().enumerate().take(segments.len() - 1).skip(1) {
        let harmed = sound.disk.copy();
        harmed.remove(file).unwrap();
        let Seen::Refused(damage) = sound.look(&harmed) else {
            panic!("{file} is missing, and nobody says so")
        };
        assert_eq!(damage.file, segments[at + 1].0);
        let missing = header::segment_number(file).unwrap();
        assert!(damage.what.contains(&format!("segment {missing} is missing")), "{damage}");
    }
}

#[test]
fn behind_a_recorded_end_everything_is_void() {
    let sound = sound(2);
    for report in inspected(&sound.disk).iter().filter(|report| report.sealed) {
        // A whole frame that would be the next one, had the end not been recorded.
        let place = Topic::Inbound;
        let held = report.holds.iter().find(|held| (held.topic, held.partition.0) == (place, 0));
        let frame = frame::FrameHeader {
            value_bytes: 5,
            sequence: report.next_sequence,
            incarnation: u64::from_str_radix(&report.incarnation, 16).unwrap(),
            synced: report.next_sequence,
            place: held.map_or(0, |held| held.first.0 + held.count),
            kind: frame::Kind::Record,
            topic: place,
            partition: Partition(0),
            part: 1,
            parts: 1,
        };
        let mut bytes = Vec::new();
        frame.encode(b"ghost", &mut bytes);
        let harmed = sound.disk.copy();
        harmed.open(&report.file).unwrap().write_at(&bytes, report.end).unwrap();
        let Seen::Reports(reports) = sound.look(&harmed) else { panic!("{} is refused", report.file) };
        assert_eq!(reports, [""; 0]);
        assert!(inspected(&harmed).iter().all(|report| report.damage.is_none()));
    }
}

#[test]
fn an_unreadable_disk_is_no_damage_and_nothing_is_cut() {
    let sound = sound(3);
    for nth in 1.. {
        let disk = sound.disk.copy();
        disk.fail_read(nth, DiskFault::Device);
        let clock = Arc::new(HandClock(AtomicU64::new(1_000)));
        let opened =
            EmbeddedLog::open_stepped(life::config(), Arc::new(disk.clone()), clock, incarnations(9));
        let failed = opened.is_err();
        drop(opened);
        assert!(matches!(sound.look(&disk), Seen::Reports(reports) if reports.is_empty()), "read {nth}");
        if !failed {
            assert!(nth > 10, "a start reads more than {nth} times");
            break;
        }
    }
}
