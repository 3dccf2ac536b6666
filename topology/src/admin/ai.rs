//! Whom a tenant's contacts are scored by, and for how much.

use leadline_connectors::scoring::Prompt;
use leadline_schemas::settings::Policy;
use serde::{Deserialize, Serialize};

use super::{AdminError, TenantSpec, invalid, within};

/// Most that a budget may be, in the currency's units.
const BUDGET_MAX: i64 = 1_000_000;
/// A unit of the currency.
const MICROS: i64 = 1_000_000;
/// What takes a value away.
const NONE: &str = "none";

/// What `tenant add` is told about AI services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AiSpec {
    /// Who scores when the score provider fails, in order; they replace those that were. `none` takes them away.
    pub score_fallbacks: Vec<String>,
    /// A day's soft budget in the currency's units, such as `2.50`, or `none`.
    pub ai_budget_soft: Option<String>,
    /// A day's hard budget.
    pub ai_budget_hard: Option<String>,
    /// The scoring prompt, or `none` for the newest.
    pub prompt: Option<String>,
}

impl AiSpec {
    pub(super) fn apply(&self, policy: &mut Policy) -> Result<(), AdminError> {
        match self.score_fallbacks.as_slice() {
            [] => {}
            [none] if none == NONE => policy.score_fallbacks.clear(),
            fallbacks => policy.score_fallbacks = fallbacks.to_vec(),
        }
        for (what, given, into) in [
            ("the soft budget", &self.ai_budget_soft, &mut policy.ai_budget_soft_micros),
            ("the hard budget", &self.ai_budget_hard, &mut policy.ai_budget_hard_micros),
        ] {
            match given.as_deref() {
                None => {}
                Some(NONE) => *into = None,
                Some(text) => *into = Some(within(what, micros(what, text)?, 0, BUDGET_MAX * MICROS)?),
            }
        }
        if let (Some(soft), Some(hard)) = (policy.ai_budget_soft_micros, policy.ai_budget_hard_micros)
            && soft > hard
        {
            return Err(invalid("the soft budget is above the hard one: give a lower --ai-budget-soft"));
        }
        match self.prompt.as_deref() {
            None => {}
            Some(NONE) => policy.prompt_version = None,
            Some(version) => {
                let prompt = Prompt::of(Some(version)).map_err(invalid)?;
                policy.prompt_version = Some(prompt.version.to_owned());
            }
        }
        Ok(())
    }
}

/// A sum as people write it, in millionths; the error names it by `what`.
pub fn micros(what: &str, text: &str) -> Result<i64, AdminError> {
    let refused = || invalid(format!("{what} {text:?} is no sum: use one such as 2.50"));
    let (units, cents) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if units.is_empty() || units.len() > 10 || cents.len() > 6 || !digits(units) || !digits(cents) {
        return Err(refused());
    }
    let units: i64 = units.parse().map_err(|_| refused())?;
    let micros: i64 = format!("{cents:0<6}").parse().map_err(|_| refused())?;
    Ok(units * MICROS + micros)
}

/// Names of the services that are configured here.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Those that score.
    pub scoring: Vec<String>,
    /// Those that write calls down.
    pub transcription: Vec<String>,
}

impl Services {
    /// Refuses a chain with a name that is not among them: one that nobody answers would be no chain.
    pub fn check(&self, spec: &TenantSpec) -> Result<(), AdminError> {
        let scorers = spec.score_provider.iter().chain(&spec.ai.score_fallbacks);
        all_known("score provider", "scoring", scorers, &self.scoring)?;
        let transcribers = spec.transcribe_providers.iter();
        all_known("provider of transcripts", "transcription", transcribers, &self.transcription)
    }
}

