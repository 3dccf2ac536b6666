//! Access tokens: handed out while they are good, refreshed ahead of their end, committed before they are used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leadline_schemas::TenantId;
use leadline_schemas::settings::{Grant, Integration, Sealed};
use tokio::time::Instant;

use super::apps::Apps;
use super::exchange::{Fresh, Refused, code_request, read, refresh_request};
use super::{GrantStore, grant_context};
use crate::contract::BoxFuture;
use crate::contract::clock::Clock;
use crate::contract::provider::CallError;
use crate::contract::secrets::Secrets;
use crate::contract::tokens::{AccessToken, Tokens};
use crate::contract::wire::{Trace, WireRequest};
use crate::http_client::Client;

/// How long before its end a token is refreshed by its owner: HubSpot's last half an hour.
const AHEAD_MS: i64 = 5 * 60_000;
/// A token this near to its end is handed to nobody.
const LEAST_MS: i64 = 30_000;
/// How long a token endpoint may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long somebody else's refresh is waited for, before this process does it: its owner may be gone.
const OWNER_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether it has come.
const LOOK: Duration = Duration::from_millis(250);

type Key = (TenantId, String);

/// Hands out tokens. One for the process.
pub struct OAuthTokens {
    pub(super) store: Arc<dyn GrantStore>,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) clock: Arc<dyn Clock>,
    http: Client,
    pub(super) apps: Apps,
    known: Mutex<HashMap<Key, Known>>,
}

/// What this process knows of a grant beyond its record.
#[derive(Default)]
struct Known {
    /// One refresh at a time.
    refreshing: Arc<tokio::sync::Mutex<()>>,
    /// The generation last handed out, and its token.
    handed: Option<(i64, String)>,
    /// The generation whose token the other side has refused.
    refused: Option<i64>,
    /// The generation that cannot be refreshed, and why.
    dead: Option<(i64, String)>,
    /// What was refreshed and could not be committed yet: its refresh token may be the only good one.
    uncommitted: Option<Grant>,
}

impl OAuthTokens {
    /// With these applications.
    pub fn new(
        store: Arc<dyn GrantStore>,
        secrets: Arc<dyn Secrets>,
        clock: Arc<dyn Clock>,
        http: Client,
        apps: Apps,
    ) -> Self {
        Self { store, secrets, clock, http, apps, known: Mutex::default() }
    }

    /// Whether accounts of this kind can be connected here; what is to be done where not.
    pub fn knows(&self, kind: &str) -> Result<(), String> {
        self.apps.of(kind).map(|_| ())
    }

    fn with<T>(&self, key: &Key, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        look(known.entry(key.clone()).or_default())
    }

    async fn token(&self, tenant: &TenantId, id: &str) -> Result<AccessToken, CallError> {
        let key = (tenant.clone(), id.to_owned());
        let started = Instant::now();
        let mut integration = self.store.current(tenant, id);
        // A look, a refresh and a look are enough; more are others' doing.
        while started.elapsed() < OWNER_MAX + 2 * REQUEST_MAX {
            let Some((integration_now, grant)) =
                integration.and_then(|one| one.grant.clone().map(|grant| (one, grant)))
            else {
                return Err(CallError::Reject { why: again(tenant, id, "there is no grant") });
            };
            let (refused, dead) = self.with(&key, |known| (known.refused, known.dead.clone()));
            let lasts_ms = grant.expires_at.0.saturating_sub(self.clock.wall().0);
            if lasts_ms > LEAST_MS && refused != Some(grant.generation) {
                return self.open(&key, &grant);
            }
            if let Some((_, why)) = dead.filter(|(generation, _)| *generation == grant.generation) {
                return Err(CallError::Reject { why: again(tenant, id, &why) });
            }
            if self.store.is_mine(tenant) || started.elapsed() >= OWNER_MAX {
                self.refresh(&key, &integration_now.kind, grant.generation).await?;
            } else {
                tokio::time::sleep(LOOK).await;
            }
            integration = self.store.fresh(tenant, id).await;
        }
        let why = "the integration's token has ended, and nobody has refreshed it yet".to_owned();
        Err(CallError::Retry { after: None, why })
    }

