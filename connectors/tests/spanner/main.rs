//! The record store on Cloud Spanner's interface: a front on a real PostgreSQL, or what the environment names.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod faults;
mod given;
mod scene;
mod schema;
mod tenants;

use leadline_connectors::conformance::store::{shared, suite};
use leadline_tests::spanner::SpannerFront;

use scene::Scene;

#[test]
fn it_passes_the_suite() {
    let Some(front) = SpannerFront::start() else { return };
    suite(&|| Box::new(Scene::new(&front)));
    assert_eq!(front.seen().single_use_commits(), 0, "such a commit may take effect twice");
    assert_eq!(front.seen().stale_reads(), 0, "the suite wants what it has just written");
}

#[test]
fn it_passes_the_suite_of_stores_that_others_write_too() {
    let Some(front) = SpannerFront::start() else { return };
    shared::suite(&|| Box::new(Scene::new(&front)));
}
