//! Window metrics: topic `metrics`.

use serde::{Deserialize, Serialize};

use crate::avro::avro_record;
use crate::{Millis, TenantId};

/// The windows that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// One minute, tumbling.
    Minute,
    /// One hour, tumbling.
    Hour,
    /// One day (UTC), tumbling.
    Day,
    /// Two hours, sliding by ten minutes.
    #[serde(rename = "sliding_2h")]
    Sliding2h,
}

impl WindowKind {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Sliding2h => "sliding_2h",
        }
    }

    /// Its length in milliseconds.
    pub const fn length_ms(self) -> i64 {
        match self {
            Self::Minute => Millis::MINUTE,
            Self::Hour => Millis::HOUR,
            Self::Day => Millis::DAY,
            Self::Sliding2h => 2 * Millis::HOUR,
        }
    }
}

/// The metrics of one window, tenant and slot; mergeable by adding up. `schemas/avro/window_metrics/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowMetrics {
    /// The tenant.
    pub tenant: TenantId,
    /// The window.
    pub window: WindowKind,
    /// Its first millisecond.
    pub start: Millis,
    /// The slot; only the API adds slots up.
    pub slot: i32,
    /// Calls, answered or not.
    pub calls: i64,
    /// Calls that somebody answered.
    pub answered: i64,
    /// Calls that nobody answered.
    pub missed: i64,
    /// Texts received.
    pub texts: i64,
    /// Forms.
    pub forms: i64,
    /// Contacts of class `lead`.
    pub leads: i64,
    /// Leads of band hot or warm.
    pub hot_or_warm: i64,
    /// Contacts that have a score.
    pub scored: i64,
    /// Sum of their scores.
    pub score_sum: i64,
    /// Cost of the contacts, in millionths of the tenant's currency.
    pub cost_micros: i64,
    /// Time to first contact in ms, as a sketch.
    pub first_contact_ms: Sketch,
    /// Receipt to score in ms, as a sketch.
    pub score_latency_ms: Sketch,
    /// Grows by one with each change.
    pub revision: i64,
}

impl WindowMetrics {
    /// Adds the counts of another window.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.answered += other.answered;
        self.missed += other.missed;
        self.texts += other.texts;
        self.forms += other.forms;
        self.leads += other.leads;
        self.hot_or_warm += other.hot_or_warm;
        self.scored += other.scored;
        self.score_sum += other.score_sum;
        self.cost_micros += other.cost_micros;
        self.first_contact_ms.merge(&other.first_contact_ms);
        self.score_latency_ms.merge(&other.score_latency_ms);
    }
}

avro_record!(WindowMetrics, "window_metrics", ["v1"]);

/// A DDSketch in mergeable form: counts of logarithmic bins (1% relative error).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sketch {
    /// Values of zero or less.
    pub zeros: i64,
    /// Index of the first bin.
    pub first_bin: i32,
    /// Counts from there on.
    pub bins: Vec<i64>,
    /// Sum of all values.
    pub sum: f64,
    /// Number of values.
    pub count: i64,
}
