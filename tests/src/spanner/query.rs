//! Questions: SQL with typed parameters, and reads by key.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use googleapis_tonic_google_spanner_v1::google::spanner::v1 as spanner;
use prost_types::value::Kind as Wire;
use prost_types::{ListValue, Value};
use spanner::key_range::{EndKeyType, StartKeyType};
use spanner::transaction_selector::Selector;
use spanner::{
    ExecuteSqlRequest, KeyRange, KeySet, PartialResultSet, ReadRequest, ResultSetMetadata, StructType, Type,
};
use tokio_postgres::Client;
use tonic::Status;

use super::catalog::{Catalog, Table};
use super::server::{Server, refused};
use super::transactions::{State, Transaction};
use super::values::{kind, literal, type_of, values};

/// Bytes of a value in one message: what is longer is cut, as Spanner does.
const PIECE_BYTES: usize = 1 << 20;
/// Rows in one message.
const PIECE_ROWS: usize = 100;

type Answer = Result<Vec<PartialResultSet>, Status>;

impl Server {
    pub(super) async fn execute(&self, request: ExecuteSqlRequest) -> Answer {
        let database = self.database_of(&request.session)?;
        let catalog = database.catalog.read().unwrap_or_else(PoisonError::into_inner).clone();
        let fields = request.params.map(|params| params.fields).unwrap_or_default();
        let sql =
            self.translated(&catalog, &request.sql, fields.into_iter().collect(), &request.param_types)?;
        self.answer(&request.session, request.transaction, &sql).await
    }

    pub(super) async fn read(&self, request: ReadRequest) -> Answer {
        let database = self.database_of(&request.session)?;
        let catalog = database.catalog.read().unwrap_or_else(PoisonError::into_inner).clone();
        let sql = read_sql(&catalog, &request)?;
        self.answer(&request.session, request.transaction, &sql).await
    }

    /// Answers in the transaction that a selector names, begins, or does without.
    async fn answer(
        &self,
        session: &str,
        selector: Option<spanner::TransactionSelector>,
        sql: &str,
    ) -> Answer {
        let (transaction, begun) = match selector.and_then(|selector| selector.selector) {
            None => (None, false),
            Some(Selector::SingleUse(options)) => {
                self.single_use(&options)?;
                (None, false)
            }
            Some(Selector::Begin(options)) => (Some(self.begin(session, Some(&options)).await?), true),
            Some(Selector::Id(id)) => (Some(self.transaction(&id)?), false),
        };
        let Some(transaction) = transaction else {
            let database = self.database_of(session)?;
            let client = database.connection().await?;
            let found = rows(&client, sql).await;
            database.give_back(client);
            return found.map(|(metadata, values)| pieces(metadata, values));
        };
        let (mut metadata, values) =
            self.within(&transaction, sql).await.map_err(|status| self.told(status))?;
        if begun {
            let id = transaction.id.clone();
            metadata.transaction = Some(spanner::Transaction { id, ..Default::default() });
        }
        let mut pieces = pieces(metadata, values);
        if let Some(last) = pieces.last_mut() {
            last.precommit_token = Some(transaction.next_token());
        }
        Ok(pieces)
    }

    async fn within(&self, transaction: &Arc<Transaction>, sql: &str) -> Result<Rows, Status> {
        let mut state = transaction.state.lock().await;
        let State::Open(client) = &*state else {
            return Err(Status::failed_precondition("the transaction is over"));
        };
        let found = rows(client, sql).await;
        if found.is_err()
            && let State::Open(client) = std::mem::replace(&mut *state, State::Ended)
        {
            client.batch_execute("ROLLBACK").await.map_err(refused)?;
            transaction.database.give_back(client);
        }
        found
    }

    /// A statement in PostgreSQL's words: hints looked at and left out, parameters put in.
    fn translated(
        &self,
        catalog: &Catalog,
        sql: &str,
        params: HashMap<String, Value>,
        types: &HashMap<String, Type>,
    ) -> Result<String, Status> {
        let (mut out, mut rest) = (String::new(), sql);
        while let Some(at) = rest.find(['@', '\'', '"']) {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            if !from.starts_with('@') {
                return Err(Status::unimplemented("a text belongs into a parameter"));
            }
            let from = &from[1..];
            if let Some(hint) = from.strip_prefix('{') {
                let (hint, behind) =
                    hint.split_once('}').ok_or_else(|| Status::invalid_argument("Syntax error: hint"))?;
                let index = hint.strip_prefix("FORCE_INDEX=");
                let index = index.ok_or_else(|| Status::unimplemented(format!("hint {hint}")))?;
                let of =
                    &catalog.index(index).map_err(|status| Status::invalid_argument(status.message()))?.table;
                if !before.ends_with(&format!(" {of}")) {
                    return Err(Status::invalid_argument(format!("index {index} is not of this table")));
                }
                self.seen.indexes.lock().unwrap().insert(index.to_owned());
                rest = behind;
                continue;
            }
            let end = from.find(|sign: char| !sign.is_alphanumeric() && sign != '_').unwrap_or(from.len());
            let (name, behind) = from.split_at(end);
            let missing = || Status::invalid_argument(format!("No parameter found for binding: {name}"));
            let value = params.get(name).ok_or_else(missing)?;
            out.push_str(&literal(name, kind(name, types.get(name))?, value)?);
            rest = behind;
        }
        out.push_str(rest);
        Ok(out)
    }
}

