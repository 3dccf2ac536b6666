//! `leadline dlq`.

use clap::{Args, Subcommand};
use leadline::control::Ask;
use leadline_connectors::contract::store::Page;
use leadline_schemas::command::Command;
use leadline_schemas::dead_letter::{DeadLetter, InputKind};
use leadline_schemas::inbound::Inbound;
use leadline_schemas::reply::Reply;
use leadline_schemas::{TenantId, avro};
use serde_json::{Value, json};

use super::output::Output;
use super::tenant::ask;
use super::{Failure, Source, records};

#[derive(Args)]
pub(super) struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Subcommand)]
enum DlqCommand {
    /// List dead letters, newest first.
    #[command(after_help = "Example:\n  leadline dlq list --tenant summit --data ./data")]
    List(ListArgs),
    /// Show one, with its input, as JSON.
    #[command(
        after_help = "Example:\n  leadline dlq show 6f1c3f0a-8f7e-8a53-9a0c-7f4a1b2c3d4e --data ./data"
    )]
    Show(OneArgs),
    /// Feed one's input once more.
    #[command(
        after_help = "Example:\n  leadline dlq replay 6f1c3f0a-8f7e-8a53-9a0c-7f4a1b2c3d4e --data ./data"
    )]
    Replay(OneArgs),
}

#[derive(Args)]
struct ListArgs {
    /// Only this tenant's; without it those of all tenants and of none.
    #[arg(long)]
    tenant: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct OneArgs {
    /// The dead letter.
    id: String,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &DlqArgs, output: &Output) -> Result<(), Failure> {
    match &args.command {
        DlqCommand::List(args) => {
            let letters = letters(&args.source, args.tenant.as_deref())?;
            if args.json {
                output.json(&letters.iter().map(shown).collect::<Vec<_>>());
                return Ok(());
            }
            for letter in &letters {
                let tenant = letter.tenant.as_ref().map_or("-", TenantId::as_str);
                output.line(&format!(
                    "{}  {}  {tenant:<16} {:<12} {}",
                    letter.id, letter.failed_at, letter.operator, letter.reason
                ));
            }
            output.line(&format!("{} dead letters", letters.len()));
        }
        DlqCommand::Show(args) => output.json(&shown(&find(args)?)),
        DlqCommand::Replay(args) => output.json(&ask(&args.source, replay(&find(args)?)?)?),
    }
    Ok(())
}

fn letters(source: &Source, tenant: Option<&str>) -> Result<Vec<DeadLetter>, Failure> {
    let config = source.read()?;
    let reader = records(&config)?;
    let tenants: Vec<Option<TenantId>> = match tenant {
        Some(tenant) => vec![Some(TenantId::new(tenant).map_err(anyhow::Error::from)?)],
        None => {
            let listed = ask(source, Ask::ListTenants)?;
            let names = listed.as_array().into_iter().flatten().filter_map(|one| one.get("tenant")?.as_str());
            let known = names.filter_map(|name| TenantId::new(name).ok()).map(Some);
            known.chain([None]).collect()
        }
    };
    let mut found = Vec::new();
    for tenant in tenants {
        let mut page = Page { limit: 200, ..Page::default() };
        loop {
            let listed = reader.dead_letters(tenant.as_ref(), &page).map_err(anyhow::Error::from)?;
            found.extend(listed.items);
            page.cursor = listed.next_cursor;
            if page.cursor.is_none() {
                break;
            }
        }
    }
    found.sort_by_key(|letter| std::cmp::Reverse(letter.failed_at));
    Ok(found)
}

fn find(args: &OneArgs) -> Result<DeadLetter, Failure> {
    let found = letters(&args.source, None)?.into_iter().find(|letter| letter.id.to_string() == args.id);
    found.ok_or_else(|| {
        Failure(format!("there is no dead letter {:?}: `leadline dlq list` shows them", args.id), 1)
    })
}

fn shown(letter: &DeadLetter) -> Value {
    let body = letter.input.as_ref().and_then(|input| avro::decode::<Inbound>(input).ok());
    json!({
        "id": letter.id.to_string(),
        "tenant": letter.tenant.as_ref().map(TenantId::as_str),
        "operator": letter.operator,
        "reason": letter.reason,
        "input_kind": letter.input_kind,
        "partition": letter.partition,
        "offset": letter.offset,
        "attempt": letter.attempt,
        "failed_at": letter.failed_at.to_string(),
        "body": body.map(|inbound| String::from_utf8_lossy(&inbound.body).into_owned()),
    })
}

/// The command that feeds a dead letter's input once more, where its key lies.
fn replay(letter: &DeadLetter) -> Result<Ask, Failure> {
    let input =
        letter.input.clone().ok_or_else(|| Failure("its input was too large to be kept".to_owned(), 1))?;
    let tenant = letter.tenant.as_ref().ok_or_else(|| Failure("its tenant is unknown".to_owned(), 1))?;
    let place = match letter.input_kind {
        InputKind::Record => {
            avro::decode::<Inbound>(&input).ok().map(|inbound| (inbound.key_group.0, inbound.bucket.0))
        }
        InputKind::Reply => {
            avro::decode::<Reply>(&input).ok().map(|reply| (reply.key_group.0, reply.bucket.0))
        }
        InputKind::Timer => {
            // Kind, time, then the row's key: namespace, key group, tenant up to a zero byte, scope, bucket or slot.
            input.get(10..12).and_then(|group| {
                let tenant_bytes = input.get(12..)?.iter().position(|byte| *byte == 0)?;
                let bucket = *input.get(12 + tenant_bytes + 2)?;
                Some((u16::from_be_bytes(group.try_into().ok()?), bucket))
            })
        }
    };
    let command = Command::Replay {
        dead_letter: letter.id.to_string(),
        operator: letter.operator.clone(),
        input_kind: letter.input_kind,
        input,
    };
    Ok(Ask::Command { tenant: tenant.to_string(), place, command })
}
