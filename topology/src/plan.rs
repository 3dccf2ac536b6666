//! What a new binary would do to a data folder: operators and tables kept, added, dropped, migrated or refused.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use leadline_schemas::avro;
use serde::{Deserialize, Serialize};

use crate::engine::{Topology, describe};
use crate::pipeline;

/// The topology that a data folder was last run with.
const FILE: &str = "topology.json";

/// A table as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableShape {
    record: String,
    version: u8,
    fingerprint: String,
}

/// Tables by `operator number/table number`, with their names: what a binary writes, and has to be able to read.
pub type Shape = BTreeMap<String, (String, TableShape)>;

/// What becomes of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// As it was.
    Same,
    /// Not there before.
    Added,
    /// No longer used; its rows stay until they expire.
    Removed,
    /// Older rows are read by their own schema.
    Migratable,
    /// Its rows cannot be read by this binary.
    Incompatible,
}

/// One line of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// `operator.table`.
    pub table: String,
    /// What becomes of it.
    pub change: Change,
    /// Why.
    pub why: String,
}

fn shape(topology: &Topology) -> Shape {
    let tables = topology.nodes.iter().flat_map(|node| node.tables.iter().map(move |table| (node, table)));
    tables
        .map(|(node, table)| {
            let fingerprint = avro::fingerprint(table.record, table.version).unwrap_or(0);
            let whole = TableShape {
                record: table.record.to_owned(),
                version: table.version,
                fingerprint: format!("{fingerprint:016x}"),
            };
            (
                format!("{}/{}", node.id.number, table.number),
                (format!("{}.{}", node.id.name, table.name), whole),
            )
        })
        .collect()
}

/// This binary's tables.
pub fn own_shape() -> Shape {
    shape(&describe(pipeline::pipeline))
}

/// Compares the data folder's last topology with this binary's.
pub fn plan(data: &Path) -> anyhow::Result<Vec<Line>> {
    let path = data.join(FILE);
    let old: Shape = match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).with_context(|| format!("{} cannot be read", path.display()))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Shape::new(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    Ok(lines(&old))
}

/// What becomes of tables in this binary.
fn lines(old: &Shape) -> Vec<Line> {
    let new = own_shape();
    let mut lines = Vec::new();
    for (key, (name, table)) in &new {
        let (change, why) = match old.get(key) {
            None => (Change::Added, "a new table".to_owned()),
            Some((_, before)) => compare(before, table),
        };
        lines.push(Line { table: name.clone(), change, why });
    }
    for (key, (name, _)) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        let why = format!("this binary has no table {key}; its rows stay until they expire");
        lines.push(Line { table: name.clone(), change: Change::Removed, why });
    }
    lines
}

fn compare(before: &TableShape, now: &TableShape) -> (Change, String) {
    if before == now {
        return (Change::Same, String::new());
    }
    if before.record != now.record {
        return (
            Change::Incompatible,
            format!("holds {} records, this binary expects {}", before.record, now.record),
        );
    }
    if before.version > now.version {
        let why = format!(
            "is at version {} of {}, this binary knows up to {}",
            before.version, now.record, now.version
        );
        return (Change::Incompatible, why);
    }
    let known = avro::fingerprint(&before.record, before.version).map(|known| format!("{known:016x}"));
    if known.as_deref() == Some(&before.fingerprint) {
        return (
            Change::Migratable,
            format!("version {} is read and written as {}", before.version, now.version),
        );
    }
    (
        Change::Incompatible,
        format!("version {} of {} is not the one this binary knows", before.version, now.record),
    )
}

/// Refuses a data folder that this binary cannot read, before anything is touched; else notes this topology.
pub fn refuse_incompatible(data: &Path) -> anyhow::Result<()> {
    if let Some(why) = incompatible(&plan(data)?) {
        return Err(anyhow!("{} cannot be run by this binary: {why}; see `leadline plan`", data.display()));
    }
    let json = serde_json::to_vec_pretty(&own_shape())?;
    let (path, unfinished) = (data.join(FILE), data.join("topology.json.tmp"));
    std::fs::write(&unfinished, json).and_then(|()| std::fs::rename(&unfinished, &path))?;
    Ok(())
}

/// Refuses tables of another process that this binary cannot read.
pub fn refuse_tables(of_other: &Shape) -> anyhow::Result<()> {
    match incompatible(&lines(of_other)) {
        Some(why) => Err(anyhow!("its state cannot be read by this binary: {why}")),
        None => Ok(()),
    }
}

fn incompatible(lines: &[Line]) -> Option<String> {
    let bad: Vec<String> = lines
        .iter()
        .filter(|line| line.change == Change::Incompatible)
        .map(|line| format!("{} {}", line.table, line.why))
        .collect();
    (!bad.is_empty()).then(|| bad.join("; "))
}
