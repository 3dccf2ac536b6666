//! The rule-based scorer: from a conversation to a scored lead by phrase lists and arithmetic, with no network, no
//! clock and no randomness. The same words always give the same score.
//!
//! The path of a contact: `turns` gives each side its lines (numbers that must not be kept are masked by `redact`),
//! `lexicon` finds the phrases of `data/*.toml`, the deciders (`classify`, `area`, `budget`, `timeline`, `people`,
//! `contact`, `facts`) turn them into facts with their places, `factors` applies the rubric of scoring.md, and
//! [`score`] puts the gates on top. Rules are data: which words mean what is in TOML, what follows from it is code.

mod area;
mod budget;
mod classify;
mod contact;
mod cue;
mod dates;
mod digits;
mod fact;
mod factors;
mod facts;
mod fields;
mod lexicon;
mod money;
mod names;
mod notation;
mod numbers;
mod people;
mod phrases;
mod places;
mod postcode;
mod project;
mod reader;
mod reasons;
mod redact;
mod roles;
mod sides;
mod timeline;
mod tokens;
mod turns;
mod visit;
mod vocabulary;
mod words;

use area::{Area, Fit};
use budget::{Budget, Stance};
use contact::Contact;
use fact::{Fact, Place};
use factors::{Understanding, factors};
use facts::Facts;
use leadline_schemas::score::{
    Band, Channel, Class, Evidence, Extracted, ProjectType, ScoreInput, ScoreOutput, Timeline, Urgency,
};
use people::Authority;
use timeline::When;
use turns::Conversation;

/// Changes whenever the same input may score differently; stored with each score.
pub const RULES_VERSION: &str = "rules-2";

/// Lines after the company's "we don't do that" in which a call ends that comes to nothing.
const LAST_LINES: usize = 4;
/// Words from which a caller's description of a project is specific.
const SPECIFIC_WORDS_MIN: usize = 25;

/// What every decider found.
struct Reading {
    project: Option<Fact<ProjectType>>,
    area: Area,
    budget: Budget,
    when: When,
    authority: Authority,
    contact: Contact,
    facts: Facts,
}

/// Compiles the phrase lists. Called at start: the first contact must not wait for it, nor be running alone for so
/// long that a kill looks like its fault.
pub fn warm_up() {
    lexicon::lexicon();
    // Lists and patterns are compiled where they are first needed: this contact needs them all.
    let text =
        "Hi, my name is Ann, I'm in Dublin, call 614 555 0142 or write to ann at gmail dot com.".to_owned();
    let _ =
        score(&ScoreInput { text: Some(text), channel: Some(Channel::Voicemail), ..ScoreInput::default() });
}

/// Scores one contact.
///
/// Total and deterministic: any input gives an output, in time linear in its length (text beyond 128 KiB is read
/// from both ends only).
#[must_use]
pub fn score(input: &ScoreInput) -> ScoreOutput {
    let talk = Conversation::of(input);
    let project = project::project(&talk, &input.tenant.trade);
    let (class, class_place) = classify::classify(&talk, project.as_ref());
    let mut reading = Reading {
        area: area::area(&talk, &input.tenant.service_area),
        budget: budget::budget(&talk),
        when: timeline::when(&talk),
        authority: people::authority(&talk),
        contact: contact::contact(&talk),
        facts: facts::facts(&talk),
        project,
    };
    let class =
        if class == Class::Lead && reading.area.fit == Fit::Outside { Class::OutOfArea } else { class };
    reading.date_service();
    reading.keep_for(class);
    reading.forget_too_long();
    assemble(input, &talk, &reading, class, class_place)
}

/// The same contact with card, bank and social-security numbers masked: what may be shown to others.
#[must_use]
pub fn masked(mut input: ScoreInput) -> ScoreInput {
    let mut masker = redact::Masker::default();
    for turn in &mut input.transcript {
        turn.text = masker.mask(&turn.text);
    }
    if let Some(text) = &mut input.text {
        *text = masker.mask(text);
    }
    for value in input.form_data.values_mut() {
        if let serde_json::Value::String(text) = value {
            *text = masker.mask(text);
        }
    }
    input
}

