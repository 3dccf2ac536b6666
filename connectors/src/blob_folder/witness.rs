//! Witnesses: what an object's bytes must be, and what was said of them.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use leadline_schemas::Millis;
use serde::{Deserialize, Serialize};

use super::Trouble;
use super::fresh::Fresh;
use super::name::{witness, witnessed};
use super::place::{Folder, folder_of, is_absent, sync_folder};
use crate::contract::blob::About;

/// One that lies beside an object. A creation that lost a race may have left another.
pub(super) struct Witness {
    pub(super) path: PathBuf,
    pub(super) crc32c: u32,
    pub(super) bytes: u64,
}

/// What a witness's file says; an empty one says the default.
#[derive(Serialize, Deserialize)]
struct Said {
    content_type: String,
    custom_time_ms: Option<i64>,
}

impl Witness {
    pub(super) fn about(&self) -> Result<About, Trouble> {
        let json = fs::read(&self.path)?;
        if json.is_empty() {
            return Ok(About::default());
        }
        let said: Said = serde_json::from_slice(&json).map_err(|error| {
            Trouble::Damaged(format!("its witness {} cannot be read: {error}", self.path.display()))
        })?;
        Ok(About { content_type: said.content_type, custom_time: said.custom_time_ms.map(Millis) })
    }
}

impl Folder {
    /// The witnesses of a name. Looking for them reads the folder's names: a month of a tenant's calls.
    pub(super) fn witnesses(&self, name: &str) -> io::Result<Vec<Witness>> {
        let target = self.root.join(name);
        let file_name = name.rsplit('/').next().unwrap_or(name);
        let mut found = Vec::new();
        let entries = match fs::read_dir(folder_of(&target)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(found),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if let Some((crc32c, bytes)) =
                entry.file_name().to_str().and_then(|own_name| witnessed(own_name, file_name))
            {
                found.push(Witness { path: entry.path(), crc32c, bytes });
            }
        }
        Ok(found)
    }

    /// Places the witness of what was written, durable when it returns.
    pub(super) fn place_witness(&self, name: &str, fresh: &Fresh, about: &About) -> io::Result<PathBuf> {
        let path = self.root.join(witness(name, fresh.crc32c(), fresh.bytes()));
        if *about == About::default() {
            OpenOptions::new().create(true).truncate(true).write(true).open(&path)?.sync_all()?;
        } else {
            let said = Said {
                content_type: about.content_type.clone(),
                custom_time_ms: about.custom_time.map(|time| time.0),
            };
            let mut whole = self.fresh()?;
            whole.write(&serde_json::to_vec(&said)?)?;
            whole.sync()?;
            whole.rename(&path)?;
        }
        sync_folder(folder_of(&path))?;
        Ok(path)
    }
}

/// Removes witnesses; one that is gone is no error.
pub(super) fn remove(witnesses: Vec<Witness>, but: Option<&Path>) -> io::Result<()> {
    for witness in witnesses.into_iter().filter(|witness| but != Some(&*witness.path)) {
        match fs::remove_file(witness.path) {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
