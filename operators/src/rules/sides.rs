//! Who speaks, where the input does not tell or tells it wrongly.

use super::cue::Cue;
use super::turns::Line;
use leadline_schemas::score::{Channel, Speaker};

/// Lines from which a call in which only one side was told apart is taken for badly labelled.
const ONE_SIDED_LINES_MIN: usize = 4;
/// How many more of the company's questions must stand on the caller's side before the sides are swapped.
const SWAP_MARGIN: i32 = 2;

/// Sets right the sides of a transcript: labels that are missing, all the same, or swapped.
pub(super) fn settle(lines: &mut [Line], told: bool, channel: Channel) {
    if channel == Channel::Voicemail {
        return;
    }
    if !told {
        guess(lines, true);
        return;
    }
    let callers = lines.iter().filter(|line| line.by_caller()).count();
    let one_sided = callers == lines.len() || callers == 0;
    let company = |speaker| lines.iter().filter(|line| line.speaker == speaker).map(leaning).sum::<i32>();
    if one_sided {
        let both_speak = lines.iter().filter(|line| leaning(line) > 0).count() >= 2;
        if lines.len() >= ONE_SIDED_LINES_MIN && both_speak {
            guess(lines, true);
        }
    } else if company(Speaker::Caller) >= SWAP_MARGIN && company(Speaker::Agent) <= -SWAP_MARGIN {
        for line in lines.iter_mut() {
            line.speaker = other(line.speaker);
        }
    }
}

/// In a thread of which only some of the company's messages bear its name, the sides take turns.
pub(super) fn settle_thread(lines: &mut [Line]) {
    let unnamed = lines.iter().any(|line| line.by_caller() && leaning(line) > 0);
    if lines.len() > 1 && unnamed {
        guess(lines, true);
    }
}

/// Tells sides by what is said; where nothing tells and each line is a turn, the sides take turns.
pub(super) fn guess(lines: &mut [Line], turns: bool) {
    let mut before: Option<Speaker> = None;
    for line in lines.iter_mut() {
        line.speaker = match (leaning(line), before) {
            (lean, _) if lean > 0 => Speaker::Agent,
            (lean, _) if lean < 0 => Speaker::Caller,
            (_, Some(before)) if turns => other(before),
            _ => Speaker::Caller,
        };
        before = Some(line.speaker);
    }
}

fn other(speaker: Speaker) -> Speaker {
    match speaker {
        Speaker::Agent => Speaker::Caller,
        Speaker::Caller => Speaker::Agent,
    }
}

/// Above zero for what the company says, below for what a caller says.
fn leaning(line: &Line) -> i32 {
    let company = Cue::AGENT_TALK.iter().filter(|cue| line.has(**cue)).count() as i32;
    let caller = 2 * i32::from(line.has_any(Cue::CALLER_TALK));
    let greeting = 2 * i32::from(line.has(Cue::Greeting));
    company.min(2) + greeting - caller
}
