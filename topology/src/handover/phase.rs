//! How far a process has come on its way to being the one that works.

use std::sync::atomic::{AtomicU8, Ordering};

/// A step on that way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It opens what it needs.
    Starting,
    /// It stands by and brings up the state of what the old process owns.
    Restoring,
    /// Its state is nearly that of the old process, and follows it.
    Following,
    /// It has asked the old process, and waits for its partitions.
    Taking,
    /// It works.
    Running,
    /// It has handed its partitions over and goes on taking events until its successor does.
    HandedOver,
    /// Its successor takes events. It takes those that still come here.
    Replaced,
    /// It ends.
    Stopping,
}

impl Phase {
    const ALL: [Self; 8] = [
        Self::Starting,
        Self::Restoring,
        Self::Following,
        Self::Taking,
        Self::Running,
        Self::HandedOver,
        Self::Replaced,
        Self::Stopping,
    ];

    /// Why it takes no events; none when it does.
    pub(crate) fn not_ready(self) -> Option<&'static str> {
        match self {
            Self::Starting => Some("starting"),
            Self::Restoring => Some("standing by: restoring the state of what the old process owns"),
            Self::Following => Some("standing by: following the old process"),
            Self::Taking => Some("standing by: taking over"),
            Self::Running | Self::HandedOver => None,
            Self::Replaced => Some("handed over: another process has taken this one's place"),
            Self::Stopping => Some("stopping"),
        }
    }
}

/// The present phase, shared by everything that shows it.
#[derive(Debug, Default)]
pub(crate) struct Phases(AtomicU8);

impl Phases {
    /// It has come so far; said once in the log.
    pub(crate) fn set(&self, phase: Phase) {
        if self.0.swap(phase as u8, Ordering::AcqRel) != phase as u8 {
            tracing::info!(?phase, "phase");
        }
    }

    /// Where it stands.
    pub(crate) fn now(&self) -> Phase {
        let number = usize::from(self.0.load(Ordering::Acquire));
        Phase::ALL.get(number).copied().unwrap_or(Phase::Starting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_reads_back_as_it_was_set() {
        let phases = Phases::default();
        assert_eq!(phases.now(), Phase::Starting);
        for phase in Phase::ALL {
            phases.set(phase);
            assert_eq!(phases.now(), phase);
        }
    }
}
