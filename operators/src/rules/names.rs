//! The caller's own name as said, asked for or written.

use super::cue::Cue;
use super::fact::Fact;
use super::fields::Field;
use super::lexicon::Tag;
use super::numbers::{digit, is_number_word};
use super::places::is_known;
use super::turns::{Conversation, Line};
use super::words::lists;
use hashbrown::HashSet;
use leadline_schemas::score::Channel;
use serde::Deserialize;
use std::ops::Range;
use std::sync::OnceLock;

/// Words of a name.
const NAME_WORDS_MAX: usize = 3;
/// Words of an answer that is nothing but a name, and perhaps how it is spelled.
const ANSWER_WORDS_MAX: usize = 8;
/// Lines of the caller in which "it's Mike" is an introduction.
const OPENING_LINES_MAX: usize = 3;

#[derive(Default, Deserialize)]
struct Names {
    first: String,
}

/// Whether a word is a first name.
fn is_first_name(word: &str) -> bool {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let names: Names = toml::from_str(include_str!("data/names.toml")).unwrap_or_default();
        names.first.split_whitespace().map(str::to_owned).collect()
    });
    names.contains(word)
}

pub(super) fn name(talk: &Conversation) -> Option<Fact<String>> {
    form_name(talk).or_else(|| {
        let mut best: Option<Fact<String>> = None;
        for (nth, (index, line)) in talk.caller().enumerate() {
            let Some(fact) = said_name(talk, index, line, nth) else { continue };
            // "Rachel" at first and "Rachel Kim" later are one person: the fuller name is the name.
            let words = |fact: &Fact<String>| fact.value.split(' ').count();
            if best.as_ref().is_none_or(|best| words(best) < words(&fact)) {
                best = Some(fact);
            }
        }
        best
    })
}

fn form_name(talk: &Conversation) -> Option<Fact<String>> {
    let field = |wanted: Field| {
        talk.caller().find(|(_, line)| {
            line.field == Some(wanted)
                && line.word_count() <= 5
                && line.numbers.iter().all(|number| number.value < 2.0)
                && !line.raw.contains(['@', '/'])
        })
    };
    let whole = |line: &Line| line.raw.trim().to_owned();
    if let (Some((index, first)), Some((_, last))) = (field(Field::FirstName), field(Field::LastName)) {
        return Some(Fact::at(format!("{} {}", whole(first), whole(last)), index, 0..first.word_count()));
    }
    if let Some((index, line)) = field(Field::Name).or_else(|| field(Field::FirstName)) {
        let text = whole(line);
        let word = line.tokens.word(0);
        let plausible = text.contains(' ') || text.starts_with(char::is_uppercase) || is_first_name(word);
        let tests =
            ["test", "seo", "admin", "asdf", "info", "marketing"].iter().any(|no| line.words().contains(no));
        return (plausible && !tests).then(|| Fact::at(text, index, 0..line.word_count()));
    }
    written_name(talk)
}

/// In a form whose fields have no names, a value of two or three capitalised words with a first name among them; and
/// "Mags Doyle <mags@doyle.example>".
fn written_name(talk: &Conversation) -> Option<Fact<String>> {
    talk.caller().find_map(|(index, line)| {
        line.field?;
        let end = match line.raw.find('<') {
            Some(at) if line.raw.contains('@') => {
                line.tokens.list.partition_point(|token| token.raw.start < at)
            }
            _ => line.word_count(),
        };
        let address = line.raw.contains('<');
        let words = 0..end;
        let capital = words
            .clone()
            .all(|at| line.is_capital(at) && line.tokens.word(at).chars().all(char::is_alphabetic));
        let known = words.clone().any(|at| is_first_name(line.tokens.word(at)));
        let fits = (2..=NAME_WORDS_MAX).contains(&end) && capital && (known || address);
        let text = line.quote(words.clone())?.to_owned();
        fits.then(|| Fact::at(text, index, words))
    })
}

fn said_name(talk: &Conversation, index: usize, line: &Line, nth: usize) -> Option<Fact<String>> {
    if !line.is_free() {
        return None;
    }
    let asked = talk.asked_before(index).is_some_and(asks_name);
    let span = introduced(line, asked, nth)
        .or_else(|| answered(line).filter(|_| asked))
        .or_else(|| signed(talk, line))
        .or_else(|| announced(talk, index, line))?;
    let span = fuller(line, span);
    let text = line.quote(span.clone())?.trim_end_matches("'s").trim_end_matches('.').to_owned();
    Some(Fact::at(text, index, span))
}

/// Whether the last thing a line asks for is a name.
fn asks_name(line: &Line) -> bool {
    let others = [Cue::CityQuestion, Cue::TimeQuestion, Cue::BudgetQuestion]
        .map(|cue| line.last_asked(cue).unwrap_or(0));
    line.last_asked(Cue::NameQuestion).is_some_and(|name| others.into_iter().all(|other| name + 4 >= other))
}

