//! A state store that is lost or damaged is rebuilt from snapshot and log, after the log has dropped what was in it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use leadline_tests::{COMPANY, Instance, call, segments, until};
use tempfile::TempDir;

/// Small segments, few of them, and a snapshot each second.
const CONFIG: &str =
    "[log]\nsegment_bytes = 131072\nmax_bytes = 16000000\n[state]\nsnapshot_interval_s = 1\n";
/// Calls between two snapshots.
const ROUND: u64 = 100;

/// A call with much to say, so that the store has rows in sorted files and not only in its journal.
fn long_call(n: u64) -> String {
    let mut body: serde_json::Value = serde_json::from_str(&call(COMPANY, n)).unwrap();
    let words = body["transcription"].as_str().unwrap();
    body["transcription"] = format!("{words} {}", "Thank you, that sounds good to me. ".repeat(200)).into();
    body.to_string()
}

/// The data folder of an instance that was killed after the log had dropped the beginning of everything.
pub(super) struct Prepared {
    pub(super) folder: TempDir,
    token: String,
    pub(super) calls: u64,
}

pub(super) fn prepared() -> &'static Prepared {
    static PREPARED: OnceLock<Prepared> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let mut leadline = Instance::configured(CONFIG);
        let token = leadline.tenant("summit", COMPANY, &[]);
        leadline.start();
        let mut calls = 0;
        until("both kept snapshots are behind dropped frames", Duration::from_secs(90), || {
            let before = snapshots(&leadline);
            for n in calls..calls + ROUND {
                // A log that is full until the next snapshot says 503, and to send it again.
                until("it is taken", Duration::from_secs(20), || leadline.hook(&long_call(n)) == Some(200));
            }
            calls += ROUND;
            all_there(&leadline, &token, calls);
            until("a snapshot meanwhile", Duration::from_secs(20), || snapshots(&leadline) > before);
            oldest(&segments(leadline.data.path())) > 8 && !rows(&leadline).is_empty()
        });
        leadline.kill();
        let folder = std::mem::replace(&mut leadline.data, tempfile::tempdir().unwrap());
        Prepared { folder, token, calls }
    })
}

fn snapshots(leadline: &Instance) -> f64 {
    leadline.metric("leadline_snapshots_total")
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

/// Everything is there, and what is sent again is known: rows of records, leads and dedupe came back. Damage may be
/// found on the way and end the process, which is started again.
fn is_whole(leadline: &mut Instance) {
    let Prepared { token, calls, .. } = prepared();
    for n in (0..ROUND).chain(*calls - 5..=*calls) {
        until("it takes a call", Duration::from_secs(30), || {
            leadline.supervise();
            leadline.hook(&long_call(n)) == Some(200)
        });
    }
    // A snapshot reads every row.
    until("a snapshot", Duration::from_secs(30), || !leadline.supervise() && snapshots(leadline) > 0.0);
    until("all calls, each with one lead that changed once", Duration::from_secs(30), || {
        leadline.supervise();
        let listed = |what| leadline.try_listing("summit", what, token);
        let (Some(known), Some(leads)) = (listed("calls"), listed("leads")) else { return false };
        assert!(leads.iter().all(|lead| lead["revision"] == 1), "nothing is processed twice");
        assert!(known.len() as u64 <= calls + 1 && leads.len() as u64 <= calls + 1);
        known.len() as u64 == calls + 1 && leads.len() as u64 == calls + 1
    });
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

/// Sorted files of rows; keyspace 0 is the store's own.
fn rows(leadline: &Instance) -> Vec<PathBuf> {
    let tables = files(&leadline.data.path().join("state/keyspaces"), "/tables/");
    tables.into_iter().filter(|path| !path.to_string_lossy().contains("/keyspaces/0/")).collect()
}

/// Flips bytes all over a file.
fn damage(path: &Path) {
    let bytes = path.metadata().unwrap().len() as usize;
    damage_to(path, bytes);
}

/// Flips bytes of a file up to `end`.
fn damage_to(path: &Path, end: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    for byte in bytes.iter_mut().take(end).step_by(503) {
        *byte ^= 0x55;
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
    is_whole(&mut leadline);
}

#[test]
fn a_damaged_store_is_moved_aside_and_rebuilt_whatever_is_damaged() {
    for case in ["lists of files", "rows", "everything"] {
        let mut leadline = Instance::copy_of(prepared().folder.path());
        let state = leadline.data.path().join("state");
        match case {
            "lists of files" => files(&state, "/current").iter().for_each(|path| damage(path)),
            // Blocks of rows stand first in their file. Nothing looks at them before they are read.
            "rows" => rows(&leadline).iter().for_each(|path| damage_to(path, 100_000)),
            _ => files(&state, "/").iter().take(20).for_each(|path| damage(path)),
        }
        is_whole(&mut leadline);
        let names = std::fs::read_dir(leadline.data.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let aside = names.filter(|name| name.to_string_lossy().contains("state.damaged-")).count();
        assert_eq!(aside, 1, "{case}: {}", leadline.log_text());
        assert!(leadline.log_text().contains("moved aside"), "{case}: {}", leadline.log_text());
    }
}

/// The blob of the first chunk that a manifest names.
fn first_chunk(manifest: &Path) -> String {
    let content = std::fs::read(manifest).unwrap();
    let text = String::from_utf8_lossy(&content);
    let (_, behind) = text.split_once("\"blob\": \"").unwrap();
    behind.split('"').next().unwrap().to_owned()
}

#[test]
fn a_damaged_newest_snapshot_is_passed_over_and_without_any_the_start_is_refused_in_words() {
    let mut leadline = Instance::copy_of(prepared().folder.path());
    std::fs::remove_dir_all(leadline.data.path().join("state")).unwrap();
    let blobs = leadline.data.path().join("blobs");
    let mut manifests = files(&blobs.join("snapshots"), ".json");
    manifests.retain(|path| !path.to_string_lossy().contains('~'));
    manifests.sort();
    assert_eq!(manifests.len(), 2, "one partition has rows, and two snapshots: {manifests:?}");
    let pieces = manifests.iter().map(|path| blobs.join(first_chunk(path))).collect::<Vec<_>>();
    without(&pieces, || {
        start_is_refused(&leadline, &["no", "verified snapshot", "backup"]);
        // Refused, and not half begun: as soon as the snapshots are back, all is well.
    });
    damage(&pieces[1]);
    leadline.start();
    assert!(leadline.log_text().contains("a snapshot cannot be used"), "{}", leadline.log_text());
    is_whole(&mut leadline);
}

#[test]
fn state_rebuild_is_for_a_stopped_instance_and_settings_outlive_the_store() {
    let mut leadline = Instance::copy_of(prepared().folder.path());
    leadline.start();
    let refused = leadline.cli(&["state", "rebuild"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("running leadline"), "{why}");
    leadline.terminate();
    let done = leadline.cli(&["state", "rebuild"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // The log has dropped what `tenant add` wrote, and the store is gone: the copy has it.
    let copy = [leadline.data.path().join("settings.avro")];
    without(&copy, || start_is_refused(&leadline, &["settings.avro", "restore"]));
    leadline.start();
    is_whole(&mut leadline);
}