impl Reading {
    /// What is repaired at the visit itself starts with it.
    fn date_service(&mut self) {
        let service = matches!(
            self.project.as_ref().map(|fact| fact.value),
            Some(ProjectType::Hvac | ProjectType::RepairHandyman)
        );
        let soon = self.authority.appointment.as_ref().filter(|visit| visit::is_soon(&visit.value));
        if let Some(visit) = soon
            && service
            && self.when.timeline.is_none()
            && !self.when.no_hurry
        {
            self.when.timeline = Some(Fact { value: Timeline::Now0To30Days, place: visit.place });
        }
    }

    /// Forgets what is not this class's: a vendor's "four hundred a month" is no budget, and what mass contact says
    /// of itself is not worth a row in a CRM.
    fn keep_for(&mut self, class: Class) {
        if matches!(class, Class::Lead | Class::OutOfArea) {
            return;
        }
        self.budget = Budget { stance: Stance::Silent, refused: false, amount: None, place: None };
        self.when =
            When { timeline: None, urgency: None, no_hurry: false, conditional: false, fixed_date: false };
        self.authority.decision_maker = None;
        self.facts = Facts { language: self.facts.language, ..Facts::default() };
        if class == Class::ExistingCustomer {
            return;
        }
        self.project = None;
        self.authority.appointment = None;
        (self.area.city, self.area.postcode, self.contact.address) = (None, None, None);
        if !matches!(class, Class::JobSeeker | Class::NoConversation) {
            self.contact = Contact { name: None, phone: None, email: None, address: None };
        }
    }

    /// What somebody pasted into a form is not a name: a lead stays small whatever was sent.
    fn forget_too_long(&mut self) {
        let Contact { name, phone, email, address } = &mut self.contact;
        for fact in [name, phone, email, address, &mut self.area.city, &mut self.area.postcode] {
            fact.take_if(|fact| fact.is_too_long());
        }
        if let Some(visit) = self.authority.appointment.as_mut().filter(|visit| visit.is_too_long()) {
            visit.value.clear();
        }
    }
}

fn assemble(
    input: &ScoreInput,
    talk: &Conversation,
    reading: &Reading,
    class: Class,
    class_place: Option<Place>,
) -> ScoreOutput {
    let project = reading.project.as_ref().map(|fact| fact.value);
    let seen = understanding(input, talk, reading);
    let (factors, score) = factors(&seen).gated(class);
    let mut evidence = evidence(talk, reading);
    let mut reasons = Vec::new();
    if class != Class::Lead {
        reasons.push(reasons::not_a_lead(class).to_owned());
        evidence.extend(class_place.and_then(|place| place.evidence("class", talk)));
    }
    if matches!(class, Class::Lead | Class::OutOfArea) {
        reasons.extend(reasons::reasons(&seen, project));
    }
    let amount = reading.budget.amount.as_ref().map(|fact| &fact.value);
    let whole = |value: Option<f64>| value.map(|value| value.round() as u64);
    ScoreOutput {
        id: input.id.clone(),
        score,
        band: Band::of(score),
        class,
        factors,
        project_type: project,
        budget_min: amount.and_then(|amount| whole(amount.min)),
        budget_max: amount.and_then(|amount| whole(amount.max)),
        timeline: reading.when.timeline.as_ref().map(|fact| fact.value),
        decision_maker: reading.authority.decision_maker.as_ref().map(|fact| fact.value),
        urgency: reading.when.urgency.as_ref().map(|fact| fact.value),
        appointment_set: reading.authority.appointment.is_some(),
        extracted: extracted(reading),
        evidence,
        reasons,
    }
}

/// What the rubric looks at.
fn understanding<'a>(input: &ScoreInput, talk: &Conversation, reading: &'a Reading) -> Understanding<'a> {
    let trade = &input.tenant.trade;
    let project = reading.project.as_ref().map(|fact| fact.value);
    let refusal = talk.agent().rfind(|(_, line)| line.has(cue::Cue::TradeRefusal));
    let ends = refusal.is_some_and(|(index, _)| index + LAST_LINES >= talk.lines.len());
    let turned_away = reading.authority.appointment.is_none()
        && refusal.is_some()
        && (project_is_doubtful(project) || ends);
    Understanding {
        budget: &reading.budget,
        when: &reading.when,
        area: &reading.area,
        authority: &reading.authority,
        project_known: project.is_some(),
        offered: project.is_none_or(|project| trade.is_empty() || trade.contains(&project)) && !turned_away,
        specific: is_specific(talk)
            || reading.when.urgency.as_ref().is_some_and(|fact| fact.value == Urgency::Emergency),
        reachable: reading.contact.phone.is_some() || reading.contact.email.is_some(),
        answered: reading.budget.amount.is_some() && reading.when.timeline.is_some(),
        wants_answer: talk.caller_has(cue::Cue::CallBack) || talk.channel == Channel::Text,
        min_budget: input.tenant.min_budget,
    }
}

