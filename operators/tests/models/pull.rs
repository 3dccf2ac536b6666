//! pull: whatever CallRail lists comes in, whenever pages fail and however long people talk.

use std::collections::BTreeSet;

use leadline_operators::pull::{PULLS, PullCalls};
use leadline_schemas::Millis;
use leadline_schemas::command::Command;
use leadline_schemas::pull::{Listing, PullJob, Pulled};
use leadline_schemas::reply::FailureKind;
use leadline_schemas::request::{Request, RequestStatus};
use leadline_schemas::settings::{CallRail, Sealed};
use proptest::prelude::*;

use crate::driver::{Done, Driver, Job, answered, cases, failed};
use crate::inputs::{NOON, event_id, tenant, tenant_id};

const ACCOUNT: &str = "ACC1";
/// Rows of a page.
const PAGE: usize = 2;
const ROUND_MS: i64 = 15 * Millis::MINUTE;
/// The longest call: longer than any overlap.
const CALL_MS_MAX: i64 = 3 * 3_600_000;

#[derive(Clone, Debug)]
enum Step {
    /// A call begins.
    Call {
        lasts_ms: i64,
    },
    Wait {
        ms: i64,
    },
    /// A round begins, or is said to begin once more.
    Round {
        again: bool,
    },
    /// The page that is asked for comes.
    Page,
    Fails {
        kind: FailureKind,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let kinds = vec![FailureKind::Exhausted, FailureKind::Rejected, FailureKind::Unclear];
    prop_oneof![
        4 => (1..CALL_MS_MAX).prop_map(|lasts_ms| Step::Call { lasts_ms }),
        3 => (1..3 * ROUND_MS).prop_map(|ms| Step::Wait { ms }),
        3 => any::<bool>().prop_map(|again| Step::Round { again }),
        6 => Just(Step::Page),
        1 => prop::sample::select(kinds).prop_map(|kind| Step::Fails { kind }),
    ]
}

struct World {
    driver: Driver<PullCalls>,
    /// When each call begins and ends.
    calls: Vec<(Millis, Millis)>,
    appended: BTreeSet<usize>,
    round: i64,
    commands: u64,
}

impl World {
    fn new() -> Self {
        let mut tenant = tenant();
        tenant.callrail = Some(CallRail {
            account_id: ACCOUNT.to_owned(),
            api_key: Sealed::default(),
            public_url: String::new(),
            write_back: false,
            connected_at: NOON,
        });
        let driver = Driver::new(tenant, NOON);
        Self { driver, calls: Vec::new(), appended: BTreeSet::new(), round: 0, commands: 0 }
    }

    fn command(&mut self, command: Command) -> Done<Request> {
        self.commands += 1;
        self.driver.record(event_id(self.commands), command).unwrap()
    }

    fn begin(&mut self, again: bool) -> Done<Request> {
        self.round += i64::from(!again);
        self.command(Command::PullAccount { account_id: ACCOUNT.to_owned(), round: self.round })
    }

    fn asked(&self) -> Option<(Job, PullJob)> {
        let pending = self.driver.pending();
        assert!(pending.len() <= 1, "one page at a time: {pending:?}");
        let job = pending.into_iter().next()?;
        let asked = serde_json::from_slice(&job.request.payload).unwrap();
        Some((job, asked))
    }

    /// Answers as CallRail would now.
    fn page(&mut self) {
        let Some((job, asked)) = self.asked() else { return };
        let now = self.driver.now;
        let mut page = Pulled::default();
        if asked.listing == Listing::Calls {
            let inside =
                |call: &(Millis, Millis)| call.0 >= asked.from && call.0 <= asked.to && call.0 <= now;
            let found: Vec<usize> = (0..self.calls.len()).filter(|at| inside(&self.calls[*at])).collect();
            let from: usize = asked.page.as_deref().map_or(0, |page| page.parse().unwrap());
            let rows: Vec<usize> = found.iter().copied().skip(from).take(PAGE).collect();
            let over = |at: &&usize| self.calls[**at].1 <= now;
            page.listed = rows.len() as i64;
            page.appended = rows.iter().filter(over).count() as i64;
            page.open_since = rows.iter().filter(|at| !over(at)).map(|at| self.calls[*at].0).min();
            page.next = (found.len() > from + PAGE).then(|| (from + PAGE).to_string());
            self.appended.extend(rows.iter().filter(over));
        }
        let body = serde_json::to_string(&page).unwrap();
        self.driver.reply(job.id, answered(body)).unwrap().unwrap();
    }

    fn fail(&mut self, kind: FailureKind) {
        if let Some((job, _)) = self.asked() {
            self.driver.reply(job.id, failed(kind)).unwrap().unwrap();
        }
    }

    fn finish_round(&mut self) {
        while self.asked().is_some() {
            self.page();
        }
    }

