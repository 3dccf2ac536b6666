//! The writing side: pieces of batches, each with the progress that it moves, in read-write transactions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use google_cloud_spanner::client::DatabaseClient;
use google_cloud_spanner::key;
use google_cloud_spanner::key::KeySet;
use google_cloud_spanner::model::read_request::LockHint;
use google_cloud_spanner::mutation::Mutation;
use google_cloud_spanner::read::ReadRequest;
use google_cloud_spanner::result::ResultSet;
use google_cloud_spanner::transaction::ReadWriteTransaction;
use leadline_schemas::{CommitNumber, Partition};

use super::chunk::{Chunk, Place, Progress};
use super::config::SpannerConfig;
use super::ddl;
use super::error::failed;
use super::link::Link;
use super::rows::{Put, Reading};
use super::schema::COMMIT_TIMESTAMP;
use super::steering::Steering;
use crate::contract::store::{Batch, RecordWriter, StoreError};
use crate::contract::tenants::TenantRow;

/// What transactions are called in Spanner's statistics.
pub(super) const TAG: &str = "leadline-records";

/// The one that writes, of this process.
pub struct SpannerWriter {
    link: Arc<Link>,
    /// What the store has as far as we know; a transaction finds out where that is wrong.
    at: HashMap<Place, Progress>,
    /// Those that `tenants` has.
    tenants: HashSet<String>,
    costs: HashMap<&'static str, usize>,
    steering: Steering,
}

impl SpannerWriter {
    /// Asks nobody yet: the database may be away while a process starts.
    pub fn open(config: SpannerConfig) -> Result<Self, StoreError> {
        Ok(Self::on(Link::new(config)?))
    }

    pub(super) fn on(link: Arc<Link>) -> Self {
        Self {
            link,
            at: HashMap::new(),
            tenants: HashSet::new(),
            costs: ddl::index_costs(),
            steering: Steering::new(),
        }
    }

    /// Reads where partitions are.
    fn refresh(&mut self, places: &HashSet<Place>) -> Result<(), StoreError> {
        let found = whereabouts(&self.link, places)?;
        self.at.extend(places.iter().map(|place| (*place, found.get(place).copied().unwrap_or_default())));
        Ok(())
    }

    /// The first batch that begins behind what the store has.
    fn gap(&self, batches: &[Batch]) -> Option<StoreError> {
        let mut reached: HashMap<Place, CommitNumber> = HashMap::new();
        for batch in batches {
            let place = (batch.generation, batch.partition);
            let known = || self.at.get(&place).map(|at| at.number).unwrap_or_default();
            let progress = reached.get(&place).copied().unwrap_or_else(known);
            if progress < batch.from {
                let (partition, from) = (batch.partition, batch.from);
                return Some(StoreError::Behind { partition, progress, from });
            }
            reached.insert(place, progress.max(batch.to));
        }
        None
    }

    /// Runs a transaction; answers where its partitions are instead of where it was built on, if they are elsewhere.
    fn transact(&self, chunk: &Chunk<'_>) -> Result<Option<BTreeMap<Place, Progress>>, StoreError> {
        let strange = chunk.tenants().into_iter().filter(|tenant| !self.tenants.contains(*tenant));
        let tenants = strange.map(|tenant| Put::into("tenants", 0).set("tenant_id", tenant).row().mutation);
        let rows = chunk.puts().map(|row| row.mutation.clone());
        let progress = chunk.progress(COMMIT_TIMESTAMP).into_iter().map(|row| row.mutation);
        // In list order: what lies in a tenant comes behind it.
        let mutations: Vec<Mutation> = tenants.chain(rows).chain(progress).collect();
        let timeout = self.link.config.write_timeout;
        // The client's own bound comes first, and rolls back.
        self.link.wait(timeout + Duration::from_secs(5), async {
            run(self.link.database().await?, timeout, chunk, &mutations).await
        })
    }
}

/// Reads progress, compares, and writes, as often as Spanner aborts that.
async fn run(
    database: &DatabaseClient,
    timeout: Duration,
    chunk: &Chunk<'_>,
    mutations: &[Mutation],
) -> Result<Option<BTreeMap<Place, Progress>>, StoreError> {
    let places: HashSet<Place> = chunk.before.keys().copied().collect();
    let runner = database
        .read_write_transaction()
        .with_transaction_timeout(timeout)
        .set_transaction_tag(TAG)
        .set_return_commit_stats(true)
        .build();
    let mut attempts = 0_u64;
    let result = runner
        .run(async |transaction| {
            attempts += 1;
            // Whoever reads it will write it: an exclusive lock at once, or two that read would abort one another.
            let rows = transaction.execute_read(reading(&places, LockHint::Exclusive)).await?;
            let found = progress(rows).await?;
            let of = |place: &Place| (*place, found.get(place).copied().unwrap_or_default());
            let found: BTreeMap<Place, Progress> = places.iter().map(of).collect();
            if found != chunk.before {
                return Ok(Some(found));
            }
            let ended = ended(&transaction, chunk).await?;
            transaction.buffer(ended.into_iter().chain(mutations.iter().cloned()))?;
            Ok(None)
        })
        .await
        .map_err(failed)?;
    metrics::counter!("leadline_spanner_aborted_total").increment(attempts.saturating_sub(1));
    let counted = result.commit_stats().map_or(0, |stats| stats.mutation_count);
    let counted = usize::try_from(counted).unwrap_or(0);
    if counted > chunk.cells() {
        tracing::warn!(counted, expected = chunk.cells(), "Spanner counts more mutations than we do");
    }
    Ok(result.into_inner())
}

