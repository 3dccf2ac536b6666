//! Calibration: whether higher scores are better leads, by what the company says of them.

use leadline_schemas::lead::Lead;
use leadline_schemas::score::Band;
use serde::Serialize;

/// How a tenant's scores have done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Calibration {
    /// By band, hot first.
    pub bands: Vec<BandOutcome>,
    /// By tens of the score, 0 to 9 first.
    pub tens: Vec<TenOutcome>,
    /// Of a good and a bad lead taken at random: how often the good one has the higher score. 0.5 = scores say nothing. None
    /// without both.
    pub ordering: Option<f64>,
}

/// What became of leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// All.
    pub leads: u64,
    /// Those that the company has said something of.
    pub told: u64,
    /// Good ones among them.
    pub good: u64,
    /// Those that something was sold to.
    pub sold: u64,
    /// What was sold, in millionths of the currency.
    pub sold_micros: i64,
    /// Good ones of those told; none without any.
    pub good_rate: Option<f64>,
}

/// A band and what became of its leads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BandOutcome {
    /// The band.
    pub band: String,
    /// Its leads.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Ten scores and what became of their leads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TenOutcome {
    /// The lowest of them.
    pub from: u8,
    /// Their leads.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Outcome {
    fn add(&mut self, lead: &Lead) {
        self.leads += 1;
        let Some(said) = &lead.feedback else { return };
        self.told += 1;
        self.good += u64::from(said.good);
        let sold_micros = said.sold_micros.unwrap_or(0).max(0);
        self.sold += u64::from(sold_micros > 0);
        self.sold_micros = self.sold_micros.saturating_add(sold_micros);
        self.good_rate = Some(self.good as f64 / self.told as f64);
    }
}

/// The report of these leads.
pub fn calibration<'a>(leads: impl IntoIterator<Item = &'a Lead>) -> Calibration {
    let order = [Band::Hot, Band::Warm, Band::Nurture, Band::Cold];
    let mut report = Calibration {
        bands: order
            .iter()
            .map(|band| BandOutcome { band: band.as_str().to_owned(), outcome: Outcome::default() })
            .collect(),
        tens: (0..10).map(|ten| TenOutcome { from: ten * 10, outcome: Outcome::default() }).collect(),
        ordering: None,
    };
    let (mut good, mut bad) = ([0_u64; 101], [0_u64; 101]);
    for lead in leads {
        let score = usize::try_from(lead.score.clamp(0, 100)).unwrap_or(0);
        if let Some(row) = report.bands.iter_mut().find(|row| row.band == lead.band) {
            row.outcome.add(lead);
        }
        if let Some(row) = report.tens.get_mut((score / 10).min(9)) {
            row.outcome.add(lead);
        }
        if let Some(said) = &lead.feedback {
            let counts = if said.good { &mut good } else { &mut bad };
            if let Some(count) = counts.get_mut(score) {
                *count += 1;
            }
        }
    }
    report.ordering = ordering(&good, &bad);
    report
}

/// The share of pairs in which the good one is higher; equal ones count half.
fn ordering(good: &[u64], bad: &[u64]) -> Option<f64> {
    let pairs = good.iter().sum::<u64>() as f64 * bad.iter().sum::<u64>() as f64;
    let (mut below, mut right) = (0.0, 0.0);
    for (good, bad) in good.iter().zip(bad) {
        right += *good as f64 * (below + *bad as f64 / 2.0);
        below += *bad as f64;
    }
    (pairs > 0.0).then(|| right / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leadline_schemas::Millis;
    use leadline_schemas::call::Channel;
    use leadline_schemas::event::Attribution;
    use leadline_schemas::lead::Feedback;
    use leadline_schemas::{LeadId, TenantId};

    fn lead(score: i32, said: Option<(bool, i64)>) -> Lead {
        Lead {
            score,
            band: Band::of(score as u8).as_str().to_owned(),
            feedback: said.map(|(good, sold)| Feedback {
                good,
                sold_micros: (sold > 0).then_some(sold),
                note: None,
                at: Millis(1),
            }),
            tenant: TenantId::new("summit").unwrap(),
            lead_id: LeadId::of(&[b"lead"]),
            caller: "+13035550142".to_owned(),
            name: None,
            phone: None,
            email: None,
            city: None,
            status: "open".to_owned(),
            class: "lead".to_owned(),
            project_type: None,
            detail: "{}".to_owned(),
            scored_by: None,
            first_channel: Channel::Call,
            attribution: Attribution::default(),
            contact_ids: Vec::new(),
            contacted: false,
            opened_at: Millis(1),
            last_contact_at: Millis(1),
            contacted_at: None,
            updated_at: Millis(1),
            revision: 1,
        }
    }

    #[test]
    fn bands_are_measured_by_what_the_company_says() {
        let leads = [
            lead(90, Some((true, 5_000_000))),
            lead(85, Some((true, 0))),
            lead(82, Some((false, 0))),
            lead(81, None),
            lead(65, Some((true, 0))),
            lead(100, None),
            lead(10, Some((false, 0))),
            lead(10, Some((false, 0))),
        ];
        let report = calibration(&leads);
        let hot = &report.bands[0];
        assert_eq!(
            (hot.band.as_str(), hot.outcome.leads, hot.outcome.told, hot.outcome.good),
            ("hot", 5, 3, 2)
        );
        assert_eq!((hot.outcome.sold, hot.outcome.sold_micros), (1, 5_000_000));
        assert_eq!(report.bands[3].outcome.good_rate, Some(0.0));
        assert_eq!(report.bands[2].outcome.good_rate, None, "nobody has said anything of nurture");
        assert_eq!(
            (report.tens[9].outcome.leads, report.tens[8].outcome.leads, report.tens[1].outcome.leads),
            (2, 3, 2)
        );
        // Pairs of good (90, 85, 65) and bad (82, 10, 10): all right but 65 before 82.
        assert_eq!(report.ordering, Some(8.0 / 9.0));
    }

    #[test]
    fn equal_scores_say_nothing_and_one_side_alone_is_no_measure() {
        assert_eq!(calibration(&[lead(50, Some((true, 0))), lead(50, Some((false, 0)))]).ordering, Some(0.5));
        assert_eq!(calibration(&[lead(50, Some((true, 0)))]).ordering, None);
        assert_eq!(calibration(&[]).ordering, None);
    }
}
