//! A trial: scores of another prompt or service beside those that contacts have, and how far they agree.

use std::collections::BTreeMap;

use leadline_schemas::score::Band;
use serde::{Deserialize, Serialize};

/// A contact in a trial: a row of the shadow table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// The score that it has.
    pub before: Judgement,
    /// The trial's, or none where it gave none.
    pub after: Option<Judgement>,
    /// Why there is none.
    pub why: Option<String>,
    /// Who answered.
    pub model: Option<String>,
    /// What it cost, in millionths.
    pub cost_micros: i64,
}

/// A score as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// 0 to 100.
    pub score: i32,
    /// Its band.
    pub band: String,
    /// The class.
    pub class: String,
    /// Whose prompt or rules it was.
    pub version: String,
    /// Why, for a person.
    pub reasons: Vec<String>,
}

/// How far a trial agrees with what was.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Agreement {
    /// Contacts that have both scores.
    pub compared: u64,
    /// Contacts that the trial gave no score.
    pub failed: u64,
    /// Of those compared: in the same band.
    pub same_band: u64,
    /// Of the same class.
    pub same_class: u64,
    /// How far scores lie apart on average.
    pub mean_distance: f64,
    /// From which band to which, and how many.
    pub moves: BTreeMap<String, u64>,
    /// What the trial cost, in millionths.
    pub cost_micros: i64,
    /// The most telling differences, first those of class, then of band.
    pub differences: Vec<Difference>,
}

/// A contact that a trial sees otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The call, text or form.
    pub call_id: String,
    /// As it was scored.
    pub before: Judgement,
    /// As the trial scores it.
    pub after: Judgement,
}

/// The agreement of these contacts, with so many differences.
pub fn agreement(tried: impl IntoIterator<Item = (String, Tried)>, differences_max: usize) -> Agreement {
    let mut report = Agreement::default();
    let mut distance = 0_u64;
    for (call_id, one) in tried {
        report.cost_micros = report.cost_micros.saturating_add(one.cost_micros);
        let Some(after) = one.after else {
            report.failed += 1;
            continue;
        };
        let before = one.before;
        report.compared += 1;
        distance += u64::from(before.score.abs_diff(after.score));
        report.same_class += u64::from(before.class == after.class);
        if before.band == after.band {
            report.same_band += 1;
        } else {
            *report.moves.entry(format!("{} -> {}", before.band, after.band)).or_default() += 1;
        }
        if before.class != after.class || before.score != after.score {
            report.differences.push(Difference { call_id, before, after });
        }
    }
    if report.compared > 0 {
        report.mean_distance = distance as f64 / report.compared as f64;
    }
    report
        .differences
        .sort_by(|one, other| weight(other).cmp(&weight(one)).then(one.call_id.cmp(&other.call_id)));
    report.differences.truncate(differences_max);
    report
}

/// How telling a difference is: who is a lead at all, who is called first, and by how much.
fn weight(difference: &Difference) -> (bool, u8, u32) {
    let Difference { before, after, .. } = difference;
    let is_lead = |judgement: &Judgement| judgement.class == "lead";
    let rank = |band: &str| Band::parse(band).map_or(0, |band| band as u8);
    (
        is_lead(before) != is_lead(after),
        rank(&before.band).abs_diff(rank(&after.band)),
        before.score.abs_diff(after.score),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(score: i32, class: &str) -> Judgement {
        Judgement {
            score,
            band: Band::of(score as u8).as_str().to_owned(),
            class: class.to_owned(),
            version: "v1".to_owned(),
            reasons: Vec::new(),
        }
    }

    fn tried(call_id: &str, before: (i32, &str), after: Option<(i32, &str)>) -> (String, Tried) {
        let tried = Tried {
            before: judgement(before.0, before.1),
            after: after.map(|(score, class)| judgement(score, class)),
            why: after.is_none().then(|| "cut".to_owned()),
            model: None,
            cost_micros: 10,
        };
        (call_id.to_owned(), tried)
    }

    #[test]
    fn agreement_counts_bands_classes_and_cost_and_names_the_most_telling() {
        let all = [
            tried("same", (85, "lead"), Some((85, "lead"))),
            tried("near", (85, "lead"), Some((81, "lead"))),
            tried("band", (85, "lead"), Some((79, "lead"))),
            tried("far", (85, "lead"), Some((20, "lead"))),
            tried("class", (45, "lead"), Some((39, "vendor"))),
            tried("failed", (45, "lead"), None),
        ];
        let report = agreement(all, 3);
        assert_eq!((report.compared, report.failed, report.same_band, report.same_class), (5, 1, 2, 4));
        assert_eq!(report.mean_distance, (4 + 6 + 65 + 6) as f64 / 5.0);
        assert_eq!(report.cost_micros, 60, "what gave no score is paid for too");
        let moves: Vec<_> = report.moves.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(moves, [("hot -> cold", 1), ("hot -> warm", 1), ("nurture -> cold", 1)]);
        let named: Vec<_> = report.differences.iter().map(|one| one.call_id.as_str()).collect();
        assert_eq!(named, ["class", "far", "band"]);
        assert_eq!(agreement([], 3), Agreement::default());
    }
}
