//! What a run has come to, held against the oracle.

use std::collections::{BTreeMap, BTreeSet};

use leadline_connectors::store_memory::Contents;
use leadline_schemas::Millis;
use leadline_schemas::call::CallRecord;
use leadline_schemas::delivery::{Delivery, DeliveryStatus};
use leadline_schemas::lead::Lead;
use leadline_schemas::request::RequestStatus;

use crate::chain::commits;
use crate::oracle::{COUNTS, Counts, Fate, Model};
use crate::outside::{Effect, SCORE_COST_MICROS};
use crate::world::World;

/// The tenant whose settings change in the middle of a run; what it is told of is not judged.
pub const UNSETTLED: &str = "gamma";

pub type Found = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds { return Err(format!($($why)+)); }
    };
}
pub(crate) use ensure;

/// Everything that must hold when a run has come to rest.
pub fn check(world: &World) -> Found {
    let accepted = world.accepted.events();
    let model = Model::of(&accepted, &world.sent);
    let contents = world.store.contents();
    let calm = world.trace.iter().all(|line| !line.contains("weather"));
    if let Some(why) = world.published.lock().unwrap().wrong.clone() {
        return Err(why);
    }
    requests(world, &model, &contents)?;
    dead_letters(&model, &contents)?;
    calls(&model, &contents)?;
    costs(&model, &contents)?;
    windows(&model, &contents)?;
    leads(&model, &contents)?;
    alerts(world, &model, &contents)?;
    deliveries(&model, &contents, &world.outside.effects(), calm)?;
    effects(&world.outside.effects())?;
    commits(world)
}

fn requests(world: &World, model: &Model, contents: &Contents) -> Found {
    for event_id in world.acknowledged.lock().unwrap().iter() {
        ensure!(
            model.fates.contains_key(event_id),
            "event {event_id} was acknowledged and is not in the log"
        );
    }
    let rows: BTreeMap<_, _> = contents.requests.iter().map(|row| (row.request_id, row)).collect();
    for (event_id, fate) in model.fates.iter().filter(|(_, fate)| **fate != Fate::Unseen) {
        let Some(row) = rows.get(event_id) else {
            return Err(format!("accepted event {event_id} has no request row"));
        };
        let expected = match fate {
            Fate::Done => RequestStatus::Done,
            Fate::Duplicate => RequestStatus::Duplicate,
            Fate::Failed | Fate::Unseen => RequestStatus::Failed,
        };
        ensure!(
            row.status == expected,
            "event {event_id} is {:?}, expected {expected:?}: {row:?}",
            row.status
        );
    }
    let strangers = rows.keys().filter(|id| !model.fates.contains_key(id)).count();
    ensure!(strangers == 0, "{strangers} request rows are of events that were never accepted");
    Ok(())
}

fn dead_letters(model: &Model, contents: &Contents) -> Found {
    let letters = &contents.dead_letters;
    ensure!(
        letters.len() == model.poison,
        "{} dead letters of {} poison events: {:?}",
        letters.len(),
        model.poison,
        letters.iter().map(|letter| (&letter.operator, &letter.reason)).collect::<Vec<_>>()
    );
    match letters.iter().find(|letter| letter.operator != "decode") {
        Some(letter) => Err(format!("a dead letter of {}: {}", letter.operator, letter.reason)),
        None => Ok(()),
    }
}

fn calls(model: &Model, contents: &Contents) -> Found {
    ensure!(
        contents.calls.len() == model.subjects.len(),
        "{} records of {} calls, texts and forms",
        contents.calls.len(),
        model.subjects.len()
    );
    for record in &contents.calls {
        let key = (record.tenant.to_string(), record.call_id.clone());
        let Some(subject) = model.subjects.get(&key) else {
            return Err(format!("a record of {key:?}, of which nothing was accepted"));
        };
        call(record, subject).map_err(|why| format!("{key:?}: {why}; contents {:?}", subject.contents))?;
    }
    Ok(())
}

fn call(record: &CallRecord, subject: &crate::oracle::Subject) -> Found {
    ensure!(record.caller == subject.caller, "caller {} instead of {}", record.caller, subject.caller);
    ensure!(
        record.revision == subject.contents.len() as i64,
        "revision {} after {} contents",
        record.revision,
        subject.contents.len()
    );
    let score = record.score.as_ref().map(|score| (i64::from(score.score), score.class.clone()));
    let expected = subject.worth().map(|worth| (worth.score, worth.class));
    ensure!(score == expected, "score {score:?}, expected {expected:?}");
    if let Some(shown) = subject.shown() {
        let note = record.note.as_deref();
        let is_right = note == subject.note() || (note.is_some() && note == subject.older_note());
        ensure!(is_right, "note {note:?}, expected {:?}", subject.note());
        ensure!(
            record.missed == subject.missed(),
            "missed {:?}, expected {:?}",
            record.missed,
            subject.missed()
        );
        let answered = shown.over.then_some(shown.answered);
        ensure!(record.answered == answered, "answered {:?}, expected {answered:?}", record.answered);
        ensure!(
            record.duration_s == Some(shown.duration_s as i64),
            "duration {:?}, expected {}",
            record.duration_s,
            shown.duration_s
        );
    }
    Ok(())
}

