//! Listings of an account: what a round costs, whose its rows are, and where a backfill ends.

use std::collections::BTreeMap;

use leadline_schemas::TenantId;
use leadline_schemas::pull::{Listing, PullJob, Pulled};
use leadline_schemas::reply::{JobRequest, PendingJob};
use leadline_schemas::settings::{Company, Sealed, Settings, Tenant};
use leadline_schemas::{Bucket, JobId, KeyGroup};

use super::write_back::{Plain, announced, announced_to, tenant};
use super::*;
use crate::contract::provider::Provider as _;

fn job(listing: Listing, backfill: bool, to: i64) -> PullJob {
    PullJob {
        account_id: ACCOUNT.to_owned(),
        tenant: backfill.then(|| "summit".to_owned()),
        listing,
        from: Millis(NOW - Millis::DAY),
        to: Millis(to),
        page: None,
        backfill,
        deliver: false,
    }
}

async fn page(provider: &PullPages, job: &PullJob) -> Pulled {
    let pending = PendingJob {
        job_id: JobId::of(&[b"pull"]),
        tenant: TenantId::new("summit").unwrap(),
        key_group: KeyGroup(0),
        bucket: Bucket(0),
        operator: "pull".to_owned(),
        request: JobRequest {
            kind: "pull".to_owned(),
            target: "callrail".to_owned(),
            payload: serde_json::to_vec(job).unwrap().into(),
            not_before: Millis(0),
            revision: 1,
        },
        asked_at: Millis(NOW),
        event_time: Millis(NOW),
        started_attempt: 0,
    };
    let answer = provider.call(pending, Duration::from_secs(20)).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

/// Each company by itself would be a quarter of the hour's limit a round.
#[tokio::test]
async fn a_round_of_250_companies_is_three_requests_and_each_row_is_its_tenants() {
    let scene = scene();
    let mut settings = Settings::default().with(tenant(), 1);
    for n in 0..250_i64 {
        let company = format!("COM{n:032x}");
        scene.double.company(ACCOUNT, &company, "One of many");
        let start = Millis(NOW - (n + 2) * Millis::MINUTE).to_string();
        scene.double.call(&company, &format!("CAL{n:032x}"), json!({ "start_time": start }));
        let one = Tenant {
            tenant: TenantId::new(&format!("tenant-{n}")).unwrap(),
            companies: vec![Company::new(vec![company], Sealed::default())],
            ..tenant()
        };
        settings = settings.with(one, 2);
    }
    let intake = announced_to(&scene, settings);
    let provider = PullPages::new(scene.client.clone(), Arc::new(Plain), intake.clone(), scene.clock.clone());
    for listing in [Listing::Calls, Listing::Forms, Listing::Texts] {
        let listed = page(&provider, &job(listing, false, NOW)).await;
        assert_eq!(listed.next, None);
    }
    assert_eq!(scene.double.asked().len(), 3, "{:?}", scene.double.asked());
    assert_eq!(scene.client.budgets().used(ACCOUNT, NOW as u64).hour, 3);
    let mut by_tenant = BTreeMap::<String, usize>::new();
    for (event, _) in intake.events.lock().unwrap().iter() {
        *by_tenant.entry(event.tenant.to_string()).or_default() += 1;
    }
    assert!(by_tenant.len() == 250 && by_tenant.values().all(|calls| *calls == 1), "{by_tenant:?}");
}

/// What came behind its end is a live event, with alerts, and no old one.
#[tokio::test]
async fn a_backfill_takes_no_form_and_no_text_from_behind_its_end() {
    let scene = scene();
    for (id, at) in [("FRM1", "2026-03-04T14:59:59.000Z"), ("FRM2", "2026-03-04T15:00:01.000Z")] {
        let form = json!({"id": id, "company_id": COMPANY, "form_data": {"phone": "303-555-0142"}, "submitted_at": at});
        scene.double.listed(COMPANY, "form_submissions", form);
        let text = json!({"direction": "incoming", "content": "A roof?", "created_at": at});
        let conversation = json!({"id": format!("of-{id}"), "company_id": COMPANY, "customer_phone_number": "+13035550142", "recent_messages": [text]});
        scene.double.listed(COMPANY, "conversations", conversation);
    }
    let intake = announced(&scene, false);
    let provider = PullPages::new(scene.client.clone(), Arc::new(Plain), intake.clone(), scene.clock.clone());
    for (listing, until, taken) in [
        (Listing::Forms, NOW - Millis::HOUR, 1),
        (Listing::Texts, NOW - Millis::HOUR, 1),
        (Listing::Forms, NOW, 2),
        (Listing::Texts, NOW, 2),
    ] {
        let listed = page(&provider, &job(listing, true, until)).await;
        assert_eq!(listed.appended, taken, "{listing:?} up to {until}");
    }
}
