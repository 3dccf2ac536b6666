//! Whether a visit is agreed: proposed by one side and taken by the other, or confirmed by the company.

use super::cue::Cue;
use super::fact::Fact;
use super::roles::Role;
use super::turns::{Conversation, Line};
use super::words::lists;
use leadline_schemas::score::{Channel, Speaker};
use std::ops::Range;

/// Lines for which a proposal stays open.
const OPEN_LINES_MAX: usize = 5;

/// A visit that one side has proposed.
struct Proposal {
    by: Speaker,
    line: usize,
    /// The day or hour; none for "can we come out?".
    time: Option<Range<usize>>,
}

/// The agreed visit, with its day and hour in the words of the call.
pub(super) fn visit(talk: &Conversation) -> Option<Fact<String>> {
    if matches!(talk.channel, Channel::Voicemail | Channel::Form) {
        return None;
    }
    let mut open: Option<Proposal> = None;
    let mut day: Option<(usize, Range<usize>)> = None;
    let mut agreed: Option<Fact<String>> = None;
    for (index, line) in talk.lines.iter().enumerate() {
        if open.as_ref().is_some_and(|proposal| index > proposal.line + OPEN_LINES_MAX) {
            open = None;
        }
        if agreed.is_some() {
            if cancels(line) {
                agreed = None;
            } else if let Some(span) = moved(line) {
                agreed = Some(window(talk, index, Some(span)));
            }
            continue;
        }
        let time = time_of_visit(line);
        if let Some(span) = time.as_ref().filter(|span| (*span).clone().any(|at| is_day(line, at))) {
            day = Some((index, span.clone()));
        }
        if let Some(proposal) = open.as_ref().filter(|proposal| proposal.by != line.speaker) {
            match answer(talk, proposal, line, time.as_ref()) {
                Answer::Taken => {
                    let (at, span) = match &time {
                        Some(span) => (index, Some(span.clone())),
                        None => (proposal.line, proposal.time.clone()),
                    };
                    // "Friday." "Nine o'clock." "Okay.": the day is the better part of the time.
                    let dayless = |span: &Range<usize>| {
                        talk.line(at).is_some_and(|line| !span.clone().any(|at| is_day(line, at)))
                    };
                    let (at, span) = match (&day, &span) {
                        (Some((day_at, day)), Some(found))
                            if dayless(found) && day_at + OPEN_LINES_MAX > at =>
                        {
                            (*day_at, Some(day.clone()))
                        }
                        _ => (at, span),
                    };
                    agreed = Some(window(talk, at, span));
                    open = None;
                    continue;
                }
                Answer::Refused => open = None,
                Answer::Open => {}
            }
        }
        if let Some(proposal) = proposal(index, line, time, open.as_ref()) {
            open = Some(proposal);
        }
    }
    agreed
}

enum Answer {
    Taken,
    Refused,
    /// Neither yes nor no; the proposal stands.
    Open,
}

fn answer(talk: &Conversation, proposal: &Proposal, line: &Line, time: Option<&Range<usize>>) -> Answer {
    let proposed = talk.line(proposal.line);
    let yes = starts_with_yes(line) || line.affirmed(Cue::Agreed).next().is_some();
    let no = refuses(line);
    // A partner who should come along is no "no" to a time that is taken.
    let taken = time.is_some() && proposed.is_some_and(|proposed| shares_time(proposed, line));
    // The company's question is a proposal of its own.
    if line.by_agent() && line.asks() {
        return Answer::Open;
    }
    let mild = !line.has(Cue::Declined) && (taken || starts_with_yes(line) && !line.has(Cue::SpouseAbsent));
    if no && !(time.is_some() && mild) {
        return Answer::Refused;
    }
    // "I'll send a tech out this afternoon." "Great, thank you."
    let told =
        proposal.by == Speaker::Agent && proposal.time.is_some() && proposed.is_some_and(|line| !line.asks());
    let yes = yes
        || told && !line.asks() && line.has_word(&["great", "thanks", "thank", "gracias", "alright", "good"]);
    let confirms = line.by_agent() && line.has(Cue::AppointmentConfirmed);
    match (&proposal.time, time) {
        // "Monday?" "Monday is bad. Tuesday at four?" is a new proposal.
        (Some(_), Some(_)) if line.asks() && !yes && !taken => Answer::Open,
        (Some(_), _) if yes || taken || confirms => Answer::Taken,
        (Some(_), Some(_)) if line.by_caller() => Answer::Taken,
        // "Could we come out this week?" "Thursday at two, the landlord will let us in."
        (None, Some(span)) if line.by_caller() && !line.asks() && is_settled(line, span, yes) => {
            Answer::Taken
        }
        _ => Answer::Open,
    }
}

