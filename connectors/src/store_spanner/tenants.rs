//! Tenants and their integrations, as the settings have them.

use google_cloud_spanner::client::DatabaseClient;
use google_cloud_spanner::key;
use google_cloud_spanner::key::{KeyRange, KeySet};
use google_cloud_spanner::model::read_request::LockHint;
use google_cloud_spanner::mutation::Mutation;
use google_cloud_spanner::read::ReadRequest;
use google_cloud_spanner::transaction::ReadWriteTransaction;

use super::error::failed;
use super::link::Link;
use super::rows::Put;
use super::values::{key_text, timestamp};
use super::writer::TAG;
use crate::contract::store::StoreError;
use crate::contract::tenants::TenantRow;

/// Tenants of a transaction.
const TENANTS_MAX: usize = 100;

/// Writes tenants as of a version of the settings; none that the database has of a later one.
pub(super) fn put(link: &Link, version: u64, tenants: &[TenantRow]) -> Result<(), StoreError> {
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    for some in tenants.chunks(TENANTS_MAX) {
        link.wait(link.config.write_timeout, async {
            put_some(link.database().await?, version, some).await
        })?;
    }
    Ok(())
}

async fn put_some(database: &DatabaseClient, version: i64, tenants: &[TenantRow]) -> Result<(), StoreError> {
    let runner = database.read_write_transaction().set_transaction_tag(TAG).build();
    runner
        .run(async |transaction| {
            let newer = newer(&transaction, version, tenants).await?;
            let ours = tenants.iter().filter(|row| !newer.iter().any(|id| id == row.tenant.as_str()));
            transaction.buffer(ours.flat_map(|row| mutations(row, version)))
        })
        .await
        .map_err(failed)?;
    Ok(())
}

/// Those of which the database has a later version.
async fn newer(
    transaction: &ReadWriteTransaction,
    version: i64,
    tenants: &[TenantRow],
) -> Result<Vec<String>, google_cloud_spanner::Error> {
    let keys = tenants
        .iter()
        .fold(KeySet::builder(), |keys, row| keys.add_key(key![row.tenant.as_str().to_owned()]));
    let read = ReadRequest::builder("tenants", ["tenant_id", "settings_version"]).with_keys(keys.build());
    // Whoever reads it will write it.
    let mut rows = transaction.execute_read(read.set_lock_hint(LockHint::Exclusive).build()).await?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().await.transpose()? {
        if row.get::<Option<i64>>(1)?.is_some_and(|there| there > version) {
            found.push(row.get::<String>(0)?);
        }
    }
    Ok(found)
}

/// All integrations that were there go, and those that are come.
fn mutations(row: &TenantRow, version: i64) -> Vec<Mutation> {
    let id = || row.tenant.as_str().to_owned();
    let tenant = Put::into("tenants", 0)
        .set("tenant_id", id())
        .set("name", row.name.clone())
        .set("time_zone", row.time_zone.clone())
        .set("created_at", timestamp(row.created_at))
        .set("status", row.status().to_owned())
        .set("settings_version", version);
    let all = KeySet::builder().add_range(KeyRange::closed_closed(key![id()], key![id()])).build();
    let integrations = row.integrations.iter().map(|one| {
        Put::into("crm_integrations", 0)
            .set("tenant_id", id())
            .set("integration", key_text(&one.integration).into_owned())
            .set("kind", one.kind.clone())
            .set("enabled", one.enabled)
            .set("disabled_reason", one.disabled_reason.clone())
            .set("settings_version", version)
            .row()
            .mutation
    });
    let first = [tenant.row().mutation, Mutation::delete("crm_integrations", all)];
    first.into_iter().chain(integrations).collect()
}
