//! score: what a contact is worth, by rules here or by a provider elsewhere; the rules stand in when it fails.

use leadline_schemas::JobId;
use leadline_schemas::contact::{Contact, Score};
use leadline_schemas::event::{Event, Speaker, Turn};
use leadline_schemas::reply::{Answered, JobFailed};
use leadline_schemas::score::{
    self as vocabulary, Band, CallMeta, Channel, ProjectType, ScoreInput, ScoreOutput,
};
use leadline_schemas::settings::Tenant;
use serde_json::Value;

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec};
use crate::dedupe::ContactOut;
use crate::rules;
use crate::stage::{WAIT_TTL_MS, ai_gate, is_over, resume, wait};

/// The provider that needs nobody: the rules in this crate.
pub const RULES: &str = "rules";
/// The kind of a job that asks for a score.
pub(crate) const JOB: &str = "score";

/// Contacts whose score is being asked for.
pub const WAITING: Table<Contact> = Table::new(1, "waiting", Some(WAIT_TTL_MS));
const TABLES: &[TableSpec] = &[WAITING.spec];

/// Scores contacts.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScoreContact;

impl Operator for ScoreContact {
    const ID: OperatorId = OperatorId { number: 5, name: "score" };
    type In = Contact;
    type Out = ContactOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, ContactOut>, mut contact: Contact) -> OperatorResult {
        match judge(cx, &contact)? {
            Verdict::NotScored => {}
            Verdict::Scored(score) => contact.score = Some(score),
            Verdict::Ask { target, payload } => {
                wait(cx, &WAITING, contact, JOB, &target, payload);
                return Ok(());
            }
        }
        cx.emit(ContactOut::Contact(Box::new(contact)));
        Ok(())
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, ContactOut>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let mut contact = resume(cx, &WAITING, job_id)?;
        contact.score = Some(heard(cx, &contact, answer)?);
        cx.emit(ContactOut::Contact(Box::new(contact)));
        Ok(())
    }
}

/// What is to be done about a contact.
pub(crate) enum Verdict {
    /// It gets no score.
    NotScored,
    /// The rules have scored it.
    Scored(Score),
    /// A provider has to be asked, by a job of kind [`JOB`].
    Ask { target: String, payload: Vec<u8> },
}

/// Who scores the contact.
pub(crate) fn judge<Out>(cx: &Context<'_, Out>, contact: &Contact) -> OperatorResult<Verdict> {
    if !is_scored(contact) {
        return Ok(Verdict::NotScored);
    }
    let input = input_of(contact, cx.tenant().map(|tenant| &**tenant));
    let target = cx.tenant().map_or(RULES, |tenant| tenant.policy.score_provider.as_str()).to_owned();
    if target == RULES {
        return Ok(Verdict::Scored(by_rules(&input, None)?));
    }
    if let Some(why) = ai_gate(cx, contact) {
        return Ok(Verdict::Scored(by_rules(&input, Some(why.to_owned()))?));
    }
    let payload = serde_json::to_vec(&input).map_err(|error| Fault::poison(error.to_string()))?;
    Ok(Verdict::Ask { target, payload })
}

/// The provider's score, or that of the rules where it gave none that holds together.
pub(crate) fn heard<Out>(
    cx: &Context<'_, Out>,
    contact: &Contact,
    answer: Result<Answered, JobFailed>,
) -> OperatorResult<Score> {
    let tenant = cx.tenant().map(|tenant| &**tenant);
    let input = input_of(contact, tenant);
    let provider = tenant.map_or(RULES, |tenant| tenant.policy.score_provider.as_str());
    match answer {
        Ok(answered) => match checked(&answered, &input) {
            Ok(output) => score_of(&output, provider, answered.cost_micros, None),
            Err(why) => by_rules(&input, Some(format!("the answer of {provider} is not valid: {why}"))),
        },
        Err(failed) => by_rules(&input, Some(format!("{provider} failed: {}", failed.why))),
    }
}

/// Calls that are over, texts that came in and forms; what the company did itself has no score.
fn is_scored(contact: &Contact) -> bool {
    use leadline_schemas::event::Direction;
    use leadline_schemas::inbound::EventKind;
    match &contact.event {
        Event::CallEvent(call) => is_over(call) && call.direction != Some(Direction::Outbound),
        Event::TextEvent(text) => text.kind == EventKind::TextReceived,
        Event::FormEvent(_) => true,
    }
}

