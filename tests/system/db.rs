//! The record store is derived from what was committed: it can be filled anew, compared, and kept elsewhere.

use std::process::Output;
use std::time::Duration;

use leadline_tests::cassandra::{Cassandra, USER};
use leadline_tests::{COMPANY, Instance, call, until};
use serde_json::Value;

use crate::rebuild::prepared;

const STORED: Duration = Duration::from_secs(30);

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn done(leadline: &Instance, args: &[&str]) -> String {
    let output = leadline.cli(args);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    said(&output)
}

fn refused(leadline: &Instance, args: &[&str]) -> String {
    let output = leadline.cli(args);
    assert!(!output.status.success(), "{args:?}: {}", said(&output));
    let why = said(&output);
    assert!(!why.contains("panicked"), "{why}");
    why
}

/// What `db verify` finds: how many records there are, and each difference as `topic what record`.
fn differences(leadline: &Instance) -> (u64, Vec<String>) {
    let output = leadline.cli(&["db", "verify", "--json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line =
        |line: &Value| format!("{} {} {}", text(&line["topic"]), text(&line["what"]), text(&line["record"]));
    let lines: Vec<String> = found["differences"].as_array().unwrap().iter().map(line).collect();
    assert_eq!(output.status.success(), lines.is_empty());
    (found["records"].as_u64().unwrap(), lines)
}

/// The record store's file with what lay beside it: a stop that had no time to close it leaves some there, and whoever
/// opens it alone brings that in.
fn whole_file(stopped: &Instance) -> Vec<u8> {
    done(stopped, &["db", "apply"]);
    std::fs::read(stopped.data.path().join("records.db")).unwrap()
}

/// Another file takes the record store's place, and nothing of the one before stays beside it.
fn put_back(stopped: &Instance, file: &[u8]) {
    for name in ["records.db-wal", "records.db-shm"] {
        let _ = std::fs::remove_file(stopped.data.path().join(name));
    }
    std::fs::write(stopped.data.path().join("records.db"), file).unwrap();
}

/// Sends calls and waits until they can be read.
fn take(leadline: &Instance, token: &str, numbers: std::ops::Range<u64>, count: usize) {
    for number in numbers {
        assert_eq!(leadline.hook(&call(COMPANY, number)), Some(200));
    }
    until("all leads are there", STORED, || leadline.listing("summit", "leads", token).len() == count);
}

#[test]
fn an_empty_store_is_filled_from_the_log_and_differences_are_named() {
    let mut leadline = Instance::new();
    let token = leadline.tenant("summit", COMPANY, &[]);
    let records = leadline.data.path().join("records.db");
    assert!(done(&leadline, &["db", "status"]).contains("no tables yet"));
    assert!(done(&leadline, &["db", "plan"]).contains("CREATE TABLE call_records"));
    assert!(done(&leadline, &["db", "apply"]).contains("from version 0 to"));
    assert!(done(&leadline, &["db", "plan"]).contains("as it should be"));

    leadline.start();
    take(&leadline, &token, 0..6, 6);
    for command in [&["db", "verify"][..], &["db", "rebuild", "--from-log"], &["db", "apply"]] {
        let why = refused(&leadline, command);
        assert!(why.contains("running leadline"), "{command:?}: {why}");
    }
    leadline.terminate();
    let (count, found) = differences(&leadline);
    assert!(count >= 6 * 4 && found.is_empty(), "{count}: {found:?}");
    let early = whole_file(&leadline);
    let early_copy = Instance::copy_of(leadline.data.path());

    leadline.start();
    take(&leadline, &token, 6..9, 9);
    // A call changes: CallRail tells of another duration.
    let longer = call(COMPANY, 0).replace("\"412\"", "\"555\"");
    assert_eq!(leadline.hook(&longer), Some(200));
    until("the changed call", STORED, || {
        leadline.listing("summit", "calls", &token).iter().any(|call| call["duration_s"] == 555)
    });
    leadline.terminate();
    let whole = whole_file(&leadline);
    // A log that was put back to what it once was would go on below what the store has, and nothing would be written.
    put_back(&early_copy, &whole);
    let (_, found) = differences(&early_copy);
    assert!(found.iter().any(|line| line.starts_with("progress unexpected partition ")), "{found:?}");
    let why = refused(&leadline, &["db", "rebuild", "--from-log"]);
    assert!(why.contains("not empty") && why.contains("move it aside"), "{why}");

    // Somebody has put an old copy back: what came since is missing, and said by its name.
    put_back(&leadline, &early);
    let (_, found) = differences(&leadline);
    for number in 6..9 {
        assert!(found.contains(&format!("calls missing summit CAL{number:032x}")), "{number}: {found:?}");
    }
    assert!(found.contains(&format!("calls differs summit CAL{:032x}", 0)), "{found:?}");
    assert!(!found.iter().any(|line| line.contains(" unexpected ")), "{found:?}");
    // Or the file of somebody else: what it has was never committed here.
    let mut other = Instance::new();
    let others_token = other.tenant("summit", COMPANY, &[]);
    other.start();
    take(&other, &others_token, 50..52, 2);
    other.terminate();
    put_back(&leadline, &whole_file(&other));
    let (_, found) = differences(&leadline);
    assert!(found.contains(&format!("calls unexpected summit CAL{:032x}", 50)), "{found:?}");
    assert!(found.contains(&format!("calls missing summit CAL{:032x}", 0)), "{found:?}");

    std::fs::remove_file(&records).unwrap();
    // A rebuild was killed: what it left is no store.
    let left = leadline.data.path().join("records.db-filling");
    std::fs::write(&left, &early[..early.len() / 2]).unwrap();
    let said = done(&leadline, &["db", "rebuild", "--from-log"]);
    assert!(said.contains("was filled") && said.contains("cut short") && !left.exists(), "{said}");
    let filled = whole_file(&leadline);
    for file in [&whole, &filled] {
        put_back(&leadline, file);
        let (_, found) = differences(&leadline);
        assert!(found.is_empty(), "{found:?}");
    }
    // It goes on where the rebuild ended: windows may have closed meanwhile.
    leadline.start();
    assert_eq!(leadline.listing("summit", "leads", &token).len(), 9);
    leadline.terminate();
    let (_, found) = differences(&leadline);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_store_is_filled_from_snapshots_where_the_log_has_dropped_the_beginning() {
    let leadline = Instance::copy_of(prepared().folder.path());
    for file in ["records.db", "records.db-wal", "records.db-shm"] {
        let _ = std::fs::remove_file(leadline.data.path().join(file));
    }
    std::fs::remove_dir_all(leadline.data.path().join("state")).unwrap();
    let said = done(&leadline, &["db", "rebuild", "--from-log"]);
    assert!(said.contains("was filled"), "{said}");
    let (count, found) = differences(&leadline);
    assert!(count >= prepared().calls * 4 && found.is_empty(), "{count}: {found:?}");
}

#[test]
fn without_a_record_store_or_a_log_there_is_nothing_to_do_and_that_is_said() {
    let leadline = Instance::configured("[records]\nstore = \"none\"\n");
    for command in ["status", "plan", "apply", "verify"] {
        assert!(refused(&leadline, &["db", command]).contains("records.store is none"), "{command}");
    }
    assert!(refused(&leadline, &["db", "rebuild", "--from-log"]).contains("records.store is none"));
    let empty = Instance::new();
    assert!(refused(&empty, &["db", "rebuild", "--from-log"]).contains("has no log"));
    assert!(refused(&empty, &["db", "rebuild"]).contains("--from-log"));
}

#[test]
fn records_lie_in_cassandra_through_its_restart_and_are_filled_anew_into_another_keyspace() {
    let Some(mut server) = Cassandra::start() else { return };
    let keyspace = |name: &str| {
        format!(
            "[records]\nstore = \"cassandra\"\n[cassandra]\ncontact_points = \"{}\"\nkeyspace = \"{name}\"\n\
             replication = 1\nuser = \"{}\"\npassword_file = \"{}\"\ntls = true\nca_file = \"{}\"\n",
            server.contact_point(),
            USER.0,
            server.certificate().with_file_name("password").display(),
            server.certificate().display()
        )
    };
    std::fs::write(server.certificate().with_file_name("password"), format!("{}\n", USER.1)).unwrap();
    let (first, second) = (keyspace("first"), keyspace("second"));
    let mut leadline = Instance::configured(&first);
    let token = leadline.tenant("summit", COMPANY, &[]);
    until("a login", Duration::from_secs(60), || leadline.cli(&["db", "status"]).status.success());
    let refused_start = leadline.command().output().unwrap();
    assert!(!refused_start.status.success());
    assert!(leadline.log_text().contains("leadline db apply"), "{}", leadline.log_text());
    assert!(done(&leadline, &["db", "apply"]).contains("from version 0 to"));

    leadline.start();
    take(&leadline, &token, 0..5, 5);
    server.kill();
    // Events are taken while the store is away, and what came of them is written when it is back.
    (5..9).for_each(|number| assert_eq!(leadline.hook(&call(COMPANY, number)), Some(200)));
    server.restart();
    until("all leads are there", Duration::from_secs(120), || {
        let path = "/v1/tenants/summit/leads?limit=200";
        let answer = leadline_tests::get(leadline.port, path, &token);
        let count = |body: &str| serde_json::from_str::<Value>(body).ok()?["items"].as_array().map(Vec::len);
        answer.is_some_and(|(status, body)| status == 200 && count(&body) == Some(9))
    });
    assert!(done(&leadline, &["dlq", "list"]).contains("0 dead letters"));
    assert!(done(&leadline, &["audit", "list", "--tenant", "summit"]).contains("lines"));
    leadline.terminate();
    let (count, found) = differences(&leadline);
    assert!(count >= 9 * 4 && found.is_empty(), "{count}: {found:?}");

    std::fs::write(leadline.data.path().join("leadline.toml"), second).unwrap();
    done(&leadline, &["db", "apply"]);
    assert!(done(&leadline, &["db", "rebuild", "--from-log"]).contains("keyspace second"));
    assert!(differences(&leadline).1.is_empty());
    assert!(refused(&leadline, &["db", "rebuild", "--from-log"]).contains("not empty"));
}
