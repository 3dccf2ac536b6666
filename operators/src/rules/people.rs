//! Who decides, whether a visit is agreed, and how engaged the caller is.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::turns::{Conversation, Line};
use leadline_schemas::score::{Channel, DecisionMaker};

/// Turns after an offered visit within which the caller's agreement counts.
const AGREEMENT_TURNS_MAX: usize = 4;

/// The caller's standing.
#[derive(Debug)]
pub(super) struct Authority {
    pub decision_maker: Option<Fact<DecisionMaker>>,
    pub owner: Option<Place>,
    pub others: Option<Place>,
    pub appointment: Option<Fact<String>>,
    pub offers_times: Option<Place>,
    pub ready: Option<Place>,
    pub declined: Option<Place>,
    pub hostile: Option<Place>,
}

pub(super) fn authority(talk: &Conversation) -> Authority {
    let first = |cue| talk.first_by_caller(cue).map(Place::from);
    let appointment = appointment(talk);
    Authority {
        decision_maker: decision_maker(talk),
        owner: owner(talk),
        others: first(Cue::OthersDecide),
        offers_times: first(Cue::OffersTimes),
        ready: first(Cue::ReadyToBook),
        declined: if appointment.is_some() {
            None
        } else {
            talk.last_by_caller(Cue::Declined).map(Place::from)
        },
        hostile: first(Cue::Hostile),
        appointment,
    }
}

fn decision_maker(talk: &Conversation) -> Option<Fact<DecisionMaker>> {
    let first = |cue| talk.first_by_caller(cue).map(Place::from);
    let last = |cue| talk.last_by_caller(cue).map(Place::from);
    let fact = |value, place: Place| Some(Fact { value, place });
    if let Some(place) = first(Cue::Renter)
        && !talk.caller_has(Cue::NotOwner)
    {
        return fact(DecisionMaker::RenterLandlord, place);
    }
    let absent = last(Cue::SpouseAbsent);
    let sole = first(Cue::Sole);
    let both = last(Cue::BothPresent).or_else(|| answered(talk, &[Cue::DecisionQuestion], true));
    let order = |place: Option<Place>| place.map(|place| (place.line, place.from));
    match (absent, both, sole) {
        (Some(place), both, None) if order(both) <= order(Some(place)) => {
            fact(DecisionMaker::SpouseAbsent, place)
        }
        (_, Some(place), None) => fact(DecisionMaker::BothPresent, place),
        (None, Some(place), Some(_)) => fact(DecisionMaker::BothPresent, place),
        (Some(place), _, Some(sole)) if order(Some(place)) > order(Some(sole)) => {
            fact(DecisionMaker::SpouseAbsent, place)
        }
        (_, _, Some(place)) => fact(DecisionMaker::Sole, place),
        _ => alone(talk),
    }
}

/// "Anyone else involved?" "No." and "I own it" with no partner in sight.
fn alone(talk: &Conversation) -> Option<Fact<DecisionMaker>> {
    let denied = answered(talk, &[Cue::DecisionQuestion], false);
    let owner = owner(talk).filter(|_| !mentions_partner(talk) && !talk.caller_has(Cue::OthersDecide));
    denied.or(owner).map(|place| Fact { value: DecisionMaker::Sole, place })
}

fn mentions_partner(talk: &Conversation) -> bool {
    const PARTNERS: &[&str] = &[
        "husband",
        "wife",
        "spouse",
        "partner",
        "fiance",
        "fiancee",
        "esposo",
        "esposa",
        "marido",
        "girlfriend",
        "boyfriend",
    ];
    talk.caller().any(|(_, line)| {
        line.tokens.norm.split(' ').any(|word| PARTNERS.contains(&word))
            || line.tokens.norm.contains("we own")
            || line.tokens.norm.contains("we do |")
    })
}

/// The caller's plain yes or no to a question of the company.
fn answered(talk: &Conversation, questions: &[Cue], yes: bool) -> Option<Place> {
    talk.agent().filter(|(_, line)| line.has_any(questions)).find_map(|(index, agent)| {
        let (at, answer) = talk.answer_after(index)?;
        let cue = if yes { Cue::Yes } else { Cue::No };
        let hit = *answer.cues(cue).next().filter(|hit| hit.from == 0)?;
        let words = &agent.tokens.norm;
        let both = ["both", "spouse", "husband", "wife", "partner"].iter().any(|word| words.contains(word));
        let asks_else = words.contains("else");
        let fits = if yes { both && !asks_else } else { asks_else };
        fits.then_some(Place::from((at, hit)))
    })
}

