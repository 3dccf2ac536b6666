//! Who says what: from pieces of speech to turns.

use leadline_schemas::event::{Speaker, Turn};

/// A piece of what was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The channel or the voice, in whatever words the recogniser has for it; none where it tells none apart.
    pub side: Option<String>,
    /// When it begins or ends; all pieces of an answer tell the same, or nothing.
    pub at_ms: Option<i64>,
    /// What was said.
    pub text: String,
}

/// The turns of a call. Pieces are put in the order of their times, if they have any, and those of one side after another
/// are one turn. Of two sides the one that speaks first is `first`, the other one the other; a third voice, a spouse's, is
/// neither, and where no sides are told apart nobody is named.
pub fn turns(mut said: Vec<Said>, first: Option<Speaker>) -> Vec<Turn> {
    if said.iter().all(|piece| piece.at_ms.is_some()) {
        said.sort_by_key(|piece| piece.at_ms);
    }
    let mut sides: Vec<Option<String>> = Vec::new();
    let mut turns: Vec<(Option<String>, String)> = Vec::new();
    for piece in said {
        let text = piece.text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            continue;
        }
        if !sides.contains(&piece.side) {
            sides.push(piece.side.clone());
        }
        match turns.last_mut() {
            // Pieces of nobody in particular are sentences: each may be another's.
            Some((side, before)) if *side == piece.side && piece.side.is_some() => {
                before.push(' ');
                before.push_str(&text);
            }
            _ => turns.push((piece.side, text)),
        }
    }
    let speaker = |side: &Option<String>| match (sides.len(), first) {
        (2.., Some(first)) if sides.first() == Some(side) => first,
        (2.., Some(first)) if sides.get(1) == Some(side) => other(first),
        _ => Speaker::Unknown,
    };
    turns.into_iter().map(|(side, text)| Turn { speaker: speaker(&side), text }).collect()
}

fn other(speaker: Speaker) -> Speaker {
    match speaker {
        Speaker::Agent => Speaker::Caller,
        Speaker::Caller => Speaker::Agent,
        Speaker::Unknown => Speaker::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(side: &str, at_ms: i64, text: &str) -> Said {
        let side = (!side.is_empty()).then(|| side.to_owned());
        Said { side, at_ms: Some(at_ms), text: text.to_owned() }
    }

    fn told(turns: &[Turn]) -> Vec<(Speaker, &str)> {
        turns.iter().map(|turn| (turn.speaker, turn.text.as_str())).collect()
    }

    #[test]
    fn sides_take_turns_in_the_order_of_time_and_whoever_picks_up_is_first() {
        let pieces = vec![
            said("1", 2_000, " Hi, "),
            said("1", 3_000, "we want a kitchen."),
            said("1", 9_000, "Denver."),
            said("2", 500, "Summit\nKitchens."),
            said("2", 7_000, "Where?"),
            said("2", 8_000, "  "),
        ];
        let inbound = turns(pieces.clone(), Some(Speaker::Agent));
        assert_eq!(
            told(&inbound),
            [
                (Speaker::Agent, "Summit Kitchens."),
                (Speaker::Caller, "Hi, we want a kitchen."),
                (Speaker::Agent, "Where?"),
                (Speaker::Caller, "Denver."),
            ]
        );
        assert_eq!(turns(pieces.clone(), Some(Speaker::Caller))[0].speaker, Speaker::Caller);
        assert!(turns(pieces, None).iter().all(|turn| turn.speaker == Speaker::Unknown));
    }

    #[test]
    fn where_no_sides_are_told_apart_nobody_is_named() {
        let one = turns(vec![said("1", 1, "a"), said("1", 2, "b")], Some(Speaker::Agent));
        assert_eq!(told(&one), [(Speaker::Unknown, "a b")]);
        let none = turns(vec![said("", 1, "a"), said("", 2, "b")], Some(Speaker::Agent));
        assert_eq!(told(&none), [(Speaker::Unknown, "a"), (Speaker::Unknown, "b")]);
        let three =
            turns(vec![said("1", 1, "a"), said("2", 2, "b"), said("3", 3, "c")], Some(Speaker::Agent));
        assert_eq!(told(&three)[2], (Speaker::Unknown, "c"));
        assert_eq!(turns(Vec::new(), Some(Speaker::Agent)), []);
    }

    #[test]
    fn pieces_without_a_time_stay_as_they_came() {
        let mut pieces = vec![said("1", 5, "a"), said("2", 1, "b")];
        pieces[0].at_ms = None;
        let turns = turns(pieces, Some(Speaker::Agent));
        assert_eq!(told(&turns), [(Speaker::Agent, "a"), (Speaker::Caller, "b")]);
    }
}
