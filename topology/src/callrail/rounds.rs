//! Rounds: when each account is listed.
//!
//! A round is a quarter of an hour, by the wall clock, shifted by account so that they do not all ask at once. The owner of
//! the account's key says that a round has begun; what is listed and from when on, the dataflow knows. A round that is
//! said twice changes nothing, and one that is missed is made up for by the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::command::Command;
use leadline_schemas::pull::account_key;

use super::is_mine;
use crate::control::Admin;
use crate::layout::follow::Workplace;
use crate::parts::Parts;

/// How often it is looked whether a round has begun.
const LOOK: Duration = Duration::from_secs(1);

/// Begins rounds for as long as the runtime lives.
pub(crate) fn keep_rounds(
    runtime: &tokio::runtime::Runtime,
    parts: &Parts,
    workplace: &Arc<Workplace>,
    interval: Duration,
) {
    let (admin, workplace) = (Admin::new(parts), Arc::clone(workplace));
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    runtime.spawn(async move {
        let mut begun = HashMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            begin(&admin, &workplace, interval_ms, &mut begun).await;
        }
    });
}

/// Begins the rounds that are due. An account that has just been connected has its first at once.
async fn begin(admin: &Admin, workplace: &Workplace, interval_ms: i64, begun: &mut HashMap<String, i64>) {
    let settings = admin.settings.current();
    let connected = settings.tenants().filter_map(|tenant| tenant.callrail.as_ref());
    let mut accounts: Vec<&str> = connected.map(|callrail| callrail.account_id.as_str()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    begun.retain(|account, _| accounts.binary_search(&account.as_str()).is_ok());
    for account in accounts {
        let key = account_key(account);
        let shift_ms = i64::from(key.key_group.0) * interval_ms / 1_024;
        let round = admin.clock.wall().plus(shift_ms).0.div_euclid(interval_ms);
        if begun.get(account).is_some_and(|last| *last >= round) || !is_mine(admin, workplace, account) {
            continue;
        }
        let command = Command::PullAccount { account_id: account.to_owned(), round };
        match admin.command_at(key, account, &command).await {
            Ok(_) => drop(begun.insert(account.to_owned(), round)),
            Err(error) => tracing::warn!(account, %error, "a listing could not be begun; it is tried again"),
        }
    }
}
