//! Why a contact has its score, in sentences for a salesperson.

use super::area::Fit;
use super::budget::Stance;
use super::factors::Understanding;
use leadline_schemas::score::{Class, DecisionMaker, ProjectType, Timeline, Urgency};

pub(super) fn not_a_lead(class: Class) -> &'static str {
    match class {
        Class::Lead => "A lead.",
        Class::Spam => "Not a lead: automated or mass contact.",
        Class::JobSeeker => "Not a lead: asks about work at the company.",
        Class::Vendor => "Not a lead: sells to the company.",
        Class::WrongNumber => "Not a lead: wanted another number.",
        Class::ExistingCustomer => "Not a new lead: about work already sold.",
        Class::OutOfArea => "The property is outside the service area.",
        Class::NoConversation => "Nothing tells what the contact wants.",
    }
}

pub(super) fn reasons(seen: &Understanding<'_>, project: Option<ProjectType>) -> Vec<String> {
    let mut reasons = Vec::new();
    let named = project.map_or("project".to_owned(), |project| project.as_str().replace('_', " "));
    if !seen.offered {
        reasons.push(format!("Wants {named} work, which the company does not offer."));
    }
    reasons.push(budget(seen));
    reasons.push(timeline(seen).to_owned());
    reasons.push(area(seen.area.fit, &named));
    reasons.push(authority(seen).to_owned());
    reasons
}

fn budget(seen: &Understanding<'_>) -> String {
    let Some(amount) = seen.budget.amount.as_ref().map(|fact| &fact.value) else {
        return match seen.budget.stance {
            Stance::Accepted => "Accepts the price the company named.",
            Stance::Refused => "Turned the price down.",
            Stance::Withheld => "Would not say a budget.",
            Stance::Ample => "Has the money or says it is no obstacle.",
            Stance::Insured => "Insurance approved the claim.",
            Stance::Lacking => "Has no money for it now.",
            Stance::Vague => "No budget, but a way to pay was raised.",
            Stance::Unknown => "Has no budget in mind yet.",
            Stance::Silent | Stance::Stated => "Budget not discussed.",
        }
        .to_owned();
    };
    let range = match (amount.min, amount.max) {
        (Some(low), Some(high)) if (low - high).abs() < 1.0 => format!("about {high:.0}"),
        (Some(low), Some(high)) => format!("{low:.0} to {high:.0}"),
        (None, Some(high)) => format!("at most {high:.0}"),
        (Some(low), None) => format!("at least {low:.0}"),
        (None, None) => "unclear".to_owned(),
    };
    match seen.min_budget {
        Some(least) if amount.max.is_some() && amount.top() < least as f64 => {
            format!("Budget {range}, below the minimum of {least}.")
        }
        _ => format!("Budget {range}."),
    }
}

fn timeline(seen: &Understanding<'_>) -> &'static str {
    if seen.when.urgency.as_ref().is_some_and(|fact| fact.value == Urgency::Emergency) {
        return "Emergency: needs help now.";
    }
    match seen.when.timeline.as_ref().map(|fact| fact.value) {
        Some(Timeline::Now0To30Days) => "Wants to start within a month.",
        Some(Timeline::OneToThreeMonths) => "Wants to start in one to three months.",
        Some(Timeline::ThreeToSixMonths) => "Wants to start in three to six months.",
        Some(Timeline::SixMonthsPlus) => "More than half a year out.",
        Some(Timeline::Researching) => "Only looking for now.",
        None => "No start date said.",
    }
}

fn area(fit: Fit, named: &str) -> String {
    match fit {
        Fit::Inside => format!("The {named} is in the service area."),
        Fit::Outside => "The property is outside the service area.".to_owned(),
        Fit::Anywhere => format!("Asks about {named}."),
        Fit::Unknown => format!("Asks about {named}; location not said."),
    }
}

fn authority(seen: &Understanding<'_>) -> &'static str {
    let who = seen.authority;
    let maker = who.decision_maker.as_ref().map(|fact| fact.value);
    match maker {
        _ if who.hostile.is_some() => "Does not want to be contacted.",
        _ if who.withdrawn.is_some() => "Has decided against it.",
        Some(DecisionMaker::RenterLandlord) => "Rents; the landlord decides.",
        Some(DecisionMaker::SpouseAbsent) => "Has to ask somebody else first.",
        _ if who.appointment.is_some() => "Agreed to a visit.",
        _ if who.others.is_some() => "Others decide.",
        Some(DecisionMaker::BothPresent) => "Both partners are involved; no visit agreed yet.",
        Some(DecisionMaker::Sole) => "Decides alone; no visit agreed yet.",
        None => "No visit agreed yet.",
    }
}
