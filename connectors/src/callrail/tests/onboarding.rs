//! What onboarding and messages ask.

use super::*;

#[tokio::test]
async fn onboarding_finds_accounts_companies_trackers_integration_and_filters() {
    let scene = scene();
    for n in 0..300 {
        scene.double.company(ACCOUNT, &format!("COM{n:032x}"), "One of many");
    }
    let nobody = Access::new("", API_KEY, Priority::Live);
    let accounts = scene.client.accounts(&nobody).await.unwrap();
    assert_eq!((accounts.len(), accounts[0].id.as_str()), (1, ACCOUNT));
    assert_eq!(scene.client.companies(&scene.access).await.unwrap().len(), 301, "two pages");
    assert_eq!(scene.client.trackers(&scene.access, COMPANY).await.unwrap()[0].numbers, ["+13035550100"]);

    assert_eq!(scene.client.webhooks(&scene.access, COMPANY).await.unwrap(), None);
    let mut config = Map::new();
    config.insert("post_call_webhook".to_owned(), json!(["https://hooks.example/a"]));
    let made = scene.client.create_webhooks(&scene.access, COMPANY, &config).await.unwrap();
    assert!(made.is_active() && made.signing_key.is_some());
    let again = scene.client.create_webhooks(&scene.access, COMPANY, &config).await;
    assert!(matches!(again, Err(CallRailError::Refused { status: 422, .. })), "{again:?}");
    scene.double.set_integration_state(COMPANY, "failed");
    let found = scene.client.webhooks(&scene.access, COMPANY).await.unwrap().unwrap();
    assert_eq!(
        (found.state.as_str(), &found.signing_key, &found.config),
        ("failed", &made.signing_key, &config)
    );
    let mended =
        scene.client.update_webhooks(&scene.access, &found.id, &config, Some("active")).await.unwrap();
    assert!(mended.is_active());
    // A POST whose answer is lost may have created one; a PUT may be sent again.
    scene.double.fail("/integrations", Fault::Hang);
    let hasty = scene.access.clone().within(Duration::from_millis(200));
    let lost = scene.client.create_webhooks(&hasty, COMPANY, &config).await.unwrap_err();
    assert!(matches!(CallError::from(lost), CallError::Unclear { .. }));

    scene.double.filter(
        COMPANY,
        json!({"id": 1, "call_type": "first_call", "min_duration": 30, "tracker_ids": [], "name": "x"}),
    );
    let filters = scene.client.filters(&scene.access, COMPANY).await.unwrap();
    assert_eq!(filters[0].words, ["call_type=\"first_call\"", "min_duration=30"]);
}

#[tokio::test]
async fn forms_and_texts_decode_like_their_webhooks() {
    let scene = scene();
    let form = json!({
        "id": "FRM1", "company_id": COMPANY, "form_data": {"your_name": "Ana", "phone": "303-555-0142"},
        "submitted_at": "2026-03-04T15:00:00.000Z", "form_url": "https://x.example/quote", "source": "Google",
    });
    scene.double.listed(COMPANY, "form_submissions", form);
    let conversation = json!({
        "id": "KZaGR", "company_id": COMPANY, "customer_phone_number": "+13035550142", "initial_tracking_number": "+13035550100",
        "current_tracking_number": "+13035550100", "recent_messages": [
            {"direction": "incoming", "content": "A roof?", "created_at": "2026-03-04T15:00:00.000Z"},
            {"direction": "outgoing", "content": "Sure", "created_at": "2026-03-04T15:01:00.000Z"}, 7],
    });
    scene.double.listed(COMPANY, "conversations", conversation);
    let since = Millis(NOW - Millis::DAY);
    let forms = scene.client.forms(&scene.access, since, None).await.unwrap();
    let (kind, event) = decode(Some(forms.items[0].kind), &forms.items[0].body).unwrap();
    assert_eq!(
        (kind, event.subject_id(), event.caller()),
        (EventKind::FormSubmission, "FRM1", Some("+13035550142"))
    );
    let texts = scene.client.texts(&scene.access, since, None).await.unwrap();
    let kinds = [EventKind::TextReceived, EventKind::TextSent];
    assert_eq!(texts.items[0].len(), 2);
    for (text, kind) in texts.items[0].iter().zip(kinds) {
        let (read, event) = decode(Some(text.kind), &text.body).unwrap();
        assert_eq!(
            (read, event.caller(), event.subject_id()),
            (kind, Some("+13035550142"), text.id.as_str())
        );
    }
}
