//! pull: lists what CallRail's API has of an account, because CallRail sends each webhook once.
//!
//! One operator per account, wherever its tenants lie: limits count per account, and so do listings. A page is a job; its
//! answer comes when all of the page's rows are in the log, and moves the listing on. So a listing survives whatever a
//! job survives, and a page that is listed twice changes nothing: dedupe decides.

use leadline_schemas::command::Command;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::pull::{LIVE, Listing, Pull, PullJob, PullStatus, Pulled, request_id};
use leadline_schemas::reply::{Answered, FailureKind, JobFailed, JobRequest};
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::{JobId, Millis};

use crate::contract::{Context, Fault, Operator, OperatorId, OperatorResult, Table, TableSpec, TimerKind};

/// A listing begins this long before the end of the last one: a call is listed by its start, and what CallRail says of it
/// may not be whole for 20 minutes after its end.
const OVERLAP_MS: i64 = 25 * Millis::MINUTE;
/// A call that goes on for longer than this is not waited for.
const OPEN_MS_MAX: i64 = Millis::DAY;
/// A backfill that could not go on is tried again after this.
const BACKFILL_PAUSE_MS: i64 = 5 * Millis::MINUTE;
/// What is known of an account's listings, this long after the last of them.
const PULLS_TTL_MS: i64 = 25 * 31 * Millis::DAY;

/// The listings by their names, and again by the job that asks for a page.
pub const PULLS: Table<Pull> = Table::new(1, "pulls", Some(PULLS_TTL_MS));
const TABLES: &[TableSpec] = &[PULLS.spec];

/// Lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct PullCalls;

impl Operator for PullCalls {
    const ID: OperatorId = OperatorId { number: 11, name: "pull" };
    type In = Command;
    type Out = Request;

    fn tables() -> &'static [TableSpec] {
        TABLES
    }

    fn on_record(&mut self, cx: &mut Context<'_, Request>, command: Command) -> OperatorResult {
        match command {
            Command::PullAccount { account_id, round } => start_round(cx, account_id, round),
            Command::Backfill { id, account_id, tenant, from, to, deliver } => {
                let known = cx.get(&PULLS, id.as_bytes())?.map(|pull| pull.status);
                if known.is_some_and(|status| status != PullStatus::Failed) {
                    return Ok(());
                }
                let fresh =
                    Pull { tenant: Some(tenant), from, to, deliver, ..new_pull(id, account_id, from) };
                ask(cx, fresh)
            }
            _ => Ok(()),
        }
    }

    fn on_reply(
        &mut self,
        cx: &mut Context<'_, Request>,
        job_id: JobId,
        answer: Result<Answered, JobFailed>,
    ) -> OperatorResult {
        let name = cx.get(&PULLS, job_id.as_bytes())?.map(|asked| asked.name.clone());
        cx.delete(&PULLS, job_id.as_bytes());
        let name = name.ok_or_else(|| {
            Fault::poison(format!("job {job_id} was answered, but no listing waits for it"))
        })?;
        let Some(pull) = cx.get(&PULLS, name.as_bytes())?.cloned() else { return Ok(()) };
        let page = answer.map(|answered| serde_json::from_slice::<Pulled>(&answered.body));
        match page {
            Ok(Ok(page)) => goes_on(cx, pull, page),
            Ok(Err(error)) => {
                stops(cx, pull, FailureKind::Rejected, format!("the answer cannot be read: {error}"))
            }
            Err(failed) => stops(cx, pull, failed.kind, failed.why),
        }
    }

    /// A backfill goes on where it was.
    fn on_timer(
        &mut self,
        cx: &mut Context<'_, Request>,
        _: TimerKind,
        name: &[u8],
        _: Millis,
    ) -> OperatorResult {
        match cx.get(&PULLS, name)?.cloned() {
            Some(pull) if pull.status == PullStatus::Waiting => ask(cx, Pull { trouble: None, ..pull }),
            _ => Ok(()),
        }
    }
}

fn new_pull(name: String, account_id: String, from: Millis) -> Pull {
    Pull {
        name,
        account_id,
        tenant: None,
        round: 0,
        listing: Listing::Calls,
        from,
        to: from,
        page: None,
        status: PullStatus::Waiting,
        done_until: from,
        open_since: None,
        listed: 0,
        appended: 0,
        total: None,
        deliver: false,
        trouble: None,
    }
}

