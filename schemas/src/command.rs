//! Commands: what people change through the API or the command line. They travel through `inbound` like events,
//! because nothing else changes state.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::dead_letter::InputKind;
use crate::{Millis, TenantId};

/// The body of an inbound record of kind `command` (JSON).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Feed the input of a dead letter once more.
    Replay {
        /// The dead letter.
        dead_letter: String,
        /// The operator that failed on it.
        operator: String,
        /// What was fed.
        input_kind: InputKind,
        /// The input.
        input: Bytes,
    },
    /// Queue a parked or unclear delivery again.
    RetryDelivery {
        /// The integration.
        integration: String,
        /// The lead or alert.
        subject: String,
    },
    /// Leave a delivery out.
    SkipDelivery {
        /// The integration.
        integration: String,
        /// The lead or alert.
        subject: String,
    },
    /// Tell the tenant's integrations that want alerts of something that is no call.
    Notice {
        /// What it is about: a later notice of the same takes the place of one that still waits.
        subject: String,
        /// When it was found.
        at: Millis,
        /// Whether something is wrong; else it is mended.
        is_trouble: bool,
        /// One line for a person.
        text: String,
    },
    /// leadline is about to write to a call at CallRail: what comes back of it is no news.
    WroteBack {
        /// The call.
        call_id: String,
        /// Names of the fields, as CallRail's `changes` have them.
        fields: Vec<String>,
    },
    /// Score a known call once more.
    ProcessCall {
        /// The call.
        call_id: String,
    },
    /// What the company says became of a lead.
    Feedback {
        /// The lead's caller, under whom it is filed.
        caller: String,
        /// The lead.
        lead_id: String,
        /// Whether it was worth calling back.
        good: bool,
        /// What was sold, in millionths of the tenant's currency.
        sold_micros: Option<i64>,
        /// In the company's own words.
        note: Option<String>,
    },
    /// List what an account of CallRail has had since its last listing. From whoever keeps the time of listings; a round
    /// that is not later than the last one changes nothing.
    PullAccount {
        /// The account.
        account_id: String,
        /// The number of the quarter of an hour.
        round: i64,
    },
    /// List calls of the past.
    Backfill {
        /// Its id; the same again changes nothing, and goes on with one that was given up.
        id: String,
        /// The account.
        account_id: String,
        /// Whose calls.
        tenant: TenantId,
        /// The first start.
        from: Millis,
        /// The last start.
        to: Millis,
        /// Whether they are sent to CRMs.
        deliver: bool,
    },
}
