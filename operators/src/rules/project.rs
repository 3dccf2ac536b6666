//! Which trade a contact is about.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::fields::Field;
use super::lexicon::Tag;
use super::turns::{Conversation, Line};
use super::words::{List, lists};
use leadline_schemas::score::{Channel, ProjectType};
use std::collections::BTreeMap;

/// Support from which a trade is named.
const NAMED_POINTS_MIN: i32 = 2;
/// Support of a mention from which it is a wish for that trade.
const NAMED_BEST_MIN: i32 = 6;
/// Support of a trade that was named outright.
const FIRM_POINTS: i32 = 12;

/// Support that a trade loses where the company turns it down.
const TURNED_DOWN_POINTS: i32 = 8;

/// The support for a trade and the place of its best mention.
#[derive(Clone, Copy, Debug)]
struct Tally {
    points: i32,
    best: i32,
    place: Place,
}

/// The trade with the most support; the earlier one of two equals, except that a set of rooms is the whole home, and
/// that where the company offers only the lesser of two (a restaurant's windows), the lesser is what is asked for.
pub(super) fn project(talk: &Conversation, offered: &[ProjectType]) -> Option<Fact<ProjectType>> {
    let mut tallies: BTreeMap<ProjectType, Tally> = BTreeMap::new();
    for (index, line) in talk.caller().filter(|(_, line)| line.is_free()) {
        for hit in &line.hits {
            let Tag::Project(project, weight) = hit.tag else { continue };
            let points = points(line, hit.from, hit.to, weight);
            let place = Place::from((index, *hit));
            let tally = tallies.entry(project).or_insert(Tally { points: 0, best: i32::MIN, place });
            // The best mention tells most; others support it a little.
            let support =
                if tally.best == i32::MIN { 0 } else { tally.points - 2 * tally.best + points.clamp(0, 2) };
            if points > tally.best {
                (tally.best, tally.place) = (points, place);
            }
            tally.points = 2 * tally.best + support;
        }
    }
    // "We do decks, not sunrooms." "A patio cover might do it."
    for project in turned_down(talk) {
        if tallies.len() > 1
            && let Some(tally) = tallies.get_mut(&project)
        {
            tally.points -= TURNED_DOWN_POINTS;
            tally.best -= TURNED_DOWN_POINTS;
        }
    }
    if let Some(place) = set_of_rooms(&tallies) {
        return Some(Fact { value: ProjectType::WholeHome, place });
    }
    prefer(&mut tallies);
    let asked = |project: &ProjectType| offered.contains(project);
    if tallies.iter().any(|(project, tally)| asked(project) && tally.best >= NAMED_BEST_MIN) {
        tallies.retain(|project, tally| asked(project) || tally.best > NAMED_BEST_MIN && !is_frame(*project));
    }
    tallies
        .into_iter()
        .filter(|(_, tally)| tally.points >= NAMED_POINTS_MIN)
        .max_by_key(|(_, tally)| (tally.points, std::cmp::Reverse((tally.place.line, tally.place.from))))
        .map(|(value, tally)| Fact { value, place: tally.place })
        .or_else(|| from_agent(talk))
}

/// What the company says it does not do.
fn turned_down(talk: &Conversation) -> Vec<ProjectType> {
    let refused = talk.agent().flat_map(|(_, line)| {
        line.hits.iter().filter_map(move |hit| match hit.tag {
            Tag::Project(project, 3) if line.is_negated(hit.from) => Some(project),
            _ => None,
        })
    });
    refused.collect()
}

/// What a mention is worth where it stands.
fn points(line: &Line, from: usize, to: usize, weight: u8) -> i32 {
    let before = line.tokens.words(from.saturating_sub(4)..from);
    let ends = |leads: &List| leads.iter().any(|lead| before.ends_with(lead));
    let factor = if line.field == Some(Field::Service) { 2 } else { 1 };
    let wished = line.cues(Cue::Wish).any(|wish| wish.from < to && from <= wish.to + 8);
    let worked = line.cues(Cue::Project).any(|verb| verb.to + 3 >= from && verb.from < from);
    let mut points = i32::from(weight) * 2 * factor;
    if is_extent(line, from, to) || is_storey(line, from) {
        return points - 5;
    }
    if worked || wished && !ends(&lists().elsewhere) {
        points += 2;
    } else if ends(&lists().elsewhere) {
        points -= 4;
    }
    if ends(&lists().past_work) {
        points -= 5;
    }
    let far = line.tokens.words(from.saturating_sub(7)..from);
    let later =
        ["eventually", "someday", "way down the line", "down the road"].iter().any(|word| far.contains(word));
    if later || ends(&lists().later) || line.is_negated(from) {
        points -= 3;
    }
    points
}

