//! The shape of the dataflow: for `leadline topology` and `leadline plan`.

use bytes::Bytes;
use leadline_connectors::contract::state::{Change, PartitionState, StateError, StateView, Visit};
use leadline_operators::contract::{OperatorId, Scope, TableSpec};
use leadline_schemas::CommitNumber;

/// Operators with their tables, and who feeds whom.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// The operators, in the order in which they were built.
    pub nodes: Vec<Node>,
    /// Who feeds whom.
    pub edges: Vec<Edge>,
}

/// One operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// Number and name.
    pub id: OperatorId,
    /// What its rows are filed under.
    pub scope: Scope,
    /// Its tables.
    pub tables: Vec<TableSpec>,
}

/// A flow of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Topic or operator.
    pub from: String,
    /// Operator, or `topics`.
    pub to: String,
}

/// Rows of a pipeline that is only looked at.
pub(super) struct NoRows;

impl PartitionState for NoRows {
    fn get(&self, _: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }
    fn scan(&self, _: &[u8], _: Option<&[u8]>, _: Visit<'_>) -> Result<(), StateError> {
        Ok(())
    }
    fn apply(&self, _: &[Change], _: CommitNumber) -> Result<(), StateError> {
        Ok(())
    }
    fn applied(&self) -> Result<CommitNumber, StateError> {
        Ok(CommitNumber(0))
    }
    fn view(&self) -> Result<Box<dyn StateView>, StateError> {
        Err(StateError::Failed("there are no rows to view".to_owned()))
    }
}
