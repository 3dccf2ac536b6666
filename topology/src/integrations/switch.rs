//! Integrations that are dead are switched off in the tenant's record, and the tenant is told.

use leadline_connectors::contract::BoxFuture;
use leadline_connectors::contract::switch::Switch;
use leadline_schemas::TenantId;
use leadline_schemas::command::Command;
use leadline_schemas::delivery::switched_off;

use crate::control::Admin;

/// Switches off through the same door as people.
pub(crate) struct SwitchOff(pub(crate) Admin);

impl Switch for SwitchOff {
    fn off<'a>(&'a self, tenant: &'a TenantId, integration: &'a str, why: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = switch_off(&self.0, tenant, integration, why).await {
                // Its next delivery finds it dead again.
                tracing::error!(%tenant, integration, %error, "a dead integration could not be switched off");
            }
        })
    }
}

async fn switch_off(admin: &Admin, tenant: &TenantId, id: &str, why: &str) -> anyhow::Result<()> {
    let mut is_news = false;
    admin
        .change(tenant, |tenant| {
            let there = tenant.integrations.iter_mut().find(|one| one.id == id && !one.disabled);
            if let Some(integration) = there {
                (integration.disabled, integration.disabled_why) = (true, Some(why.to_owned()));
                is_news = true;
            }
            Ok(())
        })
        .await?;
    if !is_news {
        return Ok(());
    }
    metrics::counter!("leadline_integrations_switched_off_total").increment(1);
    tracing::error!(%tenant, integration = id, why, "an integration is dead and was switched off");
    let subject = switched_off(id);
    let remedy = format!("`leadline integration add {tenant} {id} --enable` switches it on");
    let command = Command::Notice {
        subject: subject.clone(),
        at: admin.clock.wall(),
        is_trouble: true,
        text: format!("{id} was switched off: {why}; once that is mended, {remedy}"),
    };
    admin.notice(&admin.tenant(tenant.as_str()).await?, &subject, &command).await
}
