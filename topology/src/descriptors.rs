//! File descriptors: as many as the system gives, and never so many connections that the log finds none.

use anyhow::anyhow;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Less than this and leadline does not start: an idle instance has 30 open.
const LEAST: u64 = 64;
/// What is open beside connections and log segments, at most: 256 sorted files of the state store, 256 jobs' connections,
/// the record store's, and room.
const OTHERS_MAX: u64 = 600;
/// Connections are never more than this: some 60 KiB each when all of them send.
const CONNECTIONS_MAX: u64 = 10_000;
/// Sorted files of the state store that stay open, at most.
const STATE_FILES_MAX: u64 = 256;

/// How the descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// All that the process may open.
    pub limit: u64,
    /// Open connections at most; others wait in the kernel's queue.
    pub connections_max: usize,
    /// Sorted files that the state store keeps open at most.
    state_files_max: usize,
    /// What the limit should be for everything to have its most; none when it is.
    pub wanted: Option<u64>,
}

/// Raises the limit as far as the system allows and shares it out.
pub fn take(config: &Config) -> anyhow::Result<Descriptors> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // The soft limit is a courtesy to programs that use select(2). Some systems refuse a limit above the kernel's own.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if let Err(error) = raised {
        tracing::debug!(%error, limit, "the limit of file descriptors stays as it is");
    }
    let segments = config.log_bytes_max / config.segment_bytes.max(1);
    let shared = share(limit, segments);
    if limit < LEAST {
        return Err(anyhow!(
            "only {limit} file descriptors may be open and leadline needs {LEAST} at the very least: raise `ulimit -n`, or LimitNOFILE= of the unit"
        ));
    }
    if let Some(wanted) = shared.wanted {
        tracing::warn!(
            limit,
            wanted,
            connections = shared.connections_max,
            "few file descriptors: raise `ulimit -n`, or LimitNOFILE= of the unit, for more connections"
        );
    }
    Ok(shared)
}

/// Sorted files that the state store may keep open under the current limit.
pub fn state_files_max() -> usize {
    share(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), 0).state_files_max
}

fn share(limit: u64, segments: u64) -> Descriptors {
    let others = OTHERS_MAX.saturating_add(segments);
    // With too few for everybody, connections get a quarter: who has no connection waits, what has no file fails.
    let connections = limit.saturating_sub(others).max(limit / 4).min(CONNECTIONS_MAX);
    let wanted = others.saturating_add(CONNECTIONS_MAX / 10);
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Descriptors {
        limit,
        connections_max: count(connections),
        state_files_max: count((limit / 4).clamp(10, STATE_FILES_MAX)),
        wanted: (limit < wanted).then_some(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_log_and_the_stores_their_files() {
        let plenty = share(1 << 20, 1_024);
        assert_eq!((plenty.connections_max, plenty.state_files_max, plenty.wanted), (10_000, 256, None));
        let usual = share(4_096, 1_024);
        assert_eq!((usual.connections_max, usual.wanted), (2_472, None));
        let few = share(1_024, 1_024);
        assert_eq!((few.connections_max, few.state_files_max), (256, 256));
        assert!(few.wanted.is_some_and(|wanted| wanted > 1_024));
        for limit in LEAST..5_000 {
            let shared = share(limit, 100);
            let left = limit - (shared.connections_max + shared.state_files_max) as u64;
            let others = OTHERS_MAX + 100 - STATE_FILES_MAX;
            assert!(shared.connections_max > 0 && left >= others.min(limit / 2), "{limit}: {shared:?}");
        }
    }
}
