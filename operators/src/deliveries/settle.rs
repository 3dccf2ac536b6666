//! What becomes of a line when its job has ended.

use leadline_schemas::Millis;
use leadline_schemas::delivery::{Delivery, DeliveryStatus, Try};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed};
use leadline_schemas::state::DeliveryState;

use super::{Delivered, NOBODY_KNOWS_WHICH, hash_of, wait};
use crate::contract::{Context, OperatorResult};

/// Jobs that a line remembers: a week of daily changes, or all of a delivery's later tries.
const TRIES_MAX: usize = 10;
/// What an integration's option `unclear` says when a delivery of which nobody knows whether it arrived is sent once more:
/// rather twice than not at all.
pub(super) const AGAIN: &str = "again";

pub(super) fn settle(
    cx: &mut Context<'_, Delivery>,
    key: &[u8],
    state: &mut DeliveryState,
    answer: Result<Answered, JobFailed>,
) -> OperatorResult {
    let attempts = match &answer {
        Ok(answered) => answered.attempts,
        Err(failed) => failed.attempts,
    };
    let came_of_it = match answer {
        Ok(answered) => {
            arrived(state, &answered);
            DeliveryStatus::Done
        }
        Err(failed) => {
            state.current.exchange = failed.exchange.clone().or(state.current.exchange.take());
            let status = status_of(failed.kind);
            let may_have_arrived = matches!(failed.kind, FailureKind::Unclear | FailureKind::Exhausted);
            if may_have_arrived && state.delivered_hash != 0 {
                state.delivered_hash = NOBODY_KNOWS_WHICH; // So that the one before is sent again, should it be the newest.
            }
            if state.current.status != DeliveryStatus::Skipped {
                (state.current.status, state.current.reason) = (status, Some(failed.why.clone()));
                missed(cx, key, state, &failed)?;
            }
            status
        }
    };
    let line = &mut state.current;
    line.attempts += attempts;
    line.updated_at = cx.now;
    if line.tries.len() >= TRIES_MAX {
        line.tries.remove(0);
    }
    let reason = line.reason.clone();
    line.tries.push(Try { at: cx.now, revision: line.revision, attempts, status: came_of_it, reason });
    Ok(())
}

fn status_of(kind: FailureKind) -> DeliveryStatus {
    match kind {
        FailureKind::Rejected | FailureKind::Exhausted => DeliveryStatus::Parked,
        FailureKind::Unclear => DeliveryStatus::Unclear,
        FailureKind::NotConfigured => DeliveryStatus::Skipped,
    }
}

fn arrived(state: &mut DeliveryState, answered: &Answered) {
    // An answer that cannot be read is still an answer: the other side has the delivery.
    let delivered: Delivered = serde_json::from_slice(&answered.body).unwrap_or_default();
    let line = &mut state.current;
    line.status = DeliveryStatus::Done;
    line.reason = None;
    line.exchange = delivered.exchange.or(line.exchange.take());
    state.delivered_hash = hash_of(&line.payload);
    state.remote_id = delivered.remote_id.or(state.remote_id.take());
    line.remote_id.clone_from(&state.remote_id);
    (state.failing_since, state.later, state.sent_again) = (Millis(0), 0, false);
}

/// The other side has not taken it, or nobody knows: tries again by itself where that helps and the tenant wants it.
fn missed(
    cx: &mut Context<'_, Delivery>,
    key: &[u8],
    state: &mut DeliveryState,
    failed: &JobFailed,
) -> OperatorResult {
    if state.queued_payload.is_some() {
        return Ok(()); // The next revision is sent now.
    }
    let tenant = cx.tenant();
    let integration = tenant.and_then(|tenant| tenant.integration(&state.current.integration));
    let Some((tenant, integration)) = tenant.zip(integration) else { return Ok(()) };
    match failed.kind {
        FailureKind::Exhausted => {
            if state.failing_since == Millis(0) {
                state.failing_since = cx.now;
            }
            wait::put_off(cx, key, state, tenant, integration)
        }
        FailureKind::Unclear if !state.sent_again => {
            if integration.options.get("unclear").is_some_and(|what| what == AGAIN) {
                state.sent_again = true;
                state.queued_payload = Some(state.current.payload.clone());
                state.queued_revision = state.current.revision;
            }
            Ok(())
        }
        FailureKind::Rejected | FailureKind::Unclear | FailureKind::NotConfigured => Ok(()),
    }
}