/// What a line proposes, if anything.
fn proposal(
    index: usize,
    line: &Line,
    time: Option<Range<usize>>,
    open: Option<&Proposal>,
) -> Option<Proposal> {
    let offers = line.has(Cue::AppointmentOffer);
    let speaks = match line.speaker {
        Speaker::Agent => {
            offers
                || time.is_some()
                    && (line.asks() || line.word_count() <= 12 || line.has(Cue::AppointmentConfirmed))
        }
        Speaker::Caller => {
            time.is_some()
                && (line.asks()
                    || offers
                    || line.has_any(&[Cue::OffersTimes, Cue::Agreed])
                    || open.is_some_and(|proposal| proposal.by == Speaker::Agent))
        }
    };
    if !speaks || line.has(Cue::Greeting) && time.is_none() {
        return None;
    }
    // A question about something else leaves an open proposal with its time alone.
    let keeps =
        open.is_some_and(|proposal| proposal.by == line.speaker && proposal.time.is_some() && time.is_none());
    (!keeps).then_some(Proposal { by: line.speaker, line: index, time })
}

/// "Let me think about it" after an agreement takes it back; "let me know when he is on his way" does not.
fn cancels(line: &Line) -> bool {
    line.by_caller()
        && [
            "cancel",
            "call you back",
            "think about it",
            "hold off",
            "changed my mind",
            "get back to you",
            "never mind",
            "not going to work",
        ]
        .iter()
        .any(|words| line.words().contains(words))
}

/// "Actually, can we make it Friday?" after an agreement; the company's read-back only repeats it.
fn moved(line: &Line) -> Option<Range<usize>> {
    let asks = line.has(Cue::Correction) || line.has_word(&["instead", "rather", "earlier", "later"]);
    if asks && line.by_caller() { time_of_visit(line) } else { None }
}

fn starts_with_yes(line: &Line) -> bool {
    let alone = line.tokens.sentence_range(0).len() <= 2;
    let fine = alone
        && matches!(
            line.tokens.word(0),
            "fine" | "good" | "great" | "perfect" | "wonderful" | "awesome" | "bueno"
        );
    fine || line.cues(Cue::Yes).any(|hit| hit.from <= 1 && !line.is_negated(hit.from))
}

/// Puts it off or turns it down.
fn refuses(line: &Line) -> bool {
    let no = line.cues(Cue::No).any(|hit| hit.from == 0) && line.affirmed(Cue::Agreed).next().is_none();
    let hedged = ["maybe ", "possibly", "i guess maybe", "probably not", "perhaps", "neither", "not "]
        .iter()
        .any(|word| line.words().starts_with(word));
    let bad = [
        "is bad",
        "s bad",
        "wont work",
        "doesnt work",
        "dont work",
        "not good",
        "no good",
        "out of town",
        "im working",
        "have to work",
        "cant do",
        "cant make",
        "no puedo",
        "would have to be there",
        "has to be there though",
        "have to be there though",
    ]
    .iter()
    .any(|words| line.words().contains(words));
    no || hedged || bad || line.has(Cue::Declined) || line.has(Cue::SpouseAbsent) && !starts_with_yes(line)
}

