//! The oracle: a small sequential model that handles each accepted event once, in the order of its acceptance.

use std::collections::{BTreeMap, BTreeSet};

use leadline_operators::rules;
use leadline_schemas::event::Speaker;
use leadline_schemas::score::{self, CallMeta, Channel, ScoreInput};
use leadline_schemas::{EventId, Millis};
use serde_json::Value;

use crate::script::{CallTold, Told};
use crate::world::Sent;

/// What became of an accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    Duplicate,
    Failed,
    /// A command: it has no request of its own.
    Unseen,
}

/// What a contact's content is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Worth {
    pub score: i64,
    pub class: String,
    pub band: String,
}

/// A call, text or form, out of all that was accepted of it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub tenant: &'static str,
    pub caller: String,
    pub started_at: Millis,
    /// Older than a day at each receipt; `some_backfill` at one at least.
    pub backfill: bool,
    pub some_backfill: bool,
    /// Distinct contents, in the order of acceptance.
    pub contents: Vec<Told>,
}

/// What must have come of a run.
#[derive(Default)]
pub struct Model {
    pub fates: BTreeMap<EventId, Fate>,
    pub subjects: BTreeMap<(String, String), Subject>,
    pub poison: usize,
}

/// Counts of one window, summed over its slots, in the order of `COUNTS`.
pub type Counts = [i64; 9];

/// The windows by name, and how far apart they start.
const STEPS: [(&str, i64); 4] = [
    ("minute", Millis::MINUTE),
    ("hour", Millis::HOUR),
    ("day", Millis::DAY),
    ("sliding_2h", 10 * Millis::MINUTE),
];

/// What the numbers in [`Counts`] are.
pub const COUNTS: [&str; 9] =
    ["calls", "answered", "missed", "texts", "forms", "leads", "hot_or_warm", "scored", "score_sum"];

impl Model {
    pub fn of(accepted: &[EventId], sent: &BTreeMap<EventId, Sent>) -> Self {
        let mut model = Self::default();
        for event_id in accepted {
            let fate = model.take(*event_id, &sent[event_id]);
            model.fates.insert(*event_id, fate);
        }
        model
    }

    fn take(&mut self, event_id: EventId, sent: &Sent) -> Fate {
        let planned = &sent.planned;
        match planned.told {
            Told::Poison => {
                self.poison += 1;
                return Fate::Failed;
            }
            Told::Command => return Fate::Unseen,
            _ => {}
        }
        let received_at = sent.inbound.received_at;
        let happened_at = planned.happened_at.unwrap_or(received_at).min(received_at.plus(Millis::MINUTE));
        let backfill = received_at.since(happened_at) > Millis::DAY;
        let subject = planned.subject.clone().unwrap_or_else(|| event_id.to_string());
        let subject = self.subjects.entry((planned.tenant.to_owned(), subject)).or_insert_with(|| Subject {
            tenant: planned.tenant,
            caller: planned.caller.clone(),
            started_at: happened_at,
            backfill: true,
            some_backfill: false,
            contents: Vec::new(),
        });
        if subject.contents.contains(&planned.told) {
            return Fate::Duplicate;
        }
        subject.backfill &= backfill;
        subject.some_backfill |= backfill;
        subject.contents.push(planned.told.clone());
        Fate::Done
    }

    /// The windows that all subjects add up to, by tenant, kind, start and what they count.
    pub fn windows(&self) -> BTreeMap<(String, &'static str, Millis), Counts> {
        let mut windows: BTreeMap<_, Counts> = BTreeMap::new();
        for subject in self.subjects.values() {
            // Three days old: the windows that are kept for two are closed for good.
            let old = subject.started_at < crate::clock::BEGIN.plus(-2 * Millis::DAY - Millis::HOUR);
            for (kind, step) in STEPS {
                if old && matches!(kind, "minute" | "sliding_2h") {
                    continue;
                }
                let start = Millis(subject.started_at.0.div_euclid(step) * step);
                let counts = windows.entry((subject.tenant.to_owned(), kind, start)).or_default();
                counts.iter_mut().zip(subject.counts()).for_each(|(sum, add)| *sum += add);
            }
        }
        windows.retain(|_, counts| counts.iter().any(|count| *count != 0));
        windows
    }

    /// How often each window can have changed at most: once for each content of each subject in it.
    pub fn changes(&self) -> BTreeMap<(String, &'static str, Millis), i64> {
        let mut changes: BTreeMap<_, i64> = BTreeMap::new();
        for subject in self.subjects.values() {
            for (kind, step) in STEPS {
                let start = Millis(subject.started_at.0.div_euclid(step) * step);
                *changes.entry((subject.tenant.to_owned(), kind, start)).or_default() +=
                    subject.contents.len() as i64;
            }
        }
        changes
    }

    /// Subjects by tenant and caller.
    pub fn callers(&self) -> BTreeMap<(String, String), BTreeSet<String>> {
        let mut callers: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for ((tenant, subject), known) in &self.subjects {
            callers.entry((tenant.clone(), known.caller.clone())).or_default().insert(subject.clone());
        }
        callers
    }
}

impl Subject {
    /// The calls among its contents.
    pub fn calls(&self) -> impl Iterator<Item = &CallTold> {
        self.contents.iter().filter_map(|told| match told {
            Told::Call(call) => Some(call),
            _ => None,
        })
    }

