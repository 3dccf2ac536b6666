use leadline_connectors::secrets_file::FileSecrets;
use leadline_connectors::source_http::signing_key_context;

use super::*;

const COMPANY: &str = "COM338e6107d0eb4712af2d4f2f8a18c900";

fn secrets() -> (tempfile::TempDir, FileSecrets) {
    let folder = tempfile::tempdir().unwrap();
    let secrets = FileSecrets::open(&folder.path().join("secret.key")).unwrap();
    (folder, secrets)
}

fn random(token: Option<&str>) -> Fresh {
    Fresh { token: token.map(str::to_owned), source_key: "5ec2e7".to_owned() }
}

fn spec(tenant: &str) -> TenantSpec {
    TenantSpec { tenant: tenant.to_owned(), ..TenantSpec::default() }
}

fn put(settings: &Settings, spec: &TenantSpec, secrets: &FileSecrets) -> Result<Settings, String> {
    let tenant =
        apply(settings, spec, &random(None), secrets, Millis(7)).map_err(|error| error.to_string())?;
    Ok(settings.with(tenant, settings.version + 1))
}

fn the(settings: &Settings, tenant: &str) -> Tenant {
    (**settings.tenant(&TenantId::new(tenant).unwrap()).unwrap()).clone()
}

#[test]
fn what_cannot_be_is_refused_with_the_value_and_the_remedy() {
    let (_folder, secrets) = secrets();
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (TenantSpec { time_zone: text("Mars/Olympus"), ..spec("a") }, ["Mars/Olympus", "America/Denver"]),
        (TenantSpec { trades: vec!["rockets".to_owned()], ..spec("a") }, ["rockets", "kitchen"]),
        (
            TenantSpec { ai: AiSpec { ai_budget_hard: text("lots"), ..AiSpec::default() }, ..spec("a") },
            ["lots", "2.50"],
        ),
        (TenantSpec { missed_call_timer_s: Some(-5), ..spec("a") }, ["-5", "3600"]),
        (TenantSpec { language: text("english"), ..spec("a") }, ["english", "en-US"]),
        (
            TenantSpec { transcribe_providers: vec!["x".into(), "none".into()], ..spec("a") },
            ["none", "alone"],
        ),
        (TenantSpec { min_budget: Some(-1), ..spec("a") }, ["-1", "0"]),
        (TenantSpec { rate_per_s: Some(0), ..spec("a") }, ["0", "100000"]),
        (TenantSpec { lead_window_days: Some(9_999), ..spec("a") }, ["9999", "730"]),
        (TenantSpec { name: text("  "), ..spec("a") }, ["name", "characters"]),
        (TenantSpec { forms: vec!["a/b".to_owned()], ..spec("a") }, ["a/b", "letters"]),
        (TenantSpec { form_origins: vec!["https://x.example".to_owned()], ..spec("a") }, ["--form", "KEY"]),
        (
            TenantSpec {
                forms: vec!["f".to_owned()],
                form_origins: vec!["x.example/path".to_owned()],
                ..spec("a")
            },
            ["x.example/path", "https://"],
        ),
        (
            TenantSpec { forms: vec!["f".to_owned()], form_fields: vec!["colour=c".to_owned()], ..spec("a") },
            ["colour=c", "phone"],
        ),
        (TenantSpec { integrations: vec!["http://".to_owned()], ..spec("a") }, ["http://", "https://crm"]),
        (TenantSpec { band_min: text("hot"), ..spec("a") }, ["--integration", "URL"]),
        (TenantSpec { company_ids: vec!["12".to_owned()], ..spec("a") }, ["12", "--signing-key"]),
    ];
    for (spec, words) in cases {
        let why = put(&Settings::default(), &spec, &secrets).unwrap_err();
        assert!(words.iter().all(|word| why.contains(word)), "{words:?} in {why}");
    }
}

#[test]
fn a_form_keeps_what_is_not_said_again_and_its_key_belongs_to_one_tenant() {
    let (_folder, secrets) = secrets();
    let quote = TenantSpec { forms: vec!["quote".to_owned()], ..spec("summit") };
    let full = TenantSpec {
        form_origins: vec!["https://www.Summit.example/".to_owned()],
        form_honeypot: Some("website".to_owned()),
        form_fields: vec!["phone=tel_1".to_owned()],
        ..quote.clone()
    };
    let mut settings = put(&Settings::default(), &full, &secrets).unwrap();
    settings = put(&settings, &quote, &secrets).unwrap();
    let form = the(&settings, "summit").forms.remove(0);
    assert_eq!(form.origins, ["https://www.summit.example"], "as browsers send it");
    assert_eq!((form.honeypot.as_deref(), form.field_map["phone"].as_str()), (Some("website"), "tel_1"));
    let why = put(&settings, &TenantSpec { tenant: "other".to_owned(), ..quote }, &secrets).unwrap_err();
    assert!(why.contains("taken") && !why.contains("summit"), "{why}");
}

#[test]
fn a_key_that_is_told_again_does_not_push_out_the_one_before() {
    let (_folder, secrets) = secrets();
    let with = |key: &str| TenantSpec {
        company_ids: vec![COMPANY.to_owned()],
        signing_key: Some(key.to_owned()),
        ..spec("summit")
    };
    let mut settings = Settings::default();
    for key in ["the first key", "the second key", "the second key"] {
        settings = put(&settings, &with(key), &secrets).unwrap();
    }
    let company = the(&settings, "summit").companies.remove(0);
    let context = signing_key_context(&TenantId::new("summit").unwrap(), &company);
    let open = |sealed| String::from_utf8(secrets.open(&context, sealed).unwrap()).unwrap();
    assert_eq!(open(&company.signing_key), "the second key");
    assert_eq!(open(company.previous_signing_key.as_ref().unwrap()), "the first key");
}

#[test]
fn a_tenant_keeps_its_webhook_address_and_gets_another_token_only_when_asked() {
    let (_folder, secrets) = secrets();
    let first = apply(&Settings::default(), &spec("a"), &random(Some("one")), &secrets, Millis(7)).unwrap();
    assert_eq!(first.api_token_sha256, token_sha256("one"));
    let settings = Settings::default().with(first.clone(), 1);
    let other = Fresh { token: None, source_key: "another".to_owned() };
    let next = apply(&settings, &spec("a"), &other, &secrets, Millis(8)).unwrap();
    assert_eq!(next, first);
    let next = apply(&settings, &spec("a"), &random(Some("two")), &secrets, Millis(8)).unwrap();
    assert_eq!(next.api_token_sha256, token_sha256("two"));
}

#[test]
fn an_integration_that_is_there_is_changed_and_not_added_again() {
    let (_folder, secrets) = secrets();
    let url = "https://crm.example/leads".to_owned();
    let to = |band: Option<&str>| TenantSpec {
        integrations: vec![url.clone()],
        band_min: band.map(str::to_owned),
        ..spec("a")
    };
    let mut settings = put(&Settings::default(), &to(Some("warm")), &secrets).unwrap();
    for (band, then) in [(None, "warm"), (Some("hot"), "hot")] {
        settings = put(&settings, &to(band), &secrets).unwrap();
        let integrations = the(&settings, "a").integrations;
        assert_eq!((integrations.len(), integrations[0].band_min.as_str()), (1, then));
    }
}
