use leadline_connectors::contract::secrets::Secrets as _;
use leadline_connectors::secrets_file::FileSecrets;
use leadline_connectors::sink_http::integration_secret_context;
use leadline_connectors::sink_webhook::key_of;
use leadline_schemas::Millis;
use leadline_schemas::settings::RouteRule;

use super::*;

fn tenant() -> Tenant {
    let mut tenant = Tenant::new(TenantId::new("summit").unwrap(), "Summit", Millis(0));
    "America/Denver".clone_into(&mut tenant.profile.time_zone);
    tenant
}

fn secrets() -> (tempfile::TempDir, FileSecrets) {
    let folder = tempfile::tempdir().unwrap();
    let secrets = FileSecrets::open(&folder.path().join("secret.key")).unwrap();
    (folder, secrets)
}

fn spec(id: &str, kind: &str) -> IntegrationSpec {
    IntegrationSpec { id: id.to_owned(), kind: Some(kind.to_owned()), ..IntegrationSpec::default() }
}

fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_cannot_be_is_refused_with_the_value_and_the_remedy() {
    let (_folder, secrets) = secrets();
    let text = |text: &str| Some(text.to_owned());
    let slack = || IntegrationSpec {
        options: pairs(&[("channel", "C1")]),
        secret: text("xoxb"),
        ..spec("s", "slack")
    };
    let mail = |options: &[(&str, &str)]| {
        let mut options = pairs(options);
        options.entry("to".to_owned()).or_insert_with(|| "sales@example.com".to_owned());
        IntegrationSpec { options, ..spec("a", "email") }
    };
    let cases = [
        (spec("a b", "http"), ["a b", "letters"]),
        (spec("a", "pigeon"), ["pigeon", "slack"]),
        (spec("a", "http"), ["no address", "https://"]),
        (IntegrationSpec { url: text("ftp://x"), ..spec("a", "webhook") }, ["ftp://x", "https://"]),
        (
            IntegrationSpec { url: text("https://x.example"), secret: text("short"), ..spec("a", "webhook") },
            ["--secret", "whsec_"],
        ),
        (spec("a", "slack"), ["channel=C", "--secret"]),
        (IntegrationSpec { options: pairs(&[("channel", "C1")]), ..spec("a", "slack") }, ["token", "xoxb-"]),
        (spec("a", "email"), ["--option", "to="]),
        (mail(&[("to", "sales at example")]), ["sales at example", "sales@example.com"]),
        (mail(&[("from", "leads")]), ["leads", "Leads <leads@example.com>"]),
        (mail(&[("digest", "daily 25:00")]), ["daily 25:00", "daily 07:30"]),
        (mail(&[("digest", "weekly")]), ["weekly", "hourly"]),
        (mail(&[("unclear", "twice")]), ["twice", "again"]),
        (IntegrationSpec { fields: pairs(&[("a", "score")]), ..mail(&[]) }, ["--field", "email"]),
        (IntegrationSpec { options: pairs(&[("chanel", "C1")]), ..slack() }, ["chanel", "channel"]),
        (mail(&[("diget", "hourly")]), ["diget", "digest"]),
        (IntegrationSpec { url: text("https://mail.example"), ..mail(&[]) }, ["https", "smtps://"]),
        (IntegrationSpec { url: text("mail.example"), ..mail(&[]) }, ["mail.example", "smtps://"]),
        (
            IntegrationSpec { options: pairs(&[("channel", "C1"), ("digest", "hourly")]), ..slack() },
            ["digest", "email"],
        ),
        (IntegrationSpec { quiet: text("9pm-8am"), ..slack() }, ["9pm-8am", "21:00-08:00"]),
        (IntegrationSpec { quiet: text("08:00-08:00"), ..slack() }, ["08:00-08:00", "none"]),
        (IntegrationSpec { band_min: text("boiling"), ..slack() }, ["boiling", "hot"]),
    ];
    for (spec, wanted) in cases {
        let before = tenant();
        let mut after = before.clone();
        let why = spec.apply(&mut after, &secrets, &[7; 32]).unwrap_err().to_string();
        assert!(wanted.iter().all(|part| why.contains(part)), "{why} of {spec:?}");
        assert_eq!(after, before);
    }
}

