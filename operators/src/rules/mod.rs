//! stand-in until branch scorer is merged
use leadline_schemas::score::*;
/// v
pub const RULES_VERSION: &str = "0";
/// s
pub fn score(input: &ScoreInput) -> ScoreOutput {
    ScoreOutput {
        id: input.id.clone(),
        score: 50,
        band: Band::Nurture,
        class: Class::Lead,
        factors: Factors { budget: 12, timeline: 12, scope_area: 13, authority: 13 },
        project_type: None,
        budget_min: None,
        budget_max: None,
        timeline: None,
        decision_maker: None,
        urgency: None,
        appointment_set: false,
        extracted: Extracted::default(),
        evidence: vec![],
        reasons: vec![],
    }
}
