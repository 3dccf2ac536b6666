//! Cloud Spanner's interface over a real PostgreSQL, beside this process on the same cores: what batches save in round
//! trips and commits is as on Spanner, how long a row takes is not.

use std::time::Duration;

use anyhow::Result;
use leadline_connectors::contract::schema::StoreSchema as _;
use leadline_connectors::store_spanner::{SpannerConfig, SpannerReader, SpannerSchema};
use leadline_tests::spanner::SpannerFront;

use super::{BATCH_ROWS, lists, rows, rows_per_s};

const TENANTS: u64 = 50;
/// What a commit takes on a regional instance beside its work: a quorum of three zones.
const QUORUM: Duration = Duration::from_millis(5);

pub(super) fn run(count: u64, single: u64) -> Result<()> {
    let Some(front) = SpannerFront::start() else { return Ok(()) };
    for (name, delay) in [("Spanner's front", Duration::ZERO), ("Spanner's front, 5 ms a commit", QUORUM)] {
        front.faults().delay_commits(delay);
        let config = SpannerConfig {
            database: format!("bench_{}", delay.as_millis()),
            endpoint: Some(front.host()),
            ..SpannerConfig::new("bench")
        };
        SpannerSchema::new(config.clone())?.apply()?;
        let reader = SpannerReader::open(config)?;
        let mut writer = reader.writer();
        let row = |number: u64| rows::call(number, TENANTS);
        // Warm: the client connects, and finds out how many rows a commit takes.
        rows_per_s(&mut writer, 0, (5_000, BATCH_ROWS), |number| row(10_000_000 + number))?;
        let alone = rows_per_s(&mut writer, 1, (single, 1), |number| row(20_000_000 + number))?;
        let before = front.seen().commits();
        let batched = rows_per_s(&mut writer, 2, (count, BATCH_ROWS), row)?;
        println!(
            "{name}: call_records with indexes: {batched:.0} rows/s in batches, {alone:.0} one by one ({:.1}x); {:.0} \
             rows a commit",
            batched / alone,
            count as f64 / (front.seen().commits() - before) as f64
        );
        if delay.is_zero() {
            rows_per_s(&mut writer, 3, (count, BATCH_ROWS), |number| rows::lead(number, 1))?;
            lists(&reader, 1, name)?;
        }
    }
    Ok(())
}
