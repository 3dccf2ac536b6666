//! `leadline score replay` and `promote`: another prompt on history, and then for good.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use leadline::admin::{AiSpec, TenantSpec, micros};
use leadline::control::Ask;
use leadline::evaluation::asker::Asker;
use leadline::evaluation::trial::{Agreement, Judgement, Tried, agreement};
use leadline_connectors::contract::store::{Page, RecordReader};
use leadline_connectors::scoring::Prompt;
use leadline_connectors::store_shadow::{ShadowRow, ShadowStore, Trial};
use leadline_operators::leads::contact_of;
use leadline_operators::score::{RULES, asked_input, consent};
use leadline_schemas::call::{CallRecord, CallStage};
use leadline_schemas::contact::Score;
use leadline_schemas::score::ScoreOutput;
use leadline_schemas::settings::{Policy, Profile, Tenant};
use leadline_schemas::{EventId, Millis, TenantId};
use serde_json::json;

use super::output::Output;
use super::{Failure, Source, parse_time, records, tenant};

/// Records that are read at once.
const PAGE: usize = 200;

#[derive(Args)]
pub(super) struct ReplayArgs {
    /// The prompt to try.
    #[arg(long, value_name = "VERSION")]
    prompt: String,
    /// Contacts that began since this date or time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Millis,
    /// Contacts that began before this.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Millis>,
    /// Whose; without it all tenants, one after the other.
    #[arg(long)]
    tenant: Option<String>,
    /// Who is asked, in place of the tenant's own score provider.
    #[arg(long, value_name = "WHO")]
    provider: Option<String>,
    /// Contacts a minute at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=6_000))]
    per_minute: u32,
    /// What this run may cost; then it stops, and the same command goes on where it ended.
    #[arg(long, value_name = "SUM", default_value = "5.00")]
    max_cost: String,
    /// How many differences are shown.
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    differences: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub(super) struct PromoteArgs {
    /// The prompt that the tenant's contacts are scored by from now on; "none" for the newest.
    #[arg(long, value_name = "VERSION")]
    prompt: String,
    /// Whose.
    #[arg(long)]
    tenant: String,
    #[command(flatten)]
    source: Source,
}

pub(super) fn promote(args: &PromoteArgs, output: &Output) -> Result<(), Failure> {
    let listed = tenant::ask(&args.source, Ask::Scoring { tenant: args.tenant.clone() })?;
    let before =
        listed.pointer("/policy/prompt_version").and_then(|version| version.as_str()).unwrap_or("the newest");
    let ai = AiSpec { prompt: Some(args.prompt.clone()), ..AiSpec::default() };
    let spec = TenantSpec { tenant: args.tenant.clone(), ai, ..TenantSpec::default() };
    tenant::ask(&args.source, Ask::PutTenant { spec: Box::new(spec) })?;
    output.line(&format!(
        "{} is scored by prompt {} from now on; before by {before}",
        args.tenant, args.prompt
    ));
    Ok(())
}

pub(super) fn replay(args: &ReplayArgs, output: &Output) -> Result<(), Failure> {
    let prompt = Prompt::of(Some(&args.prompt)).map_err(|why| Failure(why, 2))?;
    let budget = micros("the most that it may cost", &args.max_cost).map_err(anyhow::Error::from)?;
    let mut left = budget;
    for tenant in tenants(args)? {
        let mut run = Run::start(args, &tenant, prompt)?;
        run.ask_all(&mut left, output)?;
        run.report(args, output)?;
    }
    Ok(())
}

fn tenants(args: &ReplayArgs) -> Result<Vec<String>, Failure> {
    if let Some(tenant) = &args.tenant {
        return Ok(vec![tenant.clone()]);
    }
    let listed = tenant::ask(&args.source, Ask::ListTenants)?;
    let rows = listed.as_array().into_iter().flatten();
    Ok(rows.filter_map(|row| Some(row.get("tenant")?.as_str()?.to_owned())).collect())
}

/// The replay of one tenant.
struct Run {
    tenant: Tenant,
    trial: Trial,
    records: Arc<dyn RecordReader>,
    shadow: ShadowStore,
    asker: Asker,
    pause: Duration,
    between: (Millis, Millis),
    stopped: bool,
}

impl Run {
    fn start(args: &ReplayArgs, tenant: &str, prompt: Prompt) -> Result<Self, Failure> {
        let config = args.source.read()?;
        let told = tenant::ask(&args.source, Ask::Scoring { tenant: tenant.to_owned() })?;
        let part = |name: &str| told.get(name).cloned().unwrap_or_default();
        let profile: Profile = serde_json::from_value(part("profile")).map_err(anyhow::Error::from)?;
        let policy: Policy = serde_json::from_value(part("policy")).map_err(anyhow::Error::from)?;
        let id = TenantId::new(tenant).map_err(anyhow::Error::from)?;
        let provider = args.provider.clone().unwrap_or_else(|| policy.score_provider.clone());
        if provider == RULES {
            let why = format!(
                "tenant {tenant} is scored by rules, which read no prompt: name a service with --provider"
            );
            return Err(Failure(why, 2));
        }
        let records = records(&config)?;
        let shadow = ShadowStore::open(&config.data.join("score_shadow.db")).map_err(anyhow::Error::from)?;
        let asker = Asker::new(&config, &provider)?;
        let trial = Trial { tenant: id.clone(), prompt: prompt.version.to_owned(), provider };
        let tenant = Tenant { profile, policy, ..Tenant::new(id, tenant, Millis(0)) };
        let pause = Duration::from_secs(60) / args.per_minute;
        let between = (args.since, args.until.unwrap_or(Millis(i64::MAX)));
        Ok(Self { tenant, trial, records, shadow, asker, pause, between, stopped: false })
    }

