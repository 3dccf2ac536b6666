//! The rubric of `scoring.md`: from what was understood to four numbers of 0 to 25.

use super::area::{Area, Fit};
use super::budget::{Budget, Stance};
use super::people::Authority;
use super::timeline::When;
use leadline_schemas::score::{DecisionMaker, Factors, Timeline, Urgency};

/// Everything the rubric looks at.
pub(super) struct Understanding<'a> {
    pub budget: &'a Budget,
    pub when: &'a When,
    pub area: &'a Area,
    pub authority: &'a Authority,
    /// The trade is known.
    pub project_known: bool,
    /// The trade is offered; `true` when unknown.
    pub offered: bool,
    /// Enough detail to send an estimator.
    pub specific: bool,
    pub reachable: bool,
    pub min_budget: Option<u64>,
}

pub(super) fn factors(seen: &Understanding<'_>) -> Factors {
    Factors {
        budget: budget(seen),
        timeline: timeline(seen),
        scope_area: scope_area(seen),
        authority: authority(seen),
    }
}

fn budget(seen: &Understanding<'_>) -> u8 {
    let top = seen.budget.amount.as_ref().map(|fact| fact.value.top());
    let least = seen.min_budget.unwrap_or(0) as f64;
    let open_ended = seen.budget.amount.as_ref().is_some_and(|fact| fact.value.max.is_none());
    match (seen.budget.stance, top) {
        (Stance::Stated, Some(top)) if top < least && !open_ended => 4,
        (Stance::Stated, _) if seen.budget.refused => 10,
        (Stance::Stated, _) => 24,
        (Stance::Insured, _) => 24,
        (Stance::Ample, _) => 21,
        (Stance::Accepted, _) => 19,
        (Stance::Vague, _) => 16,
        (Stance::Refused, _) => 4,
        (Stance::Withheld, _) => 9,
        (Stance::Unknown | Stance::Silent, _) => 12,
    }
}

fn timeline(seen: &Understanding<'_>) -> u8 {
    let when = seen.when;
    if when.urgency.as_ref().is_some_and(|fact| fact.value == Urgency::Emergency) {
        return 25;
    }
    let plain = match when.timeline.as_ref().map(|fact| fact.value) {
        Some(Timeline::Now0To30Days) => 24,
        Some(Timeline::OneToThreeMonths) => 19,
        Some(Timeline::ThreeToSixMonths) => 12,
        Some(Timeline::SixMonthsPlus) => 5,
        Some(Timeline::Researching) => 4,
        None if when.fixed_date => 19,
        None if when.no_hurry => 8,
        None if when.urgency.is_some() => 18,
        None if seen.authority.appointment.is_some() || seen.authority.ready.is_some() => 14,
        None => 10,
    };
    let hurry_off = if when.no_hurry && plain < 22 { 2 } else { 0 };
    let plain = if when.fixed_date && plain == 19 { 21 } else { plain };
    let conditional = when.conditional && seen.authority.appointment.is_none() && plain < 22;
    if conditional { plain.min(12) } else { plain - hurry_off.min(plain) }
}

fn scope_area(seen: &Understanding<'_>) -> u8 {
    if !seen.offered {
        return 4;
    }
    match (seen.area.fit, seen.project_known, seen.specific) {
        (Fit::Outside, _, _) => 4,
        (Fit::Inside | Fit::Anywhere, true, true) => 24,
        (Fit::Inside | Fit::Anywhere, true, false) => 22,
        (Fit::Inside | Fit::Anywhere, false, _) => 13,
        (Fit::Unknown, true, true) => 17,
        (Fit::Unknown, true, false) => 14,
        (Fit::Unknown, false, _) => 9,
    }
}

fn authority(seen: &Understanding<'_>) -> u8 {
    let who = seen.authority;
    let maker = who.decision_maker.as_ref().map(|fact| fact.value);
    let booked = who.appointment.is_some();
    let offers = who.offers_times.is_some() || who.ready.is_some();
    let owner =
        who.owner.is_some() || matches!(maker, Some(DecisionMaker::Sole | DecisionMaker::BothPresent));
    let put_off = who.declined.is_some();
    let base = match maker {
        _ if who.hostile.is_some() => 2,
        Some(DecisionMaker::RenterLandlord) => 5,
        Some(DecisionMaker::SpouseAbsent) if booked => 18,
        Some(DecisionMaker::SpouseAbsent) => 12,
        _ if who.others.is_some() && booked => 18,
        _ if who.others.is_some() => 12,
        _ if booked => 24,
        _ if offers && !put_off => {
            if owner {
                23
            } else {
                20
            }
        }
        _ if owner => 18,
        _ if put_off && seen.reachable => 13,
        _ if put_off => 11,
        _ if seen.reachable => 14,
        _ => 12,
    };
    if put_off && base > 16 && !booked { base - 1 } else { base }
}
