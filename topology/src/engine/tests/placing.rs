//! Records of a spread tenant on their way from one layout to the next.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use leadline_connectors::blob_memory::MemoryBlob;
use leadline_connectors::contract::state::{Change as RowChange, PartitionState};
use leadline_operators::contract::{Operator as _, OperatorId, Scope, TableSpec};
use leadline_operators::dedupe::{self, Dedupe};
use leadline_operators::deliveries::{self, Deliveries};
use leadline_operators::publish::Publish;
use leadline_schemas::avro::{self, AvroRecord};
use leadline_schemas::call::CallRecord;
use leadline_schemas::dead_letter::{DeadLetter, InputKind};
use leadline_schemas::delivery::{self, Delivery};
use leadline_schemas::frame::Output;
use leadline_schemas::inbound::Inbound;
use leadline_schemas::layout::{Change, Shape};
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::partitioning::Key;
use leadline_schemas::reply::Reply;
use leadline_schemas::request::Request;
use leadline_schemas::settings::Settings;
use leadline_schemas::{CommitNumber, EventId, LeadId, Millis, Partition, TenantId, Topic};

use super::doubles::TestRows;
use crate::engine::partition::Position;
use crate::engine::restore::NOTHING;
use crate::engine::{keys, moving};

/// What the subject begins with of deliveries that are about nothing else.
const NOTICE: &str = "notice of ";

/// A record of the newest version, as it lies in the fixtures.
fn specimen<R: AvroRecord>() -> R {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/fixtures").join(R::NAME);
    let file = fixtures.join(format!("v{}.avro", avro::newest_version::<R>()));
    avro::decode(&std::fs::read(file).unwrap()).unwrap()
}

fn output<R: Publish>(record: &R) -> Output {
    record.publish().unwrap().unwrap()
}

fn letter(tenant: &TenantId, id: EventId, input_kind: InputKind, input: Vec<u8>) -> Output {
    let letter = DeadLetter {
        id,
        tenant: Some(tenant.clone()),
        input_kind,
        input: Some(Bytes::from(input)),
        ..specimen()
    };
    let value = Bytes::from(avro::encode(&letter).unwrap());
    Output { topic: Topic::DeadLetters, key: Bytes::from(id.to_string()), value }
}

/// One record of each kind that belongs to a caller.
fn records_of(key: &Key, caller: &str) -> Vec<Output> {
    let tenant = key.tenant.clone();
    let (call_id, alias) = (format!("CAL-{caller}"), format!("old-{caller}"));
    let lead_id = Some(LeadId::of(&[caller.as_bytes()]));
    let id = |what: &[u8]| EventId::of(&[what, caller.as_bytes()]);
    let call = CallRecord {
        tenant: tenant.clone(),
        call_id: call_id.clone(),
        aliases: vec![alias.clone()],
        caller: caller.to_owned(),
        ..specimen()
    };
    let lead = Lead {
        tenant: tenant.clone(),
        lead_id: LeadId::of(&[caller.as_bytes()]),
        caller: caller.to_owned(),
        ..specimen()
    };
    let line = LeadEvent { tenant: tenant.clone(), lead_id: lead.lead_id, revision: 1, ..specimen() };
    let request = |what: &[u8], call_id| {
        output(&Request {
            tenant: tenant.clone(),
            request_id: id(what),
            call_id,
            lead_id: None,
            ..specimen()
        })
    };
    let delivery =
        |subject, lead_id| output(&Delivery { tenant: tenant.clone(), subject, lead_id, ..specimen() });
    let failed = Inbound {
        event_id: id(b"failed"),
        tenant: tenant.clone(),
        bucket: key.bucket,
        key_group: key.key_group,
        ..specimen()
    };
    let reply = Reply { tenant: tenant.clone(), bucket: key.bucket, key_group: key.key_group, ..specimen() };
    vec![
        output(&call),
        output(&lead),
        output(&line),
        request(b"known", Some(call_id.clone())),
        request(b"alias", Some(alias)),
        request(b"failed", None),
        request(b"waits", Some(format!("WAITS-{caller}"))),
        delivery("a lead".to_owned() + caller, lead_id),
        delivery(delivery::missed_call(&call_id), None),
        delivery(NOTICE.to_owned() + caller, None),
        letter(&tenant, id(b"record"), InputKind::Record, avro::encode(&failed).unwrap()),
        letter(&tenant, id(b"reply"), InputKind::Reply, avro::encode(&reply).unwrap()),
    ]
}

