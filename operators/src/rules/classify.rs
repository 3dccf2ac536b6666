//! What kind of contact it is, and which trade it is about.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::lexicon::Tag;
use super::turns::Conversation;
use leadline_schemas::score::{Channel, Class, ProjectType};
use std::collections::BTreeMap;

/// Points at which a non-lead class is believed.
const CLASS_POINTS_MIN: i32 = 3;
/// Points for which a caller's project may outweigh a class.
const PROJECT_POINTS_STRONG: i32 = 3;

/// The sum of a list's phrases, each counted once, and its first place.
#[derive(Clone, Copy, Debug)]
struct Tally {
    points: i32,
    place: Place,
}

/// The class by the words alone; the area is decided elsewhere.
pub(super) fn classify(talk: &Conversation, project: Option<&Fact<ProjectType>>) -> (Class, Option<Place>) {
    let tallies = class_tallies(talk);
    let wants_project = wants_project(talk);
    let points = |class| tallies.get(&class).map_or(0, |tally: &Tally| tally.points);
    let ranked = [
        (Class::Spam, CLASS_POINTS_MIN),
        (Class::WrongNumber, CLASS_POINTS_MIN),
        (Class::JobSeeker, CLASS_POINTS_MIN),
        (Class::Vendor, CLASS_POINTS_MIN),
        (Class::ExistingCustomer, CLASS_POINTS_MIN),
    ];
    let best = ranked
        .into_iter()
        .filter(|(class, least)| {
            points(*class) >= *least + handicap(*class, project.is_some(), wants_project)
        })
        .max_by_key(|(class, _)| (points(*class), *class == Class::ExistingCustomer));
    if let Some((class, _)) = best {
        return (class, tallies.get(&class).map(|tally| tally.place));
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
        Class::Vendor => 3,
        Class::Spam => 3,
        _ => 1,
    }
}

fn class_tallies(talk: &Conversation) -> BTreeMap<Class, Tally> {
    let mut tallies: BTreeMap<Class, Tally> = BTreeMap::new();
    let mut seen: Vec<(Class, String)> = Vec::new();
    for (index, line) in talk.caller() {
        for hit in &line.hits {
            let Tag::Class(class, weight) = hit.tag else { continue };
            let words = line.tokens.words(hit.from..hit.to);
            // "We never had a warranty" and the like are rare; what counts is each phrase once.
            let known = seen.iter().any(|(other, text)| {
                *other == class && (text.contains(words) || words.contains(text.as_str()))
            });
            if known {
                continue;
            }
            seen.push((class, words.to_owned()));
            let place = Place::from((index, *hit));
            tallies.entry(class).or_insert(Tally { points: 0, place }).points += i32::from(weight);
        }
    }
    tallies
}

/// Words with which a caller asks for a project: "we want to redo", "looking for a quote".
fn wants_project(talk: &Conversation) -> bool {
    talk.caller().any(|(_, line)| {
        let asks = line.has_any(&[Cue::CallerOpening]);
        let project = line.hits.iter().any(
            |hit| matches!(hit.tag, Tag::Project(_, weight) if i32::from(weight) >= PROJECT_POINTS_STRONG),
        );
        asks && project && line.has(Cue::Project)
            || line.hits.iter().any(|hit| {
                hit.tag == Tag::Cue(Cue::Project)
                    && matches!(
                        line.tokens.word(hit.from),
                        "estimate" | "quote" | "remodel" | "remodeling" | "renovation" | "remodelar"
                    )
                    && asks
            })
    })
}

/// Whether the caller says enough for a guess at what they want.
fn tells_anything(talk: &Conversation) -> bool {
    talk.caller().any(|(_, line)| {
        let verb = line.hits.iter().any(|hit| {
            hit.tag == Tag::Cue(Cue::Project)
                && !matches!(
                    line.tokens.word(hit.from),
                    "new" | "add" | "fix" | "fixed" | "built" | "build" | "building" | "quote"
                )
        });
        verb && line.has(Cue::CallerOpening)
            || talk.channel != Channel::Form && line.has(Cue::Emergency)
            || line.has(Cue::PriceQuestion) && line.word_count() > 4
            || line.hits.iter().any(|hit| {
                hit.tag == Tag::Cue(Cue::Project)
                    && matches!(line.tokens.word(hit.from), "quote" | "estimate" | "remodel" | "remodeling")
            })
    })
}

