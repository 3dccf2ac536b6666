//! What needs no server: pieces of batches, and that no question is asked without a tenant.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use leadline_schemas::frame::Output;
use leadline_schemas::{CommitNumber, EventId, Partition, Topic};

use super::chunk::{Chunk, Place, Progress};
use super::limits::{BYTES_MAX, MUTATIONS_MAX};
use super::rows::Reading;
use super::{ddl, limits};
use crate::conformance::store::a_call;
use crate::contract::store::Batch;

const PLACE: Place = (1, Partition(0));

/// A dead letter that ends: the smallest thing there is to write.
fn end(number: u64) -> Output {
    let id = EventId::of(&[&number.to_be_bytes()]).to_string();
    Output { topic: Topic::DeadLetters, key: Bytes::from(id), value: Bytes::new() }
}

fn batch(from: u64, commits: Vec<Vec<Output>>) -> Batch {
    let to = from + commits.len() as u64;
    let commits =
        (from + 1..).zip(commits).map(|(number, outputs)| (CommitNumber(number), Arc::new(outputs)));
    let commits = commits.collect();
    Batch { generation: 1, partition: Partition(0), from: CommitNumber(from), to: CommitNumber(to), commits }
}

/// All pieces of some batches, as if each was written; answers rows of each, and where they end.
fn pieces(batches: &[Batch], rows_max: usize) -> (Vec<usize>, Progress) {
    let costs = ddl::index_costs();
    let (mut at, mut rows) = (HashMap::new(), Vec::new());
    loop {
        let chunk = Chunk::of(batches, &at, &Reading { costs: &costs }, rows_max).unwrap();
        if chunk.is_done() {
            return (rows, at[&PLACE]);
        }
        assert!(chunk.cells() <= MUTATIONS_MAX + 2_000, "{}", chunk.cells());
        rows.push(chunk.rows());
        at.extend(chunk.after);
        assert!(rows.len() < 10_000, "it never ends");
    }
}

#[test]
fn a_commit_of_any_size_is_written_in_pieces_and_each_is_gone_on_with_where_it_ended() {
    let whole = |number: u64| Progress { number: CommitNumber(number), ..Progress::default() };
    for (sizes, rows_max, expected) in [
        (vec![0, 0], 10, vec![0]),
        (vec![3, 4], 10, vec![7]),
        (vec![25], 10, vec![10, 10, 5]),
        (vec![4, 17, 0, 2], 10, vec![10, 10, 3]),
        (vec![10, 10], 10, vec![10, 10]),
    ] {
        let mut number = 0;
        let mut commit = |size: usize| {
            let next = |_| {
                number += 1;
                end(number)
            };
            (0..size).map(next).collect::<Vec<_>>()
        };
        let commits: Vec<_> = sizes.iter().map(|size| commit(*size)).collect();
        let count = commits.len() as u64;
        assert_eq!(pieces(&[batch(0, commits)], rows_max), (expected, whole(count)), "{sizes:?}");
    }
}

#[test]
fn a_piece_stays_below_the_limits_of_bytes_and_mutations_and_a_large_record_goes_alone() {
    let sized = |number: u64, bytes: usize| a_call("summit", number, &[], bytes);
    let (rows, _) = pieces(&[batch(0, vec![(0..9).map(|n| sized(n, 400_000)).collect()])], 500);
    assert_eq!(rows, [2, 2, 2, 2, 1]);
    let (rows, _) = pieces(&[batch(0, vec![vec![sized(1, 10), sized(2, 2 * BYTES_MAX), sized(3, 10)]])], 500);
    assert_eq!(rows, [1, 1, 1]);
    // A call costs 15 mutations, each alias 3.
    let aliases: Vec<String> = (0..5_000).map(|number| format!("alias-{number}")).collect();
    let (rows, _) =
        pieces(&[batch(0, vec![(0..6).map(|n| a_call("summit", n, &aliases, 10)).collect()])], 100_000);
    assert_eq!(rows.len(), 3, "two calls with 5,000 aliases are a piece: {rows:?}");
    assert!(rows.iter().all(|rows| *rows == 2 * 5_001), "{rows:?}");
}

#[test]
fn of_a_key_only_the_newest_row_of_a_piece_is_written() {
    let costs = ddl::index_costs();
    let same = |bytes| a_call("summit", 1, &[], bytes);
    let batches = [batch(0, vec![vec![same(10), same(20)], vec![same(30), end(1), end(1)]])];
    let chunk = Chunk::of(&batches, &HashMap::new(), &Reading { costs: &costs }, limits::ROWS_MAX).unwrap();
    assert_eq!((chunk.puts().count(), chunk.ended().count(), chunk.rows()), (1, 1, 2));
}

#[test]
fn only_one_place_makes_statements_and_it_begins_with_the_tenant() {
    let others = [
        include_str!("chunk.rs"),
        include_str!("link.rs"),
        include_str!("reader.rs"),
        include_str!("rows.rs"),
        include_str!("schema.rs"),
        include_str!("writer.rs"),
    ];
    assert!(others.iter().all(|text| !text.contains("Statement::builder")));
    let ask = include_str!("ask.rs");
    assert_eq!(ask.matches("Statement::builder").count(), 1);
    assert_eq!(ask.matches("Self { sql").count(), 1, "one constructor, which names the tenant");
    assert!(ask.contains("WHERE tenant_id = @tenant\""));
}