    /// Asks about every contact that has a score and was not asked about yet.
    fn ask_all(&mut self, left: &mut i64, output: &Output) -> Result<(), Failure> {
        let progress = ProgressBar::new_spinner();
        let (from, to) = self.between;
        let mut page = Page { limit: PAGE, from: Some(from), to: Some(to), ..Page::default() };
        loop {
            let listed = self.records.calls(&self.trial.tenant, &page).map_err(anyhow::Error::from)?;
            for record in &listed.items {
                self.ask(record, left)?;
                if self.stopped {
                    progress.finish_and_clear();
                    output.error("what the run may cost is spent: the same command goes on where it ended");
                    return Ok(());
                }
                progress.inc(1);
            }
            match listed.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        progress.finish_and_clear();
        Ok(())
    }

    fn ask(&mut self, record: &CallRecord, left: &mut i64) -> Result<(), Failure> {
        let Some(score) = record.score.as_ref().filter(|_| record.stage == CallStage::Completed) else {
            return Ok(());
        };
        let contact = contact_of(record, EventId::of(&[b"replay"]), record.received_at);
        // What may not leave may not leave for a trial either.
        if consent(&self.tenant.policy, &contact).is_some() {
            return Ok(());
        }
        let input = asked_input(&contact, Some(&self.tenant));
        let asked = serde_json::to_vec(&input).map_err(anyhow::Error::from)?;
        let input_hash = hash(&asked);
        let known = self.shadow.get(&self.trial, &record.call_id, input_hash).map_err(anyhow::Error::from)?;
        let known = known.and_then(|row| serde_json::from_str::<Tried>(&row).ok());
        if known.is_some_and(|known| known.after.is_some()) {
            return Ok(());
        }
        if *left <= 0 {
            self.stopped = true;
            return Ok(());
        }
        let started = Instant::now();
        let answer = self.asker.ask(&self.trial.tenant, &input, Some(&self.trial.prompt));
        *left -= answer.cost_micros;
        let (after, model, why) = match answer.result {
            Ok((reply, output)) => (Some(judged(&output, &self.trial.prompt)), reply.model, None),
            Err(why) => (None, None, Some(why)),
        };
        let tried = Tried { before: was(score), after, why, model, cost_micros: answer.cost_micros };
        let row = ShadowRow {
            call_id: record.call_id.clone(),
            input_hash,
            started_at: record.started_at,
            row: serde_json::to_string(&tried).map_err(anyhow::Error::from)?,
        };
        self.shadow.put(&self.trial, &row).map_err(anyhow::Error::from)?;
        self.asker.rest(self.pause.saturating_sub(started.elapsed()));
        Ok(())
    }

    fn report(&self, args: &ReplayArgs, output: &Output) -> Result<(), Failure> {
        let (from, to) = self.between;
        let rows = self.shadow.list(&self.trial, from, to).map_err(anyhow::Error::from)?;
        let tried =
            rows.into_iter().filter_map(|row| Some((row.call_id, serde_json::from_str(&row.row).ok()?)));
        let report = agreement(tried, args.differences);
        let Trial { tenant, prompt, provider } = &self.trial;
        if args.json {
            output.json(&json!({ "tenant": tenant.as_str(), "prompt": prompt, "provider": provider, "stopped": self.stopped, "report": report }));
            return Ok(());
        }
        output.line(&format!("{tenant}: prompt {prompt} by {provider}"));
        for line in lines(&report) {
            output.line(&line);
        }
        Ok(())
    }
}

/// A hash that is the same on all machines and versions.
fn hash(asked: &[u8]) -> i64 {
    let id = EventId::of(&[asked]);
    i64::from_be_bytes(*id.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]))
}

fn was(score: &Score) -> Judgement {
    let output: Option<ScoreOutput> = serde_json::from_str(&score.detail).ok();
    Judgement {
        score: score.score,
        band: score.band.clone(),
        class: score.class.clone(),
        version: score.prompt_version.clone(),
        reasons: output.map(|output| output.reasons).unwrap_or_default(),
    }
}

fn judged(output: &ScoreOutput, prompt: &str) -> Judgement {
    Judgement {
        score: i32::from(output.score),
        band: output.band.as_str().to_owned(),
        class: output.class.as_str().to_owned(),
        version: prompt.to_owned(),
        reasons: output.reasons.clone(),
    }
}

/// The report for people.
fn lines(report: &Agreement) -> Vec<String> {
    let Agreement { compared, failed, same_band, same_class, mean_distance, .. } = report;
    let share = |part: u64| if *compared == 0 { 0.0 } else { part as f64 * 100.0 / *compared as f64 };
    let asked = (compared + failed).max(1);
    let mut lines = vec![
        format!("  {compared} contacts compared, {failed} without an answer that holds together"),
        format!(
            "  same band {:.1}%, same class {:.1}%, {mean_distance:.1} apart on average",
            share(*same_band),
            share(*same_class)
        ),
        format!(
            "  cost {:.4}, {:.5} a contact",
            report.cost_micros as f64 / 1e6,
            report.cost_micros as f64 / 1e6 / asked as f64
        ),
    ];
    lines.extend(report.moves.iter().map(|(way, count)| format!("  {way:<18} {count}")));
    for one in &report.differences {
        let show =
            |judgement: &Judgement| format!("{} {} {}", judgement.class, judgement.band, judgement.score);
        lines.push(format!(
            "  {}: {} ({}) -> {}",
            one.call_id,
            show(&one.before),
            one.before.version,
            show(&one.after)
        ));
        lines.extend(one.after.reasons.iter().take(2).map(|reason| format!("      {reason}")));
    }
    lines
}
