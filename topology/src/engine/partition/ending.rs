//! A partition between two layouts: where its inputs end in one, and that it begins in the next.

use leadline_schemas::{CommitNumber, Millis, Offset};

use super::{Partition, Position};

/// Where a partition's inputs end when the next layout takes its rows; none while they go on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    pub(super) inbound: Option<Offset>,
    /// Known only when nothing runs any more that could still answer.
    replies: Option<Offset>,
}

impl Position {
    /// Whether nothing was committed yet in this layout, and the rows are those of the one before.
    pub(super) fn was_handed_over(&self) -> bool {
        self.number == CommitNumber(0) && self.now > Millis(0)
    }
}

impl Partition {
    /// Nothing of `inbound` counts from this offset on: the next layout has it.
    pub(in super::super) fn ends_at(&mut self, inbound: Offset) {
        self.ends.inbound = Some(inbound);
    }

    /// Nothing of `replies` will come from this offset on; with what lies below, the partition is drained.
    pub(in super::super) fn replies_end_at(&mut self, replies: Offset) {
        self.ends.replies = Some(replies);
    }

    /// Whether everything of this layout was fed.
    pub(super) fn has_ended(&self) -> bool {
        let reached = |end: Option<Offset>, next: Offset| end.is_some_and(|end| next >= end);
        reached(self.ends.inbound, self.inbound_next) && reached(self.ends.replies, self.replies_next)
    }

    /// Commits that everything of this layout has been done. Answers whether it could be opened.
    pub(super) fn close_last(&mut self) -> bool {
        let opens = self.open();
        if opens {
            self.close_as(true, true);
        }
        opens
    }
}
