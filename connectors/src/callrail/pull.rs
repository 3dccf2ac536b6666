//! Answers `pull` jobs: lists one page of an account and brings its rows in by the front door.
//!
//! The answer comes when every row of the page is in the log; asked again after a crash, the page is listed again and its
//! rows come twice. Each row is of the tenant that has its company: an account may have many.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use leadline_schemas::callrail::peek;
use leadline_schemas::inbound::{EventKind, Inbound, Origin};
use leadline_schemas::partitioning::Key;
use leadline_schemas::pull::{Listing, PullJob, Pulled, RowOf};
use leadline_schemas::reply::PendingJob;
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{EventId, Millis};

use super::calls::{CallsAsk, Paging};
use super::config::PER_PAGE_MAX;
use super::{Access, CallRailClient, Page, PageMark, Priority};
use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::provider::{CallError, Provider, ProviderAnswer};
use crate::contract::secrets::Secrets;
use crate::contract::source::Intake;

/// Rows of a page that are on their way into the log at once.
const APPENDS_MAX: usize = 32;

/// Lists pages.
pub struct PullPages {
    client: CallRailClient,
    secrets: Arc<dyn Secrets>,
    intake: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
}

/// A row of any listing.
struct Listed {
    company_id: Option<String>,
    kind: EventKind,
    body: Bytes,
}

/// A page of any listing.
struct Rows {
    rows: Vec<Listed>,
    open_since: Option<Millis>,
    next: Option<String>,
    total: Option<u64>,
}