/// The trade with the most support; the earlier one of two equals, except that a set of rooms is the whole home.
pub(super) fn project(talk: &Conversation) -> Option<Fact<ProjectType>> {
    let mut tallies: BTreeMap<ProjectType, Tally> = BTreeMap::new();
    for (index, line) in talk.caller() {
        let service_field = line.label.as_deref().is_some_and(|label| {
            ["service", "project", "type", "servicio", "proyecto", "looking for", "interest"]
                .iter()
                .any(|word| label.contains(word))
        });
        for hit in &line.hits {
            let Tag::Project(project, weight) = hit.tag else { continue };
            let before = line.tokens.words(hit.from.saturating_sub(3)..hit.from);
            let elsewhere = [
                "not the",
                "into the",
                "through to the",
                "near the",
                "next to the",
                "above the",
                "off the",
                "from the",
                "in the",
            ]
            .iter()
            .any(|lead| before.ends_with(lead));
            let past = line.tokens.norm.contains("you redid our") && before.ends_with("redid our")
                || before.ends_with("did my")
                || before.ends_with("did our");
            let factor = if service_field { 2 } else { 1 };
            let points =
                (i32::from(weight) * 2 * factor) - if elsewhere { 3 } else { 0 } - if past { 4 } else { 0 };
            let place = Place::from((index, *hit));
            let tally = tallies.entry(project).or_insert(Tally { points: 0, place });
            // What is named first is what the call is about; later mentions support it less.
            tally.points += if tally.points == 0 { points * 2 } else { points.min(2) };
        }
    }
    let rooms = [ProjectType::Kitchen, ProjectType::Bath, ProjectType::Flooring, ProjectType::Basement];
    let strong_rooms =
        rooms.iter().filter(|room| tallies.get(room).is_some_and(|tally| tally.points >= 12)).count();
    if strong_rooms >= 3
        && let Some(tally) = rooms
            .iter()
            .filter_map(|room| tallies.get(room))
            .min_by_key(|tally| (tally.place.line, tally.place.from))
    {
        return Some(Fact { value: ProjectType::WholeHome, place: tally.place });
    }
    prefer(&mut tallies);
    tallies
        .into_iter()
        .filter(|(_, tally)| tally.points >= 2)
        .max_by_key(|(_, tally)| (tally.points, std::cmp::Reverse((tally.place.line, tally.place.from))))
        .map(|(value, tally)| Fact { value, place: tally.place })
        .or_else(|| from_agent(talk))
}

/// A frame outweighs what is in it: a shop's kitchen is commercial, a bath in an addition is an addition.
fn prefer(tallies: &mut BTreeMap<ProjectType, Tally>) {
    const FRAMES: &[ProjectType] =
        &[ProjectType::WholeHome, ProjectType::Commercial, ProjectType::AdditionAdu, ProjectType::Basement];
    let firm: Vec<ProjectType> = FRAMES
        .iter()
        .copied()
        .filter(|frame| tallies.get(frame).is_some_and(|tally| tally.points >= 12))
        .collect();
    if let Some(tally) = firm.first().and_then(|frame| tallies.get_mut(frame)) {
        tally.points += 8;
    }
    let firm_other =
        tallies.iter().any(|(project, tally)| *project != ProjectType::Other && tally.points >= 8);
    if let Some(tally) = tallies.get_mut(&ProjectType::Other).filter(|_| firm_other) {
        tally.points -= 10;
    }
}

/// The company names the trade and the caller agrees ("for the basement quote?" "Yes").
fn from_agent(talk: &Conversation) -> Option<Fact<ProjectType>> {
    talk.agent().find_map(|(index, line)| {
        let (_, answer) = talk.answer_after(index)?;
        if !answer.cues(Cue::Yes).any(|hit| hit.from <= 1) || line.has(Cue::Greeting) {
            return None;
        }
        line.hits.iter().find_map(|hit| match hit.tag {
            Tag::Project(project, 3) => Some(Fact::at(project, index, hit.from..hit.to)),
            _ => None,
        })
    })
}
