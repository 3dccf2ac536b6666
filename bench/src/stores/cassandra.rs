//! A real Cassandra beside this process, on the same cores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::schema::StoreSchema as _;
use leadline_connectors::store_cassandra::{
    CassandraConfig, CassandraReader, CassandraSchema, CassandraWriter, Cluster,
};
use leadline_tests::cassandra::{Cassandra, USER};

use super::{BATCH_ROWS, lists, paced, rows, rows_per_s};

const TENANTS: u64 = 50;

pub(super) fn run(count: u64, single: u64) -> Result<()> {
    let Some(server) = Cassandra::for_load() else { return Ok(()) };
    let login = Some((USER.0.to_owned(), USER.1.to_owned()));
    let points = vec![server.contact_point()];
    let config = CassandraConfig {
        replication: 1,
        login,
        ..CassandraConfig::new(points, "bench", Arc::new(SystemClock))
    };
    schema(&config)?.apply()?;
    let cluster = Cluster::connect(config)?;
    let mut writer = CassandraWriter::new(Arc::clone(&cluster));
    let row = |number: u64| rows::call(number, TENANTS);
    // Warm, so that the server's code is compiled for both.
    rows_per_s(&mut writer, 0, (5_000, BATCH_ROWS), |number| row(10_000_000 + number))?;
    let id = Some(server.process_id());
    let alone = paced(&mut writer, id, 1, (single, 1), |number| row(20_000_000 + number))?;
    let before = server.written_bytes();
    let batched = paced(&mut writer, id, 2, (count, BATCH_ROWS), row)?;
    let written = server.written_bytes() - before;
    println!(
        "Cassandra: call_records with lists: {:.0} rows/s in batches, {:.0} one by one ({:.1}x); {:.1} bytes \
         written for each of a record, before compactions",
        batched.rows_per_s,
        alone.rows_per_s,
        batched.rows_per_s / alone.rows_per_s,
        written as f64 / (count * rows::call_bytes()? as u64) as f64
    );
    println!(
        "Cassandra: CPU of a row: {:.0} us the server's and {:.0} us ours in batches, {:.0} us and {:.0} us one by one",
        batched.server_us, batched.cpu_us, alone.server_us, alone.cpu_us
    );
    let rate = rows_per_s(&mut writer, 3, (count, BATCH_ROWS), |number| rows::lead(number, 1))?;
    println!("Cassandra: {count} leads of one tenant: {rate:.0} rows/s");
    lists(&CassandraReader::new(cluster), 1, "Cassandra")
}

/// Connects, once the server has made its first user.
fn schema(config: &CassandraConfig) -> Result<CassandraSchema> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match CassandraSchema::connect(config.clone()) {
            Ok(schema) => return Ok(schema),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
