//! Doubts: companies whose signatures were refused, for whoever can ask CallRail whether the key is another now.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Companies that are kept between two looks; beyond it the rest has its turn with the next bad signature.
const COMPANIES_MAX: usize = 1_000;

/// The companies of refused signatures since somebody last looked. Anybody can name a company that is known, so this only
/// says where it is worth asking.
#[derive(Debug, Default)]
pub struct Doubts(Mutex<BTreeSet<String>>);

impl Doubts {
    /// A signature of this company, which is known, was refused.
    pub(super) fn note(&self, company_id: &str) {
        let mut companies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if companies.len() < COMPANIES_MAX && !companies.contains(company_id) {
            companies.insert(company_id.to_owned());
        }
    }

    /// The companies since the last look.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}
