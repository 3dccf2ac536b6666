//! The cache of decoded rows: what it holds and what it lets go of makes no difference to what is read.

use std::sync::Arc;

use leadline_connectors::contract::state::PartitionState;
use leadline_operators::contract::{AnyRow, DecodeRow, Table};
use leadline_schemas::CommitNumber;
use leadline_schemas::avro::decode_datum;
use leadline_schemas::state::Seen;

use super::doubles::TestRows;
use crate::engine::limits::CACHED_ROWS_MAX;
use crate::engine::overlay::Overlay;

const ROWS: Table<Seen> = Table::new(1, "rows", Some(1_000));
const DECODE: DecodeRow = |version, datum| Ok(Box::new(decode_datum::<Seen>(version, datum)?));

/// One more content of the subject `key`.
fn grow(overlay: &mut Overlay, key: &[u8], now_ms: i64) {
    let fresh = || Seen { subject_id: "x".repeat(usize::from(key[0]) * 40), ..Seen::default() };
    let mut make = || Some(Box::new(fresh()) as Box<dyn AnyRow>);
    let row = overlay.change(&ROWS.spec, key, DECODE, &mut make, now_ms).unwrap();
    row.as_any_mut().downcast_mut::<Seen>().unwrap().contents += 1;
}

fn contents(overlay: &mut Overlay, key: &[u8], now_ms: i64) -> Option<i64> {
    let row = overlay.cell(key, DECODE, now_ms).unwrap()?;
    Some(row.as_any().downcast_ref::<Seen>().unwrap().contents)
}

/// Ends the epoch; the store takes it in.
fn commit(overlay: &mut Overlay, store: &TestRows, number: &mut CommitNumber) {
    *number = number.next();
    overlay.settle().unwrap();
    let changes = overlay.close(*number);
    store.apply(changes.rows(), *number).unwrap();
    overlay.applied(*number);
}

#[test]
fn rows_that_the_cache_let_go_of_are_read_again_and_hot_ones_are_as_they_were() {
    let store = Arc::new(TestRows::default());
    let mut overlay = Overlay::new(store.clone());
    let mut number = CommitNumber(0);
    let hot = [7_u8, 0, 0];
    // Several times what the cache keeps, in epochs that overflow it at once and in small ones.
    let keys: Vec<[u8; 3]> = (0..3 * CACHED_ROWS_MAX as u16 / 2)
        .map(|n| [(n % 5) as u8, n.to_be_bytes()[0], n.to_be_bytes()[1]])
        .collect();
    for (epoch, some) in keys.chunks(CACHED_ROWS_MAX + 10).chain(keys.chunks(CACHED_ROWS_MAX / 3)).enumerate()
    {
        for key in some {
            grow(&mut overlay, key, 0);
            grow(&mut overlay, &hot, 0);
        }
        if epoch == 1 {
            overlay.undo_epoch(); // What is dropped is not in the cache either.
            continue;
        }
        commit(&mut overlay, &store, &mut number);
    }
    let dropped = keys.chunks(CACHED_ROWS_MAX + 10).nth(1).unwrap();
    for key in &keys {
        let expected = if dropped.contains(key) { 1 } else { 2 };
        assert_eq!(contents(&mut overlay, key, 0), Some(expected), "{key:?}");
        let (kept, written) = (overlay.get_raw(key).unwrap(), store.get(key).unwrap());
        assert!(kept.is_some() && kept == written);
    }
    let hot_ones = (2 * keys.len() - dropped.len()) as i64;
    assert_eq!(contents(&mut overlay, &hot, 0), Some(hot_ones));
    assert_eq!(contents(&mut overlay, &hot, 1_000), None, "past its time to live");
}