/// Says to own the home, or says yes to the question.
fn owner(talk: &Conversation) -> Option<Place> {
    const CLAIMS: &[&str] = &[
        "own",
        "owner",
        "owners",
        "homeowner",
        "homeowners",
        "mine",
        "duena",
        "dueno",
        "propietari",
        "mia",
        "bought",
        "closed",
        "business",
        "duenos",
    ];
    let asked = talk.agent().filter(|(_, line)| line.has(Cue::OwnerQuestion)).find_map(|(index, _)| {
        let (at, answer) = talk.answer_after(index)?;
        let hit = answer.cues(Cue::Yes).next().filter(|hit| hit.from <= 2 && !answer.has(Cue::Renter))?;
        Some(Place::from((at, *hit)))
    });
    let field = talk.caller().find_map(|(index, line)| {
        let label = line.label.as_deref()?;
        let hit = line.cues(Cue::Yes).next()?;
        (label.contains("own") || label.contains("duen") || label.contains("propietari"))
            .then_some(Place::from((index, *hit)))
    });
    let said = talk.caller().find_map(|(index, line)| {
        line.cues(Cue::Owner)
            .find(|hit| {
                let words = line.tokens.words(hit.from..hit.to);
                let before = line.tokens.words(hit.from.saturating_sub(3)..hit.from);
                CLAIMS.iter().any(|claim| words.contains(claim))
                    || words.starts_with("its ")
                    || words.starts_with("it is ")
                    || words.starts_with("es mi")
                    || words.contains("my house") && before.is_empty()
            })
            .map(|hit| Place::from((index, *hit)))
    });
    asked.or(field).or(said)
}

/// A visit that both sides agreed on: offered by one, taken by the other, or confirmed by the company.
fn appointment(talk: &Conversation) -> Option<Fact<String>> {
    if matches!(talk.channel, Channel::Voicemail | Channel::Form) {
        return None;
    }
    let mut agreed: Option<Fact<String>> = None;
    for (index, line) in talk.caller() {
        if takes_visit(talk, index, line) {
            let span = agreement_span(line);
            agreed = window(talk, index).or(Some(Fact::at(String::new(), index, span)));
        } else if agreed.is_some() && line.has(Cue::Declined) && cancels(line) {
            agreed = None;
        }
    }
    agreed.or_else(|| confirmed(talk))
}

/// "Let me think about it" after an agreement takes it back; "let me know when he is on his way" does not.
fn cancels(line: &Line) -> bool {
    ["cancel", "call you back", "think about", "hold off", "changed my mind", "get back to you"]
        .iter()
        .any(|words| line.tokens.norm.contains(words))
}

fn agreement_span(line: &Line) -> std::ops::Range<usize> {
    line.first_of(&[Cue::Agreed, Cue::Yes]).map_or(0..line.word_count().min(6), |hit| hit.from..hit.to)
}

fn takes_visit(talk: &Conversation, index: usize, line: &Line) -> bool {
    let Some(agent) = talk.asked_before(index) else { return false };
    let earlier = (index.saturating_sub(AGREEMENT_TURNS_MAX)..index)
        .filter_map(|at| talk.line(at))
        .any(|line| line.by_agent() && line.has(Cue::AppointmentOffer));
    let dated_offer = has_time(agent) && (agent.has(Cue::AppointmentOffer) || earlier || short_offer(agent));
    let offered = agent.has(Cue::AppointmentOffer) || dated_offer;
    if !offered || line.has(Cue::Declined) && !starts_with_yes(line) || refuses(line) {
        return false;
    }
    let said_yes = starts_with_yes(line) || line.has(Cue::Agreed);
    match (has_time(agent), has_time(line)) {
        (true, _) if said_yes => true,
        (true, true) => !line.tokens.questions.last().copied().unwrap_or(false),
        (false, true) => said_yes && agent.has(Cue::AppointmentOffer),
        _ => false,
    }
}

fn refuses(line: &Line) -> bool {
    line.cues(Cue::No).any(|hit| hit.from == 0) && !line.has(Cue::Agreed)
        || line.tokens.norm.contains("could we do")
        || line.tokens.norm.contains("have to be there though")
        || line.has(Cue::SpouseAbsent) && !starts_with_yes(line)
        || ["maybe ", "possibly", "i guess maybe", "probably not"]
            .iter()
            .any(|word| line.tokens.norm.starts_with(word))
}