/// Whether two lines name the same day or hour.
fn shares_time(first: &Line, second: &Line) -> bool {
    let hours = |line: &Line| -> Vec<f64> {
        let clocks = line
            .numbers
            .iter()
            .filter(|n| matches!(n.role, Role::Clock | Role::Open) && n.value <= 1_259.0 && !n.money);
        clocks
            .map(|number| if number.value >= 100.0 { (number.value / 100.0).floor() } else { number.value })
            .collect()
    };
    let days = |line: &Line| -> Vec<String> {
        (0..line.word_count())
            .filter(|at| is_day(line, *at))
            .map(|at| stem(line.tokens.word(at)).to_owned())
            .collect()
    };
    let (a, b) = (days(first), days(second));
    a.iter().any(|day| b.contains(day)) || hours(first).iter().any(|hour| hours(second).contains(hour))
}

fn stem(word: &str) -> &str {
    word.get(..3).unwrap_or(word)
}

/// Short names of days that are also other words ("we'd", "sat"): they need a word of time beside them.
const DAYS_IN_SHORT: &[&str] = &["mon", "wed", "fri", "sat", "sun"];
/// Whether the word at a token is a day, an hour or a part of the day.
fn is_time(line: &Line, at: usize) -> bool {
    let word = line.tokens.word(at);
    let before = at.checked_sub(1).map_or("", |at| line.tokens.word(at));
    let ordinal = word.len() > 2
        && (word.ends_with("th") || word.ends_with("st") || word.ends_with("nd") || word.ends_with("rd"))
        && (word.starts_with(|c: char| c.is_ascii_digit()) || lists().ordinals.has(word))
        && matches!(before, "the" | "on")
        && !lists().streets.has(line.tokens.word(at + 1));
    if lists().parts_of_day.has(word) {
        // "Good morning" is a greeting, "this morning" is past.
        let greeting = matches!(before, "good" | "buenas" | "muy" | "mas");
        let past = before == "this" && word == "morning";
        return !greeting && !past;
    }
    let number =
        line.numbers.get(line.numbers.partition_point(|number| number.to <= at)).filter(|n| n.from <= at);
    let clock = number.is_some_and(|number| matches!(number.role, Role::Clock | Role::Day))
        || word.ends_with("am") && word.trim_end_matches("am").parse::<u8>().is_ok()
        || word.ends_with("pm") && word.trim_end_matches("pm").parse::<u8>().is_ok()
        || word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit());
    is_day(line, at) || ordinal || clock
}

/// Whether the word at a token names a day.
fn is_day(line: &Line, at: usize) -> bool {
    let word = line.tokens.word(at);
    if !DAYS_IN_SHORT.contains(&word) {
        return lists().days.has(word);
    }
    let before = at.checked_sub(1).map_or("", |at| line.tokens.word(at));
    let after = line.tokens.word(at + 1);
    matches!(before, "on" | "this" | "next" | "about" | "bout" | "or" | "for")
        || after == "at"
        || after.starts_with(|c: char| c.is_ascii_digit())
}

/// A day and an hour, or a yes with either; "mornings are best" settles nothing.
fn is_settled(line: &Line, span: &Range<usize>, yes: bool) -> bool {
    let some = span
        .clone()
        .any(|at| is_day(line, at) || is_time(line, at) && !lists().parts_of_day.has(line.tokens.word(at)));
    is_exact(line, span) || yes && some
}

/// Whether a span names a day and an hour, so that nothing is left to settle.
fn is_exact(line: &Line, span: &Range<usize>) -> bool {
    let days = span.clone().any(|at| is_day(line, at));
    let hours = span.clone().any(|at| is_time(line, at) && !is_day(line, at));
    days && hours
}

