//! The writing side: lists, then records, then progress.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, Partition};
use scylla::statement::batch::{Batch as Statements, BatchType};

use super::cluster::Cluster;
use super::error::{failed, unavailable};
use super::packs::packs;
use super::places::{Known, Remembered, Version, writes};
use super::plan::{Plan, Write};
use super::rows::{Change, Key, Lives, Place, Row, last_of_each_key, row};
use super::stamp;
use super::value::Value;
use crate::contract::store::{Batch, RecordWriter, StoreError};
use crate::contract::tenants::TenantRow;

/// Records of a tenant that are asked for in one request: one node gathers them, from others too, so not many.
const ASKED_AT_ONCE: usize = 20;
/// Buckets known to be noted; a tenant's day has one for each list and filter.
const BUCKETS_REMEMBERED_MAX: usize = 200_000;

/// Writes to a cluster; one for each process.
pub struct CassandraWriter {
    cluster: Arc<Cluster>,
    remembered: Remembered,
    /// Buckets that are noted already.
    buckets: HashSet<String>,
    /// Where this writer left each partition.
    left_at: HashMap<(u32, Partition), CommitNumber>,
}

/// Commits that are not written yet, and where their partitions stand behind them.
struct Fresh<'a> {
    commits: Vec<(i64, &'a [Output])>,
    progress: BTreeMap<(u32, Partition), CommitNumber>,
}

impl CassandraWriter {
    /// Writes through a connection.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, remembered: Remembered::default(), buckets: HashSet::new(), left_at: HashMap::new() }
    }

    async fn write_all(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let fresh = self.fresh(batches).await?;
        // Everything is read before anything is written.
        let changes = self.changes(&fresh)?;
        let versions = versions(&changes);
        let unknown: Vec<&Key> =
            versions.keys().filter(|key| self.remembered.get(key).is_none()).copied().collect();
        for (key, known) in self.ask(unknown).await? {
            self.remembered.note(key, known);
        }
        let mut plan = Plan::new(&self.cluster.statements);
        let mut moved = Vec::with_capacity(versions.len());
        for (key, versions) in &versions {
            let known = self.remembered.get(key).flatten();
            let Some(last) = versions.last() else { continue };
            if known.is_some_and(|known| known.stamp >= last.stamp) {
                continue;
            }
            plan.entries(writes(key, known, versions));
            plan.record(key, last);
            let known = last.place.clone().map(|place| Known { place, stamp: last.stamp });
            moved.push(((*key).clone(), known));
        }
        changes.iter().for_each(|change| plan.line(change));
        let buckets = plan.buckets(&self.buckets);
        let sent = self.send_in_order(plan, &fresh.progress).await;
        if sent.is_err() {
            // Nobody knows what of it is there.
            self.remembered.forget();
            return sent;
        }
        if self.buckets.len() > BUCKETS_REMEMBERED_MAX {
            self.buckets.clear();
        }
        self.buckets.extend(buckets);
        moved.into_iter().for_each(|(key, known)| self.remembered.note(key, known));
        self.left_at.extend(fresh.progress);
        Ok(())
    }

    /// Somebody else has had a partition in between, or the store was put back to what it once was: nothing of what
    /// is known of it needs to hold.
    fn forget(&mut self) {
        self.remembered.forget();
        self.buckets.clear();
    }

    /// Compares each batch with its partition's progress.
    async fn fresh<'a>(&mut self, batches: &'a [Batch]) -> Result<Fresh<'a>, StoreError> {
        let mut fresh = Fresh { commits: Vec::new(), progress: BTreeMap::new() };
        for batch in batches {
            let partition = (batch.generation, batch.partition);
            let done = match fresh.progress.get(&partition) {
                Some(done) => *done,
                None => {
                    let done = progress(&self.cluster, partition).await?;
                    if self.left_at.get(&partition).is_some_and(|left_at| *left_at != done) {
                        self.forget();
                        self.left_at.insert(partition, done);
                    }
                    done
                }
            };
            if done < batch.from {
                let (partition, from) = (batch.partition, batch.from);
                return Err(StoreError::Behind { partition, progress: done, from });
            }
            let commits = batch.commits.iter().filter(|(number, _)| *number > done);
            let stamped = |(number, outputs): &'a (CommitNumber, Arc<Vec<Output>>)| {
                (stamp(batch.generation, *number), outputs.as_slice())
            };
            fresh.commits.extend(commits.map(stamped));
            fresh.progress.insert(partition, done.max(batch.to));
        }
        Ok(fresh)
    }

    fn changes<'a>(&self, fresh: &Fresh<'a>) -> Result<Vec<Change<'a>>, StoreError> {
        let lives = Lives::new(&self.cluster.config);
        let mut changes = Vec::new();
        for (stamp, outputs) in &fresh.commits {
            for output in last_of_each_key(outputs) {
                if let Some(row) = row(output, lives)? {
                    changes.push(Change { row, record: &output.value, stamp: *stamp });
                }
            }
        }
        Ok(changes)
    }

    /// Where records are that nobody here remembers. The keys come sorted.
    async fn ask(&self, keys: Vec<&Key>) -> Result<Vec<(Key, Option<Known>)>, StoreError> {
        let of_one = keys.chunk_by(|a, b| (a.list, &a.tenant) == (b.list, &b.tenant));
        let asked = of_one.flat_map(|keys| keys.chunks(ASKED_AT_ONCE)).map(|keys| known(&self.cluster, keys));
        let in_flight = self.cluster.config.in_flight;
        let found: Vec<_> = stream::iter(asked).buffer_unordered(in_flight).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Each step is acknowledged before the next: a record tells where its lists showed it, so those come first, and
    /// progress says that all of it is there.
    async fn send_in_order(
        &self,
        plan: Plan<'_>,
        progress: &BTreeMap<(u32, Partition), CommitNumber>,
    ) -> Result<(), StoreError> {
        let Plan { buckets, lines, records, statements, .. } = plan;
        self.send(buckets).await?;
        self.send(lines).await?;
        self.send(records).await?;
        let moved = progress.iter().filter(|(partition, number)| self.left_at.get(partition) != Some(number));
        let noted = moved.map(|((generation, partition), number)| Write {
            group: String::new(),
            statement: &statements.put_progress,
            values: vec![
                Value::Int(i32::try_from(*generation).unwrap_or(i32::MAX)),
                Value::Int(i32::from(partition.0)),
                Value::Big(i64::try_from(number.0).unwrap_or(i64::MAX)),
                Value::Big(stamp(*generation, *number)),
                Value::Int(0),
            ],
        });
        let noted = noted.enumerate().map(|(index, write)| Write { group: index.to_string(), ..write });
        self.send(noted.collect()).await
    }

    /// Sends writes, those of one partition together, several requests at once.
    async fn send(&self, writes: Vec<Write<'_>>) -> Result<(), StoreError> {
        let packs = packs(writes, self.cluster.spread, |write| self.cluster.link.home(write));
        let sent = packs.into_iter().map(|pack| self.send_batch(pack));
        stream::iter(sent).buffer_unordered(self.cluster.config.in_flight).try_collect::<()>().await
    }

    async fn send_batch(&self, writes: Vec<Write<'_>>) -> Result<(), StoreError> {
        let session = &self.cluster.link.session;
        if let [write] = writes.as_slice() {
            session.execute_unpaged(write.statement, &write.values).await.map_err(failed)?;
            return Ok(());
        }
        let mut statements = Statements::new(BatchType::Unlogged);
        statements.set_is_idempotent(true);
        let mut values = Vec::with_capacity(writes.len());
        for write in writes {
            statements.append_statement(write.statement.clone());
            values.push(write.values);
        }
        session.batch(&statements, &values).await.map_err(failed)?;
        Ok(())
    }
}