type Rows = (ResultSetMetadata, Vec<Value>);

async fn rows(client: &Client, sql: &str) -> Result<Rows, Status> {
    let statement = client.prepare(sql).await.map_err(refused)?;
    let field = |column: &tokio_postgres::Column| -> Result<spanner::struct_type::Field, Status> {
        Ok(spanner::struct_type::Field {
            name: column.name().to_owned(),
            r#type: Some(type_of(column.type_())?),
        })
    };
    let fields = statement.columns().iter().map(field).collect::<Result<_, _>>()?;
    let metadata = ResultSetMetadata { row_type: Some(StructType { fields }), ..Default::default() };
    let mut found = Vec::new();
    for row in client.query(&statement, &[]).await.map_err(refused)? {
        found.extend(values(&row)?);
    }
    Ok((metadata, found))
}

/// Messages of a stream: some rows each, and long values in pieces that the client puts together.
fn pieces(metadata: ResultSetMetadata, values: Vec<Value>) -> Vec<PartialResultSet> {
    let width = metadata.row_type.as_ref().map_or(1, |row| row.fields.len().max(1));
    let mut sets = vec![PartialResultSet { metadata: Some(metadata), ..Default::default() }];
    for value in values {
        let mut rest = match value.kind {
            Some(Wire::StringValue(text)) if text.len() > PIECE_BYTES => text,
            kind => {
                push(&mut sets, Value { kind }, width);
                continue;
            }
        };
        while rest.len() > PIECE_BYTES {
            let cut = (0..=PIECE_BYTES).rev().find(|cut| rest.is_char_boundary(*cut)).unwrap();
            let behind = rest.split_off(cut);
            push(&mut sets, Value { kind: Some(Wire::StringValue(rest)) }, width);
            if let Some(last) = sets.last_mut() {
                last.chunked_value = true;
            }
            sets.push(PartialResultSet::default());
            rest = behind;
        }
        push(&mut sets, Value { kind: Some(Wire::StringValue(rest)) }, width);
    }
    if let Some(last) = sets.last_mut() {
        last.last = true;
    }
    sets
}

fn push(sets: &mut Vec<PartialResultSet>, value: Value, width: usize) {
    if sets.last().is_some_and(|set| set.values.len() >= width * PIECE_ROWS) {
        sets.push(PartialResultSet::default());
    }
    if let Some(last) = sets.last_mut() {
        last.values.push(value);
    }
}

fn read_sql(catalog: &Catalog, request: &ReadRequest) -> Result<String, Status> {
    let table = catalog.table(&request.table)?;
    let key = match request.index.as_str() {
        "" => table.key.clone(),
        name => {
            let index = catalog.index(name)?;
            let covers = |column: &&String| !index.columns.contains(column) && !table.key.contains(column);
            if let Some(column) = request.columns.iter().find(covers) {
                return Err(Status::failed_precondition(format!("index {name} does not store {column}")));
            }
            index.columns.clone()
        }
    };
    request.columns.iter().try_for_each(|column| table.column(column).map(drop))?;
    let columns: Vec<String> = request.columns.iter().map(|column| format!("\"{column}\"")).collect();
    let limit = if request.limit > 0 { format!(" LIMIT {}", request.limit) } else { String::new() };
    Ok(format!(
        "SELECT {} FROM \"{}\" WHERE {} ORDER BY {}{limit}",
        columns.join(", "),
        table.name,
        condition(table, &key, request.key_set.as_ref())?,
        key.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", "),
    ))
}

/// The keys that begin so: the one range that this front takes.
fn prefix(range: &KeyRange) -> Result<&ListValue, Status> {
    match (&range.start_key_type, &range.end_key_type) {
        (Some(StartKeyType::StartClosed(from)), Some(EndKeyType::EndClosed(to))) if from == to => Ok(from),
        _ => Err(Status::unimplemented("this front takes keys, and of ranges those from a prefix to itself")),
    }
}

/// The rows of a key set, as a condition.
pub(super) fn condition(table: &Table, key: &[String], set: Option<&KeySet>) -> Result<String, Status> {
    let set = set.ok_or_else(|| Status::invalid_argument("there is no key set"))?;
    if set.all {
        return Ok("true".to_owned());
    }
    let one = |(values, whole): (&ListValue, bool)| -> Result<String, Status> {
        if values.values.len() > key.len() || (whole && values.values.len() != key.len()) {
            let why = format!("a key of {} has {} parts, not {}", table.name, key.len(), values.values.len());
            return Err(Status::failed_precondition(why));
        }
        let part = |(name, value): (&String, &Value)| -> Result<String, Status> {
            let text = literal(name, table.column(name)?.kind, value)?;
            Ok(if text == "NULL" { format!("\"{name}\" IS NULL") } else { format!("\"{name}\" = {text}") })
        };
        let parts: Result<Vec<_>, _> = key.iter().zip(&values.values).map(part).collect();
        Ok(format!("({})", parts?.join(" AND ")))
    };
    let ranges: Result<Vec<_>, _> = set.ranges.iter().map(prefix).collect();
    let prefixes = ranges?.into_iter().map(|values| (values, false));
    let all = set.keys.iter().map(|values| (values, true)).chain(prefixes);
    let keys: Result<Vec<_>, _> = all.map(one).collect();
    let keys = keys?;
    Ok(if keys.is_empty() { "false".to_owned() } else { keys.join(" OR ") })
}
