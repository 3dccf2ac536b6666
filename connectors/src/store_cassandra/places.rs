//! What changes in lists when a record goes through versions: pure, so that late and repeated writers can be tried out.

use std::collections::{BTreeMap, HashMap};

use super::lists::{List, bucket};
use super::rows::{Key, Place};

/// A partition of a list's table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Day {
    pub(super) list: List,
    pub(super) tenant: String,
    pub(super) filter: String,
    pub(super) bucket: i64,
}

/// A row of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entry {
    pub(super) day: Day,
    pub(super) at: i64,
    pub(super) id: String,
}

/// A record at one commit; no place = it has ended.
#[derive(Clone, Debug)]
pub(super) struct Version<'a> {
    pub(super) stamp: i64,
    pub(super) place: Option<Place>,
    pub(super) ttl_s: i32,
    pub(super) record: &'a [u8],
}

/// Where a record was before, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) place: Place,
    pub(super) stamp: i64,
}

/// A write to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryWrite<'a> {
    Put { entry: Entry, record: &'a [u8], ttl_s: i32, stamp: i64 },
    Delete { entry: Entry, stamp: i64 },
}

impl EntryWrite<'_> {
    pub(super) fn entry(&self) -> &Entry {
        match self {
            Self::Put { entry, .. } | Self::Delete { entry, .. } => entry,
        }
    }
}

/// The rows that show a record.
fn entries(key: &Key, place: &Place) -> Vec<Entry> {
    let filters = key.list.filters(place.band.as_deref(), place.status.as_deref()).into_iter();
    let entry = |filter| Entry {
        day: Day { list: key.list, tenant: place.tenant.clone(), filter, bucket: bucket(place.at) },
        at: place.at,
        id: key.id.clone(),
    };
    filters.map(entry).collect()
}

/// The writes that bring lists from `known` over `versions`, in the order of their stamps, to the last of them. A
/// version that is not behind `known` was written by whoever wrote that.
///
/// Each version deletes the places of the one before, with its own stamp, though that may never have been written here:
/// a late owner with less at hand may write it still, and must find it deleted.
pub(super) fn writes<'a>(key: &Key, known: Option<&Known>, versions: &[Version<'a>]) -> Vec<EntryWrite<'a>> {
    let since = known.map_or(i64::MIN, |known| known.stamp);
    let mut before = known.map_or_else(Vec::new, |known| entries(key, &known.place));
    // Of each row only the newest write.
    let mut newest: BTreeMap<Entry, EntryWrite<'a>> = BTreeMap::new();
    for version in versions.iter().filter(|version| version.stamp > since) {
        let now = version.place.as_ref().map_or_else(Vec::new, |place| entries(key, place));
        for entry in before.iter().filter(|entry| !now.contains(entry)) {
            let gone = EntryWrite::Delete { entry: entry.clone(), stamp: version.stamp };
            newest.insert(entry.clone(), gone);
        }
        for entry in &now {
            let Version { stamp, ttl_s, record, .. } = *version;
            newest.insert(entry.clone(), EntryWrite::Put { entry: entry.clone(), record, ttl_s, stamp });
        }
        before = now;
    }
    newest.into_values().collect()
}

/// Keys that are remembered at most, twice: about 40 MB.
const REMEMBERED_MAX: usize = 50_000;

/// Where the records written last are: most are written several times within minutes, and asking costs a read each.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    young: HashMap<Key, Option<Known>>,
    old: HashMap<Key, Option<Known>>,
}

impl Remembered {
    /// Where a record is, if that is known; the inner none = nowhere.
    pub(super) fn get(&self, key: &Key) -> Option<Option<&Known>> {
        self.young.get(key).or_else(|| self.old.get(key)).map(Option::as_ref)
    }

