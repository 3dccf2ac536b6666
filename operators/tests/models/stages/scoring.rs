//! The part of the model that knows scores.

use leadline_operators::contract::Table;
use leadline_operators::score::{self, ScoreContact, input_of};
use leadline_schemas::contact::Contact;
use leadline_schemas::event::{Direction, Event};
use leadline_schemas::inbound::EventKind;
use leadline_schemas::reply::FailureKind;
use leadline_schemas::settings::Tenant;

use super::{Answer, Stage, may_leave};
use crate::driver::{answered, failed};
use crate::inputs::{call_contact, call_event};

pub(crate) struct Scoring;

impl Stage for Scoring {
    type Operator = ScoreContact;
    const KIND: &'static str = "score";
    const WAITING: &'static Table<Contact> = &score::WAITING;

    fn answers() -> Vec<Answer> {
        let good = good_score();
        let mut answers =
            vec![answered(good.to_string()), failed(FailureKind::Exhausted), answered("nonsense")];
        // Each is wrong in one thing: over its range, more than its factors, of another band, a quote nobody said.
        for (pointer, wrong) in [
            ("/score", serde_json::json!(101)),
            ("/factors/budget", serde_json::json!(26)),
            ("/score", serde_json::json!(55)),
            ("/band", serde_json::json!("hot")),
            ("/evidence/0/quote", serde_json::json!("money is no object")),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = wrong;
            answers.push(answered(bad.to_string()));
        }
        answers
    }

    fn asks(contact: &Contact, tenant: Option<&Tenant>) -> bool {
        let wants = tenant.is_some_and(|tenant| tenant.policy.score_provider != "rules");
        wants && is_scored(contact) && may_leave(contact, tenant)
    }

    fn passed(before: &Contact, after: &Contact, tenant: Option<&Tenant>) {
        assert_eq!(after.score.is_some(), is_scored(before));
        let Some(score) = &after.score else { return };
        assert_eq!((score.provider.as_str(), score.cost_micros), ("rules", 0));
        let wants = tenant.is_some_and(|tenant| tenant.policy.score_provider != "rules");
        assert_eq!(score.fallback.is_some(), wants, "a stand-in says so");
    }

    fn heard(before: &Contact, after: &Contact, answer: &Answer, _: Option<&Tenant>) {
        let score = after.score.as_ref().expect("an outage is no reason to have no score");
        assert!((0..=100).contains(&score.score));
        let said = !input_of(before, None).transcript.is_empty()
            || matches!(&before.event, Event::TextEvent(_) | Event::FormEvent(_));
        let right = answer.as_ref().is_ok_and(|answered| answered.body == good_score().to_string());
        // The quote of the good answer is one letter, so that it is in everything that was said at all.
        let good = right && said;
        assert_eq!(score.fallback.is_none(), good, "{score:?}");
        let cost_micros = answer.as_ref().map_or(0, |answered| answered.cost_micros);
        assert_eq!(score.cost_micros, cost_micros, "what is no use is paid for too");
        if good {
            assert_eq!((score.score, score.provider.as_str()), (41, "model"));
        } else {
            assert_eq!(score.provider, "rules");
        }
    }
}

/// An answer that holds together.
pub(crate) fn good_score() -> serde_json::Value {
    let contact = call_contact(1, call_event("CAL1"));
    let mut output =
        serde_json::to_value(leadline_operators::rules::score(&input_of(&contact, None))).unwrap();
    output["id"] = serde_json::Value::Null;
    output["score"] = serde_json::json!(41);
    output["band"] = serde_json::json!("nurture");
    output["class"] = serde_json::json!("lead");
    output["factors"] = serde_json::json!({"budget": 20, "timeline": 21, "scope_area": 0, "authority": 0});
    output["evidence"] = serde_json::json!([{"field": "budget", "quote": "e", "turn": 0}]);
    output
}

fn is_scored(contact: &Contact) -> bool {
    match &contact.event {
        Event::CallEvent(call) => {
            !matches!(call.kind, EventKind::PreCall | EventKind::CallRoutingComplete)
                && call.direction != Some(Direction::Outbound)
        }
        Event::TextEvent(text) => text.kind == EventKind::TextReceived,
        Event::FormEvent(_) => true,
    }
}
