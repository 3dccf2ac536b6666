//! Commits: counted, written whole or not at all, and answered; unless something goes wrong on purpose.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use googleapis_tonic_google_spanner_v1::google::spanner::v1 as spanner;
use spanner::commit_request::Transaction as Within;
use spanner::mutation::{Operation, Write};
use spanner::{CommitRequest, CommitResponse, Mutation};
use tokio_postgres::Client;
use tonic::Status;

use super::catalog::Catalog;
use super::faults::Lost;
use super::query::condition;
use super::server::{Server, refused};
use super::transactions::{State, aborted};
use super::values::cell;

/// Mutations of a commit.
const MUTATIONS_MAX: usize = 80_000;
/// Bytes of a commit.
const COMMIT_BYTES_MAX: usize = 100 << 20;

/// What becomes of a commit's answer.
pub(super) enum Answered {
    Said(Result<CommitResponse, Status>),
    /// The connection is cut instead.
    Cut,
}

impl Server {
    pub(super) async fn commit(&self, request: CommitRequest, bytes: usize) -> Answered {
        tokio::time::sleep(self.faults.delay()).await;
        if self.faults.sends_twice() {
            let _ = self.commit_once(&request, bytes).await;
        }
        let known = self.is_over(&request).await;
        let done = self.commit_once(&request, bytes).await.map_err(|status| self.told(status));
        if done.is_ok()
            && !known
            && let Some(lost) = self.faults.loses()
        {
            self.hide(&request, lost).await;
            return Answered::Cut;
        }
        Answered::Said(done)
    }

    /// Whether the commit comes again.
    async fn is_over(&self, request: &CommitRequest) -> bool {
        let Some(Within::TransactionId(id)) = &request.transaction else { return false };
        let Ok(transaction) = self.transaction(id) else { return true };
        let state = transaction.state.lock().await;
        !matches!(&*state, State::Open(_))
    }

    async fn hide(&self, request: &CommitRequest, lost: Lost) {
        if let Some(Within::TransactionId(id)) = &request.transaction
            && let Ok(transaction) = self.transaction(id)
            && lost != Lost::Remembered
        {
            *transaction.state.lock().await = State::Hidden(lost);
        }
    }

    async fn commit_once(&self, request: &CommitRequest, bytes: usize) -> Result<CommitResponse, Status> {
        let id = match &request.transaction {
            Some(Within::TransactionId(id)) => id.clone(),
            Some(Within::SingleUseTransaction(options)) => {
                self.seen.single_use_commits.fetch_add(1, Ordering::SeqCst);
                let begun = self.begin(&request.session, Some(options)).await?;
                begun.next_token();
                begun.id.clone()
            }
            None => return Err(Status::invalid_argument("the commit names no transaction")),
        };
        let transaction = self.transaction(&id)?;
        let mut state = transaction.state.lock().await;
        match &*state {
            State::Open(_) => {}
            State::Committed(response) => return Ok(response.clone()),
            State::Hidden(Lost::Aborted) => return Err(aborted("Transaction was aborted.")),
            State::Hidden(_) => return Err(Status::not_found("Transaction not found")),
            State::Ended => return Err(Status::failed_precondition("the transaction is over")),
        }
        if let Some(Within::TransactionId(_)) = &request.transaction {
            transaction.check_token(request.precommit_token.as_ref())?;
        }
        let State::Open(client) = std::mem::replace(&mut *state, State::Ended) else {
            return Err(Status::internal("the transaction was open"));
        };
        let catalog = transaction.database.catalog.read().unwrap_or_else(PoisonError::into_inner).clone();
        let written = self.write(&client, &catalog, request, bytes).await;
        let ended = client.batch_execute(if written.is_ok() { "COMMIT" } else { "ROLLBACK" }).await;
        transaction.database.give_back(client);
        let response = written?;
        ended.map_err(refused)?;
        self.seen.commits.fetch_add(1, Ordering::SeqCst);
        *state = State::Committed(response.clone());
        Ok(response)
    }

