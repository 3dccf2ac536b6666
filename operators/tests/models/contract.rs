//! What every operator does by default, and whose fault it is when a row cannot be read.

use leadline_operators::contract::{Fault, Table};
use leadline_operators::dedupe::{Dedupe, SEEN};
use leadline_schemas::JobId;
use leadline_schemas::reply::Answered;
use leadline_schemas::state::WriteBack;

use crate::driver::Driver;
use crate::inputs::{NOON, call_contact, call_event, event_id, tenant};

#[test]
fn an_answer_that_nobody_asked_for_is_poison_and_names_the_operator() {
    let mut dedupe = Driver::<Dedupe>::new(tenant(), NOON);
    let job_id = JobId::of(&[b"somebody else's"]);
    let answer = Answered { body: "{}".into(), attempts: 1, cost_micros: 0 };
    let fault = dedupe.unasked(job_id, Ok(answer)).unwrap_err();
    let Fault::Poison(why) = fault else { panic!("{fault:?}") };
    assert!(why.contains("dedupe") && why.contains(&job_id.to_string()), "{why}");
}

#[test]
fn a_timer_of_an_older_release_changes_nothing() {
    let mut dedupe = Driver::<Dedupe>::new(tenant(), NOON);
    let done = dedupe.timer(b"of an older release").unwrap();
    assert!(done.out.is_empty() && done.jobs.is_empty());
    assert_eq!(dedupe.rows(&SEEN), 0);
}

#[test]
fn a_row_that_cannot_be_read_is_the_engines_fault_and_never_the_inputs() {
    const OTHERS: Table<WriteBack> = Table::new(SEEN.spec.number, SEEN.spec.name, None);
    let mut dedupe = Driver::<Dedupe>::new(tenant(), NOON);
    let call = call_event("CAL0000000000000000000000000000000a");
    let row = WriteBack { fields: vec!["a field with a long name".to_owned(); 3], at: NOON };
    dedupe.seed(&OTHERS, call.call_id.as_str().as_bytes(), &row);
    let fault = dedupe.record(event_id(1), Box::new(call_contact(1, call)).into()).unwrap_err();
    assert!(matches!(fault, Fault::Engine(_)), "{fault:?}");
}
