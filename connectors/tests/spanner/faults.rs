//! What Spanner does to its clients: it aborts, it answers late or never, it counts. And what we ask it for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leadline_connectors::conformance::store::a_call;
use leadline_connectors::contract::store::{Batch, Page, RecordReader, RecordWriter, StoreError};
use leadline_connectors::store_spanner::limits::{MUTATIONS_MAX, ROWS_MAX};
use leadline_connectors::store_spanner::{SpannerConfig, SpannerReader, SpannerWriter};
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, EventId, Partition, TenantId, Topic};
use leadline_tests::spanner::{Lost, SpannerFront};

use crate::scene::Scene;

fn commits(from: u64, sizes: &[u64]) -> Batch {
    let mut number = from * 1_000_000;
    let mut commit = |size: &u64| {
        let first = number;
        number += size;
        Arc::new((first..number).map(|number| a_call("summit", number, &[], 100)).collect::<Vec<_>>())
    };
    let commits: Vec<_> =
        (from + 1..).zip(sizes).map(|(number, size)| (CommitNumber(number), commit(size))).collect();
    let to = CommitNumber(from + sizes.len() as u64);
    Batch { generation: 1, partition: Partition(0), from: CommitNumber(from), to, commits }
}

fn calls(reader: &SpannerReader) -> usize {
    let (mut count, mut page) = (0, Page { limit: 200, ..Page::default() });
    loop {
        let listed = reader.calls(&TenantId::new("summit").unwrap(), &page).unwrap();
        count += listed.items.len();
        match listed.next_cursor {
            Some(next) => page.cursor = Some(next),
            None => return count,
        }
    }
}

fn progress(writer: &mut SpannerWriter) -> u64 {
    writer.progress(1, Partition(0)).unwrap().0
}

#[test]
fn a_commit_whose_answer_is_lost_is_written_once_whatever_is_heard_of_it_later() {
    let Some(front) = SpannerFront::start() else { return };
    for lost in [Lost::Remembered, Lost::Aborted, Lost::Gone] {
        let scene = Scene::new(&front);
        let (mut writer, reader) = scene.open();
        writer.write(&[commits(0, &[3])]).unwrap();
        let before = front.seen().commits();
        front.faults().lose_answers(1, lost);
        let heard = writer.write(&[commits(1, &[3])]);
        // The client sends a commit again; only where its transaction is forgotten nobody knows what became of it.
        assert_eq!(
            matches!(heard, Err(StoreError::Unavailable(_))),
            lost == Lost::Gone,
            "{lost:?}: {heard:?}"
        );
        assert!(heard.is_ok() || lost == Lost::Gone);
        writer.write(&[commits(1, &[3])]).unwrap();
        assert_eq!((progress(&mut writer), calls(&reader)), (2, 6), "{lost:?}");
        let written = front.seen().commits() - before;
        // That which ran again found that it was done, and wrote nothing.
        assert_eq!(written, if lost == Lost::Aborted { 2 } else { 1 }, "{lost:?}");
    }
}

#[test]
fn an_aborted_transaction_runs_again_as_a_whole() {
    let Some(front) = SpannerFront::start() else { return };
    let scene = Scene::new(&front);
    let (mut writer, reader) = scene.open();
    let before = front.seen().aborted();
    front.faults().abort_commits(5);
    writer.write(&[commits(0, &[7, 3])]).unwrap();
    assert_eq!((front.seen().aborted() - before, progress(&mut writer), calls(&reader)), (5, 2, 10));
}

#[test]
fn a_commit_that_is_sent_twice_takes_effect_once() {
    let Some(front) = SpannerFront::start() else { return };
    let scene = Scene::new(&front);
    let (mut writer, reader) = scene.open();
    front.faults().send_commits_twice(3);
    for from in 0..3 {
        writer.write(&[commits(from, &[4])]).unwrap();
    }
    assert_eq!((progress(&mut writer), calls(&reader)), (3, 12));
    assert_eq!(front.seen().single_use_commits(), 0);
}

#[test]
fn two_writers_of_one_partition_write_each_commit_once() {
    let Some(front) = SpannerFront::start() else { return };
    let scene = Scene::new(&front);
    let (one, reader) = scene.open();
    let mut writers = [one, SpannerWriter::open(scene.config.clone()).unwrap()];
    let before = front.seen().commits();
    std::thread::scope(|scope| {
        for writer in &mut writers {
            scope.spawn(|| {
                for from in 0..15 {
                    // Whoever is late finds that it is done; nobody is ever behind, for each begins at the first.
                    writer.write(&[commits(from, &[5])]).unwrap();
                }
            });
        }
    });
    assert_eq!((progress(&mut writers[0]), calls(&reader)), (15, 75));
    let written = front.seen().commits() - before;
    assert!((15..=30).contains(&written), "{written} commits, of which 15 wrote");
}

