//! What record stores look for in a record: a few fields of it, read without keeping the rest. A store keeps the record's
//! bytes as they came, so a transcript of an hour is walked over here and taken apart nowhere.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::audit::Audit;
use crate::avro::{self, AvroError, AvroRecord};
use crate::call::CallRecord;
use crate::dead_letter::DeadLetter;
use crate::delivery::{Delivery, DeliveryStatus};
use crate::lead::{Lead, LeadEvent};
use crate::request::{Request, RequestStatus};
use crate::window::{WindowKind, WindowMetrics};
use crate::{EventId, LeadId, Millis, TenantId, Topic};

/// Some fields of a record.
pub trait Columns: DeserializeOwned {
    /// Whose they are.
    type Record: AvroRecord;

    /// The fields out of single-object encoding, written by today's or any older version of the record.
    fn of(bytes: &[u8]) -> Result<Self, AvroError> {
        avro::decode_as::<Self::Record, Self>(bytes)
    }
}

/// Fields of [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "as in Request")]
pub struct RequestColumns {
    pub tenant: TenantId,
    pub request_id: EventId,
    pub status: RequestStatus,
    pub received_at: Millis,
    pub updated_at: Millis,
}

/// Fields of [`CallRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "as in CallRecord")]
pub struct CallColumns {
    pub tenant: TenantId,
    pub call_id: String,
    pub aliases: Vec<String>,
    pub started_at: Millis,
    score: Option<ScoreColumns>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ScoreColumns {
    band: String,
}

impl CallColumns {
    /// The band of its score; none without one.
    pub fn band(&self) -> Option<&str> {
        self.score.as_ref().map(|score| score.band.as_str())
    }
}

/// Fields of [`Lead`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "as in Lead")]
pub struct LeadColumns {
    pub tenant: TenantId,
    pub lead_id: LeadId,
    pub status: String,
    pub band: String,
    pub last_contact_at: Millis,
}

/// Fields of [`LeadEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "as in LeadEvent")]
pub struct LeadEventColumns {
    pub tenant: TenantId,
    pub lead_id: LeadId,
    pub revision: i64,
    pub at: Millis,
}

/// Fields of [`Delivery`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "as in Delivery")]
pub struct DeliveryColumns {
    pub tenant: TenantId,
    pub integration: String,
    pub subject: String,
    pub status: DeliveryStatus,
    pub queued_at: Millis,
}

/// Fields of [`WindowMetrics`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "as in WindowMetrics")]
pub struct WindowColumns {
    pub tenant: TenantId,
    pub window: WindowKind,
    pub start: Millis,
    pub slot: i32,
}

/// Fields of [`Audit`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "as in Audit")]
pub struct AuditColumns {
    pub tenant: TenantId,
    pub id: EventId,
    pub kind: String,
    pub at: Millis,
}

/// Fields of [`DeadLetter`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "as in DeadLetter")]
pub struct DeadLetterColumns {
    pub id: EventId,
    pub tenant: Option<TenantId>,
    pub failed_at: Millis,
    pub status: String,
}

/// The fields of a record of any topic that stores keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the topics")]
pub enum AnyColumns {
    Request(RequestColumns),
    Call(CallColumns),
    Lead(LeadColumns),
    LeadEvent(LeadEventColumns),
    Delivery(DeliveryColumns),
    Window(WindowColumns),
    Audit(AuditColumns),
    DeadLetter(DeadLetterColumns),
}

impl AnyColumns {
    /// Reads a record of a topic; none of a topic that no store keeps.
    pub fn of(topic: Topic, bytes: &[u8]) -> Result<Option<Self>, AvroError> {
        Ok(Some(match topic {
            Topic::Requests => Self::Request(Columns::of(bytes)?),
            Topic::Calls => Self::Call(Columns::of(bytes)?),
            Topic::Leads => Self::Lead(Columns::of(bytes)?),
            Topic::LeadEvents => Self::LeadEvent(Columns::of(bytes)?),
            Topic::Deliveries => Self::Delivery(Columns::of(bytes)?),
            Topic::Metrics => Self::Window(Columns::of(bytes)?),
            Topic::Audit => Self::Audit(Columns::of(bytes)?),
            Topic::DeadLetters => Self::DeadLetter(Columns::of(bytes)?),
            _ => return Ok(None),
        }))
    }
}

macro_rules! columns {
    ($($columns:ty => $record:ty),+ $(,)?) => {
        $(impl Columns for $columns {
            type Record = $record;
        })+
    };
}

columns! {
    RequestColumns => Request,
    CallColumns => CallRecord,
    LeadColumns => Lead,
    LeadEventColumns => LeadEvent,
    DeliveryColumns => Delivery,
    WindowColumns => WindowMetrics,
    AuditColumns => Audit,
    DeadLetterColumns => DeadLetter,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{any_value, newest_schema, write};

    /// A record of any content, as its bytes and as its type.
    fn both<R: AvroRecord>(value: apache_avro::types::Value) -> (Vec<u8>, R) {
        let datum = write(&newest_schema::<R>(), value);
        let record = avro::decode_datum::<R>(avro::newest_version::<R>(), &datum).unwrap();
        (avro::encode(&record).unwrap(), record)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn columns_of_a_call_are_its_fields(value in any_value::<CallRecord>()) {
            let (bytes, call) = both::<CallRecord>(value);
            let columns = CallColumns::of(&bytes).unwrap();
            prop_assert_eq!(columns.band(), call.score.as_ref().map(|score| score.band.as_str()));
            let CallColumns { tenant, call_id, aliases, started_at, .. } = columns;
            prop_assert_eq!((tenant, call_id, aliases), (call.tenant, call.call_id, call.aliases));
            prop_assert_eq!(started_at, call.started_at);
            for cut in 0..bytes.len() {
                prop_assert!(CallColumns::of(&bytes[..cut]).is_err(), "cut to {}", cut);
            }
        }

        #[test]
        fn columns_of_a_lead_and_its_history_are_their_fields(
            lead in any_value::<Lead>(),
            line in any_value::<LeadEvent>(),
        ) {
            let (bytes, lead) = both::<Lead>(lead);
            let Lead { tenant, lead_id, status, band, last_contact_at, .. } = lead;
            let wanted = LeadColumns { tenant, lead_id, status, band, last_contact_at };
            prop_assert_eq!(LeadColumns::of(&bytes).unwrap(), wanted);
            let (bytes, line) = both::<LeadEvent>(line);
            let LeadEvent { tenant, lead_id, revision, at, .. } = line;
            prop_assert_eq!(LeadEventColumns::of(&bytes).unwrap(), LeadEventColumns { tenant, lead_id, revision, at });
        }

        #[test]
        fn columns_of_a_request_and_a_delivery_are_their_fields(
            request in any_value::<Request>(),
            delivery in any_value::<Delivery>(),
        ) {
            let (bytes, request) = both::<Request>(request);
            let Request { tenant, request_id, status, received_at, updated_at, .. } = request;
            let wanted = RequestColumns { tenant, request_id, status, received_at, updated_at };
            prop_assert_eq!(RequestColumns::of(&bytes).unwrap(), wanted);
            let (bytes, delivery) = both::<Delivery>(delivery);
            let Delivery { tenant, integration, subject, status, queued_at, .. } = delivery;
            let wanted = DeliveryColumns { tenant, integration, subject, status, queued_at };
            prop_assert_eq!(DeliveryColumns::of(&bytes).unwrap(), wanted);
        }

        #[test]
        fn columns_of_windows_audits_and_dead_letters_are_their_fields(
            window in any_value::<WindowMetrics>(),
            audit in any_value::<Audit>(),
            letter in any_value::<DeadLetter>(),
        ) {
            let (bytes, row) = both::<WindowMetrics>(window);
            let WindowMetrics { tenant, window, start, slot, .. } = row;
            prop_assert_eq!(WindowColumns::of(&bytes).unwrap(), WindowColumns { tenant, window, start, slot });
            let (bytes, line) = both::<Audit>(audit);
            let Audit { tenant, id, kind, at, .. } = line;
            prop_assert_eq!(AuditColumns::of(&bytes).unwrap(), AuditColumns { tenant, id, kind, at });
            let (bytes, letter) = both::<DeadLetter>(letter);
            let DeadLetter { tenant, id, failed_at, status, .. } = letter;
            let wanted = DeadLetterColumns { tenant, id, failed_at, status };
            prop_assert_eq!(DeadLetterColumns::of(&bytes).unwrap(), wanted);
        }
    }
}
