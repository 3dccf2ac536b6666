//! CallRail's webhooks.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode};
use leadline_schemas::callrail::{self, Peek};
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::settings::{Settings, Tenant};
use leadline_schemas::{EventId, TenantId};

use super::HttpSource;
use super::accept::Judged;
use super::keyring::KeyRing;
use super::limits::{BAD_SIGNATURES_PER_S, SIGNED_BODY_BYTES_MAX};
use super::signature::verifies;
use crate::http_server::{Problem, json};

/// CallRail's header.
static SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// How a webhook shows whose it is; no registered scheme, but RFC 9110 wants a 401 to name one.
const SCHEME: &str = "Signature";

/// `POST /v1/callrail/webhook`: kind from the shape, tenant from the company in the body.
pub(super) async fn any_kind(
    State(source): State<Arc<HttpSource>>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    handle(&source, request, None, None).await
}

/// `POST /v1/callrail/webhook/{event}`: kind from the path.
pub(super) async fn of_kind(
    State(source): State<Arc<HttpSource>>,
    Path(event): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    handle(&source, request, Some(kind_of(&event)?), None).await
}

/// `POST /v1/sources/{source_key}/callrail/{event}`: the key says whose it is before the body is parsed.
pub(super) async fn of_source(
    State(source): State<Arc<HttpSource>>,
    Path((source_key, event)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let kind = kind_of(&event)?;
    let unknown =
        || Problem::not_found("no source has this key: take the address from the tenant's settings");
    let mut tenant =
        source.parts.intake.settings().by_source_key(&source_key).map(|tenant| tenant.tenant.clone());
    if tenant.is_none() {
        let fresh = source.parts.intake.fresh_settings().await;
        tenant = fresh.by_source_key(&source_key).map(|tenant| tenant.tenant.clone());
    }
    handle(&source, request, Some(kind), Some(tenant.ok_or_else(unknown)?)).await
}

fn kind_of(event: &str) -> Result<EventKind, Problem> {
    EventKind::from_path(event).ok_or_else(|| {
        let known: Vec<&str> = EventKind::CALLRAIL.iter().map(|kind| kind.name()).collect();
        let event: String = event.chars().take(60).collect();
        Problem::not_found(format!("{event:?} is not an event of CallRail; use one of {}", known.join(", ")))
    })
}

async fn handle(
    source: &HttpSource,
    request: Request<Body>,
    kind: Option<EventKind>,
    owner: Option<TenantId>,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let body = source.bodies.read(&head.headers, body, SIGNED_BODY_BYTES_MAX).await?;
    let accepted = judge_and_accept(source, &head.headers, &body.bytes, kind, owner.as_ref()).await;
    match accepted {
        Ok(response) => Ok(response),
        Err(problem) => Err(source.count_refusal(problem)),
    }
}

async fn judge_and_accept(
    source: &HttpSource,
    headers: &HeaderMap,
    body: &Bytes,
    kind: Option<EventKind>,
    owner: Option<&TenantId>,
) -> Result<Response, Problem> {
    // Nothing is believed of a body before its signature has been checked; its company only says by which key.
    let peek = callrail::peek(kind, body);
    let signature = headers.get(&SIGNATURE).map(|value| value.as_bytes()).unwrap_or_default();
    let mut settings = source.parts.intake.settings();
    let mut tenant = check(source, &settings, peek.as_ref().ok(), signature, body, owner);
    if tenant.is_err() {
        // The key or the company may be newer than what this process has read.
        settings = source.parts.intake.fresh_settings().await;
        tenant = check(source, &settings, peek.as_ref().ok(), signature, body, owner);
    }
    if tenant.is_err()
        && let Ok(peek) = &peek
        && let Some(known) = peek.company_ids().find(|id| settings.by_company(id).is_some())
    {
        source.parts.doubts.note(known);
    }
    let tenant = tenant?;
    let peek = peek
        .map_err(|error| Problem::bad_request(format!("the body is signed, but cannot be used: {error}")))?;
    let judged = Judged {
        event_id: EventId(uuid::Uuid::from_bytes(source.random_id())),
        tenant: &tenant,
        settings: &settings,
        caller: peek.caller_or_subject(),
        origin: Origin::CallrailWebhook,
        kind: peek.kind,
        content_type: "application/json".into(),
        body: body.clone(),
    };
    let accepted = source.accept(judged, headers).await?;
    Ok(json(StatusCode::OK, &accepted))
}

/// The tenant that a signed body belongs to.
fn check(
    source: &HttpSource,
    settings: &Arc<Settings>,
    peek: Option<&Peek<'_>>,
    signature: &[u8],
    body: &[u8],
    owner: Option<&TenantId>,
) -> Result<Arc<Tenant>, Problem> {
    let ring: Arc<KeyRing> = source.keys.of(settings);
    // One answer for an unknown company and a wrong signature: nobody learns which companies there are.
    let refused = || {
        Problem::unauthorized(
            SCHEME,
            "the Signature header is missing, or not the base64 HMAC-SHA1 of this body under the signing key of a known company",
        )
    };
    let another =
        || Problem::unauthorized(SCHEME, "the body names a company that does not belong to this source key");
    let company = peek.and_then(|peek| ring.company(peek.company_ids()));
    let signer = match (owner, company) {
        (Some(owner), Some(named)) if *owner != named.tenant.tenant => return Err(another()),
        (_, Some(named)) => named,
        // Texts and forms of older payloads name no company; their own address does.
        (Some(owner), None) => {
            if peek.is_some_and(|peek| peek.company_ids().next().is_some()) {
                return Err(another());
            }
            ring.tenant(owner).ok_or_else(refused)?
        }
        (None, None) => return Err(refused()),
    };
    if !verifies(&signer.keys, signature, body) {
        return Err(refused());
    }
    Ok(Arc::clone(&signer.tenant))
}

impl HttpSource {
    /// Counts a refusal; a flood of bad signatures hears 429, for the log of a good client must not drown in it.
    fn count_refusal(&self, problem: Problem) -> Problem {
        self.refused.increment(1);
        if problem.status != StatusCode::UNAUTHORIZED {
            return problem;
        }
        metrics::counter!("leadline_signatures_refused_total").increment(1);
        if self.rates.take("bad-signatures", BAD_SIGNATURES_PER_S, self.parts.clock.boot_ms()) {
            return problem;
        }
        Problem::too_many("too many requests with bad signatures")
    }
}
