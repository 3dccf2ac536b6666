//! What kind of contact it is.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::fields::Field;
use super::lexicon::{Hit, Tag};
use super::turns::{Conversation, Line};
use super::words::lists;
use leadline_schemas::score::{Channel, Class, ProjectType};
use std::collections::BTreeMap;

/// Points at which a non-lead class is believed.
const CLASS_POINTS_MIN: i32 = 3;
/// Points for which a caller's project may outweigh a class.
const PROJECT_POINTS_STRONG: i32 = 3;
/// Words of a caller from which a talk about a home counts as a conversation.
const TELLING_WORDS_MIN: usize = 6;
/// Words of "do you build pickleball courts".
const ASKING_WORDS_MIN: usize = 4;
/// Phrases that are remembered, so that each counts once; more are none of a contact's.
const PHRASES_MAX: usize = 64;

/// The sum of a list's phrases, each counted once, and its first place.
#[derive(Clone, Copy, Debug)]
struct Tally {
    points: i32,
    place: Place,
}

/// The class by the words alone; the area is decided elsewhere.
pub(super) fn classify(talk: &Conversation, project: Option<&Fact<ProjectType>>) -> (Class, Option<Place>) {
    let tallies = class_tallies(talk);
    let wants = wants_project(talk);
    let points = |class| tallies.get(&class).map_or(0, |tally: &Tally| tally.points);
    let ranked = [Class::Spam, Class::WrongNumber, Class::JobSeeker, Class::Vendor, Class::ExistingCustomer];
    let best = ranked
        .into_iter()
        .filter(|class| points(*class) >= CLASS_POINTS_MIN + handicap(*class, project.is_some(), wants))
        .max_by_key(|class| (points(*class), *class == Class::ExistingCustomer));
    if let Some(class) = best {
        return (class, tallies.get(&class).map(|tally| tally.place));
    }
    if let Some(place) = misdialled(talk).filter(|_| !wants) {
        return (Class::WrongNumber, Some(place));
    }
    if project.is_none() && !tells_anything(talk) {
        return (Class::NoConversation, None);
    }
    (Class::Lead, None)
}

/// A caller with a project of their own needs more words to be taken for something else.
fn handicap(class: Class, has_project: bool, wants_project: bool) -> i32 {
    match class {
        _ if !wants_project => 0,
        Class::ExistingCustomer if has_project => 3,
        Class::WrongNumber | Class::JobSeeker => 2,
        Class::Vendor | Class::Spam => 2,
        _ => 1,
    }
}

fn class_tallies(talk: &Conversation) -> BTreeMap<Class, Tally> {
    let mut tallies: BTreeMap<Class, Tally> = BTreeMap::new();
    let mut seen: Vec<(Class, String)> = Vec::new();
    for (index, line) in talk.caller().filter(|(_, line)| line.is_free()) {
        // Of phrases over the same words the weightiest counts.
        let mut hits: Vec<_> = line
            .hits
            .iter()
            .filter_map(|hit| match hit.tag {
                Tag::Class(class, weight) if !line.is_negated(hit.from) && !is_asked(line, class, hit) => {
                    Some((class, weight, *hit))
                }
                _ => None,
            })
            .collect();
        hits.sort_by_key(|(_, weight, hit)| (std::cmp::Reverse(*weight), hit.from));
        for (class, weight, hit) in hits {
            let words = line.tokens.words(hit.from..hit.to);
            let known = seen.iter().any(|(other, text)| {
                *other == class && (text.contains(words) || words.contains(text.as_str()))
            });
            if known || seen.len() >= PHRASES_MAX {
                continue;
            }
            seen.push((class, words.to_owned()));
            let place = Place::from((index, hit));
            tallies.entry(class).or_insert(Tally { points: 0, place }).points += i32::from(weight);
        }
    }
    tallies
}

/// "Do you guys put in windows?" asks about work; "you guys put in my windows" is about work that was done.
fn is_asked(line: &Line, class: Class, hit: &Hit) -> bool {
    let before = hit.from.checked_sub(1).map_or("", |at| line.tokens.word(at));
    let others = (hit.from..hit.to + 5).any(|at| lists().others.has(line.tokens.word(at)));
    class == Class::ExistingCustomer && others
        || class == Class::ExistingCustomer
            && matches!(line.tokens.word(hit.from), "you" | "yall")
            && matches!(
                before,
                "do" | "can"
                    | "could"
                    | "would"
                    | "will"
                    | "if"
                    | "when"
                    | "to"
                    | "let"
                    | "want"
                    | "like"
                    | "need"
                    | "have"
                    | "should"
            )
}