/// What operators keep of a call that has no record yet, and of a delivery that is about neither call nor lead.
fn rows_of(key: &Key, caller: &str) -> Vec<Vec<u8>> {
    let mut prefix = Vec::new();
    keys::row_prefix(&mut prefix, key, Scope::Caller, 0);
    let integration = specimen::<Delivery>().integration;
    let line = deliveries::key_of(&integration, &(NOTICE.to_owned() + caller));
    let row = |operator: OperatorId, table: TableSpec, name: &[u8]| {
        keys::row(&prefix, operator.number, table.number, name)
    };
    vec![
        row(Dedupe::ID, dedupe::SEEN.spec, format!("WAITS-{caller}").as_bytes()),
        row(Deliveries::ID, deliveries::LINES.spec, &line),
    ]
}

/// What is changed next is changed where the caller is: a record that lay elsewhere would be told again as it was.
#[test]
fn every_record_of_a_spread_tenant_comes_to_its_caller() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (blob, settings) = (MemoryBlob::new(), Settings::default());
    let summit = TenantId::new("summit").unwrap();
    let (mut from, mut to) = (Shape::first(4), Shape { generation: 2, ..Shape::first(6) });
    from.set_spread(&summit, 2);
    to.set_spread(&summit, 8);
    let change = Change { from, to };
    let stores: BTreeMap<Partition, TestRows> =
        (0..4).map(|number| (Partition(number), TestRows::default())).collect();
    let mut wanted: BTreeMap<Vec<u8>, Partition> = BTreeMap::new();
    for number in 0..100 {
        let caller = format!("+1303555{number:04}");
        let (old, new) = (Key::new(summit.clone(), &caller, 2), Key::new(summit.clone(), &caller, 8));
        let at = change.to.layout().partition(new.key_group);
        for output in records_of(&old, &caller) {
            let row = keys::output(output.topic, &output.key);
            let row_change = RowChange { key: Bytes::from(row.clone()), value: Some(output.value) };
            let store = &stores[&change.from.layout().partition(old.key_group)];
            store.apply(&[row_change], CommitNumber(1)).unwrap();
            wanted.insert(row, at);
        }
        let store = &stores[&change.from.layout().partition(old.key_group)];
        for row in rows_of(&old, &caller) {
            let row_change = RowChange { key: Bytes::from(row), value: Some(Bytes::from_static(b"state")) };
            store.apply(&[row_change], CommitNumber(1)).unwrap();
        }
    }
    for (partition, store) in &stores {
        store.apply(&[], CommitNumber(1)).unwrap();
        let position = Position { number: CommitNumber(1), now: Millis(1), ..NOTHING };
        let view = store.view().unwrap();
        runtime.block_on(moving::write(&blob, 1, *partition, &position, &*view)).unwrap();
    }
    let mut found = BTreeMap::new();
    for partition in (0..6).map(Partition) {
        let rows = TestRows::default();
        let restored = moving::restore(&blob, &change, &settings, partition, &rows);
        runtime.block_on(restored).unwrap();
        rows.scan(&[keys::OUTPUTS], None, &mut |key, _| {
            assert!(found.insert(key.to_vec(), partition).is_none(), "in one place only");
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    assert_eq!(found.len(), wanted.len());
    for (row, at) in &wanted {
        let topic = Topic::from_number(row[1]).unwrap();
        assert_eq!(found[row], *at, "{topic} {:?}", String::from_utf8_lossy(&row[2..]));
    }
}
