//! score: what a contact is worth, by rules here or by providers elsewhere, one after the other; the rules stand in when
//! none gives an answer that holds together, and where nothing may be spent.

mod check;
mod input;

use leadline_schemas::JobId;
use leadline_schemas::contact::{Contact, Score};
use leadline_schemas::event::Event;
use leadline_schemas::reply::{Answered, JobFailed};
use leadline_schemas::score::{ScoreInput, ScoreJob, ScoreOutput, ScoreReply};
use leadline_schemas::settings::Tenant;
use leadline_schemas::state::Asked;

pub use self::input::input_of;
use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec};
use crate::dedupe::ContactOut;
use crate::rules;
use crate::spending::{self, SPENT, Service};
pub use crate::stage::consent;
use crate::stage::{WAIT_TTL_MS, admitted, is_over, resume, wait};

/// The provider that needs nobody: the rules in this crate.
pub const RULES: &str = "rules";
/// The kind of a job that asks for a score.
pub(crate) const JOB: &str = "score";
/// What stands for the prompt's version of a provider that names none.
const UNVERSIONED: &str = "unversioned";
/// Longest list of why the providers before were not enough, in a record.
const FALLBACK_CHARS_MAX: usize = 500;

/// Contacts whose score is being asked for.
pub const WAITING: Table<Contact> = Table::new(1, "waiting", Some(WAIT_TTL_MS));
/// Who is asked about them; none for one that an earlier leadline asked about.
pub const ASKED: Table<Asked> = Table::new(2, "asked", Some(WAIT_TTL_MS));
const TABLES: &[TableSpec] = &[WAITING.spec, ASKED.spec, SPENT.spec];

/// Scores contacts.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScoreContact;

impl Operator for ScoreContact {
    const ID: OperatorId = spending::OWNER;
    type In = Contact;
    type Out = ContactOut;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, ContactOut>, contact: Contact) -> OperatorResult {
        let verdict = judge(cx, &contact)?;
        go_on(cx, contact, verdict)
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, ContactOut>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let asked = take_asked(cx, &ASKED, job_id)?;
        let contact = resume(cx, &WAITING, job_id)?;
        let verdict = heard(cx, &contact, asked, answer)?;
        go_on(cx, contact, verdict)
    }
}

fn go_on(cx: &mut Context<'_, ContactOut>, mut contact: Contact, verdict: Verdict) -> OperatorResult {
    match verdict {
        Verdict::NotScored => {}
        Verdict::Scored(score) => contact.score = Some(*score),
        Verdict::Ask { payload, asked } => {
            let job_id = wait(cx, &WAITING, contact, JOB, &asked.provider, payload);
            cx.put(&ASKED, job_id.as_bytes(), asked);
            return Ok(());
        }
    }
    cx.emit(ContactOut::Contact(Box::new(contact)));
    if let Some(notice) = spending::overspent(cx)? {
        cx.emit(ContactOut::Notice(notice));
    }
    Ok(())
}

/// What is to be done about a contact.
pub(crate) enum Verdict {
    /// It gets no score.
    NotScored,
    /// It has one.
    Scored(Box<Score>),
    /// A provider has to be asked, by a job of kind [`JOB`].
    Ask {
        /// The job's payload.
        payload: Vec<u8>,
        /// Whom, and what to do after; kept beside the contact.
        asked: Asked,
    },
}

/// Who scores the contact.
pub(crate) fn judge<Out>(cx: &mut Context<'_, Out>, contact: &Contact) -> OperatorResult<Verdict> {
    if !is_scored(contact) {
        return Ok(Verdict::NotScored);
    }
    let chain = cx.tenant().map_or_else(Vec::new, |tenant| chain_of(tenant));
    if chain.is_empty() {
        return by_rules(cx, contact, None, 0);
    }
    match admitted(cx, contact)? {
        Ok(spending) => ask_next(cx, contact, Asked { next: spending.order(chain), ..Asked::default() }),
        Err(why) => by_rules(cx, contact, Some(why.to_owned()), 0),
    }
}

/// The provider's score; else the next one is asked, and after the last the rules score.
pub(crate) fn heard<Out>(
    cx: &mut Context<'_, Out>,
    contact: &Contact,
    mut asked: Asked,
    answer: Result<Answered, JobFailed>,
) -> OperatorResult<Verdict> {
    let cost_micros = answer.as_ref().map_or(0, |answered| answered.cost_micros);
    spending::paid(cx, Service::Score, cost_micros, asked.reserved_micros)?;
    asked.cost_micros += cost_micros;
    asked.reserved_micros = 0;
    let input = asked_input(contact, cx.tenant().map(|tenant| &**tenant));
    match answer {
        Ok(answered) => match read(&answered.body, &input) {
            Ok((reply, output)) => {
                asked.why.extend(reply.notes.iter().cloned());
                return Ok(Verdict::Scored(Box::new(score_of(&output, &asked, &reply)?)));
            }
            Err(why) => asked.why.push(format!("the answer of {} is not valid: {why}", asked.provider)),
        },
        Err(failed) => asked.why.push(format!("{} failed: {}", asked.provider, failed.why)),
    }
    // The tenant may have changed its mind meanwhile, or have nothing left for today.
    if !asked.next.is_empty()
        && let Err(why) = admitted(cx, contact)?
    {
        asked.next.clear();
        asked.why.push(why.to_owned());
    }
    ask_next(cx, contact, asked)
}

