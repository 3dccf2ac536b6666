//! Processes that share a tenant's record, and the double that they ask.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use leadline_schemas::inbound::Inbound;
use leadline_schemas::settings::{Grant, Integration, Sealed, Settings, Tenant};
use leadline_schemas::{Millis, Offset, TenantId};
use leadline_tests::oauth::{self as double, AuthServer, CLIENT_ID, CLIENT_SECRET};
use serde_json::json;

use super::super::*;
use super::{API_TOKEN, NOW, PUBLIC_URL, flow};
use crate::contract::clock::Clock;
use crate::contract::log::AppendError;
use crate::contract::provider::CallError;
use crate::contract::secrets::{SecretError, Secrets};
use crate::contract::source::Intake;
use crate::contract::tokens::Tokens;
use crate::http_client::Client;

pub(super) struct At(pub(super) AtomicI64);

impl Clock for At {
    fn wall(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
    fn boot_ms(&self) -> u64 {
        self.wall().0 as u64
    }
}

/// Seals so that it can be seen for what.
pub(super) struct Marked;

impl Secrets for Marked {
    fn seal(&self, context: &str, plain: &[u8]) -> Result<Sealed, SecretError> {
        Ok(Sealed(format!("{context}|{}", String::from_utf8_lossy(plain))))
    }
    fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        let plain = sealed.0.strip_prefix(&format!("{context}|")).expect("sealed for this context");
        Ok(plain.as_bytes().to_vec())
    }
}

pub(super) fn summit() -> TenantId {
    TenantId::new("summit").unwrap()
}

/// The tenant's record, as several processes share it.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) integration: Mutex<Option<Integration>>,
    pub(super) is_full: AtomicBool,
    replaced: Mutex<Vec<bool>>,
}

/// One process's view of it.
pub(super) struct Store {
    shared: Arc<Shared>,
    owns: bool,
}

impl GrantStore for Store {
    fn current(&self, _: &TenantId, _: &str) -> Option<Integration> {
        self.shared.integration.lock().unwrap().clone()
    }
    fn fresh<'a>(&'a self, tenant: &'a TenantId, id: &'a str) -> BoxFuture<'a, Option<Integration>> {
        Box::pin(async move { self.current(tenant, id) })
    }
    fn replace<'a>(
        &'a self,
        _: &'a TenantId,
        _: &'a str,
        of_generation: i64,
        grant: Grant,
    ) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            if self.shared.is_full.load(Ordering::SeqCst) {
                return Err("the log is full".to_owned());
            }
            let mut integration = self.shared.integration.lock().unwrap();
            let held = integration.as_mut().and_then(|one| one.grant.as_mut());
            let first =
                held.filter(|held| held.generation == of_generation).map(|held| *held = grant).is_some();
            self.shared.replaced.lock().unwrap().push(first);
            Ok(first)
        })
    }
    fn connect<'a>(
        &'a self,
        _: &'a TenantId,
        id: &'a str,
        kind: &'a str,
        grant: Grant,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let mut integration = self.shared.integration.lock().unwrap();
            let one = integration.get_or_insert_with(|| Integration::new(id, kind, ""));
            one.grant = Some(grant);
            Ok(())
        })
    }
    fn is_mine(&self, _: &TenantId) -> bool {
        self.owns
    }
}

/// Knows the tenant's token.
pub(super) struct Known;

impl Intake for Known {
    fn settings(&self) -> Arc<Settings> {
        let digest = ring::digest::digest(&ring::digest::SHA256, API_TOKEN.as_bytes());
        let api_token_sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let tenant = Tenant { api_token_sha256, ..Tenant::new(summit(), "Summit", Millis(0)) };
        Arc::new(Settings::default().with(tenant, 1))
    }
    fn fresh_settings(&self) -> BoxFuture<'_, Arc<Settings>> {
        Box::pin(async { self.settings() })
    }
    fn accept(&self, _: Inbound) -> BoxFuture<'_, Result<Offset, AppendError>> {
        Box::pin(async { Err(AppendError::Full) })
    }
}

pub(super) struct Scene {
    pub(super) server: AuthServer,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<At>,
    kind: &'static str,
}

impl Scene {
    pub(super) fn new(kind: &'static str) -> Self {
        let server = double::start();
        server.with(|state| {
            state.basic = kind == "pipedrive";
            state.pkce = kind == "salesforce";
            state.ok_false = kind == "slack";
            state.expires_in = ["hubspot", "pipedrive"].contains(&kind).then_some(1_800);
            state.more = match kind {
                "pipedrive" => json!({ "api_domain": "https://summit.pipedrive.com" }),
                "salesforce" => json!({ "instance_url": "https://summit.my.salesforce.com/" }),
                _ => json!({}),
            };
        });
        Self { server, shared: Arc::default(), clock: Arc::new(At(AtomicI64::new(NOW))), kind }
    }

    /// A process; one of several may be the owner.
    pub(super) fn process(&self, owns: bool) -> Arc<OAuthTokens> {
        let mut app = App::new(self.kind, CLIENT_ID, CLIENT_SECRET).unwrap();
        app.authorize_url = format!("{}/authorize", self.server.base());
        app.token_url = format!("{}/token", self.server.base());
        let store = Arc::new(Store { shared: Arc::clone(&self.shared), owns });
        let clock: Arc<dyn Clock> = self.clock.clone();
        let apps = Apps::new([app]);
        Arc::new(OAuthTokens::new(store, Arc::new(Marked), clock, Client::new().unwrap(), apps))
    }

    pub(super) fn routes(&self) -> axum::Router {
        routes(ConnectParts {
            intake: Arc::new(Known),
            tokens: self.process(true),
            flow: flow(),
            public_url: PUBLIC_URL.to_owned(),
        })
    }

    /// A grant that ends at `expires_at`.
    pub(super) fn granted(&self, expires_at: i64) {
        let sealed = |token: &str| Some(Sealed(format!("summit/integration/crm/grant|{token}")));
        let grant = Grant {
            access_token: sealed("access-0"),
            refresh_token: sealed("refresh-0"),
            expires_at: Millis(expires_at),
            scopes: vec!["api".to_owned()],
            api_url: Some("https://summit.example".to_owned()),
            generation: 7,
        };
        let one = Integration { grant: Some(grant), ..Integration::new("crm", self.kind, "") };
        *self.shared.integration.lock().unwrap() = Some(one);
    }

    pub(super) fn integration(&self) -> Integration {
        self.shared.integration.lock().unwrap().clone().unwrap()
    }

    pub(super) fn generation(&self) -> i64 {
        self.integration().grant.unwrap().generation
    }

    pub(super) async fn token(&self, process: &OAuthTokens) -> Result<String, CallError> {
        process.access(&summit(), &self.integration()).await.map(|token| token.bearer)
    }
}
