//! Read-write transactions: each is a serializable one of PostgreSQL, on a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use googleapis_tonic_google_rpc::google::rpc::RetryInfo;
use googleapis_tonic_google_spanner_v1::google::spanner::v1 as spanner;
use prost::Message as _;
use spanner::transaction_options::Mode;
use spanner::transaction_options::read_only::TimestampBound;
use spanner::{CommitResponse, MultiplexedSessionPrecommitToken};
use tokio::sync::Mutex;
use tokio_postgres::Client;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::faults::Lost;
use super::server::{Database, Server, refused};

/// How long whoever was aborted is asked to wait, in nanoseconds.
const RETRY_DELAY_NANOS: i32 = 3_000_000;

pub(super) struct Transaction {
    pub(super) id: Vec<u8>,
    pub(super) database: Arc<Database>,
    pub(super) state: Mutex<State>,
    /// The newest precommit token: a commit has to show it.
    token: AtomicI32,
}

pub(super) enum State {
    Open(Client),
    /// Its answer is known: a commit that comes again hears it once more.
    Committed(CommitResponse),
    /// Committed, and what a client hears of it from now on is this.
    Hidden(Lost),
    Ended,
}

impl Transaction {
    /// What a client shows at its commit, of all tokens the newest.
    pub(super) fn next_token(&self) -> MultiplexedSessionPrecommitToken {
        let seq_num = self.token.fetch_add(1, Ordering::SeqCst) + 1;
        MultiplexedSessionPrecommitToken { precommit_token: self.id.clone(), seq_num }
    }

    pub(super) fn check_token(&self, token: Option<&MultiplexedSessionPrecommitToken>) -> Result<(), Status> {
        let newest = self.token.load(Ordering::SeqCst);
        match token.is_some_and(|token| token.seq_num == newest && token.precommit_token == self.id) {
            true => Ok(()),
            false => Err(Status::failed_precondition("the commit does not show the newest precommit token")),
        }
    }
}

/// ABORTED, with the delay that clients have to keep.
pub(super) fn aborted(why: &str) -> Status {
    let delay = prost_types::Duration { seconds: 0, nanos: RETRY_DELAY_NANOS };
    let info = RetryInfo { retry_delay: Some(delay) };
    let mut status = Status::new(Code::Aborted, why);
    let bytes = MetadataValue::from_bytes(&info.encode_to_vec());
    status.metadata_mut().insert_bin("google.rpc.retryinfo-bin", bytes);
    status
}

impl Server {
    /// Begins a transaction that may write.
    pub(super) async fn begin(
        &self,
        session: &str,
        options: Option<&spanner::TransactionOptions>,
    ) -> Result<Arc<Transaction>, Status> {
        let Some(Mode::ReadWrite(_)) = options.and_then(|options| options.mode.as_ref()) else {
            return Err(Status::unimplemented("this front begins read-write transactions only"));
        };
        let database = self.database_of(session)?;
        let client = database.connection().await?;
        client.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE").await.map_err(refused)?;
        let id = format!("transaction-{}", self.number()).into_bytes();
        let state = Mutex::new(State::Open(client));
        let begun = Arc::new(Transaction { id: id.clone(), database, state, token: AtomicI32::new(0) });
        self.transactions.lock().unwrap().insert(id, Arc::clone(&begun));
        Ok(begun)
    }

    pub(super) fn transaction(&self, id: &[u8]) -> Result<Arc<Transaction>, Status> {
        let found = self.transactions.lock().unwrap().get(id).cloned();
        found.ok_or_else(|| Status::not_found("Transaction not found"))
    }

    /// Whether a question that belongs to no transaction may be answered late; what else it may not be.
    pub(super) fn single_use(&self, options: &spanner::TransactionOptions) -> Result<(), Status> {
        let Some(Mode::ReadOnly(options)) = &options.mode else {
            return Err(Status::unimplemented("a single question is read-only"));
        };
        match &options.timestamp_bound {
            None | Some(TimestampBound::Strong(_)) => {}
            Some(TimestampBound::MaxStaleness(_) | TimestampBound::ExactStaleness(_)) => {
                self.seen.stale_reads.fetch_add(1, Ordering::SeqCst);
            }
            Some(other) => return Err(Status::unimplemented(format!("this front has no {other:?}"))),
        }
        Ok(())
    }

    /// Notes that somebody was aborted, and makes the status tell when to come again.
    pub(super) fn told(&self, status: Status) -> Status {
        if status.code() != Code::Aborted {
            return status;
        }
        self.seen.aborted.fetch_add(1, Ordering::SeqCst);
        aborted(status.message())
    }

    pub(super) async fn rollback(&self, request: spanner::RollbackRequest) -> Result<(), Status> {
        let transaction = self.transaction(&request.transaction_id)?;
        let mut state = transaction.state.lock().await;
        if let State::Open(_) = &*state
            && let State::Open(client) = std::mem::replace(&mut *state, State::Ended)
        {
            client.batch_execute("ROLLBACK").await.map_err(refused)?;
            transaction.database.give_back(client);
        }
        Ok(())
    }
}