/// Each scored content has cost its price or was scored by the rules instead; nothing was paid twice.
fn costs(model: &Model, contents: &Contents) -> Found {
    let mut fallbacks: BTreeMap<(String, String), i64> = BTreeMap::new();
    for line in contents.audits.iter().filter(|line| line.kind == "scored_by_fallback") {
        *fallbacks.entry((line.tenant.to_string(), line.subject.clone())).or_default() += 1;
    }
    for record in &contents.calls {
        let key = (record.tenant.to_string(), record.call_id.clone());
        let paid_tenant = matches!(record.tenant.as_str(), "beta" | "delta");
        let scored = model.subjects.get(&key).map_or(0, |subject| subject.scored_contents());
        let by_provider = scored - fallbacks.get(&key).copied().unwrap_or(0);
        let expected = if paid_tenant { by_provider * SCORE_COST_MICROS } else { 0 };
        ensure!(record.cost_micros == expected, "{key:?} cost {}, expected {expected}", record.cost_micros);
    }
    let of_calls: i64 = contents.calls.iter().map(|record| record.cost_micros).sum();
    let days = contents.windows.iter().filter(|row| row.window.name() == "day");
    let of_days: i64 = days.map(|row| row.cost_micros).sum();
    ensure!(of_calls == of_days, "calls cost {of_calls}, their days {of_days}");
    Ok(())
}

