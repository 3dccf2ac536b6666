//! When the work should start, and how pressing it is.

use super::cue::Cue;
use super::dates::{Span, durations, months_ahead, this_month, year_ahead};
use super::fact::{Fact, Place};
use super::fields::Field;
use super::turns::{Conversation, Line};
use leadline_schemas::score::{Timeline, Urgency};

/// Ends of the buckets, in days, with a little room: "about a month", "three months".
const NOW_DAYS_MAX: f64 = 31.0;
const THREE_MONTHS_DAYS_MAX: f64 = 92.0;
const SIX_MONTHS_DAYS_MAX: f64 = 184.0;

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
        fixed_date: talk.caller_has(Cue::FixedDate) || talk.caller().any(|(_, line)| is_date_field(line)),
    }
}

fn asks_age(line: &Line) -> bool {
    ["how old", "how long have", "how long has", "how long ago", "what year"]
        .iter()
        .any(|ask| line.words().contains(ask))
}

/// A day or week in a sentence about somebody coming.
fn is_day_to_come(line: &Line, place: Place) -> bool {
    let words = line.tokens.words(place.from..place.to);
    let day = ["today", "tomorrow", "week", "tonight", "hoy", "semana"].iter().any(|day| words.contains(day));
    day && (line.in_sentence(Cue::OffersTimes, place.from)
        || line.in_sentence(Cue::AppointmentOffer, place.from))
}

/// A form's start date, which without today's date is only a date.
fn is_date_field(line: &Line) -> bool {
    line.field == Some(Field::When) && line.numbers.len() >= 2 && line.word_count() <= 5
}

/// The last time said, where an answer to "when" outranks a time in passing.
fn stated(talk: &Conversation) -> Option<Fact<Timeline>> {
    let month = this_month(talk);
    let mut best: Option<(u8, Fact<Timeline>)> = None;
    for (index, line) in talk.caller() {
        let time_field = line.field == Some(Field::When);
        if !time_field && !line.is_free() {
            continue;
        }
        let before = talk.asked_before(index);
        let asked = time_field || before.is_some_and(|line| line.asks_for(Cue::TimeQuestion));
        // "How old is it?" "Fourteen years."
        if before.is_some_and(asks_age) {
            continue;
        }
        let visit = !asked && before.is_some_and(|line| line.has(Cue::AppointmentOffer));
        for fact in times(month, index, line, asked, visit) {
            let rank = match fact.value {
                // "Can you come this weekend?" dates the estimate before it dates the work.
                Timeline::Researching => 1,
                Timeline::Now0To30Days if !asked && is_day_to_come(line, fact.place) => 1,
                _ if asked => 3,
                _ => 2,
            };
            if best.as_ref().is_none_or(|(other, _)| rank >= *other) {
                best = Some((rank, fact));
            }
        }
    }
    best.map(|(_, fact)| fact).or_else(|| read_back(talk, month))
}

/// The company says the time and the caller agrees.
fn read_back(talk: &Conversation, month: Option<f64>) -> Option<Fact<Timeline>> {
    talk.agent().filter(|(_, line)| !line.has(Cue::AppointmentOffer)).find_map(|(index, line)| {
        let asks = line.asks_for(Cue::TimeQuestion) || line.asks();
        let (_, answer) = talk.answer_after(index)?;
        let agreed = answer.cues(Cue::Yes).next().is_some_and(|hit| hit.from <= 1);
        let fact = times(month, index, line, false, false)
            .into_iter()
            .find(|fact| fact.value != Timeline::Researching)?;
        (asks && agreed).then_some(fact)
    })
}

