//! What a process has used, as Linux counts it.

use anyhow::{Context as _, Result};

/// Ticks of `/proc/PID/stat` in a second: USER_HZ, which is 100 on every Linux that leadline runs on.
const TICKS_PER_S: f64 = 100.0;

/// Seconds of CPU, user and system, of all threads so far.
pub(crate) fn cpu_s(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name, in parentheses, may hold anything; behind it fields 14 and 15 are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(") ").with_context(|| format!("{path}: {stat}"))?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    let ticks: f64 = ticks.sum::<Result<f64, _>>().with_context(|| format!("{path}: {stat}"))?;
    Ok(ticks / TICKS_PER_S)
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
        let (me, before) = (std::process::id(), cpu_s(std::process::id()).unwrap());
        let mut sum = 0_u64;
        while cpu_s(me).unwrap() < before + 0.03 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        let memory = memory(me).unwrap();
        assert!(memory.resident_mb > 0.1 && memory.peak_mb >= memory.resident_mb);
    }
}
