//! Integrations as people change them: added, listed, tried and removed, and the rules that say which is told of what.

mod routes;
mod spec;
mod switch;
#[cfg(test)]
mod tests;
mod trial;

use anyhow::anyhow;
use leadline_schemas::TenantId;
use leadline_schemas::settings::{Integration, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::routes::Routing;
pub use self::spec::IntegrationSpec;
pub(crate) use self::switch::SwitchOff;
pub use self::trial::Sample;
use crate::control::{Admin, random};

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum IntegrationStep {
    /// Add one, or change what is given of one that is there.
    Put {
        /// What is to be.
        spec: IntegrationSpec,
    },
    /// Take one away.
    Remove {
        /// Its id.
        id: String,
    },
    /// All of them, without secrets.
    List,
    /// Show what a delivery would send; nothing is sent unless asked for.
    Test {
        /// Its id.
        id: String,
        /// What it would be told of.
        sample: Sample,
        /// Send it.
        send: bool,
    },
    /// The rules and hours, and new ones where they are given.
    Routes {
        /// What is to be.
        set: Option<Routing>,
    },
}

/// Does a step.
pub(crate) async fn step(admin: &Admin, tenant: &str, step: IntegrationStep) -> anyhow::Result<Value> {
    let tenant = admin.tenant(tenant).await?;
    match step {
        IntegrationStep::List => Ok(tenant.integrations.iter().map(shown).collect()),
        IntegrationStep::Put { spec } => put(admin, &tenant.tenant, &spec).await,
        IntegrationStep::Remove { id } => {
            known(&tenant, &id)?;
            let is_other = |one: &Integration| one.id != id;
            let remove = |tenant: &mut Tenant| {
                tenant.integrations.retain(is_other);
                Ok(())
            };
            admin.change(&tenant.tenant, remove).await?;
            Ok(json!({ "id": id, "removed": true }))
        }
        IntegrationStep::Test { id, sample, send } => {
            trial::test(admin, &tenant, known(&tenant, &id)?, sample, send).await
        }
        IntegrationStep::Routes { set: None } => Ok(json!(Routing::of(&tenant))),
        IntegrationStep::Routes { set: Some(routing) } => {
            admin.change(&tenant.tenant, |tenant| routing.set(tenant)).await?;
            Ok(json!(Routing::of(&admin.tenant(tenant.tenant.as_str()).await?)))
        }
    }
}

async fn put(admin: &Admin, tenant: &TenantId, spec: &IntegrationSpec) -> anyhow::Result<Value> {
    let fresh = random::<32>()?;
    let mut made = None;
    admin
        .change(tenant, |tenant| {
            made = spec.apply(tenant, &*admin.secrets, &fresh)?;
            Ok(())
        })
        .await?;
    let tenant = admin.tenant(tenant.as_str()).await?;
    let mut answer = shown(known(&tenant, &spec.id)?);
    if let (Some(fields), Some(secret)) = (answer.as_object_mut(), made) {
        fields.insert("secret".to_owned(), json!(secret)); // Shown this once.
    }
    Ok(answer)
}

fn known<'t>(tenant: &'t Tenant, id: &str) -> anyhow::Result<&'t Integration> {
    tenant.integration(id).ok_or_else(|| {
        let ids: Vec<&str> = tenant.integrations.iter().map(|one| one.id.as_str()).collect();
        anyhow!("{} has no integration {id:?}; it has {}", tenant.tenant, ids.join(", "))
    })
}

/// An integration without its secrets.
fn shown(one: &Integration) -> Value {
    let clock = |minute: i32| format!("{:02}:{:02}", minute / 60, minute % 60);
    let quiet = one.quiet_from_min.zip(one.quiet_to_min);
    json!({
        "id": one.id,
        "kind": one.kind,
        "url": one.url,
        "has_secret": one.secret.is_some(),
        "connected": one.grant.is_some(),
        "band_min": one.band_min,
        "alerts": one.alerts,
        "options": one.options,
        "field_map": one.field_map,
        "quiet": quiet.map(|(from, to)| format!("{}-{}", clock(from), clock(to))),
        "disabled": one.disabled,
        "disabled_why": one.disabled_why,
    })
}