    fn open(&self, key: &Key, grant: &Grant) -> Result<AccessToken, CallError> {
        let sealed = grant
            .access_token
            .as_ref()
            .ok_or_else(|| CallError::Reject { why: again(&key.0, &key.1, "the grant has no token") })?;
        let bytes = self.secrets.open(&grant_context(&key.0, &key.1), sealed)?;
        let bearer = String::from_utf8_lossy(&bytes).into_owned();
        self.with(key, |known| known.handed = Some((grant.generation, bearer.clone())));
        Ok(AccessToken { bearer, api_url: grant.api_url.clone() })
    }

    /// Refreshes a grant that ends soon, if this process is the one to do it. For its watch.
    pub async fn refresh_ahead(&self, tenant: &TenantId, integration: &Integration) -> Result<(), CallError> {
        let Some(grant) = &integration.grant else { return Ok(()) };
        let lasts_ms = grant.expires_at.0.saturating_sub(self.clock.wall().0);
        if lasts_ms > AHEAD_MS || !self.store.is_mine(tenant) {
            return Ok(());
        }
        let key = (tenant.clone(), integration.id.clone());
        let is_dead =
            self.with(&key, |known| known.dead.as_ref().is_some_and(|(dead, _)| *dead == grant.generation));
        match is_dead {
            true => Ok(()), // It was told once, and every delivery tells it.
            false => self.refresh(&key, &integration.kind, grant.generation).await,
        }
    }

    /// The next generation, unless somebody else was first.
    async fn refresh(&self, key: &Key, kind: &str, generation: i64) -> Result<(), CallError> {
        let lock = self.with(key, |known| Arc::clone(&known.refreshing));
        let _one_at_a_time = lock.lock().await;
        let (tenant, id) = key;
        let Some(grant) = self.grant_of(tenant, id, generation).await else { return Ok(()) };
        let kept =
            self.with(key, |known| known.uncommitted.take_if(|kept| kept.generation == generation + 1));
        let next = match kept {
            Some(kept) => kept,
            None => {
                let app = self.apps.of(kind).map_err(|why| CallError::Reject { why })?;
                let sealed = grant.refresh_token.as_ref().ok_or_else(|| CallError::Reject {
                    why: again(
                        tenant,
                        id,
                        "the other side refuses the token, and there is no way to another",
                    ),
                })?;
                let bytes = self.secrets.open(&grant_context(tenant, id), sealed)?;
                let token = String::from_utf8_lossy(&bytes).into_owned();
                match self.ask(kind, &refresh_request(app, &token)).await {
                    Ok(fresh) => self.grant(key, fresh, Some(&grant))?,
                    Err(Refused::Call(error)) => return Err(error),
                    Err(Refused::Denied(why)) => return self.denied(key, generation, why).await,
                }
            }
        };
        match self.store.replace(tenant, id, generation, next.clone()).await {
            Ok(_) => {
                metrics::counter!("leadline_oauth_refreshes_total", "kind" => kind.to_owned()).increment(1);
                Ok(())
            }
            Err(why) => {
                self.with(key, |known| known.uncommitted = Some(next));
                Err(CallError::Retry {
                    after: None,
                    why: format!("the new token could not be stored: {why}"),
                })
            }
        }
    }

    /// The grant as it is, while it is of this generation.
    async fn grant_of(&self, tenant: &TenantId, id: &str, generation: i64) -> Option<Grant> {
        let fresh = self.store.fresh(tenant, id).await;
        fresh.and_then(|one| one.grant).filter(|grant| grant.generation == generation)
    }

