//! Which writes go to a server in one request: pure.
//!
//! A request costs a server several times what a row in it costs. So writes of one partition go together, which servers
//! apply as one; and small ones of several partitions that the same nodes keep, up to what servers take without a word.

/// Bytes of one partition in a request: servers apply them as one mutation, of which they take 16 MiB, and large ones
/// stall them.
const PARTITION_BYTES_MAX: usize = 512 << 10;
/// Rows of one, for the same reason.
const PARTITION_ROWS_MAX: usize = 500;

/// What is packed.
pub(super) trait Piece {
    /// The partition that it is in: pieces of the same go together.
    fn group(&self) -> &str;
    /// At least what the server will count.
    fn bytes(&self) -> usize;
}

/// What servers take of several partitions in one request: above it they write a warning into their log each time, and
/// refuse ten times as many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) bytes: usize,
    pub(super) partitions: usize,
}

impl Spread {
    /// What Cassandra takes where nothing else is configured.
    pub(super) const DEFAULT: Self = Self { bytes: 5 << 10, partitions: 10 };
    /// More gain nothing, whatever a server takes: what is written at once would be few requests, one behind the other.
    const MAX: Self = Self { bytes: 64 << 10, partitions: 100 };

    /// The settings that tell.
    pub(super) const SETTINGS: [&'static str; 3] = [
        "batch_size_warn_threshold",
        "batch_size_warn_threshold_in_kb",
        "unlogged_batch_across_partitions_warn_threshold",
    ];

    /// From a server's settings, by name and value.
    pub(super) fn of<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut spread = Self::DEFAULT;
        for (name, value) in settings {
            match name {
                "batch_size_warn_threshold" => spread.bytes = bytes(value).unwrap_or(spread.bytes),
                "batch_size_warn_threshold_in_kb" => {
                    spread.bytes = value.parse().map_or(spread.bytes, |kb: usize| kb.saturating_mul(1 << 10));
                }
                "unlogged_batch_across_partitions_warn_threshold" => {
                    spread.partitions = value.parse().unwrap_or(spread.partitions);
                }
                _ => {}
            }
        }
        Self {
            bytes: spread.bytes.min(Self::MAX.bytes),
            partitions: spread.partitions.min(Self::MAX.partitions),
        }
    }
}

