//! A chain of models: the first that is there is asked. Vendors retire models, so one that is gone is an alert and no
//! outage.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Price;

/// How long a model that was gone is left alone: a deployment that was renamed comes back, a retired model does not.
const GONE_FOR: Duration = Duration::from_secs(3_600);

/// A model and its prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// As the vendor names it.
    pub name: String,
    /// What its tokens cost.
    pub price: Price,
}

/// The chain, and since when which of them are gone.
#[derive(Debug)]
pub(crate) struct Models {
    chain: Vec<Model>,
    gone: Mutex<Vec<Option<Instant>>>,
}

impl Models {
    pub(crate) fn new(chain: Vec<Model>) -> Self {
        let gone = Mutex::new(vec![None; chain.len()]);
        Self { chain, gone }
    }

    /// Those to ask, in order. When all are gone all are asked again: an answer may tell better than a memory.
    pub(crate) fn to_ask(&self, now: Instant) -> Vec<(usize, &Model)> {
        let gone = self.gone.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_there = |at: &usize| {
            let since = gone.get(*at).copied().flatten();
            since.is_none_or(|since| now.saturating_duration_since(since) >= GONE_FOR)
        };
        let there: Vec<_> = self.chain.iter().enumerate().filter(|(at, _)| is_there(at)).collect();
        if there.is_empty() { self.chain.iter().enumerate().collect() } else { there }
    }

    /// The vendor does not have it. Answers whether that is news.
    pub(crate) fn is_gone(&self, at: usize, now: Instant) -> bool {
        let mut gone = self.gone.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(since) = gone.get_mut(at) else { return false };
        let is_news = since.is_none_or(|since| now.saturating_duration_since(since) >= GONE_FOR);
        *since = Some(now);
        is_news
    }

    /// It has answered.
    pub(crate) fn is_there(&self, at: usize) {
        let mut gone = self.gone.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(since) = gone.get_mut(at) {
            *since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_gone_is_left_alone_for_a_while_and_told_of_once() {
        let model = |name: &str| Model { name: name.to_owned(), price: Price::default() };
        let models = Models::new(vec![model("a"), model("b")]);
        let start = Instant::now();
        let names = |at: Instant| -> Vec<String> {
            models.to_ask(at).into_iter().map(|(_, model)| model.name.clone()).collect()
        };
        assert_eq!(names(start), ["a", "b"]);
        assert!(models.is_gone(0, start) && !models.is_gone(0, start), "it is news once");
        assert_eq!(names(start), ["b"]);
        assert_eq!(names(start + GONE_FOR), ["a", "b"]);
        models.is_gone(1, start);
        assert_eq!(names(start), ["a", "b"], "with none left all are asked again");
        models.is_there(0);
        assert_eq!(names(start), ["a"]);
    }
}
