//! Writing: one lead with its call in a request, or those that come together by the two hundred.

use std::collections::HashSet;

use http::Method;
use serde_json::{Map, Value, json};

use super::client::Session;
use super::config::{Config, Record};
use super::judge::{Failure, judged_errors, several};
use crate::contract::provider::CallError;
use crate::contract::wire::{Exchange, WireRequest};

/// What is gathered.
pub(super) type Item = Record;
/// What became of one, and the requests that were made for all.
pub(super) type Answered = (Result<Ids, Failure>, Vec<Exchange>);

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) lead: String,
    pub(super) task: Option<String>,
}

/// The upsert of a lead and of its call, without the instance.
pub(super) fn request(
    config: &Config,
    record: &Record,
    fields: &Map<String, Value>,
    update_only: bool,
) -> WireRequest {
    let suffix = if update_only { "?updateOnly=true" } else { "" };
    let lead_path = format!("sobjects/Lead/{}/{}{suffix}", config.lead_key, encoded(&record.key));
    let lead_path = Session::path(&lead_path);
    let Some((key, task)) = &record.task else {
        return WireRequest {
            method: Method::PATCH,
            ..WireRequest::json(lead_path, &Value::Object(fields.clone()))
        };
    };
    let mut task = task.clone();
    task.insert("WhoId".to_owned(), json!("@{lead.id}"));
    let task_path = Session::path(&format!("sobjects/Task/{}/{}", config.task_key, encoded(key)));
    let body = json!({ "allOrNone": true, "compositeRequest": [
        { "method": "PATCH", "url": lead_path, "referenceId": "lead", "body": fields },
        { "method": "PATCH", "url": task_path, "referenceId": "task", "body": task },
    ]});
    WireRequest::json(Session::path("composite"), &body)
}

/// A value as a part of a path.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

