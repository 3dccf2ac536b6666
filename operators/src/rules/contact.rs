//! Name, phone, email and street address as said or written by the caller.

use super::cue::Cue;
use super::fact::Fact;
use super::numbers::digit;
use super::turns::{Conversation, Line};
use regex::Regex;
use std::ops::Range;
use std::sync::OnceLock;

/// Digits of a US number, without and with the country code.
const PHONE_DIGITS: usize = 10;
/// Words of a name.
const NAME_WORDS_MAX: usize = 3;

/// Words that follow "this is" or "I'm" and are no name.
const NOT_NAMES: &[&str] = &[
    "a",
    "an",
    "the",
    "in",
    "at",
    "on",
    "not",
    "just",
    "looking",
    "calling",
    "interested",
    "trying",
    "with",
    "from",
    "my",
    "your",
    "it",
    "about",
    "for",
    "going",
    "so",
    "very",
    "really",
    "and",
    "regarding",
    "here",
    "there",
    "still",
    "actually",
    "also",
    "thinking",
    "wondering",
    "hoping",
    "sorry",
    "sure",
    "fine",
    "good",
    "great",
    "okay",
    "ok",
    "is",
    "to",
    "yes",
    "no",
    "home",
    "free",
    "available",
    "ready",
    "retired",
    "flexible",
    "buying",
    "moving",
    "getting",
    "wanting",
    "needing",
    "having",
    "doing",
    "gonna",
    "the",
    "all",
    "right",
    "out",
    "up",
    "off",
    "over",
    "one",
    "two",
    "again",
    "what",
    "how",
    "when",
    "where",
    "who",
    "buckeye",
    "urgent",
    "important",
    "kind",
    "like",
    "renting",
    "open",
    "only",
    "down",
    "located",
    "near",
    "el",
    "la",
    "los",
    "un",
    "una",
    "de",
    "dueno",
    "duena",
    "para",
    "interesado",
    "interesada",
    "buscando",
    "llamando",
    "en",
    "por",
    "mi",
    "su",
    "tuesday",
    "monday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "i",
    "im",
    "we",
    "were",
    "our",
    "been",
    "probably",
    "around",
    "done",
    "next",
    "than",
    "that",
    "this",
    "more",
    "now",
    "new",
    "as",
    "by",
    "because",
    "but",
    "or",
    "if",
    "whatever",
    "homeowner",
    "owner",
    "both",
    "too",
    "he",
    "she",
    "they",
    "you",
];
/// Words that end a name.
const NAME_ENDS: &[&str] = &[
    "calling", "and", "from", "with", "i", "im", "we", "at", "here", "over", "in", "on", "uh", "my", "is",
    "the", "we're", "were", "ive", "weve", "id", "out", "again", "speaking", "number", "live", "y", "estoy",
    "de", "para", "wanting", "looking", "about", "a", "your", "you", "hi", "hey", "who", "so", "phone",
    "yes", "yeah", "just", "filled", "spoke", "but", "zip", "email", "it", "its", "que", "vivo", "tengo",
];

/// The ways to reach the caller.
#[derive(Debug)]
pub(super) struct Contact {
    pub name: Option<Fact<String>>,
    pub phone: Option<Fact<String>>,
    pub email: Option<Fact<String>>,
    pub address: Option<Fact<String>>,
}

pub(super) fn contact(talk: &Conversation) -> Contact {
    let last = |find: &dyn Fn(usize, &Line) -> Option<Fact<String>>| {
        talk.caller().filter_map(|(index, line)| find(index, line)).last()
    };
    Contact {
        name: name(talk),
        phone: last(&|index, line| phone(talk, index, line)),
        email: last(&email),
        address: last(&|index, line| address(talk, index, line)),
    }
}

fn name(talk: &Conversation) -> Option<Fact<String>> {
    form_name(talk).or_else(|| {
        let said: Vec<Fact<String>> =
            talk.caller().filter_map(|(index, line)| said_name(talk, index, line)).collect();
        // "Rachel" at first and "Rachel Kim" later are one person: the fuller name is the name.
        said.into_iter().fold(None, |best: Option<Fact<String>>, fact| match best {
            Some(best) if best.value.split(' ').count() >= fact.value.split(' ').count() => Some(best),
            _ => Some(fact),
        })
    })
}

