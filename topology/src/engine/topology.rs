//! The shape of the dataflow: for `leadline topology` and `leadline plan`.

use leadline_operators::contract::{OperatorId, Scope, TableSpec};

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
