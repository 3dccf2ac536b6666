//! What every [`Log`] promises, sentence by sentence of its page.

mod append;
mod bench;
mod commit;
mod keep;
mod read;
mod values;

use std::sync::Arc;

use crate::contract::log::Log;
use bench::Bench;
pub use values::{Plain, Records, Values};

/// One log, started and restarted by the suite. It has at least two partitions, keeps nothing for its age, and drops
/// what it may drop at its next upkeep.
pub trait LogUnderTest {
    /// Opens the log. Called again after everything of the one before was dropped: as after a crash, or after an
    /// orderly end.
    fn start(&mut self) -> Arc<dyn Log>;

    /// Does a piece of the log's work, if the log has nobody who does it; whether there was any.
    fn work(&mut self) -> bool {
        false
    }

    /// What the suite writes to it.
    fn values(&self) -> Arc<dyn Values> {
        Arc::new(Plain)
    }

    /// Whether nothing is written but by `work`.
    fn holds_still(&self) -> bool {
        false
    }

    /// Lets time pass until the log has looked for what it may drop, and for room.
    fn upkeep(&mut self);

    /// Takes away all room that the log does not have yet; false if that cannot be done to this log.
    fn fill(&mut self) -> bool {
        false
    }

    /// Gives the room back.
    fn free(&mut self) {}
}

/// One sentence of the page.
type Part = (&'static str, fn(&mut Bench<'_>));

macro_rules! parts {
    ($($file:ident :: $part:ident,)*) => { [$((stringify!($part), $file::$part)),*] };
}

const PARTS: [Part; 23] = parts![
    append::offsets_are_contiguous_in_each_topic_and_partition,
    append::a_record_is_readable_exactly_when_it_is_acknowledged,
    append::a_future_dropped_before_its_answer_takes_nothing_back,
    append::a_record_too_large_is_refused_with_all_of_its_call,
    append::an_empty_record_is_a_record,
    append::what_cannot_be_appended_to_is_refused,
    append::a_full_queue_answers_busy_and_nothing_of_it_is_written,
    append::many_appenders_at_once_keep_their_own_order,
    commit::frames_lie_at_their_number_minus_one,
    commit::numbers_are_contiguous_or_fenced,
    commit::commits_sent_without_waiting_are_taken_in_order,
    commit::a_commit_is_read_as_one_record_however_large,
    commit::without_room_appends_are_refused_and_commits_go_on,
    read::a_chunk_has_whole_records_without_gaps_up_to_its_limit,
    read::a_reader_at_the_end_gets_an_empty_chunk,
    read::what_is_not_there_is_unavailable,
    read::listeners_hear_every_move_of_their_end,
    read::whoever_follows_sees_every_record_and_may_go_back,
    read::inputs_that_are_not_committed_are_read_again_at_once,
    keep::what_lies_below_all_floors_is_dropped_and_said_so,
    keep::a_topic_without_a_floor_is_kept_whole,
    keep::a_restart_keeps_all_that_was_acknowledged,
    keep::what_was_not_acknowledged_is_whole_or_absent_after_a_restart,
];

/// Runs the suite; each part gets an empty log of its own.
pub fn suite(fresh: &dyn Fn() -> Box<dyn LogUnderTest>) {
    suite_but(fresh, &[]);
}

/// Runs the suite but for those parts that cannot hold for a log, each with the reason.
pub fn suite_but(fresh: &dyn Fn() -> Box<dyn LogUnderTest>, left_out: &[(&str, &str)]) {
    for (name, reason) in left_out {
        assert!(PARTS.iter().any(|(part, _)| part == name) && !reason.is_empty(), "{name}: {reason}");
    }
    for (name, part) in PARTS {
        if !left_out.iter().any(|(left_out, _)| *left_out == name) {
            tracing::info!(part = name, "conformance of the log");
            part(&mut Bench::new(fresh().as_mut()));
        }
    }
}
