//! The overlay against a model: what it shows is what was written last, wherever that lies.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use leadline_connectors::contract::state::PartitionState;
use leadline_schemas::CommitNumber;
use proptest::prelude::*;

use super::doubles::TestRows;
use crate::engine::overlay::Overlay;

/// What happens to the overlay.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, Option<u8>),
    /// Keeps what is open, as after an input that ran alone.
    Accept,
    /// Drops what is open.
    Undo,
    /// Ends the epoch.
    Close,
    /// The store takes the oldest layer in.
    Apply,
    /// Drops the open epoch and all layers that the store does not hold.
    Abandon,
    Scan(u8, u8, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..24, any::<Option<u8>>()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => Just(Step::Accept),
        1 => Just(Step::Undo),
        2 => Just(Step::Close),
        2 => Just(Step::Apply),
        1 => Just(Step::Abandon),
        3 => (0_u8..24, 0_u8..25, 1_usize..8).prop_map(|(from, to, limit)| Step::Scan(from, to, limit)),
    ];
    prop::collection::vec(step, 0..120)
}

type Rows = BTreeMap<Bytes, Bytes>;

fn change(rows: &mut Rows, key: u8, value: Option<u8>) {
    let key = Bytes::from(vec![key]);
    match value {
        Some(value) => _ = rows.insert(key, Bytes::from(vec![value])),
        None => _ = rows.remove(&key),
    }
}

proptest! {
    #[test]
    fn it_shows_what_was_written_last(steps in steps()) {
        let store = Arc::new(TestRows::default());
        let mut overlay = Overlay::new(store.clone());
        let mut unapplied = std::collections::VecDeque::new();
        // As of the store, of the last accept, and now.
        let (mut stored, mut accepted, mut now) = (Rows::new(), Rows::new(), Rows::new());
        let mut number = CommitNumber(0);
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    overlay.put_raw(vec![key], value.map(|value| Bytes::from(vec![value])));
                    change(&mut now, key, value);
                }
                Step::Accept => {
                    overlay.accept();
                    accepted = now.clone();
                }
                Step::Undo => {
                    overlay.undo();
                    now = accepted.clone();
                }
                Step::Close => {
                    number = number.next();
                    let changes = overlay.close(number);
                    prop_assert!(changes.rows().is_sorted_by(|a, b| a.key < b.key));
                    accepted = now.clone();
                    unapplied.push_back((number, changes, now.clone()));
                }
                Step::Apply => {
                    if let Some((number, changes, rows)) = unapplied.pop_front() {
                        store.apply(changes.rows(), number).unwrap();
                        overlay.applied(number);
                        stored = rows;
                    }
                }
                Step::Abandon => {
                    number = store.applied().unwrap();
                    overlay.abandon(number);
                    unapplied.clear();
                    (accepted, now) = (stored.clone(), stored.clone());
                }
                Step::Scan(from, to, limit) => {
                    let found = overlay.scan(&[from], &[to], limit).unwrap();
                    let range = now.range(Bytes::from(vec![from])..Bytes::from(vec![to.max(from)]));
                    let expected: Vec<_> = range.take(limit).map(|(k, v)| (k.clone(), v.clone())).collect();
                    prop_assert_eq!(found, expected);
                }
            }
            for key in 0_u8..24 {
                prop_assert_eq!(overlay.get_raw(&[key]).unwrap(), now.get(&[key][..]).cloned());
            }
        }
    }
}
