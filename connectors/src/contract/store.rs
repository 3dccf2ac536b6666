//! RecordStore: what the dataflow writes and the API reads.
//!
//! The owner of a partition writes its committed output in order; a batch covers the commits (from, to] and moves
//! the partition's progress in the same transaction, so a replay or a zombie changes nothing. Ids are hashes, so
//! replays agree. Every query takes a tenant: there is no other way to ask.

use leadline_schemas::audit::Audit;
use leadline_schemas::call::CallRecord;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::frame::Output;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use leadline_schemas::window::{WindowKind, WindowMetrics};
use leadline_schemas::{CommitNumber, Millis, Partition, TenantId};

use super::tenants::TenantRow;

/// The writing side. Calls block; one writer thread calls them.
pub trait RecordWriter: Send + 'static {
    /// The last commit of the partition whose rows are in the store; 0 = none.
    fn progress(&mut self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError>;

    /// Writes batches of several partitions in one transaction. Each is compared with the partition's progress:
    /// rows at or below it are left out; progress below `from` answers `Behind` and writes nothing of any.
    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError>;

    /// Shows what tenants and their integrations were at a version of the settings, above 0: for who joins records with
    /// them by the store's own means. What the store has of a later version stays; done twice it changes nothing.
    fn put_tenants(&mut self, version: u64, tenants: &[TenantRow]) -> Result<(), StoreError>;

    /// Who fills an empty store says so once, behind the last write. A store may have left for this what is cheaper all at
    /// once, and show nothing before.
    fn filled(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The committed output of one partition over some commits.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The layout.
    pub generation: u32,
    /// The partition.
    pub partition: Partition,
    /// The commit before the first.
    pub from: CommitNumber,
    /// The last commit.
    pub to: CommitNumber,
    /// Each commit's output records, in order.
    pub commits: Vec<(CommitNumber, std::sync::Arc<Vec<Output>>)>,
}

/// Lines of the audit log that are read at once.
pub const AUDIT_LINES_MAX: usize = 1_000;

/// Which part of a list is asked for. Lists are newest first and stable under inserts (keyset paging).
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// 1 to 200.
    pub limit: usize,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Not before this time (a call's start, a lead's last contact, a request's receipt).
    pub from: Option<Millis>,
    /// Before this time.
    pub to: Option<Millis>,
    /// Only this band (`calls`, `leads`).
    pub band: Option<String>,
    /// Only this status (`requests`, `leads`, `deliveries`).
    pub status: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page starts; none at the end.
    pub next_cursor: Option<String>,
}

/// The reading side; safe to use from many threads. Calls block: run them off the async threads.
pub trait RecordReader: Send + Sync + 'static {
    /// Lists requests.
    fn requests(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Request>, StoreError>;
    /// One request.
    fn request(&self, tenant: &TenantId, request_id: &str) -> Result<Option<Request>, StoreError>;
    /// Lists calls, texts and forms.
    fn calls(&self, tenant: &TenantId, page: &Page) -> Result<Listed<CallRecord>, StoreError>;
    /// One call, by its id or an alias.
    fn call(&self, tenant: &TenantId, call_id: &str) -> Result<Option<CallRecord>, StoreError>;
    /// Lists leads.
    fn leads(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Lead>, StoreError>;
    /// One lead.
    fn lead(&self, tenant: &TenantId, lead_id: &str) -> Result<Option<Lead>, StoreError>;
    /// A lead's history, oldest first, at most 1,000 lines.
    fn lead_events(&self, tenant: &TenantId, lead_id: &str) -> Result<Vec<LeadEvent>, StoreError>;
    /// Lists deliveries.
    fn deliveries(&self, tenant: &TenantId, page: &Page) -> Result<Listed<Delivery>, StoreError>;
    /// One delivery.
    fn delivery(
        &self,
        tenant: &TenantId,
        integration: &str,
        subject: &str,
    ) -> Result<Option<Delivery>, StoreError>;
    /// Windows of a kind that start in [from, to), per slot, oldest first; the API adds slots up.
    fn windows(
        &self,
        tenant: &TenantId,
        kind: WindowKind,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<WindowMetrics>, StoreError>;
    /// Lines of the audit log from [from, to), newest first, of one kind where one is given; at most
    /// [`AUDIT_LINES_MAX`].
    fn audit(
        &self,
        tenant: &TenantId,
        kind: Option<&str>,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<Audit>, StoreError>;
    /// Dead letters of a tenant (none = those whose tenant is unknown), newest first. For operators only.
    fn dead_letters(
        &self,
        tenant: Option<&TenantId>,
        page: &Page,
    ) -> Result<Listed<leadline_schemas::dead_letter::DeadLetter>, StoreError>;
    /// The last commit of a partition that the store has, as [`RecordWriter::progress`] says it.
    fn stored_up_to(&self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError>;
    /// Whether the store answers.
    fn ping(&self) -> Result<(), StoreError>;
}

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Progress is below the batch's `from`: the writer reads from `progress` again.
    #[error(
        "the record store is at commit {progress} of partition {partition}, the batch starts behind {from}"
    )]
    Behind {
        /// Partition.
        partition: Partition,
        /// Its progress.
        progress: CommitNumber,
        /// The batch's `from`.
        from: CommitNumber,
    },
    /// The cursor is not one of ours.
    #[error("cursor {0:?} is not valid: use next_cursor of the page before, with the same filters")]
    Cursor(String),
    /// Ask again later (busy, disk full).
    #[error("record store: {0}")]
    Unavailable(String),
    /// The file is damaged or of a newer version; it can be rebuilt from the log.
    #[error("record store is damaged: {0}; move it aside and run `leadline db rebuild --from-log`")]
    Damaged(String),
}
