//! Test support: what a test finds, against what lies in a file beside its input.
//!
//! A difference is shown field by field. `LEADLINE_GOLDEN=rewrite cargo test golden` writes the files anew: on purpose,
//! and then to be read in the diff of the commit.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a test must stop")]

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::event::Event;

/// What the environment must say for files to be written.
const REWRITE: (&str, &str) = ("LEADLINE_GOLDEN", "rewrite");

/// The differences of many files, told together.
#[derive(Debug, Default)]
pub struct Golden {
    different: Vec<String>,
    compared: usize,
}

impl Golden {
    /// Compares `found` with the file at `path`, or writes it there.
    pub fn compare(&mut self, path: &Path, found: &Value) {
        self.compared += 1;
        if rewrites() {
            let text = format!("{found:#}\n");
            std::fs::write(path, text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            return;
        }
        let name = path.display();
        let text = std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{name}: {why}"));
        let wanted: Value = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        let mut lines = Vec::new();
        differences("", &wanted, found, &mut lines);
        if !lines.is_empty() {
            self.different.push(format!("{name}:\n    {}", lines.join("\n    ")));
        }
    }

    /// Fails when anything differed, or when there was nothing to compare.
    pub fn finish(self) {
        assert!(self.compared > 0, "no file was compared: where are they?");
        assert!(
            self.different.is_empty(),
            "{} of {} golden files differ; if that is meant, run again with {}={} and read the diff\n  {}",
            self.different.len(),
            self.compared,
            REWRITE.0,
            REWRITE.1,
            self.different.join("\n  ")
        );
    }
}

/// Whether files are written and not compared.
pub fn rewrites() -> bool {
    std::env::var(REWRITE.0).is_ok_and(|value| value == REWRITE.1)
}

/// `path: wanted ..., found ...` of each leaf that differs.
fn differences(path: &str, wanted: &Value, found: &Value, lines: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let mut names: Vec<&String> = wanted.keys().chain(found.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let of = |object: &serde_json::Map<String, Value>| object.get(name).cloned();
                match (of(wanted), of(found)) {
                    (Some(wanted), Some(found)) => {
                        differences(&format!("{path}.{name}"), &wanted, &found, lines);
                    }
                    (Some(wanted), None) => lines.push(format!("{path}.{name}: wanted {wanted}, is absent")),
                    (None, found) => {
                        lines.push(format!("{path}.{name}: found {}, not wanted", found.unwrap_or_default()));
                    }
                }
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                differences(&format!("{path}[{index}]"), wanted, found, lines);
            }
        }
        (wanted, found) if wanted == found => {}
        (wanted, found) => lines.push(format!("{path}: wanted {wanted}, found {found}")),
    }
}

/// The files of a folder and all below, in order, golden files left out.
pub fn inputs(folder: &Path) -> Vec<PathBuf> {
    let (mut open, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if !path.to_string_lossy().ends_with(".golden.json") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Where the golden file of an input lies: beside it.
pub fn beside(input: &Path) -> PathBuf {
    input.with_extension("golden.json")
}

/// An event as its golden file has it: `extra` as the object that it is.
pub fn event_json(event: &Event) -> Value {
    let mut json = serde_json::to_value(event).expect("an event is JSON");
    for event in json.as_object_mut().into_iter().flat_map(|object| object.values_mut()) {
        if let Some(extra) = event.get_mut("extra") {
            let text = extra.as_str().unwrap_or_default();
            *extra = serde_json::from_str(text).unwrap_or_else(|why| panic!("extra {text:?}: {why}"));
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_names_its_place_and_both_values() {
        let mut lines = Vec::new();
        let wanted = json!({"a": [1, {"b": "x"}], "c": null, "gone": 1});
        differences("", &wanted, &json!({"a": [1, {"b": "y"}], "c": [], "new": true}), &mut lines);
        assert_eq!(
            lines,
            [
                r#".a[1].b: wanted "x", found "y""#,
                ".c: wanted null, found []",
                ".gone: wanted 1, is absent",
                ".new: found true, not wanted",
            ]
        );
    }
}
