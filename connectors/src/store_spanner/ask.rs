//! Questions: statements that ask for the rows of one tenant. There is no other way to make one in this module.

use google_cloud_spanner::statement::{Statement, StatementBuilder};
use google_cloud_spanner::types::{self, Type};
use google_cloud_spanner::value::Value;
use leadline_schemas::{Millis, TenantId};

use super::rows::NOBODY;
use super::values::timestamp;

/// Whose rows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'a> {
    Tenant(&'a TenantId),
    /// Dead letters whose tenant is unknown.
    Nobody,
}

impl<'a> Owner<'a> {
    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Tenant(tenant) => tenant.as_str(),
            Self::Nobody => NOBODY,
        }
    }
}

impl<'a> From<Option<&'a TenantId>> for Owner<'a> {
    fn from(tenant: Option<&'a TenantId>) -> Self {
        tenant.map_or(Self::Nobody, Self::Tenant)
    }
}

/// A statement being put together. It begins with its tenant.
pub(super) struct Ask {
    sql: String,
    params: Vec<(String, Value, Type)>,
}

impl Ask {
    /// The records of a table that belong to a tenant, found by an index where one is named.
    pub(super) fn records(owner: Owner<'_>, table: &str, index: Option<&str>) -> Self {
        let hint = index.map(|index| format!("@{{FORCE_INDEX={index}}}")).unwrap_or_default();
        let sql = format!("SELECT record FROM {table}{hint} WHERE tenant_id = @tenant");
        Self { sql, params: Vec::new() }.with("tenant", owner.name(), types::string())
    }

    /// One more condition, in terms of parameters.
    pub(super) fn and(mut self, condition: &str) -> Self {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self
    }

    /// What comes behind the conditions.
    pub(super) fn ending(mut self, order: &str, limit: usize) -> Self {
        self.sql.push_str(&format!(" ORDER BY {order} LIMIT @limit"));
        self.with("limit", i64::try_from(limit).unwrap_or(i64::MAX), types::int64())
    }

    pub(super) fn text(self, name: &str, text: &str) -> Self {
        self.with(name, text, types::string())
    }

    pub(super) fn time(self, name: &str, at: Millis) -> Self {
        self.with(name, timestamp(at), types::timestamp())
    }

    /// Every parameter has its type: what has none is guessed by the server, and differently by each.
    fn with(mut self, name: &str, value: impl Into<Value>, type_: Type) -> Self {
        self.params.push((name.to_owned(), value.into(), type_));
        self
    }

    pub(super) fn statement(self) -> Statement {
        let add = |statement: StatementBuilder, (name, value, type_): (String, Value, Type)| {
            statement.add_typed_param(name, value, type_)
        };
        self.params.into_iter().fold(Statement::builder(self.sql), add).build()
    }
}
