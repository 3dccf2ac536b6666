//! A call that nobody took: a note at its caller's person, that says when it was and that it waits for a call.

use leadline_schemas::Millis;
use serde_json::Value;

use super::client::{Ask, Session};
use super::judge::Failure;
use super::person::{self, search_of};
use super::thing::{Thing, find, mark, number, put};
use crate::contract::provider::CallError;
use crate::crm::{Lead, RemoteIds};

pub(super) async fn write(
    session: &mut Session<'_>,
    call: &Lead,
    ids: &mut RemoteIds,
) -> Result<(), Failure> {
    let person_id = person::of_caller(session, call, ids).await?;
    let mark = mark_of(&session.request.key.subject);
    if ids.get("note").is_none() && session.request.may_have_arrived {
        let path = format!("/v1/notes?person_id={person_id}");
        let found = find(session, path, "content", |text| text.contains(&mark)).await?;
        found.iter().for_each(|id| ids.set("note", id));
    }
    let thing = Thing::note_of_person(&text(call), &mark, &number(&person_id));
    put(session, &thing, ids).await.map(|_| ())
}

/// What a delivery of it asks: who they are, a person where there is none, a note.
pub(super) fn preview(
    subject: &str,
    call: &Lead,
    make_person: Ask,
    person_id: &Value,
    is_known: bool,
) -> Result<Vec<Ask>, CallError> {
    let note = Thing::note_of_person(&text(call), &mark_of(subject), person_id).create;
    if is_known {
        return Ok(vec![note]);
    }
    Ok(search_of(call)?.into_iter().chain([make_person, note]).collect())
}

/// What carries our key in the note.
fn mark_of(subject: &str) -> String {
    mark(&format!("leadline:{subject}"))
}

fn text(call: &Lead) -> String {
    let rang =
        call.text("rang_at").map(|at| Millis::parse(at).map_or_else(|| at.to_owned(), |at| at.to_string()));
    let mut lines = vec![format!("Missed call from {}", call.display_name())];
    lines.extend(rang.map(|at| format!("It rang at {at}, and nobody answered: call back.")));
    let waiting = call.number("escalated_after_s").map(|after_s| (after_s + 59) / 60);
    lines.extend(waiting.map(|minutes| format!("Nobody has called back for {minutes} min.")));
    lines.extend(call.text("note").map(str::to_owned));
    lines.join("\n")
}
