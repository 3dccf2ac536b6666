//! When the work should start, and how pressing it is.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::turns::{Conversation, Line};
use leadline_schemas::score::{Timeline, Urgency};

/// Days per unit of time.
const UNITS: &[(&str, f64)] = &[
    ("day", 1.0),
    ("days", 1.0),
    ("dias", 1.0),
    ("week", 7.0),
    ("weeks", 7.0),
    ("semana", 7.0),
    ("semanas", 7.0),
    ("month", 30.0),
    ("months", 30.0),
    ("mo", 30.0),
    ("mos", 30.0),
    ("mes", 30.0),
    ("meses", 30.0),
    ("year", 365.0),
    ("years", 365.0),
    ("ano", 365.0),
    ("anos", 365.0),
];
/// Ends of the buckets, in days, with a little room: "about a month", "three months".
const NOW_DAYS_MAX: f64 = 31.0;
const THREE_MONTHS_DAYS_MAX: f64 = 92.0;
const SIX_MONTHS_DAYS_MAX: f64 = 184.0;
/// Words before a duration that point it into the past or make it a length.
const NOT_AHEAD: &[&str] =
    &["for", "last", "past", "lasts", "took", "takes", "taking", "every", "over the last", "about every"];
/// Words after a duration that do the same.
const NOT_AHEAD_AFTER: &[&str] = &[
    "ago",
    "old",
    "experience",
    "of",
    "warranty",
    "interest",
    "now",
    "job",
    "project",
    "back",
    "vieja",
    "viejo",
    "already",
    "since",
    "later",
];

const PHRASES: &[(Cue, Timeline)] = &[
    (Cue::Now, Timeline::Now0To30Days),
    (Cue::OneToThreeMonths, Timeline::OneToThreeMonths),
    (Cue::ThreeToSixMonths, Timeline::ThreeToSixMonths),
    (Cue::SixMonthsPlus, Timeline::SixMonthsPlus),
    (Cue::Researching, Timeline::Researching),
];

/// What the caller said about time.
#[derive(Debug)]
pub(super) struct When {
    pub timeline: Option<Fact<Timeline>>,
    pub urgency: Option<Fact<Urgency>>,
    pub no_hurry: bool,
    pub conditional: bool,
    pub fixed_date: bool,
}

pub(super) fn when(talk: &Conversation) -> When {
    let emergency = emergency(talk);
    let mut timeline = stated(talk);
    if let Some(place) = emergency
        && timeline.as_ref().is_none_or(|fact| fact.value == Timeline::Researching)
    {
        timeline = Some(Fact { value: Timeline::Now0To30Days, place });
    }
    let urgency = urgency(talk, emergency, timeline.as_ref());
    When {
        timeline,
        urgency,
        no_hurry: talk.caller_has(Cue::NoHurry),
        conditional: talk.caller_has(Cue::Conditional),
        fixed_date: talk.caller_has(Cue::FixedDate),
    }
}

/// The last time said, where an answer to "when" outranks a time in passing.
fn stated(talk: &Conversation) -> Option<Fact<Timeline>> {
    let mut best: Option<(u8, Fact<Timeline>)> = None;
    for (index, line) in talk.caller() {
        let before = talk.asked_before(index);
        let visit =
            before.is_some_and(|line| line.has(Cue::AppointmentOffer) && !line.has(Cue::TimeQuestion));
        let field = line.label.as_deref();
        let time_field = field.is_some_and(|label| {
            ["time", "when", "start", "soon", "date", "cuando", "fecha", "urgen"]
                .iter()
                .any(|word| label.contains(word))
        });
        if field.is_some() && !time_field && !super::budget::is_message_field(field) {
            continue;
        }
        let asked = time_field || before.is_some_and(|line| line.has(Cue::TimeQuestion));
        for fact in times(index, line, visit) {
            let rank = match fact.value {
                Timeline::Researching => 1,
                _ if asked => 3,
                _ => 2,
            };
            // "This summer, in two, three months": the figure is the more exact one.
            if best.as_ref().is_none_or(|(other, _)| rank >= *other) {
                best = Some((rank, fact));
            }
        }
    }
    best.map(|(_, fact)| fact).or_else(|| read_back(talk))
}

/// The company says the time and the caller agrees.
fn read_back(talk: &Conversation) -> Option<Fact<Timeline>> {
    talk.agent().filter(|(_, line)| !line.has(Cue::AppointmentOffer)).find_map(|(index, line)| {
        let asks = line.has(Cue::TimeQuestion) || line.tokens.questions.last() == Some(&true);
        let (_, answer) = talk.answer_after(index)?;
        let agreed = answer.cues(Cue::Yes).next().is_some_and(|hit| hit.from <= 1);
        let fact = times(index, line, false).into_iter().find(|fact| fact.value != Timeline::Researching)?;
        (asks && agreed).then_some(fact)
    })
}