fn all_known<'a>(
    what: &str,
    section: &str,
    mut given: impl Iterator<Item = &'a String>,
    known: &[String],
) -> Result<(), AdminError> {
    let Some(name) = given.find(|name| !known.contains(name) && *name != NONE) else { return Ok(()) };
    let others = if known.is_empty() { String::new() } else { format!("use {}, or ", known.join(", ")) };
    Err(invalid(format!("{what} {name:?} is not known: {others}configure [{section}.{name}]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_to_the_millionth() {
        for (text, wanted) in [("2.50", 2_500_000), ("0", 0), ("10", 10_000_000), ("0.000001", 1)] {
            assert_eq!(micros("it", text).unwrap(), wanted, "{text}");
        }
        for text in ["", ".5", "-1", "1e3", "1.2345678", "99999999999", "2,5"] {
            assert!(micros("it", text).is_err(), "{text}");
        }
    }

    #[test]
    fn chains_budgets_and_prompts_are_checked_and_can_be_taken_away() {
        let mut policy = Policy::default();
        let text = |text: &str| Some(text.to_owned());
        let spec = AiSpec {
            score_fallbacks: vec!["own".to_owned()],
            ai_budget_soft: text("1"),
            ai_budget_hard: text("2.5"),
            prompt: text("v1"),
        };
        spec.apply(&mut policy).unwrap();
        assert_eq!(policy.score_fallbacks, ["own"]);
        assert_eq!(
            (policy.ai_budget_soft_micros, policy.ai_budget_hard_micros),
            (Some(1_000_000), Some(2_500_000))
        );
        assert_eq!(policy.prompt_version.as_deref(), Some("v1"));
        let mut other = policy.clone();
        assert!(AiSpec { ai_budget_soft: text("3"), ..AiSpec::default() }.apply(&mut other).is_err());
        let refused =
            AiSpec { prompt: text("v9"), ..AiSpec::default() }.apply(&mut policy.clone()).unwrap_err();
        assert!(refused.to_string().contains("v9") && refused.to_string().contains("v1"), "{refused}");
        let none = AiSpec {
            score_fallbacks: vec!["none".to_owned()],
            ai_budget_soft: text("none"),
            ai_budget_hard: text("none"),
            prompt: text("none"),
        };
        none.apply(&mut policy).unwrap();
        assert_eq!(policy, Policy::default());
    }

    #[test]
    fn a_service_that_is_not_configured_is_refused_with_those_that_are() {
        let services = |transcription: &[&str]| Services {
            scoring: vec!["rules".to_owned(), "gemini".to_owned()],
            transcription: transcription.iter().map(|name| (*name).to_owned()).collect(),
        };
        let spec = |provider: &str, fallback: &str| TenantSpec {
            score_provider: Some(provider.to_owned()),
            ai: AiSpec { score_fallbacks: vec![fallback.to_owned()], ..AiSpec::default() },
            ..TenantSpec::default()
        };
        assert!(services(&[]).check(&spec("gemini", "rules")).is_ok());
        for spec in [spec("gpt", "rules"), spec("gemini", "gpt")] {
            let why = services(&[]).check(&spec).unwrap_err().to_string();
            assert!(
                why.contains("gpt") && why.contains("rules, gemini") && why.contains("[scoring.gpt]"),
                "{why}"
            );
        }
        let heard_by = |names: &[&str]| TenantSpec {
            transcribe_providers: names.iter().map(|name| (*name).to_owned()).collect(),
            ..TenantSpec::default()
        };
        assert!(services(&["google"]).check(&heard_by(&["google"])).is_ok());
        assert!(services(&[]).check(&heard_by(&["none"])).is_ok());
        let why = services(&["google"]).check(&heard_by(&["google", "gogle"])).unwrap_err().to_string();
        assert!(
            why.contains("\"gogle\"") && why.contains("use google, or configure [transcription.gogle]"),
            "{why}"
        );
        let why = services(&[]).check(&heard_by(&["google"])).unwrap_err().to_string();
        assert!(why.ends_with("is not known: configure [transcription.google]"), "{why}");
    }
}
