//! What a process has used, as Linux counts it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Ticks of `/proc/PID/stat` in a second: USER_HZ, which is 100 on every Linux that leadline runs on.
const TICKS_PER_S: f64 = 100.0;

/// Seconds of CPU, user and system, of all threads so far.
pub(crate) fn cpu_s(pid: u32) -> Result<f64> {
    cpu_s_of(Path::new(&format!("/proc/{pid}")))
}

/// Seconds of CPU of the threads that are running now, by their name.
pub(crate) fn cpu_s_by_thread(pid: u32) -> Result<BTreeMap<String, f64>> {
    let mut by_name = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        // One that ends meanwhile has neither.
        let (Ok(name), Ok(cpu_s)) = (std::fs::read_to_string(task.join("comm")), cpu_s_of(&task)) else {
            continue;
        };
        *by_name.entry(name.trim().to_owned()).or_insert(0.0) += cpu_s;
    }
    Ok(by_name)
}

/// Of a process or a thread, by its folder in `/proc`.
fn cpu_s_of(folder: &Path) -> Result<f64> {
    let path = folder.join("stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let odd = || format!("{}: {stat}", path.display());
    // The name, in parentheses, may hold anything; behind it fields 14 and 15 are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(") ").with_context(odd)?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>().with_context(odd)? / TICKS_PER_S)
}

/// Memory of a process, in MB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident_mb: f64,
    /// Resident at most, so far.
    pub(crate) peak_mb: f64,
}

/// What the process holds in memory.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let mb = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| path.clone())?;
        let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1_024.0 / 1e6)
    };
    Ok(Memory { resident_mb: mb("VmRSS")?, peak_mb: mb("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_cpu_and_memory() {
        let (me, mut sum) = (std::process::id(), 0_u64);
        // Threads that have ended count for the process only.
        while cpu_s_by_thread(me).unwrap().values().sum::<f64>() < 0.03 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        assert!(cpu_s(me).unwrap() >= 0.02);
        let memory = memory(me).unwrap();
        assert!(memory.resident_mb > 0.1 && memory.peak_mb >= memory.resident_mb);
    }
}