    /// How many rows it keeps: its listings, and one for the page that is asked for.
    fn rows(&self) -> usize {
        self.driver.rows(&PULLS)
    }
}

proptest! {
    #![proptest_config(cases(1_024))]

    #[test]
    fn every_call_that_is_over_is_in_the_log_after_the_next_whole_rounds(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Call { lasts_ms } => {
                    let now = world.driver.now;
                    world.calls.push((now, now.plus(lasts_ms)));
                }
                Step::Wait { ms } => drop(world.driver.advance(ms)),
                Step::Round { again } => drop(world.begin(again)),
                Step::Page => world.page(),
                Step::Fails { kind } => world.fail(kind),
            }
            prop_assert!(world.rows() <= 2);
        }
        // The last call ends; a round that was under way ends, and one more begins and ends.
        world.driver.advance(CALL_MS_MAX);
        for _ in 0..2 {
            world.finish_round();
            world.begin(false);
            world.finish_round();
            world.driver.advance(ROUND_MS);
        }
        let missing: Vec<usize> = (0..world.calls.len()).filter(|at| !world.appended.contains(at)).collect();
        prop_assert!(missing.is_empty(), "calls {:?} of {:?} are lost", missing, world.calls);
        prop_assert_eq!(world.rows(), 1, "nothing is left of pages");
    }
}

#[test]
fn a_round_that_is_said_twice_or_late_begins_once() {
    let mut world = World::new();
    assert_eq!(world.begin(false).jobs.len(), 1);
    assert!(world.begin(true).jobs.is_empty());
    assert!(world.begin(false).jobs.is_empty(), "a page is out");
    world.finish_round();
    assert!(world.begin(true).jobs.len() == 1, "the round that found a page out has not been");
    world.finish_round();
    world.round -= 2;
    assert!(world.begin(true).jobs.is_empty());
}

#[test]
fn nobody_is_asked_for_an_account_that_was_disconnected() {
    let mut world = World::new();
    world.driver.set_tenant(tenant());
    assert!(world.begin(false).jobs.is_empty());
}

fn backfill(id: &str) -> Command {
    Command::Backfill {
        id: id.to_owned(),
        account_id: ACCOUNT.to_owned(),
        tenant: tenant_id(),
        from: NOON.plus(-Millis::DAY),
        to: NOON,
        deliver: true,
    }
}

fn status(done: &Done<Request>) -> RequestStatus {
    done.out.last().expect("progress is told").status
}

#[test]
fn a_backfill_goes_on_by_itself_until_it_is_done_or_asking_changes_nothing() {
    let mut world = World::new();
    for hour in 1..6 {
        let at = NOON.plus(-hour * 3_600_000);
        world.calls.push((at, at.plus(60_000)));
    }
    world.calls.sort();
    let begun = world.command(backfill("b1"));
    assert_eq!((status(&begun), begun.jobs.len()), (RequestStatus::Processing, 1));
    let (_, asked) = world.asked().unwrap();
    assert!(asked.backfill && asked.deliver);
    assert_eq!(asked.tenant.as_deref(), Some(tenant_id().as_str()), "only its tenant's");
    assert!(world.command(backfill("b1")).jobs.is_empty(), "the same again changes nothing");
    world.page();
    world.fail(FailureKind::Exhausted);
    assert!(world.asked().is_none());
    world.driver.advance(5 * Millis::MINUTE);
    let (_, asked) = world.asked().expect("the same page is asked for again");
    assert_eq!(asked.page.as_deref(), Some("2"));
    world.page();
    world.page();
    assert_eq!(world.appended.len(), 5);
    // An account may have no texts: that is no reason to leave out forms.
    assert_eq!(world.asked().unwrap().1.listing, Listing::Texts);
    world.fail(FailureKind::Rejected);
    assert_eq!(world.asked().unwrap().1.listing, Listing::Forms);
    let (job, _) = world.asked().unwrap();
    let done = world.driver.reply(job.id, answered(r#"{"listed":0,"appended":0}"#)).unwrap().unwrap();
    assert_eq!(status(&done), RequestStatus::Done);

    world.command(backfill("b2"));
    let (job, _) = world.asked().unwrap();
    let done = world.driver.reply(job.id, failed(FailureKind::Rejected)).unwrap().unwrap();
    assert_eq!(status(&done), RequestStatus::Failed, "calls are what it is for");
    assert_eq!(world.command(backfill("b2")).jobs.len(), 1, "somebody asks for it once more");
}

#[test]
fn an_answer_that_cannot_be_read_stops_the_round_and_not_the_next() {
    let mut world = World::new();
    world.begin(false);
    let (job, _) = world.asked().unwrap();
    let done = world.driver.reply(job.id, answered("null")).unwrap().unwrap();
    assert!(done.out[0].reason.as_deref().unwrap().contains("cannot be read"), "{:?}", done.out);
    assert_eq!(world.begin(false).jobs.len(), 1);
    assert!(world.driver.unasked(job.id, answered("{}")).is_err(), "nobody waits for it");
}
