//! What the company says became of a lead: good or bad, and what was sold.

use leadline_schemas::LeadId;
use leadline_schemas::inbound::{EventKind, Origin};
use leadline_schemas::lead::{Feedback, Lead, LeadEvent};
use leadline_schemas::request::{Request, RequestStatus};

use super::{LEADS, LeadChanged, Leads, LeadsOut, older};
use crate::contract::{Context, OperatorResult};

/// A word about a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadFeedback {
    /// Under whom the lead is filed.
    pub caller: String,
    /// The lead.
    pub lead_id: String,
    /// Whether it was worth calling back.
    pub good: bool,
    /// What was sold, in millionths of the tenant's currency.
    pub sold_micros: Option<i64>,
    /// In the company's own words.
    pub note: Option<String>,
}

impl Leads {
    /// Takes a word about a lead into its record and its history. Nobody is told: who says it knows it.
    pub(super) fn take_feedback(
        &mut self,
        cx: &mut Context<'_, LeadsOut>,
        said: LeadFeedback,
    ) -> OperatorResult {
        let Some((mut lead, place)) = find(cx, &said)? else {
            tell(cx, None, Some("no lead of this id is known any more"));
            return Ok(());
        };
        let feedback =
            Feedback { good: said.good, sold_micros: said.sold_micros, note: said.note, at: cx.event_time };
        lead.status = status(&feedback).to_owned();
        let text = sentence(&feedback);
        lead.feedback = Some(feedback);
        lead.revision += 1;
        lead.updated_at = cx.now;
        cx.put(&LEADS, &place, lead.clone());
        tell(cx, Some(lead.lead_id), None);
        cx.emit(LeadsOut::LeadEvent(LeadEvent {
            tenant: lead.tenant.clone(),
            lead_id: lead.lead_id,
            revision: lead.revision,
            kind: "feedback".to_owned(),
            contact_id: None,
            event_id: cx.cause.event_id(),
            text: text.clone(),
            at: cx.now,
        }));
        cx.emit(LeadsOut::Changed(LeadChanged { lead, why: text, backfill: true, deliver_backfill: false }));
        Ok(())
    }
}

/// The lead and the key of its row: the caller's newest, or an older one.
fn find(cx: &mut Context<'_, LeadsOut>, said: &LeadFeedback) -> OperatorResult<Option<(Lead, Vec<u8>)>> {
    let Ok(lead_id) = said.lead_id.parse().map(LeadId) else { return Ok(None) };
    for place in [said.caller.as_bytes().to_vec(), older(lead_id)] {
        if let Some(lead) = cx.get(&LEADS, &place)?.filter(|lead| lead.lead_id == lead_id) {
            return Ok(Some((lead.clone(), place)));
        }
    }
    Ok(None)
}

fn status(feedback: &Feedback) -> &'static str {
    match (feedback.good, feedback.sold_micros) {
        (_, Some(sold)) if sold > 0 => "won",
        (true, _) => "open",
        (false, _) => "not_a_lead",
    }
}

/// One sentence for the history.
fn sentence(feedback: &Feedback) -> String {
    let verdict = match (feedback.good, feedback.sold_micros) {
        (_, Some(sold)) if sold > 0 => {
            format!("Sold for {}.{:02}.", sold / 1_000_000, sold % 1_000_000 / 10_000)
        }
        (true, _) => "The company says that it was a good lead.".to_owned(),
        (false, _) => "The company says that it was no lead.".to_owned(),
    };
    match &feedback.note {
        Some(note) => format!("{verdict} \u{201c}{note}\u{201d}"),
        None => verdict,
    }
}

fn tell(cx: &mut Context<'_, LeadsOut>, lead_id: Option<LeadId>, failed: Option<&str>) {
    let request = Request {
        tenant: cx.key.tenant.clone(),
        request_id: cx.cause.event_id(),
        origin: Origin::Command,
        kind: EventKind::Command,
        status: if failed.is_some() { RequestStatus::Failed } else { RequestStatus::Done },
        reason: failed.map(str::to_owned),
        call_id: None,
        lead_id,
        received_at: cx.event_time,
        updated_at: cx.now,
    };
    cx.emit(LeadsOut::Request(request));
}
