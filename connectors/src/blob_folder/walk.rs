//! The names in the folder, in their order.

use std::fs;
use std::io;

use super::name::is_ours;
use super::place::{Folder, is_absent};
use crate::contract::blob::checked_name;

impl Folder {
    /// The first names with this prefix behind `after`. Only folders that can hold one are read.
    pub(super) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> io::Result<Vec<String>> {
        let start = match prefix.rsplit_once('/') {
            Some((folder, _)) if checked_name(folder).is_none() => return Ok(Vec::new()),
            Some((folder, _)) => format!("{folder}/"),
            None => String::new(),
        };
        let mut names = Vec::new();
        // Folders end with '/', so that a depth-first walk in order meets all names in order.
        let mut open = vec![start];
        while let Some(next) = open.pop() {
            if names.len() >= count_max {
                break;
            }
            if next.is_empty() || next.ends_with('/') {
                let mut entries = self.entries(&next, prefix, after)?;
                entries.sort_unstable_by(|a, b| b.cmp(a));
                open.append(&mut entries);
            } else {
                names.push(next);
            }
        }
        Ok(names)
    }

    /// What lies in a folder and may matter, folders with '/' at the end.
    fn entries(&self, folder: &str, prefix: &str, after: Option<&str>) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let file_name = entry.file_name();
            let Some(file_name) = file_name.to_str().filter(|name| !is_ours(name)) else { continue };
            let mut name = format!("{folder}{file_name}");
            let is_folder = entry.file_type()?.is_dir();
            if is_folder {
                name.push('/');
            }
            let has_prefix = name.starts_with(prefix) || (is_folder && prefix.starts_with(&name));
            let is_behind =
                after.is_none_or(|after| *name > *after || (is_folder && after.starts_with(&name)));
            if has_prefix && is_behind {
                found.push(name);
            }
        }
        Ok(found)
    }
}