fn form_name(talk: &Conversation) -> Option<Fact<String>> {
    let field = |wanted: &dyn Fn(&str) -> bool| {
        talk.caller().find(|(_, line)| {
            line.label.as_deref().is_some_and(wanted)
                && line.word_count() <= 5
                && line.numbers.iter().all(|n| n.value < 2.0)
        })
    };
    let whole = |line: &Line| line.raw.trim().to_owned();
    let first = field(&|label| {
        label.contains("first") && label.contains("name") || label == "fname" || label == "nombre"
    });
    let last = field(&|label| {
        label.contains("last") && label.contains("name")
            || label.contains("surname")
            || label.contains("apellido")
            || label == "lname"
    });
    if let (Some((index, first)), Some((_, last))) = (first, last) {
        return Some(Fact::at(format!("{} {}", whole(first), whole(last)), index, 0..first.word_count()));
    }
    let any = field(&|label| {
        (label.contains("name") || label.contains("nombre"))
            && !["company", "business", "street", "user", "form", "campaign", "project", "city", "file"]
                .iter()
                .any(|no| label.contains(no))
    });
    let (index, line) = any?;
    let text = whole(line);
    let plausible = text.contains(' ') || text.starts_with(char::is_uppercase);
    (plausible && !text.to_lowercase().contains("test")).then(|| Fact::at(text, index, 0..line.word_count()))
}

fn said_name(talk: &Conversation, index: usize, line: &Line) -> Option<Fact<String>> {
    if line.label.is_some() && !super::budget::is_message_field(line.label.as_deref()) {
        return None;
    }
    let asked = talk.asked_before(index).is_some_and(|before| before.has(Cue::NameQuestion));
    let introduced = line.cues(Cue::NameIntro).find_map(|hit| {
        let lead = line.tokens.words(hit.from..hit.to);
        let firm = matches!(
            lead,
            "my name is" | "my names" | "name is" | "me llamo" | "mi nombre es" | "the names" | "names"
        );
        let weak = matches!(lead, "im" | "its" | "soy" | "name" | "call me");
        match lead {
            "here" | "speaking" => before_here(line, hit.from),
            _ => {
                let span = name_span(line, hit.to, firm)?;
                let capital = is_capitalised(line, span.start);
                let opening = hit.from <= 6 || asked;
                let believed =
                    firm || capital && (opening || !weak) || lead == "this is" && opening && lower_case(line);
                let place = weak && line.tokens.words(span.end..span.end + 1) == "here";
                (believed && !place).then_some(span)
            }
        }
    });
    let answered = || {
        let start = (0..line.word_count()).find(|at| {
            !matches!(
                line.tokens.word(*at),
                "sure"
                    | "yes"
                    | "yeah"
                    | "ok"
                    | "okay"
                    | "its"
                    | "the"
                    | "my"
                    | "name"
                    | "is"
                    | "im"
                    | "so"
                    | "this"
            )
        })?;

        name_span(line, start, true).filter(|span| {
            asked
                && (is_capitalised(line, span.start) || lower_case(line) && span.len() >= 2)
                && !line.has(Cue::CallerOpening)
        })
    };
    let signed = || {
        let at = line.word_count().checked_sub(1)?;
        let text_end =
            (0..line.word_count()).rev().find(|at| line.tokens.word(*at).chars().all(char::is_alphabetic))?;
        let single_sentence = line.tokens.sentence_range(line.tokens.sentence(text_end)).len();
        let mut span =
            name_span(line, line.tokens.sentence_range(line.tokens.sentence(text_end)).start, true)?;
        let reach = phone(talk, index, line).is_some();
        let short = single_sentence <= 2 || reach && span.start + 2 >= at;
        span.end = span.end.min(text_end + 1);
        (short && reach && is_capitalised(line, span.start) || reach && first_or_pair(line, &span))
            .then_some(span)
    };
    let span = introduced.or_else(answered).or_else(|| {
        if asked
            || talk.channel == leadline_schemas::score::Channel::Text
            || talk.channel == leadline_schemas::score::Channel::Call
        {
            signed()
        } else {
            None
        }
    })?;
    let text = line.raw.get(line.tokens.raw_range(span.clone())?)?.trim_end_matches("'s").to_owned();
    // "Whitfield. Aaron Whitfield."
    let next = name_span(line, span.end, true).filter(|next| {
        span.len() == 1 && next.len() == 2 && line.tokens.word(next.end - 1) == line.tokens.word(span.start)
    });
    if let Some(next) = next {
        let text = line.raw.get(line.tokens.raw_range(next.clone())?)?.to_owned();
        return Some(Fact::at(text, index, next));
    }
    Some(Fact::at(text, index, span))
}