impl Session<'_> {
    /// Writes these; what became of each, in their order.
    pub(super) async fn write(&mut self, records: &[Record]) -> Vec<Result<Ids, Failure>> {
        if let [one] = records {
            return vec![self.single(one).await];
        }
        let mut seen = HashSet::new();
        // A collection with a key twice is refused; the second lead of a caller goes after the first.
        let together: Vec<bool> = records.iter().map(|record| seen.insert(record.key.as_str())).collect();
        let firsts: Vec<&Record> =
            records.iter().zip(&together).filter(|(_, first)| **first).map(|(record, _)| record).collect();
        let mut answers = self.many(&firsts).await.into_iter();
        let mut all = Vec::with_capacity(records.len());
        for (record, first) in records.iter().zip(together) {
            let answer = if first { answers.next() } else { None };
            all.push(match answer {
                // Another process made the record meanwhile.
                Some(Err(Failure::Raced(_))) | None => self.single(record).await,
                Some(answer) => answer,
            });
        }
        all
    }

    async fn single(&mut self, record: &Record) -> Result<Ids, Failure> {
        if let Some(known) = &record.known {
            match self.upsert(record, known, true).await {
                Err(Failure::NotFound(_)) => {}
                answer => return answer,
            }
        }
        match self.upsert(record, &record.lead, false).await {
            Err(Failure::Raced(_)) => self.upsert(record, &record.lead, false).await,
            answer => answer,
        }
    }

    async fn upsert(
        &mut self,
        record: &Record,
        fields: &Map<String, Value>,
        update_only: bool,
    ) -> Result<Ids, Failure> {
        let wire = request(self.config, record, fields, update_only);
        let body = self.ask(&wire, fields).await?;
        let Some((_, task)) = &record.task else {
            // Before version 46 an update was answered by nothing at all.
            return Ok(Ids { lead: id_of(&body).unwrap_or_default(), task: None });
        };
        let parts = body.get("compositeResponse").and_then(Value::as_array).ok_or_else(unreadable)?;
        let part = |name: &str| {
            parts.iter().find(|part| part.get("referenceId").and_then(Value::as_str) == Some(name))
        };
        let (lead_part, task_part) = part("lead").zip(part("task")).ok_or_else(unreadable)?;
        let failures = [(lead_part, fields), (task_part, task)].map(|(part, sent)| failure_of(part, sent));
        // The other of the two was only rolled back.
        let (halted, telling): (Vec<_>, Vec<_>) =
            failures.into_iter().flatten().partition(|(halted, _)| *halted);
        if let Some((_, failure)) = telling.into_iter().chain(halted).next() {
            return Err(failure);
        }
        let id = |part: &Value| part.get("body").and_then(id_of);
        Ok(Ids { lead: id(lead_part).unwrap_or_default(), task: id(task_part) })
    }

    /// At most 200 leads, and then their calls.
    async fn many(&mut self, records: &[&Record]) -> Vec<Result<Ids, Failure>> {
        let leads: Vec<(&str, &Map<String, Value>)> =
            records.iter().map(|record| (record.key.as_str(), &record.lead)).collect();
        let lead_key = self.config.lead_key.clone();
        let mut answers: Vec<Result<Ids, Failure>> = self
            .collection("Lead", &lead_key, &leads)
            .await
            .into_iter()
            .map(|answer| answer.map(|lead| Ids { lead, task: None }))
            .collect();
        let mut places = Vec::new();
        let mut tasks = Vec::new();
        for (place, (record, answer)) in records.iter().zip(&answers).enumerate() {
            if let (Some((key, task)), Ok(ids)) = (&record.task, answer) {
                let mut task = task.clone();
                task.insert("WhoId".to_owned(), json!(ids.lead));
                places.push(place);
                tasks.push((key.as_str(), task));
            }
        }
        if tasks.is_empty() {
            return answers;
        }
        let tasks: Vec<(&str, &Map<String, Value>)> = tasks.iter().map(|(key, task)| (*key, task)).collect();
        let task_key = self.config.task_key.clone();
        let written = self.collection("Task", &task_key, &tasks).await;
        for (place, task) in places.into_iter().zip(written) {
            let Some(answer) = answers.get_mut(place) else { continue };
            match (task, answer.as_mut()) {
                (Ok(id), Ok(ids)) => ids.task = Some(id),
                (Err(failure), _) => *answer = Err(failure),
                (Ok(_), Err(_)) => {}
            }
        }
        answers
    }

    /// A collection of one type: HTTP 200 even when records fail; answers are in the order of the records.
    async fn collection(
        &mut self,
        object: &str,
        key: &str,
        records: &[(&str, &Map<String, Value>)],
    ) -> Vec<Result<String, Failure>> {
        let all: Vec<Value> = records
            .iter()
            .map(|(id, fields)| {
                let mut record = (*fields).clone();
                record.insert("attributes".to_owned(), json!({ "type": object }));
                record.insert(key.to_owned(), json!(id));
                Value::Object(record)
            })
            .collect();
        let path = Session::path(&format!("composite/sobjects/{object}/{key}"));
        let wire = WireRequest::json(path, &json!({ "allOrNone": false, "records": all }));
        let wire = WireRequest { method: Method::PATCH, ..wire };
        let answer = self.ask(&wire, &Map::new()).await;
        let results = answer.and_then(|body| match body {
            Value::Array(results) if results.len() == records.len() => Ok(results),
            _ => Err(unreadable()),
        });
        match results {
            Ok(results) => {
                results.iter().zip(records).map(|(result, (_, sent))| one_of(result, sent)).collect()
            }
            Err(failure) => records.iter().map(|_| Err(failure.clone())).collect(),
        }
    }
}

/// What became of one record of a collection.
fn one_of(result: &Value, sent: &Map<String, Value>) -> Result<String, Failure> {
    if result.get("success").and_then(Value::as_bool) == Some(true) {
        return id_of(result).ok_or_else(unreadable);
    }
    let errors = result.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    Err(judged_errors(&errors, 200, sent))
}

/// What is wrong with a part of a composite request, and whether it was only rolled back; none when nothing is.
fn failure_of(part: &Value, sent: &Map<String, Value>) -> Option<(bool, Failure)> {
    let status =
        part.get("httpStatusCode").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let status = status.unwrap_or(500);
    if (200..300).contains(&status) {
        return None;
    }
    let errors = part.get("body").and_then(Value::as_array).cloned().unwrap_or_default();
    if status == 300 {
        return Some((false, several())); // A list of addresses.
    }
    let code = errors.first().and_then(|error| error.get("errorCode")).and_then(Value::as_str);
    Some((code == Some("PROCESSING_HALTED"), judged_errors(&errors, status, sent)))
}

fn id_of(body: &Value) -> Option<String> {
    body.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned)
}

fn unreadable() -> Failure {
    Failure::Call(CallError::Retry {
        after: None,
        why: "Salesforce's answer cannot be read; it is asked again, which changes nothing".to_owned(),
    })
}
