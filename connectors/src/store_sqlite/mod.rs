//! The record store on SQLite: one file, one writer, a pool of readers beside it.
//!
//! The log is the truth: a power cut may take the newest transactions, whole ones, and they come again. A record lies
//! whole, as Avro, in one column; beside it stand the columns that queries look for.

mod config;
mod connection;
pub(crate) mod cursor;
mod ddl;
mod error;
mod fill;
mod reader;
mod rows;
mod schema;
mod sql;
mod sweep;
mod tenants;
#[cfg(test)]
mod tests;
mod writer;

pub use config::SqliteConfig;
pub use fill::SqliteFill;
pub use reader::SqliteReader;
pub use schema::SqliteSchema;
pub use writer::SqliteWriter;