/// A name that opens an answer that also has the number: "Katie Olson, 612 ..."
fn first_or_pair(line: &Line, span: &Range<usize>) -> bool {
    span.end <= 4
        && is_capitalised(line, span.start)
        && line.tokens.list.get(span.end - 1).is_some_and(|token| token.comma)
}

/// "Lisa here"
fn before_here(line: &Line, at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(1)?;
    let first = at <= 4 && is_capitalised(line, start) && !NOT_NAMES.contains(&line.tokens.word(start));
    (first && line.tokens.sentence(start) == line.tokens.sentence(at)).then_some(start..at)
}

fn lower_case(line: &Line) -> bool {
    !line.raw.contains(char::is_uppercase)
}

fn is_capitalised(line: &Line, at: usize) -> bool {
    let raw = line.tokens.list.get(at).and_then(|token| line.raw.get(token.raw.clone()));
    raw.is_some_and(|word| word.starts_with(char::is_uppercase))
}

fn name_span(line: &Line, start: usize, firm: bool) -> Option<Range<usize>> {
    let capital = is_capitalised(line, start);
    let sentence = line.tokens.sentence(start);
    let mut end = start;
    while end < start + NAME_WORDS_MAX && end < line.word_count() && line.tokens.sentence(end) == sentence {
        let word = line.tokens.word(end);
        let fits = word.chars().all(char::is_alphabetic)
            && !NAME_ENDS.contains(&word)
            && digit(word).is_none()
            && (end > start || !NOT_NAMES.contains(&word))
            && (!capital || is_capitalised(line, end));
        if !fits || end > start && NOT_NAMES.contains(&word) {
            break;
        }
        end += 1;
        if line.tokens.list.get(end - 1).is_some_and(|token| token.comma) {
            break;
        }
    }
    // Without capitals a name is at most two words.
    let end = if capital { end } else { end.min(start + 2) };
    (end > start && (capital || firm || lower_case(line))).then_some(start..end)
}

fn phone(talk: &Conversation, index: usize, line: &Line) -> Option<Fact<String>> {
    let tokens = &line.tokens;
    let mut at = 0;
    let mut found = None;
    while at < line.word_count() {
        let start = at;
        let mut digits = String::new();
        while let Some(more) = figures(tokens.word(at)).filter(|_| at < line.word_count()) {
            digits.push_str(&more);
            at += 1;
        }
        let trimmed = if digits.len() == PHONE_DIGITS + 1 {
            digits.strip_prefix('1').unwrap_or(&digits)
        } else {
            &digits
        };
        if trimmed.len() == PHONE_DIGITS && !trimmed.starts_with(['0', '1']) {
            found = Some(Fact::at(trimmed.to_owned(), index, start..at));
        }
        at = at.max(start + 1);
    }
    let field = line.label.as_deref().is_none_or(|label| !label.contains("email") && !label.contains("zip"));
    let _ = talk;
    found.filter(|_| field)
}

/// The digits of a word of a phone number, in figures or spelled ("oh" is zero).
fn figures(word: &str) -> Option<String> {
    if word == "-" || word == "plus" {
        return Some(String::new());
    }
    if let Some(digit) = digit(word) {
        return Some(digit.to_string());
    }
    let plain = word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'));
    plain.then(|| word.chars().filter(char::is_ascii_digit).collect())
}

fn email(index: usize, line: &Line) -> Option<Fact<String>> {
    static WRITTEN: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}";
    let written = WRITTEN.get_or_init(|| Regex::new(pattern).ok()).as_ref()?.find(&line.raw);
    if let Some(found) = written {
        let from = line.tokens.list.partition_point(|token| token.raw.end <= found.start());
        let to = line.tokens.list.partition_point(|token| token.raw.start < found.end());
        return Some(Fact::at(found.as_str().to_lowercase(), index, from..to));
    }
    spoken_email(index, line)
}

