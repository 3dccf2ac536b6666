//! What providers of scores are asked and answer: the scoring vocabulary, with what it took to get there.

use serde::{Deserialize, Serialize};

use super::{ScoreInput, ScoreOutput};

/// What a `score` job asks. Without a prompt's version it is the input, word for word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreJob {
    /// The contact; sensitive numbers are masked before it is asked about.
    #[serde(flatten)]
    pub input: ScoreInput,
    /// The prompt to ask with; none = the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<String>,
}

/// What a `score` job answers. A provider may answer a [`ScoreOutput`] alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreReply {
    /// What came of it.
    pub outcome: ScoreOutcome,
    /// The model that answered, by the name that it gave itself.
    #[serde(default)]
    pub model: Option<String>,
    /// The prompt that it was asked with.
    #[serde(default)]
    pub prompt_version: Option<String>,
    /// What the answer took.
    #[serde(default)]
    pub tokens: TokenUsage,
    /// What it cost when it was made, in millionths. An answer that was kept and is given again costs nothing then.
    #[serde(default)]
    pub cost_micros: i64,
    /// What else somebody should hear of, a line each: models that are gone.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What came of asking. All of them are answers, and are paid for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreOutcome {
    /// A score.
    Scored(Box<ScoreOutput>),
    /// The provider's own filters have refused it, for this reason.
    Blocked(String),
    /// The answer was longer than it may be, and ends in the middle.
    Cut,
    /// An answer without words.
    Empty,
    /// Words that are no score, for this reason.
    Invalid(String),
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    /// What was asked, without what was cached.
    pub input: u64,
    /// What was asked and the other side had cached.
    pub cached: u64,
    /// What was answered, thoughts included.
    pub output: u64,
}

impl ScoreReply {
    /// Reads an answer, with or without what it took; the error says what is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Peek {
            outcome: Option<serde::de::IgnoredAny>,
        }
        let read = |error: serde_json::Error| error.to_string();
        let peek: Peek = serde_json::from_slice(body).map_err(read)?;
        if peek.outcome.is_some() {
            return serde_json::from_slice(body).map_err(read);
        }
        let output = serde_json::from_slice(body).map_err(read)?;
        Ok(Self {
            outcome: ScoreOutcome::Scored(Box::new(output)),
            model: None,
            prompt_version: None,
            tokens: TokenUsage::default(),
            cost_micros: 0,
            notes: Vec::new(),
        })
    }
}

impl ScoreOutcome {
    /// The score, or why there is none.
    pub fn output(self) -> Result<ScoreOutput, String> {
        match self {
            Self::Scored(output) => Ok(*output),
            Self::Blocked(why) => Err(format!("blocked: {why}")),
            Self::Cut => Err("cut: the answer was longer than it may be".to_owned()),
            Self::Empty => Err("empty: an answer without words".to_owned()),
            Self::Invalid(why) => Err(format!("not valid: {why}")),
        }
    }

    /// Its name in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scored(_) => "scored",
            Self::Blocked(_) => "blocked",
            Self::Cut => "cut",
            Self::Empty => "empty",
            Self::Invalid(_) => "invalid",
        }
    }
}