/// The deletes of dead letters that end: a tombstone does not say whose it is, an index does.
async fn ended(
    transaction: &ReadWriteTransaction,
    chunk: &Chunk<'_>,
) -> Result<Vec<Mutation>, google_cloud_spanner::Error> {
    let keys = chunk.ended().fold(KeySet::builder(), |keys, id| keys.add_key(key![id])).build();
    if chunk.ended().next().is_none() {
        return Ok(Vec::new());
    }
    let read = ReadRequest::builder("dead_letters", ["tenant_id", "letter_id"]);
    let mut rows = transaction.execute_read(read.with_index("dead_letters_by_id", keys).build()).await?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().await.transpose()? {
        let key = key![row.get::<String>(0)?, row.get::<String>(1)?];
        found.push(Mutation::delete("dead_letters", key.into()));
    }
    Ok(found)
}

/// Where partitions are now; those of which nothing was written are not there.
pub(super) fn whereabouts(
    link: &Link,
    places: &HashSet<Place>,
) -> Result<HashMap<Place, Progress>, StoreError> {
    link.wait(link.config.read_timeout, async {
        let transaction = link.database().await?.single_use().build();
        let rows = transaction.execute_read(reading(places, LockHint::default())).await.map_err(failed)?;
        progress(rows).await.map_err(failed)
    })
}

/// Asks for the progress of some partitions.
fn reading(places: &HashSet<Place>, lock: LockHint) -> ReadRequest {
    let key = |(generation, partition): &Place| key![i64::from(*generation), i64::from(partition.0)];
    let keys = places.iter().fold(KeySet::builder(), |keys, place| keys.add_key(key(place))).build();
    let columns = ["generation", "partition_id", "commit_number", "part_number", "part_rows"];
    ReadRequest::builder("sink_progress", columns).with_keys(keys).set_lock_hint(lock).build()
}

/// The answer to [`reading`].
async fn progress(mut rows: ResultSet) -> Result<HashMap<Place, Progress>, google_cloud_spanner::Error> {
    let mut found = HashMap::new();
    while let Some(row) = rows.next().await.transpose()? {
        let number = |index: usize| row.get::<i64>(index).map(|number| u64::try_from(number).unwrap_or(0));
        let generation = u32::try_from(number(0)?).unwrap_or(u32::MAX);
        let partition = Partition(u16::try_from(number(1)?).unwrap_or(u16::MAX));
        let (commit, part) = (CommitNumber(number(2)?), CommitNumber(number(3)?));
        found.insert((generation, partition), Progress { number: commit, part, part_rows: number(4)? });
    }
    Ok(found)
}

impl RecordWriter for SpannerWriter {
    fn progress(&mut self, generation: u32, partition: Partition) -> Result<CommitNumber, StoreError> {
        let place = (generation, partition);
        self.refresh(&HashSet::from([place]))?;
        Ok(self.at.get(&place).map(|at| at.number).unwrap_or_default())
    }

    fn put_tenants(&mut self, version: u64, tenants: &[TenantRow]) -> Result<(), StoreError> {
        super::tenants::put(&self.link, version, tenants)
    }

    fn write(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let places: HashSet<Place> =
            batches.iter().map(|batch| (batch.generation, batch.partition)).collect();
        // Whether what we know was read, or confirmed by a transaction, since we were called.
        let mut is_fresh = places.iter().any(|place| !self.at.contains_key(place));
        if is_fresh {
            self.refresh(&places)?;
        }
        while !batches.is_empty() {
            let gap = self.gap(batches);
            let chunk = match gap {
                None => {
                    let reading = Reading { costs: &self.costs };
                    Some(Chunk::of(batches, &self.at, &reading, self.steering.rows_max())?)
                }
                Some(_) => None,
            };
            let Some(chunk) = chunk.filter(|chunk| !chunk.is_done()) else {
                // Nothing to write, or nothing that fits: not before the store itself has said so.
                if is_fresh {
                    return gap.map_or(Ok(()), Err);
                }
                self.refresh(&places)?;
                is_fresh = true;
                continue;
            };
            let started = Instant::now();
            match self.transact(&chunk) {
                Ok(None) => {
                    self.steering.took(chunk.rows(), started.elapsed());
                    self.tenants.extend(chunk.tenants().into_iter().map(str::to_owned));
                    self.at.extend(chunk.after);
                }
                Ok(Some(found)) => self.at.extend(found),
                Err(error) => {
                    // It may have been committed: what is there says the store.
                    self.at.clear();
                    return Err(error);
                }
            }
            is_fresh = true;
        }
        Ok(())
    }
}
