//! Waiting until an accepted event has had its effect.

use std::sync::Arc;
use std::time::Duration;

use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::{EventId, TenantId};
use tokio::time::Instant;

use super::reading::Reading;
use crate::contract::BoxFuture;
use crate::contract::store::RecordReader;

/// Tells when a request is finished.
pub trait RequestWatch: Send + Sync + 'static {
    /// The request once it is neither unknown nor processing; none when `within` has passed first.
    fn finished(&self, tenant: TenantId, id: EventId, within: Duration) -> BoxFuture<'_, Option<Request>>;
}

/// Asks the record store again and again: at first every 10 ms, because the rules take no longer; then ever more
/// rarely, because a model or a recording takes seconds.
pub struct PollingWatch {
    reading: Reading,
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

impl PollingWatch {
    /// Polls `reader`.
    pub fn new(reader: Arc<dyn RecordReader>) -> Self {
        Self { reading: Reading::new(reader) }
    }

    async fn look(&self, tenant: &TenantId, id: &Arc<str>) -> Option<Request> {
        let (tenant, id) = (tenant.clone(), Arc::clone(id));
        // A store that does not answer now may do so at the next look.
        let found = self.reading.read(move |reader| reader.request(&tenant, &id)).await.ok()?;
        found.filter(|request| request.status != RequestStatus::Processing)
    }
}

impl RequestWatch for PollingWatch {
    fn finished(&self, tenant: TenantId, id: EventId, within: Duration) -> BoxFuture<'_, Option<Request>> {
        Box::pin(async move {
            let deadline = Instant::now() + within;
            let id: Arc<str> = id.to_string().into();
            let mut pause = PAUSE_MIN;
            loop {
                if let Some(request) = self.look(&tenant, &id).await {
                    return Some(request);
                }
                if Instant::now() + pause >= deadline {
                    tokio::time::sleep_until(deadline).await;
                    return self.look(&tenant, &id).await;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(PAUSE_MAX);
            }
        })
    }
}

impl std::fmt::Debug for PollingWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PollingWatch").finish_non_exhaustive()
    }
}
