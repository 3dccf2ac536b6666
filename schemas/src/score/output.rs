//! The scorer's output.

use super::{Band, Class, DecisionMaker, ProjectType, Timeline, Urgency};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One scored contact. Everything that was not said is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreOutput {
    /// The input's id as it came.
    #[serde(default)]
    pub id: Value,
    /// 0 to 100.
    pub score: u8,
    /// The band of `score`.
    pub band: Band,
    /// What kind of contact it is.
    pub class: Class,
    /// The four parts that the score is the sum of.
    pub factors: Factors,
    /// The trade of the project.
    pub project_type: Option<ProjectType>,
    /// Least the caller means to spend, in the tenant's currency.
    pub budget_min: Option<u64>,
    /// Most the caller means to spend, in the tenant's currency.
    pub budget_max: Option<u64>,
    /// When the work should start.
    pub timeline: Option<Timeline>,
    /// Who decides.
    pub decision_maker: Option<DecisionMaker>,
    /// How pressing it is.
    pub urgency: Option<Urgency>,
    /// True only when both sides agreed on a visit.
    pub appointment_set: bool,
    /// Facts said or written; null when not.
    #[serde(default)]
    pub extracted: Extracted,
    /// Where each filled field comes from.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// Why this score, for a salesperson.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// The four factors of the rubric, each 0 to 25.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    /// Budget.
    pub budget: u8,
    /// Timeline and motivation.
    pub timeline: u8,
    /// Scope fit and service area.
    pub scope_area: u8,
    /// Authority and engagement.
    pub authority: u8,
}

impl Factors {
    /// Most that one factor can give.
    pub const FACTOR_MAX: u8 = 25;
    /// Most that a contact other than a lead can score.
    const NOT_A_LEAD_MAX: u8 = 20;
    /// Most that a lead outside the area can score.
    const OUT_OF_AREA_MAX: u8 = 35;

    /// The sum, 0 to 100.
    #[must_use]
    pub fn sum(self) -> u8 {
        [self.budget, self.timeline, self.scope_area, self.authority]
            .iter()
            .map(|factor| (*factor).min(Self::FACTOR_MAX))
            .sum()
    }

    /// The factors and the score that a class may have. Only a lead keeps its sum; those of others are lowered with the
    /// score, so that they still add up to it.
    #[must_use]
    pub fn gated(self, class: Class) -> (Self, u8) {
        let most = match class {
            Class::Lead => return (self, self.sum()),
            Class::OutOfArea => Self::OUT_OF_AREA_MAX,
            _ => Self::NOT_A_LEAD_MAX,
        };
        let share = most / 4;
        let gated = Self {
            budget: self.budget.min(share),
            timeline: self.timeline.min(share),
            scope_area: self.scope_area.min(4),
            authority: self.authority.min(share),
        };
        (gated, gated.sum())
    }
}

/// Facts taken from the words or the form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// The caller's own name.
    #[serde(default)]
    pub caller_name: Option<String>,
    /// Digits of the number the caller gave.
    #[serde(default)]
    pub phone: Option<String>,
    /// Email address, lower case.
    #[serde(default)]
    pub email: Option<String>,
    /// Street address of the property.
    #[serde(default)]
    pub address: Option<String>,
    /// City of the property.
    #[serde(default)]
    pub city: Option<String>,
    /// Postcode of the property.
    #[serde(default)]
    pub postcode: Option<String>,
    /// Year the house was built (before 1978: lead-paint rule).
    #[serde(default)]
    pub year_built: Option<u16>,
    /// Whether a homeowners' association has a say.
    #[serde(default)]
    pub hoa: Option<bool>,
    /// Whether an insurance claim is involved.
    #[serde(default)]
    pub insurance_claim: Option<bool>,
    /// Whether the caller wants to finance the project.
    #[serde(default)]
    pub financing_interest: Option<bool>,
    /// Whether other companies quote too.
    #[serde(default)]
    pub competing_bids: Option<bool>,
    /// When the visit is to be, in the words of the call.
    #[serde(default)]
    pub appointment_window: Option<String>,
    /// Language of the caller: `en` or `es`.
    #[serde(default)]
    pub language: Option<String>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Name of the output field, as on the wire.
    pub field: String,
    /// The words, verbatim except that card and identity numbers are masked.
    pub quote: String,
    /// Index of the turn, from 0; a text or a form is one turn.
    pub turn: u32,
}
