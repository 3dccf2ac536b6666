//! Faults: which operation fails, and when the process is gone.

use std::collections::BTreeMap;
use std::io;

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// The disk has no room (ENOSPC).
    Full,
    /// The user's quota has no room (EDQUOT).
    Quota,
    /// The device failed (EIO).
    Device,
    /// The file system has become read-only (EROFS).
    ReadOnly,
}

impl DiskFault {
    /// The error that the system would answer.
    pub fn error(self) -> io::Error {
        let errno = match self {
            Self::Full => rustix::io::Errno::NOSPC,
            Self::Quota => rustix::io::Errno::DQUOT,
            Self::Device => rustix::io::Errno::IO,
            Self::ReadOnly => rustix::io::Errno::ROFS,
        };
        io::Error::from_raw_os_error(errno.raw_os_error())
    }
}

/// Faults planned and operations counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) operations: u64,
    pub(super) reads: u64,
    pub(super) planned: BTreeMap<u64, DiskFault>,
    pub(super) planned_reads: BTreeMap<u64, DiskFault>,
    pub(super) kill_at: Option<u64>,
    pub(super) gone: Option<&'static str>,
}

/// Why an operation does not happen.
pub(super) enum Refused {
    /// It fails; what it has half done is left to the caller.
    Fails(io::Error),
    /// The process ends in the middle of it.
    Killed(io::Error),
    /// The process had ended before.
    Gone(io::Error),
}

impl Refused {
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Fails(error) | Self::Killed(error) | Self::Gone(error) => error,
        }
    }
}

impl Faults {
    pub(super) fn plan(&mut self, nth: u64, fault: DiskFault) {
        self.planned.insert(self.operations.saturating_add(nth), fault);
    }

    pub(super) fn plan_read(&mut self, nth: u64, fault: DiskFault) {
        self.planned_reads.insert(self.reads.saturating_add(nth), fault);
    }

    pub(super) fn kill_after(&mut self, operations: u64) {
        self.kill_at = Some(self.operations.saturating_add(operations));
    }

    pub(super) fn heal(&mut self) {
        self.planned.clear();
        self.planned_reads.clear();
        self.kill_at = None;
    }

    /// Before an operation that changes or syncs something.
    pub(super) fn begin(&mut self) -> Result<(), Refused> {
        self.present().map_err(Refused::Gone)?;
        if self.kill_at == Some(self.operations) {
            self.gone = Some("the process was killed");
            return Err(Refused::Killed(io::Error::other("the process was killed")));
        }
        self.operations += 1;
        match self.planned.remove(&self.operations) {
            Some(fault) => Err(Refused::Fails(fault.error())),
            None => Ok(()),
        }
    }

    /// Before an operation that only looks.
    pub(super) fn begin_read(&mut self) -> io::Result<()> {
        self.present()?;
        self.reads += 1;
        self.planned_reads.remove(&self.reads).map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn present(&self) -> io::Result<()> {
        self.gone.map_or(Ok(()), |why| Err(io::Error::other(why)))
    }
}