/// "jenny dot walsh at gmail dot com"
fn spoken_email(index: usize, line: &Line) -> Option<Fact<String>> {
    const HOSTS: &[&str] = &[
        "gmail",
        "yahoo",
        "hotmail",
        "outlook",
        "aol",
        "icloud",
        "comcast",
        "msn",
        "live",
        "att",
        "verizon",
        "sbcglobal",
        "protonmail",
        "me",
        "mac",
        "bellsouth",
        "cox",
    ];
    let tokens = &line.tokens;
    let at = (0..line.word_count()).find(|at| {
        matches!(tokens.word(*at), "at" | "arroba")
            && (HOSTS.contains(&tokens.word(at + 1)) || matches!(tokens.word(at + 2), "dot" | "punto"))
            && !tokens.word(at + 2).is_empty()
    })?;
    let joiner = |word: &str| matches!(word, "dot" | "punto" | "underscore" | "dash" | "guion" | "hyphen");
    let mut start = at;
    while let Some(before) = start.checked_sub(1) {
        let adjoining = start == at
            || joiner(tokens.word(start))
            || joiner(tokens.word(before))
            || tokens.word(before).len() == 1
            || tokens.word(start).chars().all(|c| c.is_ascii_digit());
        let stop = matches!(tokens.word(before), "is" | "its" | "email" | "info" | "es" | "a" | "to" | "me")
            && !joiner(tokens.word(start));
        if !adjoining || stop {
            break;
        }
        start = before;
    }
    let mut end = at + 1;
    while end < line.word_count()
        && (end == at + 1 || joiner(tokens.word(end)) || joiner(tokens.word(end - 1)))
    {
        end += 1;
    }
    let spell = |range: Range<usize>| {
        range
            .map(|at| match tokens.word(at) {
                "dot" | "punto" => ".",
                "underscore" => "_",
                "dash" | "hyphen" | "guion" => "-",
                word => word,
            })
            .collect::<String>()
    };
    let (user, host) = (spell(start..at), spell(at + 1..end));
    let host = if host.contains('.') {
        host
    } else if host == "gmailcom" {
        "gmail.com".into()
    } else {
        host
    };
    (!user.is_empty() && host.contains('.')).then(|| Fact::at(format!("{user}@{host}"), index, start..end))
}

const STREETS: &[&str] = &[
    "street",
    "st",
    "avenue",
    "ave",
    "road",
    "rd",
    "drive",
    "dr",
    "lane",
    "ln",
    "boulevard",
    "blvd",
    "court",
    "ct",
    "circle",
    "cir",
    "way",
    "place",
    "pl",
    "terrace",
    "trail",
    "parkway",
    "pkwy",
    "highway",
    "hwy",
    "loop",
    "cove",
    "ridge",
    "run",
    "square",
];

/// "4412 Willow Bend Drive": a number, one to four words, a kind of street.
fn address(talk: &Conversation, index: usize, line: &Line) -> Option<Fact<String>> {
    let label = line.label.as_deref();
    let tokens = &line.tokens;
    let asked = talk.asked_before(index).is_some_and(|before| before.has(Cue::CityQuestion));
    for number in &line.numbers {
        let number_text = tokens.words(number.from..number.to);
        if number.money || number.to > number.from + 3 || number.scale > 1.0 {
            continue;
        }
        let from = number.from;
        for width in 1..=4 {
            let at = number.to + width;
            if at >= line.word_count() || tokens.sentence(at) != tokens.sentence(from) {
                break;
            }
            if STREETS.contains(&tokens.word(at)) {
                let mut end = at + 1;
                if matches!(
                    tokens.word(end),
                    "north" | "south" | "east" | "west" | "n" | "s" | "e" | "w" | "nw" | "ne" | "sw" | "se"
                ) {
                    end += 1;
                }
                let plausible = !number_text.is_empty()
                    && number.value >= 1.0
                    && !["way", "run", "place", "square"].contains(&tokens.word(at))
                    || asked
                    || is_capitalised(line, at);
                if plausible {
                    let text = line.raw.get(tokens.raw_range(from..end)?)?.to_owned();
                    return Some(Fact::at(text, index, from..end));
                }
            }
        }
    }
    let field = label.is_some_and(|label| {
        (label.contains("address") || label.contains("direccion")) && !label.contains("email")
    });
    (field && line.word_count() >= 3)
        .then(|| Fact::at(line.raw.trim().to_owned(), index, 0..line.word_count()))
}
