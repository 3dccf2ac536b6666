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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_is_doubted_once_until_somebody_looks_and_no_flood_takes_more_than_its_room() {
        let doubts = Doubts::default();
        doubts.note("COM1");
        doubts.note("COM1");
        assert_eq!(doubts.take(), ["COM1"]);
        assert_eq!(doubts.take(), [""; 0]);
        (0..COMPANIES_MAX + 10).for_each(|n| doubts.note(&n.to_string()));
        assert_eq!(doubts.take().len(), COMPANIES_MAX);
    }
}