/// The words of a day and an hour that stand together, unless they are about a call or office hours.
fn time_of_visit(line: &Line) -> Option<Range<usize>> {
    let span = time_span(line).or_else(|| soon(line))?;
    let sentence = line.tokens.sentence_range(line.tokens.sentence(span.start));
    let words = line.tokens.words(sentence);
    let lead = line.tokens.words(span.start.saturating_sub(6)..span.start);
    let call = [
        "call you",
        "call me",
        "call us",
        "give you a call",
        "give me a call",
        "text you",
        "email you",
        "llamo",
        "call back",
    ]
    .iter()
    .any(|call| words.contains(call));
    let visit = [
        "come",
        "visit",
        "meet",
        "out there",
        "stop by",
        "look at",
        "be there",
        "appointment",
        "estimate",
        "measure",
    ]
    .iter()
    .any(|visit| words.contains(visit));
    let hours =
        ["we close", "were open", "we open", "office hours", "closed on", "we are open", "were closed"]
            .iter()
            .any(|hours| words.contains(hours));
    // "How are you today?"
    let polite = ["how are you", "hows your day", "como esta"].iter().any(|polite| words.contains(polite));
    // "Good through March 31" is how long something holds.
    let holds = matches!(lead.split(' ').next_back(), Some("through" | "until" | "till" | "since"));
    let past = ["ago", "yesterday", "last"].iter().any(|past| lead.split(' ').any(|word| word == *past));
    let other = call && !visit || hours || past || polite || holds;
    if other { None } else { Some(span) }
}

/// "Within two hours", "he is on his way", "right over".
fn soon(line: &Line) -> Option<Range<usize>> {
    let place = [
        "within the hour",
        "on his way",
        "on her way",
        "on their way",
        "right over",
        "in an hour",
        "right away",
        "ahora mismo",
    ];
    let words = line.words();
    let hours = (0..line.word_count()).find(|at| {
        matches!(line.tokens.word(*at), "hours" | "hour" | "minutes" | "horas")
            && line.numbers.iter().any(|number| number.to == *at)
            && matches!(line.tokens.word(at.saturating_sub(2)), "within" | "in" | "about" | "en" | "couple")
    });
    hours.map(|at| at.saturating_sub(2)..at + 1).or_else(|| {
        let found = line
            .by_agent()
            .then(|| place.iter().find_map(|place| words.find(place).map(|at| (at, place.len()))))?;
        let (start, length) = found?;
        Some(line.tokens.at_norm(start)..line.tokens.at_norm(start + length - 1) + 1)
    })
}

/// The first day with the hours that stand near it, else the first hours.
fn time_span(line: &Line) -> Option<Range<usize>> {
    let count = line.word_count();
    let first =
        (0..count).find(|at| is_day(line, *at)).or_else(|| (0..count).find(|at| is_time(line, *at)))?;
    let mut end = first + 1;
    let mut at = end;
    while at < count && at <= end + 2 {
        let half = line.tokens.word(at) == "thirty" || line.tokens.word(at) == "fifteen";
        if is_time(line, at) || half && at == end {
            end = at + 1;
        }
        at += 1;
    }
    Some(first..end)
}

/// The agreed time in the words of the call.
fn window(talk: &Conversation, index: usize, span: Option<Range<usize>>) -> Fact<String> {
    let line = talk.line(index);
    let place = span.clone().unwrap_or(0..line.map_or(1, |line| line.word_count().min(6)));
    let text = span.and_then(|span| line?.quote(span)).unwrap_or("");
    Fact::at(text.to_owned(), index, place)
}

/// Whether the words of an agreed time are of this week or the next; a date may be any.
pub(super) fn is_soon(window: &str) -> bool {
    let words = super::tokens::normal(window);
    words
        .split(' ')
        .any(|word| lists().days.has(word) || DAYS_IN_SHORT.contains(&word) || word.starts_with("hour"))
}
