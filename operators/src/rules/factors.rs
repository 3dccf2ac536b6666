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
    /// Gave a number or an address.
    pub reachable: bool,
    /// Told budget and time without being asked.
    pub answered: bool,
    /// Asks to be called or texted back, without saying where.
    pub wants_answer: bool,
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
    let amount = seen.budget.amount.as_ref().map(|fact| &fact.value);
    let least = seen.min_budget.unwrap_or(0) as f64;
    let below = amount.is_some_and(|amount| amount.top() < least && amount.max.is_some());
    let points = match seen.budget.stance {
        Stance::Stated if below => 4,
        Stance::Stated if seen.budget.refused => 10,
        Stance::Stated | Stance::Insured => 24,
        Stance::Ample => 21,
        Stance::Accepted => 19,
        Stance::Vague => 15,
        Stance::Unknown | Stance::Silent => 12,
        Stance::Withheld => 9,
        Stance::Refused | Stance::Lacking => 4,
    };
    if gone(seen) { points.min(8) } else { points }
}

fn timeline(seen: &Understanding<'_>) -> u8 {
    let when = seen.when;
    if when.urgency.as_ref().is_some_and(|fact| fact.value == Urgency::Emergency) {
        return 25;
    }
    let pressing = when.urgency.as_ref().is_some_and(|fact| fact.value == Urgency::Urgent);
    let plain = match when.timeline.as_ref().map(|fact| fact.value) {
        Some(Timeline::Now0To30Days) => 24,
        Some(Timeline::OneToThreeMonths) if when.fixed_date => 21,
        Some(Timeline::OneToThreeMonths) => 19,
        Some(Timeline::ThreeToSixMonths) => 13,
        Some(Timeline::SixMonthsPlus) => 5,
        Some(Timeline::Researching) => 4,
        None if pressing => 19,
        None if seen.authority.ready.is_some() && seen.authority.appointment.is_some() => 20,
        None if when.fixed_date && seen.authority.appointment.is_some() => 19,
        None if when.fixed_date || seen.authority.ready.is_some() => 17,
        None if when.no_hurry => 8,
        None if seen.authority.appointment.is_some() => 18,
        None if seen.authority.offers_times.is_some() => 12,
        None => 10,
    };
    let booked = seen.authority.appointment.is_some();
    let plain = if when.conditional && !booked && plain < 22 { plain.min(11) } else { plain };
    let plain = if when.no_hurry && (9..22).contains(&plain) { plain - 2 } else { plain };
    if gone(seen) { plain.min(4) } else { plain }
}

/// Has decided against it, or wants to be left alone.
fn gone(seen: &Understanding<'_>) -> bool {
    seen.authority.withdrawn.is_some() || seen.authority.hostile.is_some()
}

fn scope_area(seen: &Understanding<'_>) -> u8 {
    if !seen.offered {
        return 4;
    }
    match (seen.area.fit, seen.project_known, seen.specific) {
        (Fit::Outside, _, _) => 4,
        (Fit::Inside | Fit::Anywhere, true, true) => 24,
        (Fit::Inside | Fit::Anywhere, true, false) => 22,
        (Fit::Inside | Fit::Anywhere, false, _) => 14,
        (Fit::Unknown, true, true) => 19,
        (Fit::Unknown, true, false) => 16,
        (Fit::Unknown, false, _) => 10,
    }
}

fn authority(seen: &Understanding<'_>) -> u8 {
    let who = seen.authority;
    let maker = who.decision_maker.as_ref().map(|fact| fact.value);
    let booked = who.appointment.is_some();
    let offers = who.offers_times.is_some() || who.ready.is_some();
    let decides = matches!(maker, Some(DecisionMaker::Sole | DecisionMaker::BothPresent));
    let owner = who.owner.is_some() || decides;
    let put_off = who.declined.is_some();
    match maker {
        _ if who.hostile.is_some() => 2,
        _ if who.withdrawn.is_some() => 6,
        Some(DecisionMaker::RenterLandlord) => 5,
        Some(DecisionMaker::SpouseAbsent) if booked => 18,
        Some(DecisionMaker::SpouseAbsent) if seen.reachable => 13,
        Some(DecisionMaker::SpouseAbsent) => 11,
        _ if who.others.is_some() && booked => 18,
        _ if who.others.is_some() => 12,
        _ if booked && owner => 25,
        _ if booked => 24,
        _ if offers && !put_off && owner => 22,
        _ if offers && !put_off => 20,
        _ if owner && put_off => 17,
        _ if owner => 18,
        _ if put_off && (seen.reachable || seen.wants_answer) => 14,
        _ if put_off => 11,
        _ if seen.reachable && seen.answered => 18,
        _ if seen.reachable => 16,
        _ if seen.wants_answer => 14,
        _ => 12,
    }
}