impl PullPages {
    /// By this client, in the name of the tenants that `intake` knows.
    pub fn new(
        client: CallRailClient,
        secrets: Arc<dyn Secrets>,
        intake: Arc<dyn Intake>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client, secrets, intake, clock }
    }

    async fn ask(&self, job: &PendingJob, deadline: Duration) -> Result<ProviderAnswer, CallError> {
        let job: PullJob = serde_json::from_slice(&job.request.payload)
            .map_err(|error| reject(format!("the job cannot be read: {error}")))?;
        let settings = self.intake.settings();
        let access = self.access(&job, &settings)?.within(deadline);
        let rows = self.page(&access, &job).await?;
        let row_of = if job.backfill { RowOf::Backfill { deliver: job.deliver } } else { RowOf::Live };
        let listed = i64::try_from(rows.rows.len()).unwrap_or(i64::MAX);
        let events = rows.rows.into_iter().filter_map(|row| self.event(row, row_of, &job, &settings));
        let events: Vec<Inbound> = events.collect();
        let appended = i64::try_from(events.len()).unwrap_or(i64::MAX);
        metrics::counter!("leadline_callrail_rows_listed_total")
            .increment(u64::try_from(listed).unwrap_or(0));
        stream::iter(events)
            .map(|event| async move {
                self.intake
                    .accept(event)
                    .await
                    .map_err(|error| CallError::Retry { after: None, why: error.to_string() })
            })
            .buffer_unordered(APPENDS_MAX)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        let total = rows.total.and_then(|total| i64::try_from(total).ok());
        let page = Pulled { listed, appended, open_since: rows.open_since, next: rows.next, total };
        let body = serde_json::to_vec(&page).map_err(|error| reject(error.to_string()))?;
        Ok(ProviderAnswer { body: Bytes::from(body), cost_micros: 0 })
    }

    /// In the name of the tenant that the backfill is for, else of the first of the account.
    fn access(&self, job: &PullJob, settings: &Settings) -> Result<Access, CallError> {
        let priority = if job.backfill { Priority::Background } else { Priority::Live };
        let wanted = settings.tenants().filter(|tenant| is_asked_for(tenant, job));
        let access = match wanted.min_by(|a, b| a.tenant.cmp(&b.tenant)) {
            Some(tenant) => Access::of(tenant, &*self.secrets, priority)?,
            None => None,
        };
        access.ok_or_else(|| reject(format!("nobody is connected with account {} any more", job.account_id)))
    }

    async fn page(&self, access: &Access, job: &PullJob) -> Result<Rows, CallError> {
        let after = job.page.clone().map(PageMark::from);
        match job.listing {
            Listing::Calls => {
                let ask = CallsAsk {
                    from: job.from,
                    to: Some(job.to),
                    company_id: None,
                    // A backfill shows how far it is.
                    paging: if job.backfill { Paging::Offset } else { Paging::Relative },
                    per_page: PER_PAGE_MAX,
                };
                let page = self.client.calls(access, &ask, after.as_ref()).await?;
                let open_since = page
                    .items
                    .iter()
                    .filter(|call| call.in_progress)
                    .filter_map(|call| call.started_at)
                    .min();
                Ok(rows(page, open_since, |call| {
                    // A call that goes on is listed again when it is over.
                    let call = (!call.in_progress).then_some(call);
                    call.map(|call| Listed { company_id: call.company_id, kind: call.kind, body: call.body })
                }))
            }
            Listing::Forms => {
                let page = self.client.forms(access, job.from, after.as_ref()).await?;
                Ok(rows(page, None, |form| {
                    // The list has no end: what came behind it is no backfill's, and the next round's.
                    let form = form.at.is_none_or(|at| at <= job.to).then_some(form)?;
                    Some(Listed { company_id: form.company_id, kind: form.kind, body: form.body })
                }))
            }
            Listing::Texts => {
                let page = self.client.texts(access, job.from, after.as_ref()).await?;
                let (next, total) = (page.next, None);
                let texts = page.items.into_iter().flatten();
                let texts = texts.filter(|text| text.at.is_none_or(|at| at >= job.from && at <= job.to));
                let rows = texts.map(|text| Listed {
                    company_id: text.company_id,
                    kind: text.kind,
                    body: text.body,
                });
                Ok(Rows { rows: rows.collect(), open_since: None, next: next.map(String::from), total })
            }
        }
    }

    /// The row as an event of the tenant that has its company; none where no tenant of the account has it.
    fn event(&self, row: Listed, row_of: RowOf, job: &PullJob, settings: &Settings) -> Option<Inbound> {
        let company = row.company_id.as_deref();
        let tenant = company.and_then(|company| settings.by_company(company));
        let tenant = tenant.filter(|tenant| is_asked_for(tenant, job))?;
        let peeked = match peek(Some(row.kind), &row.body) {
            Ok(peeked) => peeked,
            Err(error) => {
                tracing::warn!(account = job.account_id, %error, "a listed row cannot be read; it is left out");
                metrics::counter!("leadline_callrail_rows_unreadable_total").increment(1);
                return None;
            }
        };
        let key = Key::new(tenant.tenant.clone(), peeked.caller_or_subject(), tenant.policy.spread);
        // The same row listed again is the same event.
        let id = [b"pull", key.tenant.as_str().as_bytes(), row_of.content_type().as_bytes(), &row.body];
        let event_id = EventId::of(&id);
        let (what, at) = ((Origin::CallrailPull, row.kind), (self.clock.wall(), settings.version));
        let event = Inbound::new(event_id, key, peeked.caller_or_subject(), what, at, row.body.clone());
        Some(Inbound { content_type: row_of.content_type().into(), ..event })
    }
}

fn rows<T>(page: Page<T>, open_since: Option<Millis>, row: impl Fn(T) -> Option<Listed>) -> Rows {
    let rows = page.items.into_iter().filter_map(row).collect();
    Rows { rows, open_since, next: page.next.map(String::from), total: page.total }
}

/// Whether a page may be for this tenant: of the account, and the one that a backfill is for.
fn is_asked_for(tenant: &Tenant, job: &PullJob) -> bool {
    let is_of_account =
        tenant.callrail.as_ref().is_some_and(|callrail| callrail.account_id == job.account_id);
    is_of_account && job.tenant.as_ref().is_none_or(|wanted| tenant.tenant.as_str() == wanted)
}

fn reject(why: String) -> CallError {
    CallError::Reject { why }
}

impl Provider for PullPages {
    fn name(&self) -> &str {
        "callrail"
    }

    fn call(&self, job: PendingJob, deadline: Duration) -> BoxFuture<'_, Result<ProviderAnswer, CallError>> {
        Box::pin(async move { self.ask(&job, deadline).await })
    }
}
