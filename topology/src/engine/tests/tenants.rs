//! The record store is told what tenants are called: by one process, once each, and by its successor all over.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use leadline_schemas::settings::Tenant;
use leadline_schemas::{Millis, Partition, TenantId};

use super::Bench;
use super::doubles::{TestRecords, TestState};
use crate::engine::start::Engine;

const FIRST: Partition = Partition(0);
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that owns nothing yet.
fn member(bench: &Bench) -> Engine {
    Bench { state: Arc::<TestState>::default(), is_shared: true, ..bench.clone() }.start_owning(&[])
}

/// A tenant is added, or gets another name.
fn name(bench: &Bench, id: &str, name: &str) {
    let mut settings = bench.settings.lock().unwrap();
    let version = settings.version + 1;
    *settings = Arc::new(settings.with(Tenant::new(TenantId::new(id).unwrap(), name, Millis(0)), version));
}

fn is_told(bench: &Bench, wanted: &[(u64, &[&str])]) {
    let told = || bench.records.as_ref().unwrap().told.lock().unwrap().clone();
    let wanted: Vec<(u64, Vec<String>)> = wanted
        .iter()
        .map(|(version, names)| (*version, names.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    bench.until(&format!("{wanted:?} are told"), |_| told().len() >= wanted.len());
    assert_eq!(told(), wanted);
}

#[test]
fn who_has_the_first_partition_tells_what_has_changed_and_who_takes_over_tells_all() {
    let bench = Bench { records: Some(TestRecords::default()), ..Bench::new() };
    let records = bench.records.clone().unwrap();
    name(&bench, "summit", "Summit");
    let (first, second) = (member(&bench), member(&bench));
    second.owner().assigned(&[Partition(1)]);
    first.owner().assigned(&[FIRST]);
    is_told(&bench, &[(1, &["Summit"])]);
    records.is_deaf.store(true, Relaxed);
    name(&bench, "ridge", "Ridge");
    name(&bench, "ridge", "Ridge Roofs");
    // Records do not wait for a store that does not take names.
    bench.send(0, "a", "{}");
    bench.until("it counts on", |b| b.count("a") == 1);
    records.is_deaf.store(false, Relaxed);
    is_told(&bench, &[(1, &["Summit"]), (3, &["Ridge Roofs"])]);
    first.owner().revoked(&[FIRST], PATIENCE);
    second.owner().assigned(&[FIRST]);
    let all = (3, &["Ridge Roofs", "Summit"][..]);
    is_told(&bench, &[(1, &["Summit"]), (3, &["Ridge Roofs"]), all]);
    assert!(first.stop() && second.stop());
    is_told(&bench, &[(1, &["Summit"]), (3, &["Ridge Roofs"]), all]);
}