/// Takes out who was asked by a job. An earlier leadline kept only the contact: the tenant says whom it asked then.
pub(crate) fn take_asked<Out>(
    cx: &mut Context<'_, Out>,
    table: &Table<Asked>,
    job_id: JobId,
) -> OperatorResult<Asked> {
    let asked = cx.get(table, job_id.as_bytes())?.cloned();
    cx.delete(table, job_id.as_bytes());
    Ok(asked.unwrap_or_else(|| Asked {
        provider: cx.tenant().map_or(RULES, |tenant| tenant.policy.score_provider.as_str()).to_owned(),
        ..Asked::default()
    }))
}

/// The providers that a tenant wants asked, in order, without the rules.
fn chain_of(tenant: &Tenant) -> Vec<String> {
    let policy = &tenant.policy;
    if policy.score_provider == RULES {
        return Vec::new();
    }
    let mut chain = vec![policy.score_provider.clone()];
    for provider in policy.score_fallbacks.iter().filter(|provider| *provider != RULES) {
        if !chain.contains(provider) {
            chain.push(provider.clone());
        }
    }
    chain
}

fn ask_next<Out>(cx: &mut Context<'_, Out>, contact: &Contact, mut asked: Asked) -> OperatorResult<Verdict> {
    if asked.next.is_empty() {
        let why = fallback(&asked.why);
        return by_rules(cx, contact, why, asked.cost_micros);
    }
    asked.provider = asked.next.remove(0);
    asked.reserved_micros = spending::reserve(cx)?;
    let tenant = cx.tenant().map(|tenant| &**tenant);
    let job = ScoreJob {
        input: asked_input(contact, tenant),
        prompt_version: tenant.and_then(|tenant| tenant.policy.prompt_version.clone()),
    };
    let payload = serde_json::to_vec(&job).map_err(|error| Fault::poison(error.to_string()))?;
    Ok(Verdict::Ask { payload, asked })
}

/// What providers see: no card, bank or social-security number.
pub fn asked_input(contact: &Contact, tenant: Option<&Tenant>) -> ScoreInput {
    rules::masked(input_of(contact, tenant))
}

/// What a provider has answered about an input that it was asked about, if it holds together; else what is wrong.
pub fn read(body: &[u8], input: &ScoreInput) -> Result<(ScoreReply, ScoreOutput), String> {
    let reply = ScoreReply::parse(body)?;
    let output = check::checked(reply.outcome.clone().output()?, input)?;
    Ok((reply, output))
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

fn by_rules<Out>(
    cx: &Context<'_, Out>,
    contact: &Contact,
    fallback: Option<String>,
    cost_micros: i64,
) -> OperatorResult<Verdict> {
    let output = rules::score(&input_of(contact, cx.tenant().map(|tenant| &**tenant)));
    let score = Score {
        provider: RULES.to_owned(),
        prompt_version: rules::RULES_VERSION.to_owned(),
        cost_micros,
        fallback,
        ..bare(&output)?
    };
    Ok(Verdict::Scored(Box::new(score)))
}

/// A provider's score; those that were asked before it are paid for too, and named as the reason why it was asked.
fn score_of(output: &ScoreOutput, asked: &Asked, reply: &ScoreReply) -> OperatorResult<Score> {
    Ok(Score {
        provider: asked.provider.clone(),
        model: reply.model.clone(),
        prompt_version: reply.prompt_version.clone().unwrap_or_else(|| UNVERSIONED.to_owned()),
        cost_micros: asked.cost_micros,
        fallback: fallback(&asked.why),
        ..bare(output)?
    })
}

fn bare(output: &ScoreOutput) -> OperatorResult<Score> {
    Ok(Score {
        score: i32::from(output.score),
        band: output.band.as_str().to_owned(),
        class: output.class.as_str().to_owned(),
        detail: serde_json::to_string(output).map_err(|error| Fault::poison(error.to_string()))?,
        provider: String::new(),
        model: None,
        prompt_version: String::new(),
        cost_micros: 0,
        fallback: None,
    })
}

fn fallback(why: &[String]) -> Option<String> {
    let whole = why.join("; ");
    (!whole.is_empty()).then(|| whole.chars().take(FALLBACK_CHARS_MAX).collect())
}
