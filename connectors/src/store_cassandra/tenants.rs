//! Tenants and their integrations, as the settings have them: each write carries the settings' version as its time, so
//! one that comes late changes nothing.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use scylla::statement::batch::{Batch as Statements, BatchType};

use super::cluster::Cluster;
use super::error::failed;
use super::value::Value;
use crate::contract::store::StoreError;
use crate::contract::tenants::TenantRow;

/// They live for ever.
const TTL: Value<'static> = Value::Int(0);

/// Writes tenants as of a version of the settings.
pub(super) async fn put(cluster: &Cluster, version: u64, tenants: &[TenantRow]) -> Result<(), StoreError> {
    let version = i64::try_from(version).unwrap_or(i64::MAX / 2 - 1);
    // Of one version what was there goes first, then comes what is.
    let (goes, comes) = (2 * version, 2 * version + 1);
    let all = tenants.iter().map(|row| put_one(cluster, row, version, (goes, comes)));
    stream::iter(all).buffer_unordered(cluster.config.in_flight).try_collect().await
}

async fn put_one(
    cluster: &Cluster,
    row: &TenantRow,
    version: i64,
    (goes, comes): (i64, i64),
) -> Result<(), StoreError> {
    let (session, statements) = (&cluster.link.session, &cluster.statements);
    let tenant = || Value::Text(row.tenant.as_str());
    let values = vec![
        tenant(),
        Value::Text(&row.name),
        Value::Text(&row.time_zone),
        Value::Time(row.created_at.0),
        Value::Text(row.status()),
        Value::Big(version),
        Value::Big(comes),
        TTL,
    ];
    session.execute_unpaged(&statements.put_tenant, values).await.map_err(failed)?;
    let mut batch = Statements::new(BatchType::Unlogged);
    batch.set_is_idempotent(true);
    batch.append_statement(statements.delete_integrations.clone());
    let mut values = vec![vec![Value::Big(goes), tenant()]];
    for one in &row.integrations {
        batch.append_statement(statements.put_integration.clone());
        values.push(vec![
            tenant(),
            Value::Text(&one.integration),
            Value::Text(&one.kind),
            Value::Bool(one.enabled),
            one.disabled_reason.as_deref().map_or(Value::Null, Value::Text),
            Value::Big(version),
            Value::Big(comes),
            TTL,
        ]);
    }
    session.batch(&batch, &values).await.map_err(failed)?;
    Ok(())
}