/// "My name is ...", "this is ...", "it's ...", "Lisa here".
fn introduced(line: &Line, asked: bool, nth: usize) -> Option<Range<usize>> {
    line.cues(Cue::NameIntro).find_map(|hit| {
        let lead = line.tokens.words(hit.from..hit.to);
        if matches!(lead, "here" | "speaking") {
            return before_here(line, hit.from);
        }
        let firm = [
            "my name",
            "my names",
            "my full name",
            "my first name",
            "the name",
            "name is",
            "me llamo",
            "mi nombre",
            "i go by",
            "names",
            "a nombre",
        ]
        .iter()
        .any(|words| lead.starts_with(words));
        let span = name_span(line, hit.to)?;
        let capital = line.is_capital(span.start);
        let known = is_first_name(line.tokens.word(span.start));
        let opening = hit.from <= 8 && nth < OPENING_LINES_MAX || asked;
        let believed = match lead {
            _ if firm => capital || known || line.is_lower_case(),
            "this is" | "habla" | "le habla" | "soy" => capital && (opening || known) || known && opening,
            "im" | "i am" => {
                known && (capital || line.is_lower_case())
                    || capital && (opening || span.len() > 1) && stands_alone(line, &span)
            }
            "call me" | "name" | "ask for" => capital && (known || opening) || known && line.is_lower_case(),
            "its" => {
                let full = capital && span.len() > 1 && stands_alone(line, &span);
                let ends = capital && opening && ends_introduction(line, span.end);
                let reach = capital
                    && !line.runs.iter().all(|run| run.phones().is_empty())
                    && line.pauses_after(span.end - 1);
                full || ends
                    || reach
                    || opening && known && (capital || line.is_lower_case())
                    || asked && capital
            }
            _ => capital && known,
        };
        let firm_name = lists().firms.has(line.tokens.word(span.end))
            || lists().firms.has(line.tokens.word(span.end - 1));
        let place = line.tokens.words(span.end..span.end + 1) == "here" && lead == "im" && !known;
        (believed && !firm_name && !place && !line.is_negated(span.start)).then_some(span)
    })
}

/// What follows a name in an introduction: "it's Corinne at 40 Lansdowne".
fn ends_introduction(line: &Line, at: usize) -> bool {
    line.pauses_after(at - 1)
        || matches!(
            line.tokens.word(at),
            "at" | "from" | "over" | "calling" | "with" | "again" | "and" | "here" | "down"
        )
}

/// "I'm Lena." is a name, "I'm Italian so ..." is not.
fn stands_alone(line: &Line, span: &Range<usize>) -> bool {
    let last = line.tokens.word(span.end - 1);
    let kind = ["ian", "ese", "ish", "can", "ic"].iter().any(|end| last.ends_with(end));
    span.len() > 1 || !kind && (span.end >= line.word_count() || line.pauses_after(span.end - 1))
}

/// The answer to "and your name?": nothing else, or a name before a comma or an end.
fn answered(line: &Line) -> Option<Range<usize>> {
    let start = (0..line.word_count()).find(|at| !lists().name_leads.has(line.tokens.word(*at)))?;
    let span = name_span(line, start)?;
    let capital = line.is_capital(span.start);
    let known = is_first_name(line.tokens.word(span.start));
    let short = line.word_count() <= ANSWER_WORDS_MAX;
    let ends = span.end >= line.word_count() || line.pauses_after(span.end - 1);
    if is_known(line.tokens.words(span.clone())) && !known {
        return None;
    }
    (capital && (ends || known) || line.is_lower_case() && (known || short && ends)).then_some(span)
}

/// A name that closes a text or stands with the number: "- Rosa M.", "Thanks, Kyle", "Vince Cardone, 952 555 0163".
fn signed(talk: &Conversation, line: &Line) -> Option<Range<usize>> {
    let reach = line.runs.iter().any(|run| !run.phones().is_empty());
    let text = matches!(talk.channel, Channel::Text | Channel::Voicemail);
    (0..line.word_count()).find_map(|at| {
        let begins = at == 0 || line.pauses_after(at - 1) || line.tokens.word(at - 1) == "-";
        // "- karl": texts are signed without capitals too.
        let lower = talk.channel == Channel::Text && at > 0 && is_first_name(line.tokens.word(at));
        if !begins || !(line.is_capital(at) || lower) {
            return None;
        }
        let span = name_span(line, at)?;
        let known = is_first_name(line.tokens.word(at));
        let ends = span.end >= line.word_count() || line.pauses_after(span.end - 1);
        let followed = span.end < line.word_count()
            && line.tokens.word(span.end).starts_with(|c: char| c.is_ascii_digit())
            || digit(line.tokens.word(span.end)).is_some();
        let last = span.end >= line.word_count();
        // A text's last word by itself is its writer's name, known or not.
        let alone =
            talk.channel == Channel::Text && line.tokens.sentence_range(line.tokens.sentence(at)) == span;
        let closes = at > 2
            && last
            && ((text || reach) && known || alone && !is_known(line.tokens.words(span.clone())));
        let beside = reach && known && (ends || followed) && !vocative(line, at);
        (closes || beside).then_some(span)
    })
}

