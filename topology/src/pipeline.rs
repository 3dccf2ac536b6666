//! THE data path: what becomes of an accepted event, on one page.
//!
//! ```text
//! inbound ─ decode ─ dedupe ─┬─ recording ─ transcribe ─ score ─ leads ─┬─ route ─ deliveries ─▶ CRMs, Slack, email
//! replies ─ (to whoever      │                                          ├─ window ─▶ metrics
//!            asked)          └─ alert ─ deliveries                      └─▶ calls, leads, requests ─▶ record store
//! commands ─ pull ─▶ inbound, with what CallRail lists
//! ```

use leadline_operators::alert::{Alert, AlertOut};
use leadline_operators::decode::{Decode, Decoded};
use leadline_operators::dedupe::{ContactOut, Dedupe, DedupeIn};
use leadline_operators::deliveries::{Deliveries, DeliveryIn};
use leadline_operators::leads::{Leads, LeadsIn, LeadsOut};
use leadline_operators::publish::Publish;
use leadline_operators::pull::PullCalls;
use leadline_operators::recording::FetchRecording;
use leadline_operators::route::Route;
use leadline_operators::score::ScoreContact;
use leadline_operators::transcribe::Transcribe;
use leadline_operators::window::Window;
use leadline_schemas::inbound::Inbound;

use crate::engine::Flow;

/// The name of this pipeline: part of every job's id.
pub const NAME: &str = "leadline";

/// Wires the operators of one partition.
pub fn pipeline(inbound: Flow<Inbound>) {
    // What it is, and whether it is new.
    let decoded = inbound.operator(Decode);
    let commands = decoded.pick(Decoded::command);
    let fresh = decoded.take(DedupeIn::of).operator(Dedupe);
    fresh.publish(Publish::publish);

    // A missed call must not wait for the transcript.
    let alerts = fresh.pick(ContactOut::call).operator(Alert);
    alerts.publish(Publish::publish);

    // What was said, and what it is worth. Each stage may wait for a remote answer; nothing waits for it.
    let recorded = fresh.take(ContactOut::contact).operator(FetchRecording);
    recorded.publish(Publish::publish);
    let transcribed = recorded.take(ContactOut::contact).operator(Transcribe);
    transcribed.publish(Publish::publish);
    let scored = transcribed.take(ContactOut::contact).operator(ScoreContact);
    scored.publish(Publish::publish);
    let dear = scored.pick(ContactOut::notice).take(|notice| Some(DeliveryIn::Command(notice)));

    // One lead per caller; a known call that is to be scored again is known here.
    let known = commands.pick(|command| LeadsIn::command(command.clone()));
    let settled = scored.take(ContactOut::contact).take(|contact| Some(LeadsIn::from(contact)));
    let leads = settled.and(known).operator(Leads);
    leads.publish(Publish::publish);

    // What no webhook may have told: it comes in through the front door.
    let listings = commands.pick(|command| Some(command.clone())).operator(PullCalls);
    listings.publish(Publish::publish);

    // What is counted, and who is told.
    let windows = leads.pick(LeadsOut::facts).operator(Window);
    windows.publish(Publish::publish);
    let routed =
        leads.take(LeadsOut::changed).operator(Route).take(|request| Some(DeliveryIn::Request(request)));
    let alerted = alerts.take(AlertOut::delivery).take(|request| Some(DeliveryIn::Request(request)));
    let commanded = commands.take(|command| Some(DeliveryIn::Command(command)));
    let deliveries = routed.and(alerted).and(commanded).and(dear).operator(Deliveries);
    deliveries.publish(Publish::publish);
}
