//! A state store that is lost or damaged is rebuilt from snapshot and log, after the log has dropped what was in it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use leadline_tests::{COMPANY, Instance, call, get, segments, until};
use tempfile::TempDir;

/// Small segments, few of them, and a snapshot each second.
const CONFIG: &str =
    "[log]\nsegment_bytes = 131072\nmax_bytes = 1500000\n[state]\nsnapshot_interval_s = 1\n";
/// Calls between two snapshots.
const ROUND: u64 = 20;

/// The data folder of an instance that was killed after the log had dropped the beginning of everything.
struct Prepared {
    folder: TempDir,
    token: String,
    calls: u64,
}

fn prepared() -> &'static Prepared {
    static PREPARED: OnceLock<Prepared> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let mut leadline = Instance::configured(CONFIG);
        let token = leadline.tenant("summit", COMPANY, &[]);
        leadline.start();
        let mut calls = 0;
        until("both kept snapshots are behind dropped frames", Duration::from_secs(90), || {
            for n in calls..calls + ROUND {
                assert_eq!(leadline.hook(&call(COMPANY, n)), Some(200));
            }
            calls += ROUND;
            all_there(&leadline, &token, calls);
            let before = snapshots(&leadline);
            until("a snapshot of them", Duration::from_secs(20), || snapshots(&leadline) > before);
            oldest(&segments(leadline.data.path())) > 8
        });
        leadline.kill();
        let folder = std::mem::replace(&mut leadline.data, tempfile::tempdir().unwrap());
        Prepared { folder, token, calls }
    })
}

fn snapshots(leadline: &Instance) -> u64 {
    let (_, metrics) = get(leadline.port, "/metrics", "").unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("leadline_snapshots_total "));
    line.map_or(0, |value| value.parse().unwrap())
}

fn oldest(segments: &[PathBuf]) -> u64 {
    let name = segments[0].file_stem().unwrap().to_string_lossy().into_owned();
    name.trim_start_matches("segment-").parse().unwrap()
}

fn all_there(leadline: &Instance, token: &str, count: u64) {
    until("all calls are there", Duration::from_secs(30), || {
        leadline.listing("summit", "calls", token).len() as u64 == count
    });
}

/// Everything is there, and what is sent again is known: rows of records, leads and dedupe came back.
fn is_whole(leadline: &Instance) {
    let Prepared { token, calls, .. } = prepared();
    all_there(leadline, token, *calls);
    for n in (0..ROUND).chain(*calls - 5..=*calls) {
        assert_eq!(leadline.hook(&call(COMPANY, n)), Some(200));
    }
    all_there(leadline, token, calls + 1);
    let leads = leadline.listing("summit", "leads", token);
    assert_eq!(leads.len() as u64, calls + 1);
    assert!(leads.iter().all(|lead| lead["revision"] == 1), "nothing was processed twice");
}

/// Files below `folder` whose path contains `part`, largest first.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().contains(part) {
                found.push((path.metadata().unwrap().len(), path));
            }
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Flips bytes all over a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    for at in (0..bytes.len()).step_by(503).chain([bytes.len() / 2]) {
        bytes[at] ^= 0x55;
    }
    std::fs::write(path, bytes).unwrap();
}

fn start_is_refused(leadline: &Instance, words: &[&str]) {
    let refused = leadline.command().output().unwrap();
    assert!(!refused.status.success());
    let why = leadline.log_text();
    assert!(words.iter().all(|word| why.contains(word)), "{words:?} in {why}");
    assert!(!why.contains("panicked"), "{why}");
}

/// Moves the files aside while `what` runs.
fn without(files: &[PathBuf], what: impl FnOnce()) {
    let aside = |file: &PathBuf| file.with_extension("aside");
    files.iter().for_each(|file| std::fs::rename(file, aside(file)).unwrap());
    what();
    files.iter().for_each(|file| std::fs::rename(aside(file), file).unwrap());
}

#[test]
fn a_deleted_state_store_is_rebuilt_from_snapshot_and_tail_and_so_are_the_records() {
    let mut leadline = Instance::copy_of(prepared().folder.path());
    std::fs::remove_dir_all(leadline.data.path().join("state")).unwrap();
    std::fs::remove_file(leadline.data.path().join("records.db")).unwrap();
    leadline.start();
    is_whole(&leadline);
}
