//! Copy: all settings in one file beside the state store. A lost store is filled from it, and a process that may start
//! without brokers reads it first.

use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use leadline_connectors::contract::state::{Change, PartitionState};
use leadline_schemas::CommitNumber;
use leadline_schemas::layout::LAYOUT_KEY;
use leadline_schemas::settings::{Settings, SettingsRecord};

use super::SettingsError;

/// What a record is filed under.
pub(super) fn key_of(record: &SettingsRecord) -> Bytes {
    match record {
        SettingsRecord::Tenant(tenant) => tenant.tenant.to_bytes(),
        SettingsRecord::Layout(_) => Bytes::from_static(LAYOUT_KEY),
    }
}

/// Version, then each row as length and record.
pub(super) fn write_copy(path: &Path, rows: &dyn PartitionState, version: u64) -> Result<(), SettingsError> {
    let failed = |error: std::io::Error| SettingsError::Copy(format!("{}: {error}", path.display()));
    let mut content = version.to_be_bytes().to_vec();
    rows.scan(&[], None, &mut |_, value| {
        content.extend_from_slice(&(value.len() as u64).to_be_bytes());
        content.extend_from_slice(value);
        std::ops::ControlFlow::Continue(())
    })?;
    let unfinished = path.with_extension("tmp");
    let mut file = std::fs::File::create(&unfinished).map_err(failed)?;
    file.write_all(&content).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&unfinished, path).map_err(failed)
}

/// The settings that are kept in a copy.
pub fn kept(path: &Path) -> Result<Settings, SettingsError> {
    let (version, records) = parse_copy(path)?;
    let mut settings = Settings::default();
    for record in records {
        settings = settings.with_record(SettingsRecord::decode(&record)?, version);
    }
    Ok(settings)
}

/// Fills empty rows from the copy.
pub(super) fn read_copy(path: &Path, rows: &dyn PartitionState) -> Result<(), SettingsError> {
    let (version, records) = parse_copy(path)?;
    let mut changes = Vec::with_capacity(records.len());
    for record in records {
        changes.push(Change { key: key_of(&SettingsRecord::decode(&record)?), value: Some(record) });
    }
    Ok(rows.apply(&changes, CommitNumber(version))?)
}

/// The version and the records of a copy.
fn parse_copy(path: &Path) -> Result<(u64, Vec<Bytes>), SettingsError> {
    let failed = |why: &str| {
        SettingsError::Copy(format!("{}: {why}; the settings are lost, restore the file", path.display()))
    };
    let content = std::fs::read(path).map_err(|error| failed(&error.to_string()))?;
    let (version, mut rest) = content.split_first_chunk::<8>().ok_or_else(|| failed("it is cut"))?;
    let mut records = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (record, tail) = tail.split_at_checked(length).ok_or_else(|| failed("it is cut"))?;
        records.push(Bytes::copy_from_slice(record));
        rest = tail;
    }
    Ok((u64::from_be_bytes(*version), records))
}
