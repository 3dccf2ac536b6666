//! What the disk allows, measured beside everything that waits for it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::stats::{median, ms};

/// What a group of some thirty records of 1 KiB is to the disk.
const GROUP_BYTES: usize = 32 << 10;
/// Groups that are timed.
const GROUPS: usize = 64;

/// How long a write and `fdatasync` of 32 KiB takes, in ms: the median, over blocks that were written before, as the
/// log's are.
pub(crate) fn sync_ms(folder: &Path) -> Result<f64> {
    let path = folder.join("sync-floor");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; GROUPS * GROUP_BYTES], 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(GROUPS);
    for group in 0..GROUPS {
        let started = Instant::now();
        file.write_all_at(&[1; GROUP_BYTES], (group * GROUP_BYTES) as u64)?;
        file.sync_data()?;
        times.push(ms(started.elapsed()));
    }
    std::fs::remove_file(path)?;
    Ok(median(times))
}
