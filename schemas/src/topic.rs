//! The topics of the log.

use serde::{Deserialize, Serialize};

/// A topic. All but `settings` have P partitions keyed alike, so that whatever belongs to a caller meets in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Topic {
    /// Every accepted event, raw body kept, and the commands.
    Inbound = 0,
    /// Results of jobs.
    Replies = 1,
    /// Tenants, sources, sealed keys, integrations; one partition, its offset is the settings version.
    Settings = 2,
    /// One commit frame per epoch and partition; the offset is the commit number minus one.
    State = 3,
    /// What became of each accepted event.
    Requests = 4,
    /// Calls, texts and forms as last known.
    Calls = 5,
    /// Leads as last known.
    Leads = 6,
    /// The history of each lead.
    LeadEvents = 7,
    /// The ledger of deliveries.
    Deliveries = 8,
    /// Window metrics.
    Metrics = 9,
    /// Decisions that must be auditable: skips, erasures, changes of settings.
    Audit = 10,
    /// What could not be processed, and why.
    DeadLetters = 11,
}

impl Topic {
    /// All topics, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Inbound,
        Self::Replies,
        Self::Settings,
        Self::State,
        Self::Requests,
        Self::Calls,
        Self::Leads,
        Self::LeadEvents,
        Self::Deliveries,
        Self::Metrics,
        Self::Audit,
        Self::DeadLetters,
    ];

    /// The name in configuration, metrics and on Kafka.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Replies => "replies",
            Self::Settings => "settings",
            Self::State => "state",
            Self::Requests => "requests",
            Self::Calls => "calls",
            Self::Leads => "leads",
            Self::LeadEvents => "lead_events",
            Self::Deliveries => "deliveries",
            Self::Metrics => "metrics",
            Self::Audit => "audit",
            Self::DeadLetters => "dead_letters",
        }
    }

    /// The topic with this number on disk.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The number on disk.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether the dataflow writes it, inside its commits.
    pub const fn is_output(self) -> bool {
        self.number() >= Self::Requests.number()
    }
}

impl std::fmt::Display for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_found_again_by_its_number_and_has_one_name_everywhere() {
        for topic in Topic::ALL {
            assert_eq!(Topic::from_number(topic.number()), Some(topic));
            let json = serde_json::to_value(topic).unwrap();
            assert_eq!(json.as_str(), Some(topic.to_string().as_str()), "as in configuration, so in records");
        }
        assert_eq!(Topic::from_number(Topic::ALL.len() as u8), None);
        let outputs = Topic::ALL.iter().filter(|topic| topic.is_output()).count();
        assert_eq!(outputs, 8, "all but inbound, replies, settings and state");
    }
}
