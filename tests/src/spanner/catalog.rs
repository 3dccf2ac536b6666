//! The tables and indexes of a database, as its statements have made them.

use std::collections::BTreeMap;

use tonic::Status;

/// A column's type, as far as leadline uses Spanner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int64,
    Float64,
    /// With its length in characters.
    String(usize),
    Bytes,
    Timestamp,
}

impl Kind {
    /// PostgreSQL's.
    pub(super) fn postgres(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Int64 => "bigint",
            Self::Float64 => "double precision",
            Self::String(_) => "text",
            Self::Bytes => "bytea",
            Self::Timestamp => "timestamptz",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) commit_timestamp: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    pub(super) key: Vec<String>,
    /// What it is interleaved in, and whether a row needs its parent.
    pub(super) parent: Option<(String, bool)>,
}

impl Table {
    pub(super) fn column(&self, name: &str) -> Result<&Column, Status> {
        let found = self.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| Status::not_found(format!("Column not found in table {}: {name}", self.name)))
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) indexes: BTreeMap<String, Index>,
}

impl Catalog {
    pub(super) fn table(&self, name: &str) -> Result<&Table, Status> {
        self.tables.get(name).ok_or_else(|| Status::not_found(format!("Table not found: {name}")))
    }

    pub(super) fn index(&self, name: &str) -> Result<&Index, Status> {
        self.indexes.get(name).ok_or_else(|| Status::not_found(format!("Index not found: {name}")))
    }

    /// Mutations that a written row counts beside its columns: the columns of each index.
    pub(super) fn index_cells(&self, table: &str) -> usize {
        let of = self.indexes.values().filter(|index| index.table == table);
        of.map(|index| index.columns.len()).sum()
    }

    /// Mutations that a deleted row counts: itself, and its entry in each index.
    pub(super) fn delete_cells(&self, table: &str) -> usize {
        1 + self.indexes.values().filter(|index| index.table == table).count()
    }
}