/// Words with which a caller asks for a project of their own: "we want to redo", "looking for a quote on".
fn wants_project(talk: &Conversation) -> bool {
    talk.caller().filter(|(_, line)| line.is_free()).any(|(_, line)| {
        line.affirmed(Cue::Wish).any(|wish| {
            let sentence = line.tokens.sentence(wish.from);
            let near = |hit: &&Hit| {
                hit.to > wish.from && hit.from <= wish.to + 8 && line.tokens.sentence(hit.from) == sentence
            };
            let mut verb = false;
            // "They have a deck, and I'd like one just like it."
            let one = (wish.to..wish.to + 3)
                .any(|at| line.tokens.word(at) == "one" && line.tokens.sentence(at) == sentence)
                && line.hits.iter().any(|hit| matches!(hit.tag, Tag::Project(..)));
            one || line.hits.iter().filter(near).any(|hit| {
                // "My kitchen project" is there already; "to redo my kitchen" is not.
                let owned = hit
                    .from
                    .checked_sub(1)
                    .is_some_and(|at| matches!(line.tokens.word(at), "my" | "our" | "your"))
                    && !(wish.from..hit.from)
                        .any(|at| matches!(line.tokens.word(at), "do" | "doing" | "done"));
                match hit.tag {
                    Tag::Cue(Cue::Project) => {
                        let counts =
                            !owned && !matches!(line.tokens.word(hit.from), "project" | "inspection");
                        verb |= counts;
                        counts
                    }
                    Tag::Project(_, weight) => i32::from(weight) >= PROJECT_POINTS_STRONG && (!owned || verb),
                    _ => false,
                }
            })
        })
    })
}

/// Whether the caller says enough for a guess at what they want.
fn tells_anything(talk: &Conversation) -> bool {
    // Who fills in the service, the date or the budget of a contractor's form wants work done.
    let filled = talk
        .caller()
        .any(|(_, line)| matches!(line.field, Some(Field::Service | Field::When | Field::Budget)));
    let words: usize = talk.caller().map(|(_, line)| line.word_count()).sum();
    let about = |line: &Line| {
        let asked = line.has(Cue::PriceQuestion) && line.word_count() > 4;
        let emergency = talk.channel != Channel::Form && line.affirmed(Cue::Emergency).next().is_some();
        let verb = line.cues(Cue::Project).any(|hit| !is_vague(line.tokens.word(hit.from)));
        let thing = line.affirmed(Cue::Property).next().is_some();
        let trade = line.hits.iter().any(|hit| matches!(hit.tag, Tag::Project(..)));
        asked
            || emergency
            || verb && line.has_any(&[Cue::CallerOpening, Cue::Wish, Cue::Property])
            || thing
            || trade
    };
    let named = talk.caller().filter(|(_, line)| line.is_free()).any(|(_, line)| {
        line.has(Cue::Project) && line.has_word(&["quote", "estimate", "remodel", "remodeling", "cotizacion"])
    });
    let offered = talk.caller().filter(|(_, line)| line.is_free()).any(|(_, line)| {
        line.word_count() >= ASKING_WORDS_MIN
            && line.cues(Cue::Wish).any(|wish| {
                line.tokens.words(wish.from..wish.to).contains(" you ")
                    && line.cues(Cue::Project).any(|verb| verb.from >= wish.from)
            })
    });
    filled
        || named
        || offered
        || words >= TELLING_WORDS_MIN
            && talk.caller().filter(|(_, line)| line.is_free()).any(|(_, line)| about(line))
}

/// Words that are about work only with others.
fn is_vague(word: &str) -> bool {
    matches!(
        word,
        "add"
            | "fix"
            | "fixed"
            | "built"
            | "build"
            | "building"
            | "price"
            | "finish"
            | "hacer"
            | "trabajo"
            | "project"
            | "poner"
    )
}

/// "Is this Tony's Pizza?" "No, this is a remodeling company." "Oh, sorry."
fn misdialled(talk: &Conversation) -> Option<Place> {
    let told = talk.agent().find(|(_, line)| line.words().contains("wrong number"));
    if let Some((index, _)) = told {
        let (line, caller) = talk.caller().find(|(at, _)| *at < index)?;
        return Some(Place { line, from: 0, to: caller.word_count().min(8) });
    }
    talk.agent().find_map(|(index, agent)| {
        let denies = agent.cues(Cue::No).any(|hit| hit.from <= 1) || agent.words().contains("nobody here");
        let before = index.checked_sub(1)?;
        let asked = talk.line(before).filter(|line| line.by_caller())?;
        let seeks = [
            "is this",
            "is there a",
            "trying to reach",
            "looking for",
            "can i speak",
            "may i speak",
            "is he",
            "is she",
        ]
        .iter()
        .any(|words| asked.words().contains(words))
            || asked.has_word(&["there"]) && asked.asks();
        let about_work = asked.has_any(&[Cue::Project, Cue::Property])
            || asked.hits.iter().any(|hit| matches!(hit.tag, Tag::Project(..)));
        let gone = talk.answer_after(index).is_none_or(|(_, line)| {
            line.has_word(&["sorry", "bad", "mistake", "bye", "oops", "okay", "ok", "thanks"])
        });
        (denies && seeks && !about_work && gone && talk.lines.len() <= 8).then(|| Place {
            line: before,
            from: 0,
            to: asked.word_count().min(8),
        })
    })
}