/// "New floors throughout the whole house" are floors.
fn is_extent(line: &Line, from: usize, to: usize) -> bool {
    let whole = ["whole", "entire", "toda", "entera", "completa"]
        .iter()
        .any(|word| line.tokens.words(from..to).contains(word));
    let before = from.checked_sub(1).map_or("", |at| line.tokens.word(at));
    let lead = if matches!(before, "the" | "my" | "our" | "a") {
        from.checked_sub(2).map_or("", |at| line.tokens.word(at))
    } else {
        before
    };
    whole
        && matches!(
            lead,
            "in" | "for" | "on" | "of" | "throughout" | "through" | "en" | "de" | "around" | "to"
        )
}

/// "The first floor" is a place.
fn is_storey(line: &Line, at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |at| line.tokens.word(at));
    line.tokens.word(at).starts_with("floor")
        && matches!(
            before,
            "main"
                | "first"
                | "second"
                | "third"
                | "top"
                | "ground"
                | "upper"
                | "lower"
                | "1st"
                | "2nd"
                | "3rd"
                | "same"
                | "open"
        )
}

/// Kitchen, bath and floors together are the home.
fn set_of_rooms(tallies: &BTreeMap<ProjectType, Tally>) -> Option<Place> {
    let rooms = [ProjectType::Kitchen, ProjectType::Bath, ProjectType::Flooring, ProjectType::Basement];
    let firm: Vec<&Tally> =
        rooms.iter().filter_map(|room| tallies.get(room)).filter(|tally| tally.best >= 4).collect();
    let first = firm.iter().min_by_key(|tally| (tally.place.line, tally.place.from))?;
    // Named in one breath; over a whole call a bath is mentioned where the basement is what is wanted.
    let together = firm.iter().all(|tally| tally.place.line == first.place.line);
    (firm.len() >= 3 && together && !tallies.contains_key(&ProjectType::AdditionAdu)).then_some(first.place)
}

/// What other work may be a part of.
fn is_frame(project: ProjectType) -> bool {
    matches!(project, ProjectType::WholeHome | ProjectType::Commercial)
}

/// A frame outweighs what is in it: a shop's kitchen is commercial, a bath in an addition is an addition.
fn prefer(tallies: &mut BTreeMap<ProjectType, Tally>) {
    const FRAMES: &[ProjectType] =
        &[ProjectType::WholeHome, ProjectType::Commercial, ProjectType::AdditionAdu, ProjectType::Basement];
    let firm: Vec<ProjectType> = FRAMES
        .iter()
        .copied()
        .filter(|frame| tallies.get(frame).is_some_and(|tally| tally.points >= FIRM_POINTS))
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
    if talk.channel == Channel::Voicemail {
        return None;
    }
    talk.agent().find_map(|(index, line)| {
        let (_, answer) = talk.answer_after(index)?;
        // "Your siding estimate" is one that the caller asked for.
        let known = line.hits.iter().find_map(|hit| match hit.tag {
            Tag::Project(project, 3) if hit.from > 0 && line.tokens.word(hit.from - 1) == "your" => {
                Some(Fact::at(project, index, hit.from..hit.to))
            }
            _ => None,
        });
        if known.is_some() {
            return known;
        }
        if !answer.cues(Cue::Yes).any(|hit| hit.from <= 1) || line.has(Cue::Greeting) || index == 0 {
            return None;
        }
        line.hits.iter().find_map(|hit| match hit.tag {
            Tag::Project(project, 3) => Some(Fact::at(project, index, hit.from..hit.to)),
            _ => None,
        })
    })
}
