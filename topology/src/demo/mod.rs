//! The demo: two sample tenants, and their day in fast motion, as real signed requests over HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use leadline_connectors::contract::clock::Clock;
use leadline_connectors::http_client::Client;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::Value;

use crate::admin::TenantSpec;
use crate::control::{Admin, Ask};
use crate::parts::Parts;

/// Between events, so that a person can follow.
const PACE: Duration = Duration::from_millis(700);
/// Between the events of the slow loop that follows.
const LOOP_PACE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct Script {
    tenants: Vec<TenantSpec>,
    events: Vec<DemoEvent>,
}

#[derive(Deserialize)]
struct DemoEvent {
    tenant: String,
    event: String,
    signed: bool,
    body: Value,
}

/// Adds the sample tenants and sends their events, from a thread of its own; `print` is given what a person sees.
pub fn start(address: SocketAddr, parts: &Parts, print: impl Fn(&str) + Send + 'static) {
    let (admin, clock) = (Admin::new(parts), std::sync::Arc::clone(&parts.clock));
    let run = move || {
        if let Err(error) = play(address, &admin, &*clock, &print) {
            print(&format!("the demo ended: {error:#}"));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("demo".to_owned()).spawn(run) {
        tracing::error!(%error, "the demo could not be started");
    }
}

fn play(address: SocketAddr, admin: &Admin, clock: &dyn Clock, print: &impl Fn(&str)) -> anyhow::Result<()> {
    let script: Script = serde_json::from_str(include_str!("data/demo.json")).context("the demo's data")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut keys = HashMap::new();
    for mut spec in script.tenants {
        let key = new_key()?;
        spec.signing_key = Some(key.clone());
        keys.insert(spec.tenant.clone(), hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes()));
        let (tenant, name) = (spec.tenant.clone(), spec.name.clone().unwrap_or_default());
        let added = runtime.block_on(admin.answer(Ask::PutTenant { spec: Box::new(spec) }))?;
        match added.get("api_token").and_then(Value::as_str) {
            Some(token) => print(&format!("{name}: http://{address}/ui#tenant={tenant}&token={token}")),
            None => print(&format!(
                "{name}: http://{address}/ui (tenant {tenant}, with the token of its first run)"
            )),
        }
    }
    print("Each line below is a lead as it was scored. Ctrl-C stops.\n");
    let client = Client::new()?;
    for event in &script.events {
        send(&runtime, &client, address, event, &keys, clock, None, print)?;
        std::thread::sleep(PACE);
    }
    for round in 1_u64.. {
        for event in script.events.iter().filter(|event| event.signed && event.event == "post_call") {
            std::thread::sleep(LOOP_PACE);
            send(&runtime, &client, address, event, &keys, clock, Some(round), print)?;
        }
    }
    Ok(())
}

fn new_key() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system has no randomness"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[expect(clippy::too_many_arguments, reason = "the one place where the demo's parts meet")]
fn send(
    runtime: &tokio::runtime::Runtime,
    client: &Client,
    address: SocketAddr,
    event: &DemoEvent,
    keys: &HashMap<String, hmac::Key>,
    clock: &dyn Clock,
    round: Option<u64>,
    print: &impl Fn(&str),
) -> anyhow::Result<()> {
    let body = body_of(&event.body, clock, round);
    let key = keys.get(&event.tenant).ok_or_else(|| anyhow!("the demo has no tenant {}", event.tenant))?;
    let mut mac = hmac::sign(key, &body).as_ref().to_vec();
    if let (false, Some(first)) = (event.signed, mac.first_mut()) {
        *first ^= 1;
    }
    let signature = base64::engine::general_purpose::STANDARD.encode(mac);
    let url = format!("http://{address}/v1/callrail/webhook/{}", event.event);
    let (status, _) =
        runtime.block_on(client.post_webhook(&url, body, &signature, Duration::from_secs(10)))?;
    if status != 200 {
        print(&format!(
            "refused {:<9} a {} webhook with a bad signature: {status}",
            event.tenant, event.event
        ));
    }
    Ok(())
}

/// The body with its times set to now; in later rounds it is another call by another caller.
fn body_of(body: &Value, clock: &dyn Clock, round: Option<u64>) -> Vec<u8> {
    let now = clock.wall().to_string();
    let mut body = body.clone();
    for (name, value) in body.as_object_mut().into_iter().flatten() {
        if value.as_str() == Some("@now") {
            *value = Value::String(now.clone());
        }
        if let (Some(round), Some(text)) = (round, value.as_str()) {
            match name.as_str() {
                "resource_id" => {
                    *value = Value::String(format!("CAL{round:08x}{}", text.get(11..).unwrap_or_default()))
                }
                "customer_phone_number" => {
                    let head = text.get(..8).unwrap_or_default();
                    *value = Value::String(format!(
                        "{head}{:04}",
                        (round * 37 + u64::from(text.len() as u32)) % 10_000
                    ));
                }
                _ => {}
            }
        }
    }
    body.to_string().into_bytes()
}
