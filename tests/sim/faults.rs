//! What can go wrong.

/// The faults that a run can have. Each run has some of them, so that none hides behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    CrashProcess,
    CrashMachine,
    KillInWrite,
    DiskError,
    DiskFull,
    CommitLost,
    StateRefuses,
    StateLost,
    StoreRefuses,
    StoreLost,
    BlobRefuses,
    SnapshotDamaged,
    Weather,
    ClockJumps,
    RepliesRepeated,
    SettingsChange,
    Commands,
    Stop,
    /// Partitions or a tenant's spread change; or the command that changes them is killed.
    Layout,
    /// A partition goes from one member to another in peace.
    Rebalance,
    /// A partition is another member's before its owner knows, perhaps because that one is frozen.
    PartitionTaken,
    /// A member ends at once; another takes over, and it comes back.
    MemberCrashes,
    /// A newer process takes a member's place, and the old one answers the calls that run.
    HandOver,
}

pub const FAULTS: [Fault; 19] = [
    Fault::CrashProcess,
    Fault::CrashMachine,
    Fault::KillInWrite,
    Fault::DiskError,
    Fault::DiskFull,
    Fault::CommitLost,
    Fault::StateRefuses,
    Fault::StateLost,
    Fault::StoreRefuses,
    Fault::StoreLost,
    Fault::BlobRefuses,
    Fault::SnapshotDamaged,
    Fault::Weather,
    Fault::ClockJumps,
    Fault::RepliesRepeated,
    Fault::SettingsChange,
    Fault::Commands,
    Fault::Stop,
    Fault::Layout,
];

/// What happens among two members, whatever else does.
pub const MEMBERSHIP: [Fault; 4] =
    [Fault::Rebalance, Fault::PartitionTaken, Fault::MemberCrashes, Fault::HandOver];
