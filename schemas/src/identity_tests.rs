//! Names and places of records: what is written with them lies in logs for years, so none may ever change.

use proptest::prelude::*;

use crate::delivery::DeliveryStatus;
use crate::inbound::EventKind;
use crate::partitioning::{KEY_GROUPS, Key, Layout, bucket, key_group, slot};
use crate::request::RequestStatus;
use crate::settings::{Company, Form, Sealed, Settings, Tenant};
use crate::{EventId, JobId, LeadId, Millis, TenantId};

fn tenant_id(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Computed by this code once. A caller's rows lie where these numbers say: other numbers would lose them.
#[test]
fn a_caller_lies_where_it_always_lay() {
    let placed = |tenant: &str, caller: &str, spread| {
        let key = Key::new(tenant_id(tenant), caller, spread);
        (key.key_group.0, key.bucket.0, Layout::default().partition(key.key_group).0)
    };
    let found = [
        placed("summit", "+13035550142", 1),
        placed("summit", "+13035550142", 8),
        placed("summit", "ana@example.com", 1),
        placed("other", "+13035550142", 1),
    ];
    assert_eq!(found, FROZEN);
}

const FROZEN: [(u16, u8, u16); 4] = [(544, 102, 8), (745, 102, 11), (544, 17, 8), (34, 102, 0)];

proptest! {
    #[test]
    fn every_key_has_a_partition_of_its_layout(
        caller in "\\PC{0,30}", spread in 0..300_u16, partitions in 1..=1_024_u16
    ) {
        let key = Key::new(tenant_id("summit"), &caller, spread);
        prop_assert!(key.key_group.0 < KEY_GROUPS);
        prop_assert!(slot(key.bucket, spread) < spread.max(1));
        prop_assert_eq!(key.bucket, bucket(&caller));
        prop_assert_eq!(key.key_group, key_group(&key.tenant, slot(key.bucket, spread)));
        let layout = Layout { generation: 1, partitions };
        prop_assert!(layout.partition(key.key_group).0 < partitions);
        // More partitions cut the key space finer and never mix it: neighbours stay in order.
        let before = key.key_group.0.checked_sub(1).map(|number| layout.partition(crate::KeyGroup(number)));
        prop_assert!(before.is_none_or(|before| before <= layout.partition(key.key_group)));
    }

    #[test]
    fn a_tenant_id_is_what_can_stand_in_urls_and_labels(text in "[a-zA-Z0-9_. -]{0,66}") {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let wanted = text.len() <= 63
            && text.bytes().next().is_some_and(good)
            && text.bytes().all(|byte| good(byte) || byte == b'-' || byte == b'_');
        prop_assert_eq!(TenantId::new(&text).is_ok(), wanted);
        prop_assert_eq!(text.parse::<TenantId>().is_ok(), wanted);
        prop_assert_eq!(serde_json::from_value::<TenantId>(text.clone().into()).is_ok(), wanted);
    }

    /// No two lists of parts run together, and no two kinds of id.
    #[test]
    fn an_id_is_of_its_parts_and_its_kind(a in "[ab]{0,4}", b in "[ab]{0,4}", c in "[ab]{0,4}", d in "[ab]{0,4}") {
        let (one, other) = ([a.as_bytes(), b.as_bytes()], [c.as_bytes(), d.as_bytes()]);
        prop_assert_eq!(EventId::of(&one) == EventId::of(&other), one == other);
        prop_assert_ne!(EventId::of(&one).0, JobId::of(&one).0);
        prop_assert_ne!(EventId::of(&one).0, LeadId::of(&one).0);
        let text = serde_json::to_value(EventId::of(&one)).unwrap();
        prop_assert_eq!(serde_json::from_value::<EventId>(text).unwrap(), EventId::of(&one));
    }
}

/// Names that stand in paths, answers and filters are those that records have.
#[test]
fn names_are_those_of_the_records() {
    for kind in EventKind::CALLRAIL {
        assert_eq!(EventKind::from_path(kind.name()), Some(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    assert_eq!(EventKind::from_path(EventKind::Command.name()), None, "no webhook brings a command");
    assert_eq!(EventKind::from_path("no_such_event"), None);
    use DeliveryStatus::{Done, Parked, Queued, Sending, Skipped, Unclear};
    for status in [Queued, Sending, Done, Parked, Unclear, Skipped] {
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
    use RequestStatus::{Duplicate, Failed, Processing};
    for status in [Processing, RequestStatus::Done, Duplicate, Failed] {
        assert_eq!(serde_json::to_value(status).unwrap(), status.name());
    }
}

fn tenant(name: &str, company: &str) -> Tenant {
    Tenant {
        companies: vec![Company::new(
            vec![company.to_owned(), format!("{company}-older")],
            Sealed::default(),
        )],
        source_key: Some(format!("source-{name}")),
        forms: vec![Form {
            form_key: format!("form-{name}"),
            origins: vec![],
            honeypot: None,
            field_map: std::collections::BTreeMap::new(),
        }],
        ..Tenant::new(tenant_id(name), name, Millis(0))
    }
}

/// A record replaces all that its tenant had: a company that was taken away, a key that was changed, a tenant removed.
#[test]
fn a_tenants_newest_record_is_all_there_is_of_it() {
    let settings = Settings::default().with(tenant("summit", "COM1"), 1).with(tenant("other", "COM2"), 2);
    let of = |tenant: Option<&std::sync::Arc<Tenant>>| tenant.map(|tenant| tenant.name.clone());
    assert_eq!(of(settings.by_company("COM1-older")).as_deref(), Some("summit"));
    assert_eq!(of(settings.by_source_key("source-other")).as_deref(), Some("other"));
    assert_eq!(of(settings.by_form_key("form-summit")).as_deref(), Some("summit"));
    assert_eq!(settings.tenants().count(), 2);

    let mut changed = tenant("summit", "COM3");
    changed.source_key = None;
    changed.forms.clear();
    let settings = settings.with(changed.clone(), 3);
    assert_eq!(settings.version, 3);
    assert!(settings.by_company("COM1").is_none() && settings.by_source_key("source-summit").is_none());
    assert!(settings.by_form_key("form-summit").is_none());
    assert!(settings.tenant(&changed.tenant).is_some_and(|tenant| tenant.company("COM3").is_some()));

    changed.removed = true;
    let settings = settings.with(changed, 4);
    assert!(settings.by_company("COM3").is_none() && settings.tenants().count() == 1);
    assert_eq!(of(settings.by_company("COM2")).as_deref(), Some("other"), "another tenant is as it was");
}
