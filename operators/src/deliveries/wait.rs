//! Lines that wait for a time: quiet hours, digests, and pauses after failures.

use leadline_schemas::Millis;
use leadline_schemas::delivery::{Delivery, DeliveryStatus};
use leadline_schemas::settings::{Integration, Tenant};
use leadline_schemas::state::DeliveryState;

use super::digest;
use crate::contract::{Context, OperatorResult, TimerKind};
use crate::hours;

/// Pauses before a delivery is tried again whose six attempts have failed: three days in all. Then the other side is not
/// away, it is gone, and a person decides.
pub const LATER_MS: [i64; 9] = [
    Millis::MINUTE,
    5 * Millis::MINUTE,
    30 * Millis::MINUTE,
    2 * Millis::HOUR,
    5 * Millis::HOUR,
    10 * Millis::HOUR,
    14 * Millis::HOUR,
    20 * Millis::HOUR,
    24 * Millis::HOUR,
];
/// Kinds whose deliveries are tried again by themselves. A receiver of plain HTTP is told once, and then by hand.
const PUT_OFF: [&str; 6] = ["slack", "email", "webhook", "hubspot", "salesforce", "pipedrive"];

/// When the quiet hours end that the integration is in, and what the ledger says of them.
pub(super) fn quiet(
    cx: &Context<'_, Delivery>,
    integration: Option<&Integration>,
) -> Option<(Millis, String)> {
    let profile = &cx.tenant()?.profile;
    let until = hours::quiet_until(profile, integration?, cx.now)?;
    Some((until, format!("quiet hours until {}", hours::clock(profile, until))))
}

/// Lets the line wait until then.
pub(super) fn hold(
    cx: &mut Context<'_, Delivery>,
    key: &[u8],
    state: &mut DeliveryState,
    until: Millis,
    why: String,
) -> OperatorResult {
    state.current.status = DeliveryStatus::Queued;
    state.current.reason = Some(why);
    state.current.held_until = until;
    cx.timer(TimerKind::Now, key, until)
}

/// Lets a line wait that has failed, if it may be tried again by itself.
pub(super) fn put_off(
    cx: &mut Context<'_, Delivery>,
    key: &[u8],
    state: &mut DeliveryState,
    tenant: &Tenant,
    integration: &Integration,
) -> OperatorResult {
    let pause_ms = usize::try_from(state.later).ok().and_then(|later| LATER_MS.get(later));
    let Some(pause_ms) = pause_ms.filter(|_| PUT_OFF.contains(&integration.kind.as_str())) else {
        return Ok(());
    };
    state.later += 1;
    let until = cx.now.plus(*pause_ms);
    let why = state.current.reason.take().unwrap_or_default();
    let why = format!("{why}; it is tried again at {}", hours::clock(&tenant.profile, until));
    hold(cx, key, state, until, why)
}

/// Nothing waits any more.
pub(super) fn release(
    cx: &mut Context<'_, Delivery>,
    key: &[u8],
    state: &mut DeliveryState,
) -> OperatorResult {
    if state.current.held_until == Millis(0) {
        return Ok(());
    }
    state.current.held_until = Millis(0);
    digest::leave(cx, state)?;
    cx.cancel_timer(TimerKind::Now, key)
}

/// Whether a line waits, and has waited long enough.
pub(super) fn is_over(state: &DeliveryState, now: Millis) -> bool {
    let line = &state.current;
    line.status == DeliveryStatus::Queued && line.held_until != Millis(0) && line.held_until <= now
}

/// The line as it is to be sent.
pub(super) fn queued_again(mut state: DeliveryState) -> DeliveryState {
    if state.queued_payload.is_none() {
        state.queued_payload = Some(state.current.payload.clone());
        state.queued_revision = state.current.revision;
    }
    state
}