/// "Tomorrow at 3?"
fn short_offer(line: &Line) -> bool {
    line.word_count() <= 9
}

fn starts_with_yes(line: &Line) -> bool {
    line.cues(Cue::Yes).any(|hit| hit.from <= 1)
}

/// The company's own confirmation stands for the caller's yes ("got you down for Thursday at nine").
fn confirmed(talk: &Conversation) -> Option<Fact<String>> {
    talk.agent()
        .filter(|(index, line)| {
            line.has(Cue::AppointmentConfirmed)
                && has_time(line)
                && *index > 0
                && !talk
                    .answer_after(*index)
                    .is_some_and(|(_, answer)| refuses(answer) || answer.has(Cue::Declined))
        })
        .last()
        .map(|(index, line)| {
            let span = line.first_of(&[Cue::AppointmentConfirmed]).map_or(0..1, |hit| hit.from..hit.to);
            window(talk, index).unwrap_or(Fact::at(String::new(), index, span))
        })
}

const DAYS: &[&str] = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "tomorrow",
    "today",
    "mondays",
    "tonight",
    "lunes",
    "martes",
    "miercoles",
    "jueves",
    "viernes",
    "sabado",
    "domingo",
    "manana",
    "hoy",
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "weekend",
];
const HOURS: &[&str] = &[
    "noon",
    "oclock",
    "am",
    "pm",
    "morning",
    "afternoon",
    "evening",
    "mediodia",
    "tarde",
    "midday",
    "lunchtime",
];

fn is_day(word: &str) -> bool {
    DAYS.contains(&word)
}

fn is_hour(line: &Line, at: usize) -> bool {
    let word = line.tokens.word(at);
    let previous = at.checked_sub(1).map_or("", |at| line.tokens.word(at));
    let digits = word.trim_end_matches("am").trim_end_matches("pm");
    let clock = digits.contains(':') && digits.chars().all(|c| c.is_ascii_digit() || c == ':');
    let small = line.numbers.iter().any(|n| n.from == at && !n.money && n.value >= 1.0 && n.value <= 12.0);
    let suffixed = digits.len() < word.len() && digits.parse::<u8>().is_ok();
    let lead =
        matches!(previous, "at" | "by" | "around" | "las" | "after" | "before" | "until" | "say" | "between")
            || is_day(previous);
    HOURS.contains(&word) || clock || suffixed || small && lead
}

/// Whether a line names a day or an hour, or a span such as "within two hours".
fn has_time(line: &Line) -> bool {
    (0..line.tokens.list.len()).any(|at| is_day(line.tokens.word(at)) || is_hour(line, at))
        || line.tokens.norm.contains("hours")
        || line.tokens.norm.contains("right over")
        || line.tokens.norm.contains("next week")
        || line.tokens.norm.contains("on the 1")
        || line.tokens.norm.contains("on the 2")
        || line.tokens.norm.contains("on the 3")
}

/// The day and hour, from the caller's line or the nearest ones before and after it.
fn window(talk: &Conversation, index: usize) -> Option<Fact<String>> {
    let order =
        [Some(index), index.checked_sub(1), Some(index + 1), index.checked_sub(2), index.checked_sub(3)];
    let mut hour_only = None;
    for at in order.into_iter().flatten() {
        let Some(line) = talk.line(at) else { continue };
        if let Some((span, has_day)) = time_span(line) {
            let text = line.tokens.raw_range(span.clone()).and_then(|range| line.raw.get(range));
            let fact = Fact::at(text.unwrap_or("").to_owned(), at, span);
            if has_day {
                return Some(fact);
            }
            hour_only.get_or_insert(fact);
        }
    }
    hour_only
}

/// The words of a day and an hour that stand together.
fn time_span(line: &Line) -> Option<(std::ops::Range<usize>, bool)> {
    let is_time = |at: usize| is_day(line.tokens.word(at)) || is_hour(line, at);
    let first = (0..line.tokens.list.len())
        .find(|at| is_day(line.tokens.word(*at)))
        .or_else(|| (0..line.tokens.list.len()).find(|at| is_time(*at)))?;
    let mut end = first + 1;
    let mut at = end;
    while at < line.tokens.list.len() && at <= end + 2 {
        if is_time(at) {
            end = at + 1;
        }
        at += 1;
    }
    Some((first..end, is_day(line.tokens.word(first))))
}
