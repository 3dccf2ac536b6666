//! What providers of scores by language models have in common: prompts, the shape of an answer, prices, and chains of
//! models.

mod ask;
mod models;
mod price;
mod prompt;
mod shape;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use ask::{Asking, Heard, Unheard, Words, answer, exchange};
pub use models::Model;
pub(crate) use models::Models;
pub use price::Price;
pub use prompt::{PROMPTS, Prompt};
pub(crate) use shape::{json_schema, open_api_schema};

/// Most that a model may answer, in tokens: a score with thirty quotes takes some 1,500.
pub(crate) const OUTPUT_TOKENS_MAX: u32 = 4_096;
