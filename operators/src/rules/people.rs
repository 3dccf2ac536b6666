//! Who decides, and how engaged the caller is.

use super::cue::Cue;
use super::fact::{Fact, Place};
use super::fields::Field;
use super::turns::{Conversation, Line};
use super::visit::visit;
use super::words::lists;
use leadline_schemas::score::DecisionMaker;

/// The caller's standing.
#[derive(Debug)]
pub(super) struct Authority {
    pub decision_maker: Option<Fact<DecisionMaker>>,
    pub owner: Option<Place>,
    pub others: Option<Place>,
    pub appointment: Option<Fact<String>>,
    pub offers_times: Option<Place>,
    pub ready: Option<Place>,
    pub declined: Option<Place>,
    pub hostile: Option<Place>,
    pub withdrawn: Option<Place>,
}

pub(super) fn authority(talk: &Conversation) -> Authority {
    let first = |cue| talk.first_by_caller(cue).map(Place::from);
    let appointment = visit(talk);
    let decision_maker = decision_maker(talk);
    let sole = decision_maker.as_ref().is_some_and(|fact| fact.value == DecisionMaker::Sole);
    Authority {
        owner: owner(talk),
        others: first(Cue::OthersDecide).filter(|_| !sole),
        offers_times: first(Cue::OffersTimes),
        ready: first(Cue::ReadyToBook),
        declined: if appointment.is_some() {
            None
        } else {
            talk.last_by_caller(Cue::Declined).map(Place::from)
        },
        hostile: first(Cue::Hostile),
        withdrawn: first(Cue::Withdrawn).filter(|_| appointment.is_none()),
        decision_maker,
        appointment,
    }
}

fn decision_maker(talk: &Conversation) -> Option<Fact<DecisionMaker>> {
    let first = |cue| talk.first_by_caller(cue).map(Place::from);
    let last = |cue| talk.last_by_caller(cue).map(Place::from);
    let fact = |value, place: Place| Some(Fact { value, place });
    if let Some(place) = first(Cue::Renter)
        && !talk.caller_has(Cue::NotOwner)
    {
        return fact(DecisionMaker::RenterLandlord, place);
    }
    let asked = |place: &Place| talk.line(place.line).is_some_and(|line| line.is_question(place.from));
    // "Does he need to be here?" asks; it does not say so.
    let absent = last(Cue::SpouseAbsent).filter(|place| !asked(place));
    let sole = last(Cue::Sole);
    let both = last(Cue::BothPresent).or_else(|| answered(talk, true));
    let order = |place: Option<Place>| place.map(|place| (place.line, place.from));
    // The last word counts, except that a partner who is there outweighs one who is to be asked.
    match (absent, both, sole) {
        (None, None, None) => alone(talk),
        (Some(place), both, sole) if order(both) < order(Some(place)) && order(sole) < order(Some(place)) => {
            fact(DecisionMaker::SpouseAbsent, place)
        }
        (_, Some(place), sole) if order(sole) < order(Some(place)) => fact(DecisionMaker::BothPresent, place),
        (_, _, Some(place)) => fact(DecisionMaker::Sole, place),
        (_, Some(place), None) => fact(DecisionMaker::BothPresent, place),
        (Some(place), None, None) => fact(DecisionMaker::SpouseAbsent, place),
    }
}

/// "Anyone else involved?" "No." and "I own it" with no partner in sight.
fn alone(talk: &Conversation) -> Option<Fact<DecisionMaker>> {
    let denied = answered(talk, false).or_else(|| affirmed_sole(talk));
    let owner = owner(talk).filter(|_| !mentions_partner(talk) && !talk.caller_has(Cue::OthersDecide));
    denied.or(owner).map(|place| Fact { value: DecisionMaker::Sole, place })
}

/// "Are you the sole decision maker?" "I am."
fn affirmed_sole(talk: &Conversation) -> Option<Place> {
    talk.agent().filter(|(_, line)| line.asks_for(Cue::DecisionQuestion)).find_map(|(index, agent)| {
        let (at, answer) = talk.answer_after(index)?;
        let sole = [
            "sole ",
            "only ",
            "just you",
            "the decision maker",
            "one deciding",
            "usted decide",
            "one who decides",
        ]
        .iter()
        .any(|words| agent.words().contains(words));
        let hit = answer
            .cues(Cue::Yes)
            .next()
            .filter(|hit| hit.from <= 1 && sole && !agent.words().contains("else"))?;
        (!answer.has_any(&[Cue::SpouseAbsent, Cue::OthersDecide])).then_some(Place::from((at, *hit)))
    })
}

fn mentions_partner(talk: &Conversation) -> bool {
    talk.caller().any(|(_, line)| {
        (0..line.word_count()).any(|at| lists().partners.has(line.tokens.word(at)))
            || [
                "we own",
                "we do |",
                "were both",
                "we bought",
                "we just bought",
                "we closed",
                "somos",
                "we are |",
            ]
            .iter()
            .any(|words| line.words().contains(words))
    })
}

/// The caller's plain yes to "both of you?", or no to "anybody else?".
fn answered(talk: &Conversation, yes: bool) -> Option<Place> {
    talk.agent().filter(|(_, line)| line.asks_for(Cue::DecisionQuestion)).find_map(|(index, agent)| {
        let (at, answer) = talk.answer_after(index)?;
        let cue = if yes { Cue::Yes } else { Cue::No };
        let hit = *answer.cues(cue).next().filter(|hit| hit.from == 0)?;
        if answer.has_any(&[Cue::SpouseAbsent, Cue::OthersDecide]) {
            return None;
        }
        let words = agent.words();
        let both = [
            "both", "spouse", "husband", "wife", "partner", "espos", "marido", "pareja", "los dos", " she ",
            " he ",
        ]
        .iter()
        .any(|word| words.contains(word));
        let asks_else =
            ["else", "other decision", "alguien mas", "otra persona"].iter().any(|word| words.contains(word));
        let fits = if yes { both && !asks_else } else { asks_else };
        fits.then_some(Place::from((at, hit)))
    })
}

/// Says to own the home, or says yes to the question.
fn owner(talk: &Conversation) -> Option<Place> {
    let asked = talk.agent().filter(|(_, line)| line.asks_for(Cue::OwnerQuestion)).find_map(|(index, _)| {
        let (at, answer) = talk.answer_after(index)?;
        let hit = answer.cues(Cue::Yes).next().filter(|hit| hit.from <= 2 && !answer.has(Cue::Renter))?;
        Some(Place::from((at, *hit)))
    });
    let field = talk.caller().find_map(|(index, line)| {
        let hit = line.cues(Cue::Yes).next().or_else(|| line.cues(Cue::Owner).next())?;
        let owns = line.has_word(&["own", "owner"]);
        (line.field == Some(Field::Owner)).then_some(()).filter(|()| owns || starts(line, hit.from))?;
        Some(Place::from((index, *hit)))
    });
    let said = talk
        .caller()
        .filter(|(_, line)| line.is_free())
        .find_map(|(index, line)| line.affirmed(Cue::Owner).next().map(|hit| Place::from((index, *hit))));
    asked.or(field).or(said)
}

fn starts(line: &Line, at: usize) -> bool {
    at == 0 && !line.has(Cue::No)
}