    pub(super) fn note(&mut self, key: Key, known: Option<Known>) {
        if self.young.len() >= REMEMBERED_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, known);
    }

    /// Somebody else has written, or nobody knows what was written.
    pub(super) fn forget(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key { list: List::Leads, tenant: "summit".to_owned(), id: "lead".to_owned() }
    }

    fn place(at: i64, band: &str) -> Place {
        let text = |text: &str| Some(text.to_owned());
        Place { tenant: "summit".to_owned(), at, band: text(band), status: text("open") }
    }

    /// A server: of each row the write with the greatest stamp; a deletion wins over a row of the same stamp.
    #[derive(Default)]
    struct Server {
        rows: BTreeMap<Entry, (i64, Option<Vec<u8>>)>,
        record: Option<Known>,
    }

    impl Server {
        fn take(&mut self, write: EntryWrite<'_>) {
            let (stamp, row) = match &write {
                EntryWrite::Put { record, stamp, .. } => (*stamp, Some(record.to_vec())),
                EntryWrite::Delete { stamp, .. } => (*stamp, None),
            };
            let slot = self.rows.entry(write.entry().clone()).or_insert((i64::MIN, None));
            if stamp > slot.0 || (stamp == slot.0 && row.is_none()) {
                *slot = (stamp, row);
            }
        }

        /// All of a writer's batch, or its first `cut` writes.
        fn write(&mut self, versions: &[Version<'_>], known: Option<&Known>, cut: usize) {
            let writes = writes(&key(), known, versions);
            let whole = cut >= writes.len();
            writes.into_iter().take(cut).for_each(|write| self.take(write));
            let Some(last) = versions.last().filter(|_| whole) else { return };
            if self.record.as_ref().is_none_or(|known| known.stamp < last.stamp) {
                self.record = last.place.clone().map(|place| Known { place, stamp: last.stamp });
            }
        }

        fn shown(&self) -> Vec<(&Entry, &[u8])> {
            self.rows.iter().filter_map(|(entry, (_, row))| Some((entry, row.as_deref()?))).collect()
        }
    }

    proptest! {
        /// Owners may be cut short, write again, and write late what they read long ago: in the end lists show the last
        /// version, where it belongs, and nothing else.
        #[test]
        fn lists_show_the_last_version_alone_whoever_wrote_late(
            steps in prop::collection::vec((0_i64..3, 0_usize..3), 1..8),
            runs in prop::collection::vec((0_usize..8, 1_usize..8, 0_usize..30), 0..6),
            late in prop::collection::vec((0_usize..8, 1_usize..8, 0_usize..30), 0..3),
        ) {
            let names = ["hot", "warm", "cold"];
            let records: Vec<[u8; 1]> = (0..steps.len()).map(|index| [index as u8]).collect();
            let versions: Vec<Version<'_>> = steps
                .iter()
                .zip(&records)
                .enumerate()
                .map(|(index, ((at, band), record))| Version {
                    stamp: index as i64 + 1,
                    place: Some(place(at * 86_400_000, names[*band])),
                    ttl_s: 0,
                    record,
                })
                .collect();
            let mut server = Server::default();
            // Runs begin at or before what is whole, never behind it: progress comes last.
            let mut whole = 0;
            let mut late_batches = Vec::new();
            for (back, count, cut) in runs.into_iter().chain([(0, versions.len(), usize::MAX)]) {
                let from = whole - back.min(whole);
                let to = (from + count).min(versions.len());
                let batch = &versions[from.min(to)..to];
                // A late owner read what was known when its batch was made.
                for (_, _, late_cut) in late.iter().filter(|(run, ..)| *run == back) {
                    late_batches.push((batch, server.record.clone(), *late_cut));
                }
                let known = server.record.clone();
                let writes = writes(&key(), known.as_ref(), batch).len();
                server.write(batch, known.as_ref(), cut);
                if cut >= writes {
                    whole = whole.max(to);
                }
            }
            let rest = &versions[whole..];
            let known = server.record.clone();
            server.write(rest, known.as_ref(), usize::MAX);
            for (batch, known, cut) in late_batches {
                server.write(batch, known.as_ref(), cut);
            }
            let last = versions.last().unwrap();
            let wanted = entries(&key(), last.place.as_ref().unwrap());
            let mut wanted: Vec<(&Entry, &[u8])> = wanted.iter().map(|entry| (entry, last.record)).collect();
            wanted.sort();
            prop_assert_eq!(server.shown(), wanted);
        }
    }

    #[test]
    fn a_record_that_ended_is_in_no_list() {
        let known = Known { place: place(5, "hot"), stamp: 1 };
        let ended = Version { stamp: 2, place: None, ttl_s: 0, record: &[] };
        let writes = writes(&key(), Some(&known), &[ended]);
        assert_eq!(writes.len(), 4, "each filter");
        assert!(writes.iter().all(|write| matches!(write, EntryWrite::Delete { stamp: 2, .. })));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stays() {
        let mut remembered = Remembered::default();
        let numbered = |number: usize| Key { id: number.to_string(), ..key() };
        for number in 0..=3 * REMEMBERED_MAX {
            remembered.note(numbered(number), None);
        }
        assert!(remembered.young.len() + remembered.old.len() <= 2 * REMEMBERED_MAX);
        assert_eq!(remembered.get(&numbered(3 * REMEMBERED_MAX)), Some(None));
        assert_eq!(remembered.get(&numbered(0)), None);
    }
}
