//! Backfill: calls from before an account was connected.

use anyhow::{Context as _, bail};
use leadline_schemas::command::Command;
use leadline_schemas::pull::{account_key, request_id};
use leadline_schemas::{EventId, Millis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::control::Admin;

/// CallRail keeps calls for 25 months.
const KEPT_DAYS: i64 = 760;

/// What is asked of a running instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackfillStep {
    /// Whose calls.
    pub tenant: String,
    /// The first start.
    pub from: Millis,
    /// The last start; none = when the account was connected, for what came since is listed anyway.
    pub to: Option<Millis>,
    /// Whether they are sent to CRMs.
    pub deliver: bool,
}

/// Begins it, or finds it: the same range is the same backfill. Answers where its progress is shown.
pub(crate) async fn step(admin: &Admin, step: &BackfillStep) -> anyhow::Result<Value> {
    let tenant = admin.tenant(&step.tenant).await?;
    let callrail = tenant.callrail.as_ref().with_context(|| {
        format!(
            "tenant {} has no account at CallRail: `leadline tenant connect-callrail {0}` gives it one",
            step.tenant
        )
    })?;
    let now = admin.clock.wall();
    let to = step.to.unwrap_or(callrail.connected_at).min(now);
    if step.from >= to {
        bail!("--from {} is not before --to {to}", step.from);
    }
    let oldest = now.plus(-KEPT_DAYS * Millis::DAY);
    if step.from < oldest {
        bail!(
            "--from {} is too early: CallRail keeps 25 months, so nothing from before {oldest} is left",
            step.from
        );
    }
    let id = EventId::of(&[
        b"backfill",
        step.tenant.as_bytes(),
        &step.from.0.to_be_bytes(),
        &to.0.to_be_bytes(),
        &[u8::from(step.deliver)],
    ]);
    let id = id.to_string();
    let account = callrail.account_id.as_str();
    let key = account_key(account);
    let shown_to = key.tenant.to_string();
    let command = Command::Backfill {
        id: id.clone(),
        account_id: account.to_owned(),
        tenant: tenant.tenant.clone(),
        from: step.from,
        to,
        deliver: step.deliver,
    };
    admin.command_at(key, account, &command).await?;
    Ok(json!({
        "backfill": id,
        "account": account,
        "from": step.from.to_string(),
        "to": to.to_string(),
        "shown_to": shown_to,
        "request_id": request_id(account, &id).to_string(),
    }))
}
