//! What setup finds, or does, at the other side.

/// One field that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupStep {
    /// Its name at the other side.
    pub field: String,
    /// What was found or done, in words.
    pub found: String,
    /// Whether it is as it has to be now.
    pub good: bool,
}

impl SetupStep {
    /// One that was looked at.
    pub fn new(field: &str, found: impl Into<String>, good: bool) -> Self {
        Self { field: field.to_owned(), found: found.into(), good }
    }
}
