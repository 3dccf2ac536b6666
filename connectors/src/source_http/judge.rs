//! Whose a CallRail body is: the company whose key has signed it.
//!
//! Pure and synchronous: a verdict follows from key ring, address, signature and body.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use leadline_schemas::callrail::{self, DecodeError, Peek};
use leadline_schemas::inbound::EventKind;
use leadline_schemas::settings::Tenant;
use serde::Deserialize;

use super::keys::{KeyRing, Signer};

/// What the Signature header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature([u8; 20]);

impl Signature {
    /// The header's value, where it is the base64 of a SHA-1 digest, spelled the one way there is.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get("signature")?.as_bytes();
        // 21 bytes hold what 28 characters can decode to.
        let mut bytes = [0_u8; 21];
        let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
        bytes.get(..length)?.try_into().ok().map(Self)
    }
}

/// A body that is its tenant's.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) tenant: Arc<Tenant>,
    pub(super) settings_version: u64,
    /// By the shape of the body; none when it tells nothing.
    pub(super) kind: EventKind,
    /// What partitioning hashes; empty when the body has neither caller nor subject.
    pub(super) caller: String,
}

/// Why a body is nobody's.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Not signed by any company that it could be of; the tenant whose address or company it names.
    Unsigned(Option<Arc<Tenant>>),
    /// Rightly signed, but no event: it names what is wrong.
    Unreadable(DecodeError),
}

/// Judges a body that came to a tenant's own address, or to a shared one.
pub(super) fn judge(
    ring: &KeyRing,
    source_key: Option<&str>,
    signature: Option<Signature>,
    body: &[u8],
) -> Result<Judged, Refusal> {
    let Some(Signature(signature)) = signature else { return Err(Refusal::Unsigned(None)) };
    match source_key {
        Some(key) => at_own_address(ring, key, &signature, body),
        None => at_shared_address(ring, &signature, body),
    }
}

/// The address tells the tenant, so the body is looked at after its signature.
fn at_own_address(ring: &KeyRing, key: &str, signature: &[u8], body: &[u8]) -> Result<Judged, Refusal> {
    let Some(tenant) = ring.settings.by_source_key(key) else { return Err(Refusal::Unsigned(None)) };
    let unsigned = || Refusal::Unsigned(Some(Arc::clone(tenant)));
    let signer = ring.companies(&tenant.tenant).find(|company| company.verifies(body, signature));
    let signer = signer.ok_or_else(unsigned)?;
    let seen = Seen::of(body).map_err(Refusal::Unreadable)?;
    let names_one = seen.company_ids().next().is_some();
    let names_signer = seen.company_ids().any(|id| signer.is(id));
    if (names_one && !names_signer) || names_another(ring, &signer, &seen) {
        return Err(unsigned());
    }
    Ok(seen.judged(ring, signer.tenant))
}

/// The body alone tells the company. One that cannot be read is nobody's: it may be any tenant's body with a bit
/// flipped, or no webhook at all.
fn at_shared_address(ring: &KeyRing, signature: &[u8], body: &[u8]) -> Result<Judged, Refusal> {
    let seen = Seen::of(body).map_err(|_| Refusal::Unsigned(None))?;
    let known = || seen.company_ids().filter_map(|id| ring.company(id));
    let unsigned = || Refusal::Unsigned(known().next().map(|signer| Arc::clone(&signer.tenant)));
    let signer = known().find(|company| company.verifies(body, signature)).ok_or_else(unsigned)?;
    if names_another(ring, signer, &seen) {
        return Err(unsigned());
    }
    let tenant = Arc::clone(&signer.tenant);
    Ok(seen.judged(ring, tenant))
}

/// Whether a body has another tenant's company beside the signer's.
fn names_another(ring: &KeyRing, signer: &Signer, seen: &Seen<'_>) -> bool {
    let of_another = |other: &Signer| other.tenant.tenant != signer.tenant.tenant;
    seen.company_ids().filter_map(|id| ring.company(id)).any(of_another)
}

/// What was seen of a body.
enum Seen<'a> {
    Event(Peek<'a>),
    /// An object without an id: it is taken in and becomes a dead letter, which a person can look at. CallRail
    /// would not send it again.
    Odd(Companies),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Companies {
    company_resource_id: serde_json::Value,
    company_id: serde_json::Value,
    /// As text, for `company_ids`.
    #[serde(skip)]
    ids: Vec<String>,
}

impl<'a> Seen<'a> {
    fn of(body: &'a [u8]) -> Result<Self, DecodeError> {
        match callrail::peek(body) {
            Ok(peek) => Ok(Self::Event(peek)),
            Err(error @ DecodeError::NoId { .. }) => {
                let mut companies: Companies = serde_json::from_slice(body).map_err(|_| error)?;
                companies.ids = [&companies.company_resource_id, &companies.company_id]
                    .into_iter()
                    .filter_map(|id| match id {
                        serde_json::Value::String(text) if !text.is_empty() => Some(text.clone()),
                        serde_json::Value::Number(number) => Some(number.to_string()),
                        _ => None,
                    })
                    .collect();
                Ok(Self::Odd(companies))
            }
            Err(error) => Err(error),
        }
    }

    fn company_ids(&self) -> impl Iterator<Item = &str> {
        let (peek, odd) = match self {
            Self::Event(peek) => (Some(peek), None),
            Self::Odd(companies) => (None, Some(companies)),
        };
        let of_odd = odd.into_iter().flat_map(|companies| companies.ids.iter().map(String::as_str));
        peek.into_iter().flat_map(Peek::company_ids).chain(of_odd)
    }

    fn judged(self, ring: &KeyRing, tenant: Arc<Tenant>) -> Judged {
        let (kind, caller) = match self {
            Self::Event(peek) => (peek.kind, peek.caller.unwrap_or(peek.subject_id).into_owned()),
            Self::Odd(_) => (EventKind::PostCall, String::new()),
        };
        Judged { tenant, settings_version: ring.settings.version, kind, caller }
    }
}