#[test]
fn an_integration_is_added_changed_and_switched_on_again_and_its_secret_is_sealed() {
    let (_folder, secrets) = secrets();
    let mut tenant = tenant();
    let url = Some("https://erp.example/leads".to_owned());
    let made =
        IntegrationSpec { url, ..spec("erp", "webhook") }.apply(&mut tenant, &secrets, &[7; 32]).unwrap();
    let made = made.expect("a webhook's secret is made where none is given");
    key_of(&made).unwrap();
    let sealed = tenant.integrations[0].secret.clone().unwrap();
    assert!(!sealed.0.contains(&made));
    let context = integration_secret_context(&tenant.tenant, "erp");
    assert_eq!(secrets.open(&context, &sealed).unwrap(), made.as_bytes());

    tenant.integrations[0].disabled = true;
    tenant.integrations[0].disabled_why = Some("gone".to_owned());
    let change = IntegrationSpec {
        id: "erp".to_owned(),
        quiet: Some("21:00-08:00".to_owned()),
        options: pairs(&[("unclear", "again")]),
        disabled: Some(false),
        ..IntegrationSpec::default()
    };
    assert_eq!(change.apply(&mut tenant, &secrets, &[8; 32]).unwrap(), None);
    let one = tenant.integrations[0].clone();
    assert_eq!((one.quiet_from_min, one.quiet_to_min), (Some(21 * 60), Some(8 * 60)));
    assert_eq!((one.disabled, one.disabled_why.clone(), one.secret), (false, None, Some(sealed)));
    let change = IntegrationSpec {
        id: "erp".to_owned(),
        quiet: Some("none".to_owned()),
        options: pairs(&[("unclear", "")]),
        ..IntegrationSpec::default()
    };
    change.apply(&mut tenant, &secrets, &[8; 32]).unwrap();
    let one = &tenant.integrations[0];
    assert_eq!((one.quiet_from_min, one.options.clone()), (None, pairs(&[])));
    let other = spec("erp", "http").apply(&mut tenant, &secrets, &[8; 32]).unwrap_err().to_string();
    assert!(other.contains("webhook"), "{other}");
    assert_eq!(tenant.integrations.len(), 1);
}

#[test]
fn rules_and_hours_are_checked_whole_before_any_counts() {
    let mut tenant = tenant();
    tenant.integrations.push(Integration::new("sales", "slack", ""));
    let rule = |change: &dyn Fn(&mut RouteRule)| {
        let mut rule =
            RouteRule { id: "hot".to_owned(), to: vec!["sales".to_owned()], ..RouteRule::default() };
        change(&mut rule);
        rule
    };
    let good = Routing { routes: vec![rule(&|_| ())], hours: vec!["mon 08:00-17:30".to_owned()] };
    let refused = |change: &dyn Fn(&mut RouteRule), part: &str| {
        let routing = Routing { routes: vec![rule(change)], hours: vec![] };
        let why = routing.set(&mut tenant.clone()).unwrap_err().to_string();
        assert!(why.contains(part), "{why}");
    };
    refused(&|rule| rule.bands = vec!["boiling".to_owned()], "hot, warm");
    refused(&|rule| rule.kinds = vec!["leads".to_owned()], "missed_call");
    refused(&|rule| rule.project_types = vec!["rocket".to_owned()], "kitchen");
    refused(&|rule| rule.hours = Some("always".to_owned()), "open or closed");
    refused(&|rule| rule.to = vec!["nobody".to_owned()], "nobody");
    refused(&|rule| rule.to.clear(), "to");
    refused(&|rule| rule.escalate_after_s = Some(60), "belong together");
    let twice = Routing { routes: vec![rule(&|_| ()), rule(&|_| ())], hours: vec![] };
    assert!(twice.set(&mut tenant.clone()).unwrap_err().to_string().contains("hot"));
    for hours in ["monday 08:00-17:00", "mon 17:00-08:00", "mon 08:00", "mon 08:60-09:00", "sun 00:00-24:01"]
    {
        let routing = Routing { routes: vec![], hours: vec![hours.to_owned()] };
        assert!(routing.set(&mut tenant.clone()).is_err(), "{hours}");
    }
    good.set(&mut tenant).unwrap();
    assert_eq!(Routing::of(&tenant), good, "what is shown can be set again");
}