#[test]
fn large_writes_are_split_far_below_the_limit_and_counted_no_lower_than_spanner_counts() {
    let Some(front) = SpannerFront::start() else { return };
    let scene = Scene::new(&front);
    let (mut writer, reader) = scene.open();
    let before = front.seen().commits();
    writer.write(&[commits(0, &[2_600, 0, 900])]).unwrap();
    assert_eq!((progress(&mut writer), calls(&reader)), (3, 3_500));
    let written = front.seen().commits() - before;
    assert!(written >= 3_500 / ROWS_MAX as u64, "{written} commits");
    assert!(front.seen().mutations_max() < 10_000, "{}", front.seen().mutations_max());

    // Calls with many aliases cost more mutations than rows are allowed: no commit passes the limit.
    let aliases: Vec<String> = (0..400).map(|number| format!("alias-{number}")).collect();
    let rows = (0..60).map(|number| a_call("summit", 90_000_000 + number, &aliases, 10)).collect();
    let many = Batch { commits: vec![(CommitNumber(4), Arc::new(rows))], ..commits(3, &[0]) };
    writer.write(&[many]).unwrap();
    assert_eq!((progress(&mut writer), calls(&reader)), (4, 3_560));
    assert!(front.seen().mutations_max() <= MUTATIONS_MAX as u64, "{}", front.seen().mutations_max());
}

#[test]
fn slow_commits_make_the_next_ones_smaller() {
    let Some(front) = SpannerFront::start() else { return };
    let scene = Scene::new(&front);
    let (mut writer, _reader) = scene.open();
    let mut commits_of = |from: u64| {
        let before = front.seen().commits();
        writer.write(&[commits(from, &[200])]).unwrap();
        front.seen().commits() - before
    };
    front.faults().delay_commits(Duration::from_millis(450));
    let first = commits_of(0);
    let second = commits_of(1);
    assert!(second > first, "{first} commits, then {second}");
    front.faults().delay_commits(Duration::ZERO);
}

#[test]
fn lists_are_read_lately_and_by_their_index_single_records_as_they_are_now() {
    let Some(front) = SpannerFront::start() else { return };
    let scene = Scene::new(&front);
    let config = SpannerConfig { staleness: Duration::from_secs(15), ..scene.config.clone() };
    let reader = SpannerReader::open(config).unwrap();
    reader.writer().write(&[commits(0, &[3])]).unwrap();
    let owner = TenantId::new("summit").unwrap();
    assert!(reader.call(&owner, "CAL1").unwrap().is_some());
    assert_eq!(front.seen().stale_reads(), 0);
    let page = Page { limit: 5, ..Page::default() };
    let banded = Page { band: Some("warm".to_owned()), ..page.clone() };
    let with_status = Page { status: Some("open".to_owned()), ..page.clone() };
    assert_eq!(reader.calls(&owner, &page).unwrap().items.len(), 3);
    assert_eq!(reader.calls(&owner, &banded).unwrap().items.len(), 3);
    reader.leads(&owner, &with_status).unwrap();
    reader.dead_letters(None, &with_status).unwrap();
    assert_eq!(front.seen().stale_reads(), 4);
    let forced =
        ["call_records_by_band", "call_records_by_time", "dead_letters_by_status", "leads_by_status"];
    assert_eq!(front.seen().indexes(), forced);
}

#[test]
fn a_dead_letter_ends_in_the_transaction_that_moves_progress() {
    let Some(front) = SpannerFront::start() else { return };
    let scene = Scene::new(&front);
    let (mut writer, reader) = scene.open();
    // A tombstone of a letter that is not there is nothing, and so is one that comes twice.
    let end = Output {
        topic: Topic::DeadLetters,
        key: Bytes::from(EventId::of(&[b"nobody's"]).to_string()),
        value: Bytes::new(),
    };
    let batch =
        Batch { commits: vec![(CommitNumber(1), Arc::new(vec![end.clone(), end]))], ..commits(0, &[0]) };
    front.faults().abort_commits(1);
    writer.write(&[batch]).unwrap();
    assert_eq!(progress(&mut writer), 1);
    assert!(reader.dead_letters(None, &Page::default()).unwrap().items.is_empty());
}

#[test]
fn a_database_that_is_away_is_said_so_and_used_again_when_it_is_back() {
    let Some(front) = SpannerFront::start() else { return };
    let scene = Scene::new(&front);
    let nobody = SpannerConfig {
        endpoint: Some(format!("127.0.0.1:{}", leadline_tests::free_port())),
        read_timeout: Duration::from_millis(300),
        ..scene.config.clone()
    };
    let away = SpannerReader::open(nobody).unwrap();
    assert!(matches!(away.ping(), Err(StoreError::Unavailable(_))));
    let (mut writer, reader) = scene.open();
    front.faults().refuse_commits(0, 1);
    assert!(matches!(writer.write(&[commits(0, &[2])]), Err(StoreError::Unavailable(_))));
    assert_eq!(calls(&reader), 0, "nothing of it");
    writer.write(&[commits(0, &[2])]).unwrap();
    assert_eq!(calls(&reader), 2);
}
