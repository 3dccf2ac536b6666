//! Course: what a process does on its way from one layout to the next, by what it knows.
//!
//! Decisions only. [`super::follow`] makes them happen in a running process, the simulator in a simulated one.

use leadline_schemas::layout::LayoutRecord;

/// What a process does with its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is where it should be.
    Stay,
    /// It brings its layout to its end, and moves as soon as all rows of that are handed over, here or elsewhere.
    Drain,
    /// It goes on in the newest layout. One that slept through a whole change need not drain anything: whoever was
    /// awake has handed its partitions over.
    Move,
}

/// What an engine does that works in a layout of this generation; none is between two.
pub fn step(record: &LayoutRecord, working: Option<u32>) -> Step {
    let Some(origin) = &record.origin else { return Step::Stay };
    match working {
        Some(generation) if generation >= record.shape.generation => Step::Stay,
        Some(generation) if generation == origin.generation => Step::Drain,
        _ => Step::Move,
    }
}

/// The layout before, if a process that starts needs to know whether all of its rows are handed over.
pub fn is_left(record: &LayoutRecord) -> Option<u32> {
    record.origin.as_ref().filter(|_| !record.done).map(|origin| origin.generation)
}

/// The layout whose partitions are worked on: the one before until all of its rows are handed over.
pub fn begins_in(record: &LayoutRecord, is_handed_over: bool) -> u32 {
    is_left(record).filter(|_| !is_handed_over).unwrap_or(record.shape.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leadline_schemas::Millis;
    use leadline_schemas::layout::Shape;

    fn record(generation: u32, done: bool) -> LayoutRecord {
        let shape = |generation| Shape { generation, ..Shape::first(8) };
        let origin = (generation > 1).then(|| shape(generation - 1));
        LayoutRecord { shape: shape(generation), origin, done, at: Millis(0) }
    }

    #[test]
    fn an_engine_drains_the_layout_before_and_moves_from_any_other() {
        assert_eq!(step(&record(1, true), Some(1)), Step::Stay, "nothing was ever changed");
        assert_eq!(step(&record(3, false), Some(2)), Step::Drain);
        assert_eq!(step(&record(3, true), Some(2)), Step::Drain, "done, and it has not moved yet");
        assert_eq!(step(&record(3, false), Some(1)), Step::Move, "it slept through a whole change");
        assert_eq!(step(&record(3, false), None), Step::Move);
        assert_eq!(step(&record(3, false), Some(3)), Step::Stay);
        assert_eq!(step(&record(3, false), Some(4)), Step::Stay, "what it knows is older than where it is");
    }

    #[test]
    fn a_process_starts_where_the_others_are() {
        assert_eq!(begins_in(&record(1, true), false), 1);
        assert_eq!((is_left(&record(2, false)), is_left(&record(2, true))), (Some(1), None));
        assert_eq!(begins_in(&record(2, false), false), 1);
        assert_eq!(begins_in(&record(2, false), true), 2);
        assert_eq!(begins_in(&record(2, true), false), 2, "its notes may be gone by then");
    }
}