    /// Writes all of a commit into its transaction.
    async fn write(
        &self,
        client: &Client,
        catalog: &Catalog,
        request: &CommitRequest,
        bytes: usize,
    ) -> Result<CommitResponse, Status> {
        if self.faults.aborts() {
            return Err(aborted("Transaction was aborted."));
        }
        if self.faults.refuses() {
            return Err(Status::internal("the commit was refused"));
        }
        if bytes > COMMIT_BYTES_MAX {
            return Err(Status::invalid_argument("The transaction exceeds the commit size limit of 100 MB"));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let timestamp = format!("to_timestamp({}.{:06})", now.as_secs(), now.subsec_micros());
        let (mut count, mut script) = (0, String::new());
        for group in groups(&request.mutations)? {
            let (cells, sql) = group.sql(catalog, &timestamp)?;
            count += cells;
            script.push_str(&sql);
            script.push(';');
        }
        if count > MUTATIONS_MAX {
            let why = "The transaction contains too many mutations.";
            return Err(Status::invalid_argument(format!("{why} {count} of {MUTATIONS_MAX}")));
        }
        self.seen.mutations_max.fetch_max(count as u64, Ordering::SeqCst);
        client.batch_execute(&script).await.map_err(refused)?;
        let at = prost_types::Timestamp {
            seconds: i64::try_from(now.as_secs()).unwrap(),
            nanos: i32::try_from(now.subsec_micros()).unwrap() * 1_000,
        };
        let stats = spanner::commit_response::CommitStats { mutation_count: i64::try_from(count).unwrap() };
        Ok(CommitResponse {
            commit_timestamp: Some(at),
            commit_stats: request.return_commit_stats.then_some(stats),
            ..CommitResponse::default()
        })
    }
}

/// Mutations that follow each other and are one statement.
enum Group<'a> {
    Put { table: &'a str, columns: &'a [String], rows: Vec<&'a prost_types::ListValue>, replaces: bool },
    Delete(&'a spanner::mutation::Delete),
}

fn groups(mutations: &[Mutation]) -> Result<Vec<Group<'_>>, Status> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for mutation in mutations {
        let (write, replaces) = match &mutation.operation {
            Some(Operation::Insert(write)) => (write, false),
            Some(Operation::InsertOrUpdate(write)) => (write, true),
            Some(Operation::Delete(delete)) => {
                groups.push(Group::Delete(delete));
                continue;
            }
            _ => return Err(Status::unimplemented("this front inserts, upserts and deletes")),
        };
        let Write { table: to, columns: names, values } = write;
        match groups.last_mut() {
            Some(Group::Put { table, columns, rows, replaces: same })
                if *table == to && *columns == names && *same == replaces =>
            {
                rows.extend(values);
            }
            _ => {
                groups.push(Group::Put { table: to, columns: names, rows: values.iter().collect(), replaces })
            }
        }
    }
    Ok(groups)
}

impl Group<'_> {
    /// How many mutations it counts, and its statement.
    fn sql(&self, catalog: &Catalog, now: &str) -> Result<(usize, String), Status> {
        match self {
            Self::Delete(delete) => {
                let table = catalog.table(&delete.table)?;
                let condition = condition(table, &table.key, delete.key_set.as_ref())?;
                let keys = delete.key_set.as_ref().map_or(1, |set| set.keys.len().max(1));
                let sql = format!("DELETE FROM \"{}\" WHERE {condition}", table.name);
                Ok((keys * catalog.delete_cells(&table.name), sql))
            }
            Self::Put { table, columns, rows, replaces } => {
                let table = catalog.table(table)?;
                let required =
                    table.columns.iter().find(|column| column.required && !columns.contains(&column.name));
                if let Some(column) = required {
                    let why = format!("A new row in table {} does not specify {}", table.name, column.name);
                    return Err(Status::failed_precondition(why));
                }
                let cells = rows.len() * (columns.len() + catalog.index_cells(&table.name));
                let names = columns.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
                let mut sql = format!("INSERT INTO \"{}\" ({names}) VALUES ", table.name);
                sql.push_str(&self.tuples(catalog, now)?.join(", "));
                if *replaces {
                    let key =
                        table.key.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
                    let set = columns.iter().filter(|name| !table.key.contains(name));
                    let set: Vec<String> =
                        set.map(|name| format!("\"{name}\" = excluded.\"{name}\"")).collect();
                    let action = if set.is_empty() {
                        "NOTHING".to_owned()
                    } else {
                        format!("UPDATE SET {}", set.join(", "))
                    };
                    sql.push_str(&format!(" ON CONFLICT ({key}) DO {action}"));
                }
                Ok((cells, sql))
            }
        }
    }

    /// The rows as tuples; of a key only the last, for PostgreSQL changes no row twice in a statement.
    fn tuples(&self, catalog: &Catalog, now: &str) -> Result<Vec<String>, Status> {
        let Self::Put { table, columns, rows, replaces } = self else { return Ok(Vec::new()) };
        let table = catalog.table(table)?;
        let (mut tuples, mut places): (Vec<String>, HashMap<Vec<String>, usize>) = Default::default();
        for row in rows {
            if row.values.len() != columns.len() {
                return Err(Status::invalid_argument("a row has as many values as columns"));
            }
            let cells = columns.iter().zip(&row.values);
            let cells = cells.map(|(name, value)| cell(table.column(name)?, value, now));
            let cells: Vec<String> = cells.collect::<Result<_, Status>>()?;
            let of_key = columns.iter().zip(&cells).filter(|(name, _)| table.key.contains(name));
            let key: Vec<String> = of_key.map(|(_, cell)| cell.clone()).collect();
            if key.iter().map(String::len).sum::<usize>() > 8 << 10 {
                return Err(Status::invalid_argument(format!("a key of {} is over 8 KB", table.name)));
            }
            let tuple = format!("({})", cells.join(", "));
            match places.get(&key).filter(|_| *replaces) {
                Some(place) => tuples[*place] = tuple,
                None => {
                    places.insert(key, tuples.len());
                    tuples.push(tuple);
                }
            }
        }
        Ok(tuples)
    }
}