fn windows(model: &Model, contents: &Contents) -> Found {
    let mut found: BTreeMap<(String, &'static str, Millis), Counts> = BTreeMap::new();
    let mut revisions: BTreeMap<(String, &'static str, Millis), i64> = BTreeMap::new();
    for row in &contents.windows {
        *revisions.entry((row.tenant.to_string(), row.window.name(), row.start)).or_default() += row.revision;
        let counts = found.entry((row.tenant.to_string(), row.window.name(), row.start)).or_default();
        let add = [
            row.calls,
            row.answered,
            row.missed,
            row.texts,
            row.forms,
            row.leads,
            row.hot_or_warm,
            row.scored,
            row.score_sum,
        ];
        counts.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
        ensure!(
            row.score_latency_ms.count >= row.scored,
            "{} latencies of {} scored contacts in {row:?}",
            row.score_latency_ms.count,
            row.scored
        );
    }
    let changes = model.changes();
    for (key, revisions) in revisions {
        let at_most = changes.get(&key).copied().unwrap_or(0);
        ensure!(
            revisions <= at_most,
            "window {key:?} was published {revisions} times after {at_most} changes"
        );
    }
    found.retain(|_, counts| counts.iter().any(|count| *count != 0));
    let expected = model.windows();
    for key in found.keys().chain(expected.keys()) {
        let (found, expected) = (found.get(key), expected.get(key));
        ensure!(found == expected, "window {key:?}: {found:?}, expected {expected:?} ({COUNTS:?})");
    }
    Ok(())
}

fn leads(model: &Model, contents: &Contents) -> Found {
    let mut by_caller: BTreeMap<(String, String), Vec<&Lead>> = BTreeMap::new();
    for lead in &contents.leads {
        by_caller.entry((lead.tenant.to_string(), lead.caller.clone())).or_default().push(lead);
    }
    for (caller, subjects) in model.callers() {
        let of = |subject: &String| &model.subjects[&(caller.0.clone(), subject.clone())];
        let leads = by_caller.remove(&caller).unwrap_or_default();
        ensure!(leads.len() <= 1, "{caller:?} has {} leads", leads.len());
        let must: BTreeSet<_> = subjects.iter().filter(|subject| of(subject).opens()).cloned().collect();
        let Some(lead) = leads.first() else {
            ensure!(must.is_empty(), "{caller:?} has no lead, but {must:?} ask for one");
            continue;
        };
        ensure!(
            subjects.iter().any(|subject| of(subject).may_open()),
            "{caller:?} has a lead that nobody asked for"
        );
        let ids: BTreeSet<_> = lead.contact_ids.iter().cloned().collect();
        ensure!(ids.len() == lead.contact_ids.len(), "{caller:?}: a contact twice in {:?}", lead.contact_ids);
        if let Some(left_out) = must.difference(&ids).next() {
            let known = contents.calls.iter().find(|row| row.call_id == *left_out);
            return Err(format!(
                "{caller:?}: {left_out} is not among {:?} of lead {} at revision {}, its record names {:?}: {:?}",
                lead.contact_ids,
                lead.lead_id,
                lead.revision,
                known.map(|row| row.lead_id),
                of(left_out)
            ));
        }
        ensure!(ids.is_subset(&subjects), "{caller:?}: contacts {ids:?} of {subjects:?}");
        history(lead, contents)?;
        let scores = ids.iter().filter_map(|subject| of(subject).worth());
        let best = scores.map(|worth| (worth.class == "lead", worth.score)).max();
        let found = (lead.class == "lead", i64::from(lead.score));
        ensure!(best.is_none_or(|best| best == found), "{caller:?}: lead {found:?}, best contact {best:?}");
    }
    ensure!(by_caller.is_empty(), "leads of nobody: {:?}", by_caller.keys());
    Ok(())
}

/// A lead's history has one line for each of its revisions.
fn history(lead: &Lead, contents: &Contents) -> Found {
    let lines = contents.lead_events.iter().filter(|line| line.lead_id == lead.lead_id);
    let mut revisions: Vec<i64> = lines.map(|line| line.revision).collect();
    revisions.sort_unstable();
    let expected: Vec<i64> = (1..=lead.revision).collect();
    ensure!(
        revisions == expected,
        "lead {} at revision {} has lines {revisions:?}",
        lead.lead_id,
        lead.revision
    );
    Ok(())
}

fn alerts(world: &World, model: &Model, contents: &Contents) -> Found {
    let lines: BTreeMap<_, Vec<&Delivery>> = contents
        .deliveries
        .iter()
        .filter(|line| line.kind == "missed_call")
        .fold(BTreeMap::new(), |mut lines, line| {
            let call_id = line.subject.trim_start_matches("missed:").to_owned();
            lines.entry((line.tenant.to_string(), call_id)).or_insert_with(Vec::new).push(line);
            lines
        });
    for (key, subject) in
        model.subjects.iter().filter(|(key, subject)| key.0 != UNSETTLED && subject.calls().next().is_some())
    {
        let told = lines.get(key).map_or(&[][..], Vec::as_slice);
        let integrations = if key.0 == "alpha" { 2 } else { 1 };
        let truth = world.outside.truth(&key.1);
        let missed = subject.missed().unwrap_or(!truth.answered && !truth.voicemail);
        if subject.backfill {
            ensure!(told.is_empty(), "{key:?} is a backfill and alerted");
        } else if missed && !subject.some_backfill {
            ensure!(
                told.len() == integrations,
                "{key:?} was missed, {} of {integrations} were told",
                told.len()
            );
        } else {
            let sure = told.iter().find(|line| line.payload.contains("\"confirmed\":true"));
            ensure!(sure.is_none(), "{key:?} was not missed, but alerted: {sure:?}");
        }
    }
    Ok(())
}

fn deliveries(model: &Model, contents: &Contents, effects: &[Effect], calm: bool) -> Found {
    for line in contents.deliveries.iter().filter(|line| line.tenant.as_str() != UNSETTLED) {
        let arrived = effects.iter().any(|effect| {
            effect.key.tenant == line.tenant
                && effect.key.integration == line.integration
                && effect.key.subject == line.subject
                && effect.payload == line.payload
        });
        match line.status {
            DeliveryStatus::Done => ensure!(arrived, "a delivery is done and did not arrive: {line:?}"),
            DeliveryStatus::Parked => ensure!(!calm, "parked without a reason outside: {line:?}"),
            DeliveryStatus::Unclear => ensure!(line.integration == "pager1", "unclear: {line:?}"),
            other => return Err(format!("a delivery came to rest {other:?}: {line:?}")),
        }
    }
    let of_leads: BTreeMap<_, _> = contents
        .deliveries
        .iter()
        .map(|line| ((line.subject.clone(), line.integration.clone()), line))
        .collect();
    for lead in contents.leads.iter().filter(|lead| lead.tenant.as_str() != UNSETTLED) {
        let contacts = model
            .subjects
            .iter()
            .filter(|(key, subject)| key.0 == lead.tenant.as_str() && subject.caller == lead.caller);
        if contacts.clone().any(|(_, subject)| subject.some_backfill) {
            continue; // Backfills change leads without a word to anybody.
        }
        let integrations: &[&str] =
            if lead.tenant.as_str() == "alpha" { &["http1", "pager1"] } else { &["http1"] };
        for integration in integrations {
            let line = of_leads.get(&(lead.lead_id.to_string(), (*integration).to_owned()));
            let revision = line.map(|line| line.revision);
            ensure!(
                revision == Some(lead.revision),
                "lead {} is at revision {}, {integration} was told of {revision:?}",
                lead.lead_id,
                lead.revision
            );
        }
    }
    Ok(())
}

/// What receivers saw: one payload per key; once for who cannot tell repeats; revisions in order.
fn effects(effects: &[Effect]) -> Found {
    let mut by_key: BTreeMap<&str, (&Effect, usize)> = BTreeMap::new();
    let mut newest: BTreeMap<_, i64> = BTreeMap::new();
    for effect in effects {
        let (first, count) = by_key.entry(&effect.idempotency_key).or_insert((effect, 0));
        *count += 1;
        ensure!(first.payload == effect.payload, "one idempotency key with two payloads: {effect:?}");
        ensure!(effect.kind != "pager" || *count == 1, "a receiver without idempotency got {effect:?} twice");
        let payload: serde_json::Value = serde_json::from_str(&effect.payload).unwrap();
        let revision = payload["revision"].as_i64().unwrap_or(1);
        let known = newest.entry(&effect.key).or_insert(revision);
        ensure!(*known <= revision, "revision {revision} came after {known}: {effect:?}");
        *known = revision;
    }
    Ok(())
}
