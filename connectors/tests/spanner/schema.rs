//! How tables come to be, and what is said where they are not of this version.

use leadline_connectors::contract::schema::StoreSchema;
use leadline_connectors::contract::store::{RecordReader, RecordWriter, StoreError};
use leadline_connectors::store_spanner::{SpannerReader, SpannerSchema, SpannerWriter};
use leadline_schemas::Partition;
use leadline_tests::spanner::SpannerFront;

use crate::given::note_version;
use crate::scene::{Scene, config};

#[test]
fn looking_makes_nothing_and_applying_leaves_nothing_to_do() {
    let Some(front) = SpannerFront::start() else { return };
    let config = config(&front);
    let mut schema = SpannerSchema::new(config.clone()).unwrap();
    assert_eq!((schema.applied(), schema.wanted()), (Ok(0), 2));
    let plan = schema.plan().unwrap();
    assert_eq!(plan[0], format!("CREATE DATABASE `{}`;", config.database));
    assert!(plan.iter().any(|line| line.starts_with("CREATE TABLE IF NOT EXISTS leads (")), "{plan:?}");
    assert_eq!(schema.plan().unwrap(), plan, "looking made the database");

    schema.apply().unwrap();
    assert_eq!((schema.applied(), schema.plan()), (Ok(2), Ok(vec![])));
    schema.apply().unwrap();
    SpannerReader::open(config).unwrap().ping().unwrap();
}

#[test]
fn a_change_that_was_cut_short_is_applied_again_and_keeps_what_is_there() {
    let Some(front) = SpannerFront::start() else { return };
    let config = config(&front);
    let mut schema = SpannerSchema::new(config.clone()).unwrap();
    // The tables are made, the note that says so is refused.
    front.faults().refuse_commits(0, 1);
    assert!(matches!(schema.apply(), Err(StoreError::Unavailable(_))));
    assert_eq!(schema.applied(), Ok(0));
    assert!(schema.plan().unwrap().iter().all(|line| !line.starts_with("CREATE DATABASE")), "that is there");
    schema.apply().unwrap();
    assert_eq!(schema.applied(), Ok(2));
    SpannerWriter::open(config).unwrap().progress(1, Partition(0)).unwrap();
}

#[test]
fn tables_of_another_version_are_refused_in_words() {
    let Some(front) = SpannerFront::start() else { return };
    let refused = |config, words: &[&str]| {
        let reader = SpannerReader::open(config).unwrap();
        let writer = reader.writer().progress(1, Partition(0)).map(drop);
        for result in [reader.ping(), writer] {
            let Err(StoreError::Unavailable(why)) = result else { panic!("{result:?}") };
            assert!(words.iter().all(|word| why.contains(word)), "{words:?} in {why}");
        }
    };
    refused(config(&front), &["Database not found", "leadline db apply"]);

    let scene = Scene::new(&front);
    note_version(&scene.config, 99);
    refused(scene.config.clone(), &["version 99", "version 2", "leadline db apply"]);
    let mut schema = SpannerSchema::new(scene.config).unwrap();
    for result in [schema.plan().map(drop), schema.applied().map(drop), schema.apply()] {
        assert!(matches!(&result, Err(StoreError::Damaged(why)) if why.contains("version 99")), "{result:?}");
    }
}