fn times(month: Option<f64>, index: usize, line: &Line, asked: bool, visit: bool) -> Vec<Fact<Timeline>> {
    let spans: Vec<Span> =
        durations(line, asked).into_iter().chain(months_ahead(month, line)).chain(year_ahead(line)).collect();
    let mut found: Vec<Fact<Timeline>> = spans
        .iter()
        .filter(|span| !(visit && span.days < 8.0))
        .map(|span| Fact::at(bucket(span.days), index, span.from..span.to))
        .collect();
    let phrases =
        || PHRASES.iter().flat_map(|(cue, value)| line.cues(*cue).map(move |hit| (cue, value, hit)));
    for (cue, value, hit) in phrases() {
        // "The first of next month" is not "next month".
        let within = phrases().any(|(_, _, other)| {
            other.from <= hit.from && hit.to <= other.to && other.to - other.from > hit.to - hit.from
        });
        let before = hit.from.checked_sub(1).map_or("", |at| line.tokens.word(at));
        // "Before next winter" is no date by itself.
        let bound = *cue == Cue::SixMonthsPlus && matches!(before, "before" | "by");
        if !within && !bound {
            let sentence = line.tokens.sentence(hit.from);
            let figures = |span: &Span| line.tokens.sentence(span.from) == sentence;
            let inside = spans.iter().any(|span| hit.from < span.to && span.from < hit.to);
            // "Just looking to start in two months": the figure is the more exact one.
            let softened = *value == Timeline::Researching && spans.iter().any(figures);
            // A weekday or "tomorrow" in answer to an offered visit dates the visit, not the work.
            let visiting = *cue == Cue::Now && (visit || day_of_visit(line, hit.from));
            if !line.is_negated(hit.from) && !inside && !softened && !visiting {
                found.push(Fact::at(*value, index, hit.from..hit.to));
            }
        }
    }
    // "When do you need it?" "Yesterday."
    let yesterday = (0..line.word_count()).find(|at| line.tokens.word(*at) == "yesterday").filter(|at| {
        let range = line.tokens.sentence_range(line.tokens.sentence(*at));
        asked
            && (range.start == *at && range.len() <= 2
                || range.end == at + 1 && line.tokens.word(at.saturating_sub(1)) == "so")
    });
    found.extend(yesterday.map(|at| Fact::at(Timeline::Now0To30Days, index, at..at + 1)));
    found.sort_by_key(|fact| (fact.place.to, fact.place.from));
    // "As soon as possible, the wedding is in six weeks."
    let asap = found.iter().position(|fact| is_asap(line, fact.place));
    match asap.filter(|_| asked && !line.has(Cue::Correction)) {
        Some(at) => vec![found.swap_remove(at)],
        None => found,
    }
}

fn is_asap(line: &Line, place: Place) -> bool {
    let words = line.tokens.words(place.from..place.to);
    [
        "asap",
        "as soon as",
        "right away",
        "immediate",
        "antes posible",
        "pronto posible",
        "cuanto antes",
        "sooner the better",
    ]
    .iter()
    .any(|asap| words.starts_with(asap) || words.ends_with(asap))
}

/// "Tomorrow at ten", "call me next week": a day for a visit or a call.
fn day_of_visit(line: &Line, at: usize) -> bool {
    let after = line.tokens.words(at..(at + 5).min(line.word_count()));
    let before = line.tokens.words(at.saturating_sub(5)..at);
    let day =
        ["tomorrow", "today", "this week", "next week", "tonight", "hoy", "manana", "la proxima semana"]
            .iter()
            .any(|day| {
                after.starts_with(day)
                    || after.contains(day) && after.find(day).is_some_and(|place| place < 12)
            });
    let visit = [" at ", " is ", "works", "after", "between", "morning", "afternoon", " a las "];
    let call = ["call", "text", "email", "see you", "talk", "look at", "llame", "llamar"];
    day && (visit.iter().any(|word| after.contains(word)) || call.iter().any(|word| before.contains(word)))
}

pub(super) fn bucket(days: f64) -> Timeline {
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
    talk.caller().filter(|(_, line)| line.is_free() || line.field == Some(Field::When)).find_map(
        |(index, line)| {
            line.cues(Cue::Emergency)
                .find(|hit| {
                    let lacks = matches!(line.tokens.word(hit.from), "no" | "without" | "not" | "sin");
                    (lacks || !line.is_negated(hit.from)) && !long_ago(line, hit.from)
                })
                .map(|hit| Place::from((index, *hit)))
        },
    )
}

/// "Flooded last spring", "the pipe burst two years ago".
fn long_ago(line: &Line, at: usize) -> bool {
    let sentence = line.tokens.sentence(at);
    line.cues(Cue::Past).any(|hit| {
        let words = line.tokens.words(hit.from..hit.to);
        let recent = words.contains("night")
            || words.contains("week")
            || line.tokens.words(hit.from.saturating_sub(3)..hit.to).contains("hour");
        !recent
            && line.tokens.sentence(hit.from) == sentence
            && (words.starts_with("last ") || words == "ago" || words == "hace" || words.contains("pasad"))
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
    let calm = talk.caller_has(Cue::NotEmergency);
    let no_hurry = talk.first_by_caller(Cue::NoHurry).map(Place::from);
    let pressing = talk
        .caller()
        .filter(|(_, line)| !calm && (line.is_free() || line.field == Some(Field::When)))
        .find_map(|(index, line)| line.affirmed(Cue::Urgent).next().map(|hit| Place::from((index, *hit))));
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