/// Versions of each record, oldest first.
fn versions<'c>(changes: &'c [Change<'c>]) -> BTreeMap<&'c Key, Vec<Version<'c>>> {
    let mut versions: BTreeMap<&Key, Vec<Version<'_>>> = BTreeMap::new();
    for change in changes {
        let Row::Listed { key, place, ttl_s, .. } = &change.row else { continue };
        let version =
            Version { stamp: change.stamp, place: place.clone(), ttl_s: *ttl_s, record: change.record };
        versions.entry(key).or_default().push(version);
    }
    versions.values_mut().for_each(|versions| versions.sort_by_key(|version| version.stamp));
    versions
}

pub(super) async fn progress(
    cluster: &Cluster,
    (generation, partition): (u32, Partition),
) -> Result<CommitNumber, StoreError> {
    let values = (i32::try_from(generation).unwrap_or(i32::MAX), i32::from(partition.0));
    let rows =
        cluster.link.session.execute_unpaged(&cluster.statements.progress, values).await.map_err(failed)?;
    let rows = rows.into_rows_result().map_err(unavailable)?;
    let row = rows.maybe_first_row::<(i64,)>().map_err(unavailable)?;
    Ok(CommitNumber(row.map_or(0, |(number,)| u64::try_from(number).unwrap_or(0))))
}

/// Columns of `ListStatements::known`.
type KnownColumns = (String, String, i64, Option<String>, Option<String>, i64);

/// Where records of one list and tenant are.
async fn known(cluster: &Cluster, keys: &[&Key]) -> Result<Vec<(Key, Option<Known>)>, StoreError> {
    let Some(first) = keys.first() else { return Ok(Vec::new()) };
    let (session, statements) = (&cluster.link.session, cluster.statements.of(first.list));
    let tenant = first.tenant.as_str();
    let answer = match keys {
        // By its token to a node that has it.
        [key] => session.execute_unpaged(&statements.known, (tenant, key.id.as_str())).await,
        _ => {
            let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
            session.execute_unpaged(&statements.known_of_several, (tenant, ids)).await
        }
    };
    let rows = answer.map_err(failed)?.into_rows_result().map_err(unavailable)?;
    let mut found = HashMap::new();
    for row in rows.rows::<KnownColumns>().map_err(unavailable)? {
        let (id, tenant, at, band, status, stamp) = row.map_err(unavailable)?;
        found.insert(id, Known { place: Place { tenant, at, band, status }, stamp });
    }
    Ok(keys.iter().map(|key| ((*key).clone(), found.remove(&key.id))).collect())
}

impl RecordWriter for CassandraWriter {
    fn progress(&mut self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        let cluster = Arc::clone(&self.cluster);
        cluster.run(progress(&cluster, (generation, partition)))
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let cluster = Arc::clone(&self.cluster);
        cluster.run(self.write_all(batches))
    }

    fn put_tenants(&mut self, version: u64, tenants: &[TenantRow]) -> Result<(), StoreError> {
        self.cluster.run(super::tenants::put(&self.cluster, version, tenants))
    }
}