/// A size as a server's configuration says it, `5KiB`.
fn bytes(text: &str) -> Option<usize> {
    let digits = text.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

/// Puts pieces together; `home` tells which nodes have a piece's partition. Pieces of a partition keep their order.
pub(super) fn packs<P: Piece, H: PartialEq>(
    pieces: Vec<P>,
    spread: Spread,
    home: impl Fn(&P) -> H,
) -> Vec<Vec<P>> {
    let mut packs = Vec::new();
    // One that takes more, for each set of nodes.
    let mut open: Vec<(H, Pack<P>)> = Vec::new();
    for part in parts(pieces) {
        let Some(home) = part.pieces.first().filter(|_| part.bytes < spread.bytes).map(&home) else {
            packs.push(part.pieces);
            continue;
        };
        match open.iter_mut().find(|(of, _)| *of == home) {
            None => open.push((home, part)),
            Some((_, pack)) if pack.takes(&part, spread) => pack.add(part),
            Some((_, pack)) => packs.push(std::mem::replace(pack, part).pieces),
        }
    }
    packs.extend(open.into_iter().map(|(_, pack)| pack.pieces));
    packs
}

/// Pieces of one request.
struct Pack<P> {
    pieces: Vec<P>,
    bytes: usize,
    partitions: usize,
}

impl<P> Pack<P> {
    fn takes(&self, other: &Self, spread: Spread) -> bool {
        self.bytes + other.bytes <= spread.bytes && self.partitions + other.partitions <= spread.partitions
    }

    fn add(&mut self, other: Self) {
        self.pieces.extend(other.pieces);
        self.bytes += other.bytes;
        self.partitions += other.partitions;
    }
}

/// Pieces of one partition each.
fn parts<P: Piece>(mut pieces: Vec<P>) -> Vec<Pack<P>> {
    // Stable.
    pieces.sort_by(|a, b| a.group().cmp(b.group()));
    let mut parts: Vec<Pack<P>> = Vec::new();
    for piece in pieces {
        let bytes = piece.bytes();
        match parts.last_mut() {
            Some(part)
                if part.pieces.first().is_some_and(|first| first.group() == piece.group())
                    && part.pieces.len() < PARTITION_ROWS_MAX
                    && part.bytes + bytes <= PARTITION_BYTES_MAX =>
            {
                part.bytes += bytes;
                part.pieces.push(piece);
            }
            _ => parts.push(Pack { pieces: vec![piece], bytes, partitions: 1 }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Row {
        partition: String,
        number: usize,
        bytes: usize,
    }

    impl Piece for Row {
        fn group(&self) -> &str {
            &self.partition
        }

        fn bytes(&self) -> usize {
            self.bytes
        }
    }

    /// A partition's nodes: three of them have all.
    fn home(row: &Row) -> usize {
        row.partition.len() % 3
    }

    fn rows(sizes: &[(usize, usize)]) -> Vec<Row> {
        let row = |(number, (partition, bytes)): (usize, &(usize, usize))| {
            let partition = "p".repeat(*partition + 1);
            Row { partition, number, bytes: *bytes }
        };
        sizes.iter().enumerate().map(row).collect()
    }

    proptest! {
        #[test]
        fn every_row_goes_once_in_order_and_no_request_is_larger_than_servers_take(
            sizes in prop::collection::vec((0_usize..40, 1_usize..300_000), 0..80),
            small in prop::collection::vec((0_usize..40, 1_usize..2_000), 0..200),
        ) {
            let all = rows(&[sizes, small].concat());
            let spread = Spread::DEFAULT;
            let packs = packs(all.clone(), spread, home);
            for pack in &packs {
                let bytes: usize = pack.iter().map(Piece::bytes).sum();
                let mut partitions: Vec<&str> = pack.iter().map(Piece::group).collect();
                partitions.dedup();
                prop_assert!(pack.iter().all(|row| home(row) == home(&pack[0])));
                match partitions.len() {
                    1 => prop_assert!(bytes <= PARTITION_BYTES_MAX || pack.len() == 1),
                    count => prop_assert!(bytes <= spread.bytes && count <= spread.partitions),
                }
            }
            let mut sent: Vec<Row> = packs.into_iter().flatten().collect();
            // Stable: what is behind in a partition stays behind.
            sent.sort_by(|a, b| a.partition.cmp(&b.partition));
            let mut wanted = all;
            wanted.sort_by(|a, b| a.partition.cmp(&b.partition));
            let order = |rows: &[Row]| rows.iter().map(|row| row.number).collect::<Vec<_>>();
            // Parts of a partition that are too large for one request go at once, the smaller ones in any order.
            let split = wanted.chunk_by(|a, b| a.partition == b.partition);
            for partition in split.filter(|rows| rows.iter().map(Piece::bytes).sum::<usize>() <= PARTITION_BYTES_MAX) {
                let of: Vec<Row> = sent.iter().filter(|row| row.partition == partition[0].partition).cloned().collect();
                prop_assert_eq!(order(&of), order(partition));
            }
            let mut numbers = order(&sent);
            numbers.sort_unstable();
            prop_assert_eq!(numbers, (0..wanted.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn small_partitions_of_the_same_nodes_share_requests() {
        let packs = packs(
            rows(&(0..60).map(|partition| (partition, 400)).collect::<Vec<_>>()),
            Spread::DEFAULT,
            home,
        );
        assert_eq!(packs.iter().map(Vec::len).collect::<Vec<_>>(), [10; 6]);
    }

    #[test]
    fn servers_tell_what_they_take() {
        let of = |settings: &[(&'static str, &'static str)]| Spread::of(settings.iter().copied());
        assert_eq!(of(&[]), Spread::DEFAULT);
        let cassandra = [
            ("batch_size_warn_threshold", "32KiB"),
            ("unlogged_batch_across_partitions_warn_threshold", "50"),
        ];
        assert_eq!(of(&cassandra), Spread { bytes: 32 << 10, partitions: 50 });
        assert_eq!(of(&[("batch_size_warn_threshold_in_kb", "12")]).bytes, 12 << 10);
        assert_eq!(of(&[("batch_size_warn_threshold", "900B")]).bytes, 900);
        // ScyllaDB's default, and more than is of use.
        assert_eq!(of(&[("batch_size_warn_threshold_in_kb", "128")]).bytes, 64 << 10);
        assert_eq!(of(&[("batch_size_warn_threshold", "1MiB")]).bytes, 64 << 10);
        assert_eq!(of(&[("batch_size_warn_threshold", "much")]), Spread::DEFAULT);
    }
}