    /// The newest content of the latest stage: what the record shows.
    pub fn shown(&self) -> Option<&CallTold> {
        self.calls().enumerate().max_by_key(|(order, call)| (call.stage, *order)).map(|(_, call)| call)
    }

    /// The newest note of the latest stage that has one.
    pub fn note(&self) -> Option<&'static str> {
        let noted = self.calls().enumerate().filter(|(_, call)| !call.note.is_empty());
        noted.max_by_key(|(order, call)| (call.stage, *order)).map(|(_, call)| call.note)
    }

    /// The note of an earlier stage that may stand in its place: a content that waits longer for its score than a newer one
    /// of its stage only fills gaps, and does not know whose note is there.
    pub fn older_note(&self) -> Option<&'static str> {
        let noted = || self.calls().enumerate().filter(|(_, call)| !call.note.is_empty());
        let (order, newest) = noted().max_by_key(|(order, call)| (call.stage, *order))?;
        let is_outrun = |(other, call): (usize, &CallTold)| other > order && call.stage == newest.stage;
        self.calls().enumerate().find(|other| is_outrun(*other))?;
        let before = noted().filter(|(_, call)| call.stage < newest.stage);
        before.max_by_key(|(order, call)| (call.stage, *order)).map(|(_, call)| call.note)
    }

    /// The score in the record: of the newest words, else of the newest silence.
    pub fn worth(&self) -> Option<Worth> {
        match self.contents.first()? {
            Told::Call(_) => {
                let over = self.calls().filter(|call| call.over);
                let chosen = over.enumerate().max_by_key(|(order, call)| (call.words.is_some(), *order));
                chosen.map(|(_, call)| worth_of_call(call))
            }
            told => worth_of(told),
        }
    }

    /// How many of its contents were scored.
    pub fn scored_contents(&self) -> i64 {
        let scored = self.contents.iter().filter(|told| match told {
            Told::Call(call) => call.over,
            told => worth_of(told).is_some(),
        });
        scored.count() as i64
    }

    /// Whether any content, seen alone, asks for a lead.
    pub fn may_open(&self) -> bool {
        self.contents.iter().any(|told| match told {
            Told::Call(call) => call.over && opens(&worth_of_call(call)),
            told => worth_of(told).is_some_and(|worth| opens(&worth)),
        })
    }

    /// Whether the record as it stands asks for a lead.
    pub fn opens(&self) -> bool {
        self.worth().is_some_and(|worth| opens(&worth))
    }

    /// Whether nobody answered, as far as the payloads say; none while it rings.
    pub fn missed(&self) -> Option<bool> {
        self.shown().filter(|call| call.over).map(|call| !call.answered && !call.voicemail)
    }

    /// What it adds to its windows.
    pub fn counts(&self) -> Counts {
        let one = i64::from;
        let (mut calls, mut answered, mut missed, mut texts, mut forms) = (0, 0, 0, 0, 0);
        match self.contents.first() {
            Some(Told::Call(_)) => {
                let over = self.shown().filter(|call| call.over);
                calls = one(over.is_some());
                answered = one(over.is_some_and(|call| call.answered));
                missed = one(self.missed() == Some(true));
            }
            Some(Told::Text { sent, .. }) => texts = one(!sent),
            Some(Told::Form { .. }) => forms = 1,
            Some(Told::Poison | Told::Command) | None => {}
        }
        let worth = self.worth();
        let lead = one(worth.as_ref().is_some_and(|worth| worth.class == "lead"));
        let good = one(worth.as_ref().is_some_and(|worth| matches!(worth.band.as_str(), "hot" | "warm")));
        let (scored, sum) = (one(worth.is_some()), worth.map_or(0, |worth| worth.score));
        [calls, answered, missed, texts, forms, lead, good, scored, sum]
    }
}

fn opens(worth: &Worth) -> bool {
    matches!(worth.class.as_str(), "lead" | "no_conversation")
}

fn worth_of_call(call: &CallTold) -> Worth {
    let turn = |(speaker, text): &(Speaker, &str)| score::Turn {
        speaker: Some(if *speaker == Speaker::Agent {
            score::Speaker::Agent
        } else {
            score::Speaker::Caller
        }),
        text: (*text).to_owned(),
    };
    scored(&ScoreInput {
        channel: Some(if call.voicemail { Channel::Voicemail } else { Channel::Call }),
        meta: CallMeta {
            duration_s: Some(call.duration_s),
            answered: Some(call.answered),
            first_call: None,
            caller_city: Some("Denver".to_owned()),
            caller_state: Some("CO".to_owned()),
            source: None,
        },
        transcript: call.words.unwrap_or_default().iter().map(turn).collect(),
        ..ScoreInput::default()
    })
}

/// What a text or form is worth; the company's own texts have no score.
fn worth_of(told: &Told) -> Option<Worth> {
    match told {
        Told::Text { sent: false, words } => Some(scored(&ScoreInput {
            channel: Some(Channel::Text),
            text: Some((*words).to_owned()),
            ..ScoreInput::default()
        })),
        Told::Form { fields } => Some(scored(&ScoreInput {
            channel: Some(Channel::Form),
            form_data: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
                .collect(),
            ..ScoreInput::default()
        })),
        _ => None,
    }
}

fn scored(input: &ScoreInput) -> Worth {
    let output = rules::score(input);
    Worth {
        score: i64::from(output.score),
        class: output.class.as_str().to_owned(),
        band: output.band.as_str().to_owned(),
    }
}