/// Lists what has come since the last round, and a little of what the last round has seen.
fn start_round(cx: &mut Context<'_, Request>, account_id: String, round: i64) -> OperatorResult {
    let known = cx.get(&PULLS, LIVE.as_bytes())?.cloned();
    let connected_at = cx.settings.tenants().filter_map(|tenant| tenant.callrail.as_ref());
    let connected_at = connected_at.filter(|account| account.account_id == account_id);
    let Some(connected_at) = connected_at.map(|account| account.connected_at).min() else {
        return Ok(()); // It was disconnected meanwhile.
    };
    let pull = known.unwrap_or_else(|| new_pull(LIVE.to_owned(), account_id, connected_at));
    if pull.round >= round {
        return Ok(());
    }
    if pull.status == PullStatus::Running {
        // A page is out; whatever comes of it, the next round begins where the last whole one has ended.
        return Ok(());
    }
    if pull.page.is_some() || pull.listing != Listing::Calls {
        return ask(cx, Pull { round, trouble: None, ..pull }); // The last round goes on where it could not.
    }
    let open_since = pull.open_since.filter(|since| cx.now.since(*since) < OPEN_MS_MAX);
    let from = open_since.into_iter().fold(pull.done_until.plus(-OVERLAP_MS), Millis::min);
    // Until this round has come to its end, another would begin where it does.
    let done_until = from.plus(OVERLAP_MS);
    let fresh = Pull { open_since: None, listed: 0, appended: 0, trouble: None, ..pull };
    ask(cx, Pull { round, from, to: cx.now, done_until, ..fresh })
}

/// Asks for the page that comes next.
fn ask(cx: &mut Context<'_, Request>, pull: Pull) -> OperatorResult {
    let pull = Pull { status: PullStatus::Running, ..pull };
    let job = PullJob {
        account_id: pull.account_id.clone(),
        tenant: pull.tenant.as_ref().map(ToString::to_string),
        listing: pull.listing,
        from: pull.from,
        to: pull.to,
        page: pull.page.clone(),
        backfill: is_backfill(&pull),
        deliver: pull.deliver,
    };
    let payload = serde_json::to_vec(&job).map_err(|error| Fault::poison(error.to_string()))?;
    let job_id = cx.job(JobRequest {
        kind: "pull".to_owned(),
        target: "callrail".to_owned(),
        payload: payload.into(),
        not_before: Millis(0),
        revision: pull.round,
    });
    // The answer names the job and nothing else.
    cx.put(&PULLS, job_id.as_bytes(), pull.clone());
    tell(cx, &pull);
    cx.put(&PULLS, pull.name.clone().as_bytes(), pull);
    Ok(())
}

fn goes_on(cx: &mut Context<'_, Request>, mut pull: Pull, page: Pulled) -> OperatorResult {
    pull.listed += page.listed;
    pull.appended += page.appended;
    pull.total = page.total.or(pull.total);
    pull.open_since = [pull.open_since, page.open_since].into_iter().flatten().min();
    pull.page = page.next;
    if pull.page.is_some() { ask(cx, pull) } else { next_listing(cx, pull) }
}

fn next_listing(cx: &mut Context<'_, Request>, pull: Pull) -> OperatorResult {
    if let Some(listing) = pull.listing.next() {
        return ask(cx, Pull { listing, page: None, ..pull });
    }
    let status = if is_backfill(&pull) { PullStatus::Done } else { PullStatus::Waiting };
    keep(cx, Pull { listing: Listing::Calls, page: None, status, done_until: pull.to, ..pull })
}

/// A page could not be had.
fn stops(cx: &mut Context<'_, Request>, pull: Pull, kind: FailureKind, why: String) -> OperatorResult {
    let pull = Pull { trouble: Some(why), ..pull };
    if matches!(kind, FailureKind::Exhausted | FailureKind::Unclear) {
        // The live listing's next round goes on with this page; a backfill has no rounds.
        if is_backfill(&pull) {
            cx.timer(TimerKind::Now, pull.name.clone().as_bytes(), cx.now.plus(BACKFILL_PAUSE_MS))?;
        }
        return keep(cx, Pull { status: PullStatus::Waiting, ..pull });
    }
    // Asking again changes nothing. Not every account has texts and forms; without calls there is nothing to go on with.
    if pull.listing != Listing::Calls {
        return next_listing(cx, pull);
    }
    let status = if is_backfill(&pull) { PullStatus::Failed } else { PullStatus::Waiting };
    keep(cx, Pull { page: None, status, ..pull })
}

fn keep(cx: &mut Context<'_, Request>, pull: Pull) -> OperatorResult {
    tell(cx, &pull);
    cx.put(&PULLS, pull.name.clone().as_bytes(), pull);
    Ok(())
}

fn is_backfill(pull: &Pull) -> bool {
    pull.name != LIVE
}

/// What is shown of a listing: a request of the account's own.
fn tell(cx: &mut Context<'_, Request>, pull: &Pull) {
    let of_total = pull.total.map(|total| format!(" of {total}")).unwrap_or_default();
    let rows =
        format!("{}{of_total} listed, {} taken, up to {}", pull.listed, pull.appended, pull.done_until);
    let reason = pull.trouble.as_ref().map_or(rows.clone(), |why| format!("{rows}; {why}"));
    let request = Request {
        tenant: cx.key.tenant.clone(),
        request_id: request_id(&pull.account_id, &pull.name),
        origin: Origin::CallrailPull,
        kind: EventKind::Command,
        status: match pull.status {
            PullStatus::Running | PullStatus::Waiting if is_backfill(pull) => RequestStatus::Processing,
            PullStatus::Failed => RequestStatus::Failed,
            _ => RequestStatus::Done,
        },
        reason: Some(reason),
        call_id: Some(pull.name.clone()),
        lead_id: None,
        received_at: pull.from,
        updated_at: cx.now,
    };
    cx.emit(request);
}
