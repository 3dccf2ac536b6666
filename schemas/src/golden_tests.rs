//! Every payload under `tests/fixtures` becomes the event that lies beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::direct::{self, Process};
use crate::golden::{Golden, beside, event_json, inputs};
use crate::inbound::EventKind;
use crate::{callrail, forms};

fn fixtures(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(folder);
    let read = |path: PathBuf| {
        let body = std::fs::read(&path).unwrap();
        (path, body)
    };
    inputs(&root).into_iter().map(read).collect()
}

/// The folder that a fixture lies in.
fn folder(path: &Path) -> &str {
    path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap()
}

/// Files whose name begins so are refused.
fn is_refused(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("refused-"))
}

fn refused(why: impl ToString) -> Value {
    json!({ "refused": why.to_string() })
}

#[test]
fn golden_callrail() {
    let mut golden = Golden::default();
    for (path, body) in fixtures("callrail") {
        // The folder is the path of the webhook; `shape` and the top are the address without a kind.
        let kind = EventKind::from_path(folder(&path));
        let found = match callrail::decode(kind, &body) {
            Ok((kind, event)) => {
                let peek = callrail::peek(EventKind::from_path(folder(&path)), &body).unwrap();
                assert_eq!(peek.kind, kind);
                let ids: Vec<&str> = peek.company_ids().collect();
                json!({"kind": kind.name(), "company_ids": ids, "filed_under": peek.caller_or_subject(),
                    "event": event_json(&event)})
            }
            Err(why) => refused(why),
        };
        assert_eq!(found.get("refused").is_some(), is_refused(&path), "{}: {found}", path.display());
        golden.compare(&beside(&path), &found);
    }
    golden.finish();
}

#[test]
fn golden_forms() {
    let mut golden = Golden::default();
    let field_map = BTreeMap::from([
        ("name".to_owned(), "f7".to_owned()),
        ("phone".to_owned(), "f8".to_owned()),
        ("message".to_owned(), "f9".to_owned()),
    ]);
    for (path, body) in fixtures("forms") {
        let content_type = match folder(&path) {
            "json" => "application/json",
            "urlencoded" => "application/x-www-form-urlencoded",
            // The webhook source takes these apart; `connectors` compares them.
            _ => continue,
        };
        let found = match forms::decode(content_type, &body, "FORM-ID", &field_map) {
            Ok(form) => event_json(&crate::event::Event::FormEvent(form)),
            Err(why) => refused(why),
        };
        assert_eq!(found.get("refused").is_some(), is_refused(&path), "{}: {found}", path.display());
        golden.compare(&beside(&path), &found);
    }
    golden.finish();
}

#[test]
fn golden_direct() {
    let mut golden = Golden::default();
    for (path, body) in fixtures("direct") {
        let found = match folder(&path) {
            "events" => direct::decode(&body, "EVENT-ID").map(|event| event_json(&event)),
            _ => direct::process(&body, "EVENT-ID").map(|asked| match asked {
                Process::Known(call_id) => json!({ "known": call_id }),
                Process::New(event) => event_json(&event),
            }),
        };
        let found = found.unwrap_or_else(refused);
        assert_eq!(found.get("refused").is_some(), is_refused(&path), "{}: {found}", path.display());
        golden.compare(&beside(&path), &found);
    }
    golden.finish();
}

/// The ten kinds in both generations are there: nobody has to look whether one was forgotten.
#[test]
fn every_kind_has_a_payload_of_both_generations() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/callrail");
    for kind in EventKind::CALLRAIL {
        for generation in ["older", "newer"] {
            let path = root.join(kind.name()).join(format!("{generation}.json"));
            let (found, _) = callrail::decode(None, &std::fs::read(&path).unwrap()).unwrap();
            let family_is_right = match kind {
                EventKind::TextReceived | EventKind::TextSent | EventKind::FormSubmission => found == kind,
                _ => !matches!(
                    found,
                    EventKind::TextReceived | EventKind::TextSent | EventKind::FormSubmission
                ),
            };
            assert!(family_is_right, "{}: {found:?}", path.display());
        }
    }
}
