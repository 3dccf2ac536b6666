//! Hand-over: how a process gives its partitions to a newer one that stands by, and what the two say to each other.
//!
//! | request to the old one's admin address | what it does |
//! | --- | --- |
//! | `GET /v1/handover` | says what it owns, what runs and how its state is written: [`Holding`] |
//! | `POST /v1/handover/take` with an [`Asking`] | commits what is open, lets everything go without leaving the group, and answers with a [`Holding`] of that moment |
//! | `POST /v1/handover/ready` | the new one takes events: the old one closes its listener, and ends when its calls have ended |
//!
//! From the first `take` on the old process starts nothing. It still takes events, for an event may be appended by
//! anybody, until the new one is ready: so there is no moment at which nobody listens. A `take` that is repeated by the
//! same standby gets the same answer; one that never joins leaves its partitions to others, after the session's time-out.

mod admin;
mod following;
mod giving;
mod phase;
mod standby;

pub(crate) use admin::serve;
pub(crate) use giving::{Giver, LEAVE_MAX, SayIdentity, give};
pub(crate) use phase::{Phase, Phases};
pub(crate) use standby::{Footing, Standby, StandbyEnd};

use leadline_schemas::partitioning::Layout;
use serde::{Deserialize, Serialize};

use crate::engine::Handed;
use crate::plan::Shape;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Of the binary.
    pub(crate) version: String,
    /// The consumer group.
    pub(crate) group: String,
    /// Its name in the group.
    pub(crate) instance: String,
    /// How many partitions there are, and in which generation.
    pub(crate) layout: Layout,
}

impl Identity {
    /// Why this process cannot take the other one's place.
    fn refusal(&self, other: &Self) -> Option<String> {
        if self.group != other.group {
            return Some(format!("it is of group {:?}, this one of {:?}", other.group, self.group));
        }
        if self.instance != other.instance {
            return Some(format!(
                "it is instance {:?} and this one {:?}: give both the same kafka.instance",
                other.instance, self.instance
            ));
        }
        (self.layout != other.layout).then(|| {
            format!(
                "it has generation {} with {} partitions, this one {} with {}",
                other.layout.generation,
                other.layout.partitions,
                self.layout.generation,
                self.layout.partitions
            )
        })
    }
}

/// What a process has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// Who it is.
    pub(crate) identity: Identity,
    /// How its state is written.
    pub(crate) tables: Shape,
    /// The names under which it commits to the log.
    pub(crate) producers: Vec<String>,
    /// Its partitions with their last commits, and the calls that run.
    pub(crate) handed: Handed,
}

/// Who asks for a hand-over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asking {
    /// The same in all requests of one standby, and of no other.
    pub(crate) by: uuid::Uuid,
    /// Who it is.
    pub(crate) identity: Identity,
}