/// A first and a last name that stand for themselves: "Becky, hi, Frank Delgado.", "Yes it is. Bob Yates."
fn announced(talk: &Conversation, index: usize, line: &Line) -> Option<Range<usize>> {
    if line.is_lower_case() || talk.channel == Channel::Form {
        return None;
    }
    // Two capitalised words may be a place, a street or a brand: where those are not asked for, they are a name.
    let free = talk.asked_before(index).is_none_or(|before| {
        ![Cue::CityQuestion, Cue::BudgetQuestion, Cue::TimeQuestion].iter().any(|cue| before.asks_for(*cue))
    });
    (0..line.word_count()).find_map(|at| {
        let begins = at == 0 || line.pauses_after(at - 1);
        let titled = lists().titles.has(line.tokens.word(at));
        let span = name_span(line, at).filter(|_| begins && line.is_capital(at))?;
        let ends = span.end >= line.word_count() || line.pauses_after(span.end - 1);
        let sentence = line.tokens.sentence_range(line.tokens.sentence(at)) == span;
        let plain = line
            .hits
            .iter()
            .all(|hit| !matches!(hit.tag, Tag::Project(..)) || hit.to <= span.start || hit.from >= span.end);
        let street = lists().streets.has(line.tokens.word(span.end - 1));
        let believed = is_first_name(line.tokens.word(at)) || sentence && free && at > 0 && plain && !street;
        let whole = span.len() == 2 && believed || titled && at > 0;
        let place = is_known(line.tokens.words(span.clone()));
        (ends && whole && !place && line.word_count() > 2).then_some(span)
    })
}

/// "Hi Dana," speaks to somebody.
fn vocative(line: &Line, at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |at| line.tokens.word(at));
    matches!(before, "hi" | "hey" | "hello" | "thanks" | "morning" | "afternoon" | "hola" | "bye" | "dear")
        || at == 0 && line.turn <= 1
}

/// "Lisa here"
fn before_here(line: &Line, at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(1)?;
    let word = line.tokens.word(start);
    let fits = at <= 5 && !lists().not_names.has(word) && (line.is_capital(start) || is_first_name(word));
    if !fits || line.tokens.sentence(start) != line.tokens.sentence(at) {
        return None;
    }
    let first = start.checked_sub(1).filter(|first| {
        is_first_name(line.tokens.word(*first)) && line.is_capital(*first) && !line.pauses_after(*first)
    });
    Some(first.unwrap_or(start)..at)
}

/// "Ruth. Ruth Abernathy." is Ruth Abernathy; "Whitfield. Aaron Whitfield." too.
fn fuller(line: &Line, span: Range<usize>) -> Range<usize> {
    let next = name_span(line, span.end).filter(|next| {
        span.len() == 1
            && next.len() == 2
            && next.clone().any(|at| line.tokens.word(at) == line.tokens.word(span.start))
    });
    next.unwrap_or(span)
}

/// The words of a name from a token on; titles are left out.
fn name_span(line: &Line, start: usize) -> Option<Range<usize>> {
    let titled = lists().titles.has(line.tokens.word(start));
    let start = if titled { start + 1 } else { start };
    let capital = line.is_capital(start);
    let sentence = line.tokens.sentence(start);
    let mut end = start;
    while end < start + NAME_WORDS_MAX && end < line.word_count() && line.tokens.sentence(end) == sentence {
        let word = line.tokens.word(end);
        let stops = lists().name_ends.has(word) || lists().not_names.has(word) || is_number_word(word);
        let initial = word.len() == 1 && line.is_capital(end) && end > start;
        let fits = word.chars().all(char::is_alphabetic) && (word.len() > 1 || initial) && !stops;
        if !fits || capital && !line.is_capital(end) || end > start && is_spelling(line, end) {
            break;
        }
        end += 1;
        if line.pauses_after(end - 1) {
            break;
        }
    }
    // Without capitals a name is at most two words, the first of them known or alone.
    let end = if capital { end } else { end.min(start + 2) };
    (end > start).then_some(start..end)
}

/// "H A A S" after a name spells it.
fn is_spelling(line: &Line, at: usize) -> bool {
    line.tokens.word(at).len() == 1 && line.tokens.word(at + 1).len() == 1
}