/// The company said no, and what was asked for is nothing it is sure to offer.
fn project_is_doubtful(project: Option<ProjectType>) -> bool {
    matches!(project, None | Some(ProjectType::Other))
}

/// Enough words, a size or a count: an estimator would know what to bring.
fn is_specific(talk: &Conversation) -> bool {
    let words: usize = talk.caller().map(|(_, line)| line.word_count()).sum();
    words >= SPECIFIC_WORDS_MIN || talk.channel == Channel::Form && words >= 10
}

fn extracted(reading: &Reading) -> Extracted {
    let text = |fact: &Option<Fact<String>>| fact.as_ref().map(|fact| fact.value.clone());
    let flag = |fact: &Option<Fact<bool>>| fact.as_ref().map(|fact| fact.value);
    Extracted {
        caller_name: text(&reading.contact.name),
        phone: text(&reading.contact.phone),
        email: text(&reading.contact.email),
        address: text(&reading.contact.address),
        city: text(&reading.area.city),
        postcode: text(&reading.area.postcode),
        year_built: reading.facts.year_built.as_ref().map(|fact| fact.value),
        hoa: flag(&reading.facts.hoa),
        insurance_claim: flag(&reading.facts.insurance_claim),
        financing_interest: flag(&reading.facts.financing_interest),
        competing_bids: flag(&reading.facts.competing_bids),
        appointment_window: text(&reading.authority.appointment).filter(|window| !window.is_empty()),
        language: reading.facts.language.map(str::to_owned),
    }
}

/// The quotes for every field that is filled.
fn evidence(talk: &Conversation, reading: &Reading) -> Vec<Evidence> {
    let amount = reading.budget.amount.as_ref();
    let bound = |bound: fn(&money::Amount) -> Option<f64>| {
        amount.filter(|fact| bound(&fact.value).is_some()).map(|fact| fact.place)
    };
    let project_fields = [
        ("project_type", reading.project.as_ref().map(|fact| fact.place)),
        ("budget_min", bound(|amount| amount.min)),
        ("budget_max", bound(|amount| amount.max)),
        ("budget", reading.budget.place.filter(|_| amount.is_none())),
        ("timeline", reading.when.timeline.as_ref().map(|fact| fact.place)),
        ("decision_maker", reading.authority.decision_maker.as_ref().map(|fact| fact.place)),
        ("urgency", reading.when.urgency.as_ref().map(|fact| fact.place)),
        ("appointment_set", reading.authority.appointment.as_ref().map(|fact| fact.place)),
    ];
    let place = |fact: &Option<Fact<String>>| fact.as_ref().map(|fact| fact.place);
    let flag = |fact: &Option<Fact<bool>>| fact.as_ref().map(|fact| fact.place);
    let window = reading.authority.appointment.as_ref().filter(|fact| !fact.value.is_empty());
    let extracted_fields = [
        ("caller_name", place(&reading.contact.name)),
        ("phone", place(&reading.contact.phone)),
        ("email", place(&reading.contact.email)),
        ("address", place(&reading.contact.address)),
        ("city", place(&reading.area.city)),
        ("postcode", place(&reading.area.postcode)),
        ("year_built", reading.facts.year_built.as_ref().map(|fact| fact.place)),
        ("hoa", flag(&reading.facts.hoa)),
        ("insurance_claim", flag(&reading.facts.insurance_claim)),
        ("financing_interest", flag(&reading.facts.financing_interest)),
        ("competing_bids", flag(&reading.facts.competing_bids)),
        ("appointment_window", window.map(|fact| fact.place)),
    ];
    project_fields
        .into_iter()
        .chain(extracted_fields)
        .filter_map(|(field, place)| place?.evidence(field, talk))
        .collect()
}