fn times(index: usize, line: &Line, visit: bool) -> Vec<Fact<Timeline>> {
    let mut found: Vec<Fact<Timeline>> = durations(index, line);
    let exact = |sentence: usize, found: &[Fact<Timeline>]| {
        found.iter().any(|fact| line.tokens.sentence(fact.place.from) == sentence)
    };
    let durations = found.clone();
    for (cue, value) in PHRASES {
        for hit in line.cues(*cue) {
            let sentence = line.tokens.sentence(hit.from);
            let negated = negated(line, hit.from);
            let inside = durations.iter().any(|fact| hit.from < fact.place.to && fact.place.from < hit.to);
            let softened = *value == Timeline::Researching && exact(sentence, &durations);
            // A weekday or "tomorrow" in answer to an offered visit dates the visit, not the work.
            if negated || inside || softened || visit && *value == Timeline::Now0To30Days {
                continue;
            }
            if *cue == Cue::Now && visit_day(line, hit.from) {
                continue;
            }
            found.push(Fact::at(*value, index, hit.from..hit.to));
        }
    }
    found.sort_by_key(|fact| (fact.place.to, fact.place.from));
    found
}

/// "Tomorrow at ten", "call me next week": a day for a visit or a call.
fn visit_day(line: &Line, at: usize) -> bool {
    let after = line.tokens.words(at..(at + 4).min(line.tokens.list.len()));
    let before = line.tokens.words(at.saturating_sub(4)..at);
    ["tomorrow", "today", "this week", "next week"].iter().any(|day| after.starts_with(day))
        && (after.contains(" at ")
            || after.contains(" is ")
            || after.contains("works")
            || before.contains("call")
            || before.contains("text")
            || before.contains("email")
            || before.contains("see you"))
}

fn negated(line: &Line, at: usize) -> bool {
    let sentence = line.tokens.sentence(at);
    line.cues(Cue::Negator)
        .any(|hit| hit.to <= at && at <= hit.to + 2 && line.tokens.sentence(hit.from) == sentence)
        && !line.tokens.words(at.saturating_sub(2)..at).contains("if not")
}

/// "in two to three months", "four to five weeks", "six weeks or so".
fn durations(index: usize, line: &Line) -> Vec<Fact<Timeline>> {
    let tokens = &line.tokens;
    let mut found = Vec::new();
    for (place, number) in line.numbers.iter().enumerate() {
        let Some((_, days)) = UNITS.iter().find(|(name, _)| *name == tokens.word(number.to)) else {
            continue;
        };
        let mut from = number.from;
        let mut low = number.value;
        if let Some(first) = place.checked_sub(1).and_then(|at| line.numbers.get(at))
            && first.to + 2 >= number.from
            && first.value < number.value
            && (first.to..number.from)
                .all(|at| matches!(tokens.word(at), "-" | "to" | "or" | "a" | "o" | "maybe"))
        {
            (from, low) = (first.from, first.value);
        }
        let before = tokens.words(from.saturating_sub(2)..from);
        let after = tokens.word(number.to + 1);
        let past = NOT_AHEAD.iter().any(|word| before.split(' ').next_back() == Some(word))
            || NOT_AHEAD_AFTER.contains(&after)
            || line.near(Cue::Past, &(from..number.to + 1), 2)
            || before.contains("been")
            || before.contains("in about") && after == "of"
            || number.money
            || number.value > 400.0;
        if past {
            continue;
        }
        let value = bucket((low + number.value) / 2.0 * days);
        found.push(Fact::at(value, index, from..number.to + 1));
    }
    found
}

fn bucket(days: f64) -> Timeline {
    match days {
        days if days <= NOW_DAYS_MAX => Timeline::Now0To30Days,
        days if days <= THREE_MONTHS_DAYS_MAX => Timeline::OneToThreeMonths,
        days if days <= SIX_MONTHS_DAYS_MAX => Timeline::ThreeToSixMonths,
        _ => Timeline::SixMonthsPlus,
    }
}

fn emergency(talk: &Conversation) -> Option<Place> {
    if talk.caller_has(Cue::NotEmergency) {
        return None;
    }
    talk.caller().find_map(|(index, line)| {
        line.cues(Cue::Emergency)
            .find(|hit| !negated(line, hit.from) || line.tokens.word(hit.from) == "no")
            .map(|hit| Place::from((index, *hit)))
    })
}

fn urgency(
    talk: &Conversation,
    emergency: Option<Place>,
    timeline: Option<&Fact<Timeline>>,
) -> Option<Fact<Urgency>> {
    if let Some(place) = emergency {
        return Some(Fact { value: Urgency::Emergency, place });
    }
    let no_hurry = talk.first_by_caller(Cue::NoHurry).map(Place::from);
    let pressing = talk.caller().find_map(|(index, line)| {
        line.cues(Cue::Urgent).find(|hit| !negated(line, hit.from)).map(|hit| Place::from((index, *hit)))
    });
    match (timeline, pressing, no_hurry) {
        (Some(fact), _, None) if fact.value == Timeline::Now0To30Days => {
            Some(Fact { value: Urgency::Urgent, place: fact.place })
        }
        (None, Some(place), None) => Some(Fact { value: Urgency::Urgent, place }),
        (Some(fact), _, _) => Some(Fact { value: Urgency::Planned, place: fact.place }),
        (None, _, Some(place)) => Some(Fact { value: Urgency::Planned, place }),
        _ => None,
    }
}
