//! What the front keeps: databases, sessions, transactions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use tokio_postgres::{Client, NoTls};
use tonic::Status;

use super::catalog::Catalog;
use super::faults::{Faults, Seen};
use super::transactions::Transaction;

/// A database: a schema in PostgreSQL, and connections that look into it.
pub(super) struct Database {
    pub(super) schema: String,
    pub(super) catalog: RwLock<Catalog>,
    pub(super) statements: Mutex<Vec<String>>,
    idle: Mutex<Vec<Client>>,
    port: u16,
}

impl Database {
    /// A connection of its own; give it back when no transaction is open on it.
    pub(super) async fn connection(&self) -> Result<Client, Status> {
        let idle = self.idle.lock().unwrap().pop();
        if let Some(client) = idle.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let client = connect(self.port).await?;
        let path = format!("SET search_path = \"{}\"", self.schema);
        client.batch_execute(&path).await.map_err(refused)?;
        Ok(client)
    }

    pub(super) fn give_back(&self, client: Client) {
        self.idle.lock().unwrap().push(client);
    }
}

pub(super) async fn connect(port: u16) -> Result<Client, Status> {
    let config = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let connected = tokio_postgres::connect(&config, NoTls).await;
    let (client, connection) = connected.map_err(|error| Status::unavailable(error.to_string()))?;
    tokio::spawn(connection);
    Ok(client)
}

/// What PostgreSQL's refusals are called by Spanner.
pub(super) fn refused(error: tokio_postgres::Error) -> Status {
    let Some(database) = error.as_db_error() else { return Status::internal(error.to_string()) };
    let text = format!("{} ({})", database.message(), database.code().code());
    match database.code().code() {
        // Serialization failures and deadlocks.
        "40001" | "40P01" => Status::aborted(text),
        "23505" => Status::already_exists(text),
        "23503" => Status::not_found(format!("Parent row is missing: {text}")),
        "23502" | "22001" => Status::failed_precondition(text),
        "42P01" | "42703" | "42601" | "22P02" | "22007" | "22008" | "42883" | "42804" => {
            Status::invalid_argument(text)
        }
        _ => Status::internal(text),
    }
}

pub(super) struct Server {
    pub(super) faults: Faults,
    pub(super) seen: Seen,
    pub(super) transactions: Mutex<HashMap<Vec<u8>, Arc<Transaction>>>,
    databases: Mutex<HashMap<String, Arc<Database>>>,
    numbers: AtomicU64,
    port: u16,
}

impl Server {
    pub(super) fn new(port: u16) -> Self {
        Self {
            faults: Faults::default(),
            seen: Seen::default(),
            transactions: Mutex::default(),
            databases: Mutex::default(),
            numbers: AtomicU64::new(1),
            port,
        }
    }

    /// A number that no other has.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }

    /// A database by its path, `projects/…/instances/…/databases/…`.
    pub(super) fn database(&self, path: &str) -> Result<Arc<Database>, Status> {
        let found = self.databases.lock().unwrap().get(path).cloned();
        found.ok_or_else(|| Status::not_found(format!("Database not found: {path}")))
    }

    /// The database that a session is of.
    pub(super) fn database_of(&self, session: &str) -> Result<Arc<Database>, Status> {
        let (path, _) = session.split_once("/sessions/").unwrap_or((session, ""));
        self.database(path)
    }

    pub(super) async fn create_database(&self, path: &str) -> Result<(), Status> {
        if self.database(path).is_ok() {
            return Err(Status::already_exists(format!("Database already exists: {path}")));
        }
        let schema = format!("database_{}", self.number());
        let client = connect(self.port).await?;
        client.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await.map_err(refused)?;
        let database = Database {
            schema,
            catalog: RwLock::default(),
            statements: Mutex::default(),
            idle: Mutex::default(),
            port: self.port,
        };
        self.databases.lock().unwrap().insert(path.to_owned(), Arc::new(database));
        Ok(())
    }

    /// Changes a schema, all statements or none.
    pub(super) async fn update_ddl(&self, path: &str, statements: &[String]) -> Result<(), Status> {
        let database = self.database(path)?;
        let mut catalog = database.catalog.read().unwrap().clone();
        let mut script = String::from("BEGIN;");
        for statement in statements {
            if let Some(sql) = super::ddl::take(&mut catalog, statement)? {
                script.push_str(&format!("{sql};"));
            }
        }
        let client = database.connection().await?;
        let done = client.batch_execute(&format!("{script}COMMIT")).await;
        if let Err(error) = done {
            client.batch_execute("ROLLBACK").await.map_err(refused)?;
            return Err(refused(error));
        }
        database.give_back(client);
        *database.catalog.write().unwrap() = catalog;
        database.statements.lock().unwrap().extend(statements.iter().cloned());
        Ok(())
    }
}