    /// A refresh token that is taken once was taken by somebody else, or there is no hope for it.
    async fn denied(&self, key: &Key, generation: i64, why: String) -> Result<(), CallError> {
        let until = Instant::now() + OWNER_MAX;
        while Instant::now() < until {
            // Who was first may not have committed yet.
            if self.grant_of(&key.0, &key.1, generation).await.is_none() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        self.with(key, |known| known.dead = Some((generation, why.clone())));
        tracing::warn!(tenant = %key.0, integration = key.1, why, "a grant cannot be refreshed");
        Err(CallError::Reject { why: again(&key.0, &key.1, &why) })
    }

    /// What a person has allowed just now, by the code that the browser has brought.
    pub(super) async fn take_code(
        &self,
        key: &Key,
        kind: &str,
        code: (&str, &str, &str),
    ) -> Result<(), CallError> {
        let app = self.apps.of(kind).map_err(|why| CallError::Reject { why })?;
        let (code, redirect_uri, verifier) = code;
        let fresh = match self.ask(kind, &code_request(app, code, redirect_uri, verifier)).await {
            Ok(fresh) => fresh,
            Err(Refused::Denied(why)) => return Err(CallError::Reject { why }),
            Err(Refused::Call(error)) => return Err(error),
        };
        let grant = self.grant(key, fresh, None)?;
        let stored = self.store.connect(&key.0, &key.1, kind, grant).await;
        stored.map_err(|why| CallError::Reject { why })
    }

    async fn ask(&self, kind: &str, wire: &WireRequest) -> Result<Fresh, Refused> {
        let app = self.apps.of(kind).map_err(|why| Refused::Call(CallError::Reject { why }))?;
        // Tokens are taken down nowhere.
        let answer = self.http.exchange(wire, REQUEST_MAX, &Trace::default()).await.map_err(Refused::Call)?;
        read(app, &answer, self.clock.wall())
    }

    /// Sealed, as the generation after `before`.
    fn grant(&self, key: &Key, fresh: Fresh, before: Option<&Grant>) -> Result<Grant, CallError> {
        let context = grant_context(&key.0, &key.1);
        let seal =
            |token: &str| -> Result<Sealed, CallError> { Ok(self.secrets.seal(&context, token.as_bytes())?) };
        let refresh = fresh.refresh.as_deref().map(seal).transpose()?;
        let kept = |name: fn(&Grant) -> Option<String>| before.and_then(name);
        Ok(Grant {
            access_token: Some(seal(&fresh.access)?),
            refresh_token: refresh.or_else(|| before.and_then(|before| before.refresh_token.clone())),
            expires_at: fresh.expires_at,
            scopes: match fresh.scopes.is_empty() {
                true => before.map(|before| before.scopes.clone()).unwrap_or_default(),
                false => fresh.scopes,
            },
            api_url: fresh.api_url.or_else(|| kept(|before| before.api_url.clone())),
            generation: before.map_or(1, |before| before.generation + 1),
        })
    }
}

fn again(tenant: &TenantId, id: &str, why: &str) -> String {
    format!(
        "integration {id:?} has to be connected again ({why}): `leadline integration connect {tenant} {id}`"
    )
}

impl Tokens for OAuthTokens {
    fn access(
        &self,
        tenant: &TenantId,
        integration: &Integration,
    ) -> BoxFuture<'_, Result<AccessToken, CallError>> {
        let (tenant, id) = (tenant.clone(), integration.id.clone());
        Box::pin(async move { self.token(&tenant, &id).await })
    }

    fn refused(&self, tenant: &TenantId, integration: &Integration, token: &AccessToken) {
        let key = (tenant.clone(), integration.id.clone());
        self.with(&key, |known| {
            let handed = known.handed.as_ref().filter(|(_, bearer)| *bearer == token.bearer);
            known.refused = handed.map(|(generation, _)| *generation).or(known.refused);
        });
    }
}
