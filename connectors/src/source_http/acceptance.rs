//! The last step of every source: a slot, the blob store for large bodies, the durable append.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leadline_schemas::TenantId;
use leadline_schemas::inbound::Inbound;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::limits::INLINE_BODY_BYTES_MAX;
use super::meter::Meters;
use super::problem::Problem;
use crate::contract::blob::Blob;
use crate::contract::log::AppendError;
use crate::contract::source::Intake;

/// The first pause before a busy log is asked again; it doubles.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Makes events durable, a bounded number at a time.
pub struct Acceptance {
    intake: Arc<dyn Intake>,
    blob: Arc<dyn Blob>,
    slots: Semaphore,
    slot_timeout: Duration,
    pub(crate) meters: Meters,
}

impl Acceptance {
    /// At most `slots` at a time; who waits for one longer than `slot_timeout` is refused.
    pub fn new(
        intake: Arc<dyn Intake>,
        blob: Arc<dyn Blob>,
        slots: usize,
        slot_timeout: Duration,
    ) -> Self {
        Self { intake, blob, slots: Semaphore::new(slots.max(1)), slot_timeout, meters: Meters::new() }
    }

    /// The way in.
    pub fn intake(&self) -> &dyn Intake {
        &*self.intake
    }

    /// Resolves when the event is durable. Only events that are known to be their tenant's come here, so nobody
    /// else can take up the slots.
    pub(crate) async fn accept(&self, mut event: Inbound) -> Result<(), Problem> {
        let deadline = Instant::now() + self.slot_timeout;
        let _slot = self.slot(deadline).await?;
        if event.body.len() > INLINE_BODY_BYTES_MAX {
            let body = std::mem::take(&mut event.body);
            event.body_ref = Some(self.put_body(&event.tenant, body).await?);
        }
        let origin = event.origin;
        match self.append(event, deadline).await {
            Ok(()) => {
                self.meters.accepted(origin).increment(1);
                Ok(())
            }
            Err(error) => {
                self.meters.log.increment(1);
                tracing::error!(%error, "an event could not be made durable");
                Err(error.into())
            }
        }
    }

    async fn slot(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Problem> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        match tokio::time::timeout_at(deadline, self.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => {
                self.meters.no_slot.increment(1);
                Err(Problem::unavailable("all MAX_CONCURRENT_REQUESTS slots are taken; send it again"))
            }
        }
    }

    /// A busy log is asked again until the deadline: a webhook that is refused is lost.
    async fn append(&self, event: Inbound, deadline: Instant) -> Result<(), AppendError> {
        let mut pause = BUSY_PAUSE;
        loop {
            // The copy costs two short strings; the body is shared.
            match self.intake.accept(event.clone()).await {
                Err(AppendError::Busy { .. }) if Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return answer.map(drop),
            }
        }
    }

    /// Names are hashes of the content, within the tenant: a resent body is stored once, and no tenant can tell
    /// what another one has.
    async fn put_body(&self, tenant: &TenantId, body: Bytes) -> Result<String, Problem> {
        let hashed = body.clone();
        let hashing =
            tokio::task::spawn_blocking(move || ring::digest::digest(&ring::digest::SHA256, &hashed));
        let unavailable = || Problem::unavailable("the body could not be made durable; send it again");
        let digest = hashing.await.map_err(|_| unavailable())?;
        let name = format!("bodies/{tenant}/{}", super::token::hex(digest.as_ref()));
        match self.blob.create(&name, body).await {
            Ok(_) => Ok(name),
            Err(error) => {
                self.meters.log.increment(1);
                tracing::error!(%error, "a large body could not be made durable");
                Err(unavailable())
            }
        }
    }
}

impl std::fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptance").finish_non_exhaustive()
    }
}