fn by_rules(input: &ScoreInput, fallback: Option<String>) -> OperatorResult<Score> {
    score_of(&rules::score(input), RULES, 0, fallback)
}

fn score_of(
    output: &ScoreOutput,
    provider: &str,
    cost_micros: i64,
    fallback: Option<String>,
) -> OperatorResult<Score> {
    let detail = serde_json::to_string(output).map_err(|error| Fault::poison(error.to_string()))?;
    Ok(Score {
        score: i32::from(output.score),
        band: output.band.as_str().to_owned(),
        class: output.class.as_str().to_owned(),
        detail,
        provider: if fallback.is_some() { RULES } else { provider }.to_owned(),
        model: None,
        prompt_version: rules::RULES_VERSION.to_owned(),
        cost_micros,
        fallback,
    })
}

/// The scoring vocabulary's view of a contact.
pub fn input_of(contact: &Contact, tenant: Option<&Tenant>) -> ScoreInput {
    let mut input =
        ScoreInput { id: Value::String(contact.event.subject_id().to_owned()), ..ScoreInput::default() };
    if let Some(tenant) = tenant {
        let profile = &tenant.profile;
        input.tenant.trade = profile.trades.iter().filter_map(|trade| ProjectType::parse(trade)).collect();
        input.tenant.service_area.cities = profile.cities.clone();
        input.tenant.service_area.postcodes = profile.postcodes.clone();
        input.tenant.min_budget = profile.min_budget.and_then(|budget| u64::try_from(budget).ok());
    }
    match &contact.event {
        Event::CallEvent(call) => {
            let voicemail = call.voicemail == Some(true);
            input.channel = Some(if voicemail { Channel::Voicemail } else { Channel::Call });
            input.meta = CallMeta {
                duration_s: call.duration_s.and_then(|duration_s| u64::try_from(duration_s).ok()),
                answered: call.answered,
                first_call: call.first_call,
                caller_city: call.caller_city.clone(),
                caller_state: call.caller_state.clone(),
                source: call.attribution.source.clone(),
            };
            let turns = contact.transcript.as_ref().map_or(&[][..], |transcript| &transcript.turns);
            input.transcript = turns.iter().map(turn_of).collect();
        }
        Event::TextEvent(text) => {
            input.channel = Some(Channel::Text);
            input.text = Some(text.content.clone());
        }
        Event::FormEvent(form) => {
            input.channel = Some(Channel::Form);
            input.form_data =
                form.fields.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect();
        }
    }
    input
}

fn turn_of(turn: &Turn) -> vocabulary::Turn {
    let speaker = match turn.speaker {
        Speaker::Agent => Some(vocabulary::Speaker::Agent),
        Speaker::Caller => Some(vocabulary::Speaker::Caller),
        Speaker::Unknown => None,
    };
    vocabulary::Turn { speaker, text: turn.text.clone() }
}

/// An answer that holds together: ranges, band, factors, and quotes that were really said.
fn checked(answered: &Answered, input: &ScoreInput) -> Result<ScoreOutput, String> {
    let output: ScoreOutput = serde_json::from_slice(&answered.body).map_err(|error| error.to_string())?;
    let factors =
        [output.factors.budget, output.factors.timeline, output.factors.scope_area, output.factors.authority];
    if output.score > 100 || factors.iter().any(|factor| *factor > 25) {
        return Err(format!("score {} or a factor is out of range", output.score));
    }
    let sum: u16 = factors.iter().map(|factor| u16::from(*factor)).sum();
    // Gates may lower the sum, never raise it.
    if u16::from(output.score) > sum {
        return Err(format!("score {} is more than its factors' sum {sum}", output.score));
    }
    if Band::of(output.score) != output.band {
        return Err(format!("score {} is not of band {}", output.score, output.band.as_str()));
    }
    let mut said: String =
        input.transcript.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>().join("\n");
    said.push_str(input.text.as_deref().unwrap_or_default());
    for value in input.form_data.values() {
        said.push('\n');
        said.push_str(value.as_str().unwrap_or_default());
    }
    match output.evidence.iter().find(|evidence| !said.contains(evidence.quote.as_str())) {
        Some(evidence) => {
            Err(format!("the quote {:?} for {} was never said", evidence.quote, evidence.field))
        }
        None => Ok(output),
    }
}
