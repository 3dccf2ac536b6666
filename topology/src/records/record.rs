//! A record of any topic that a record store keeps.

use leadline_operators::publish::Publish;
use leadline_schemas::audit::Audit;
use leadline_schemas::avro::{self, AvroError};
use leadline_schemas::call::CallRecord;
use leadline_schemas::columns::{
    AuditColumns, CallColumns, Columns, DeadLetterColumns, DeliveryColumns, LeadColumns, LeadEventColumns,
    RequestColumns, WindowColumns,
};
use leadline_schemas::dead_letter::DeadLetter;
use leadline_schemas::delivery::Delivery;
use leadline_schemas::frame::Output;
use leadline_schemas::lead::{Lead, LeadEvent};
use leadline_schemas::request::Request;
use leadline_schemas::window::WindowMetrics;
use leadline_schemas::{LeadId, Millis, TenantId, Topic};

/// What a comparison has to know of a record whose bytes it compares.
#[derive(Default)]
pub(super) struct Outline {
    /// Whether today's leadline would write the same bytes.
    pub(super) is_newest: bool,
    pub(super) tenant: Option<TenantId>,
    /// The lead whose history it is a line of.
    pub(super) lead_id: Option<LeadId>,
    /// Where the window starts that it is of.
    pub(super) window: Option<Millis>,
}

impl Outline {
    pub(super) fn of(output: &Output) -> Result<Option<Self>, AvroError> {
        let of = |tenant| Self { tenant, ..Self::default() };
        let outline = match output.topic {
            Topic::Requests => Self::with::<RequestColumns>(output, |row| of(Some(row.tenant))),
            Topic::Calls => Self::with::<CallColumns>(output, |row| of(Some(row.tenant))),
            Topic::Leads => Self::with::<LeadColumns>(output, |row| of(Some(row.tenant))),
            Topic::LeadEvents => Self::with::<LeadEventColumns>(output, |row| Self {
                lead_id: Some(row.lead_id),
                ..of(Some(row.tenant))
            }),
            Topic::Deliveries => Self::with::<DeliveryColumns>(output, |row| of(Some(row.tenant))),
            Topic::Metrics => Self::with::<WindowColumns>(output, |row| Self {
                window: Some(row.start),
                ..of(Some(row.tenant))
            }),
            Topic::Audit => Self::with::<AuditColumns>(output, |row| of(Some(row.tenant))),
            Topic::DeadLetters => Self::with::<DeadLetterColumns>(output, |row| of(row.tenant)),
            _ => return Ok(None),
        };
        outline.map(Some)
    }

    fn with<C: Columns>(output: &Output, outline: impl FnOnce(C) -> Self) -> Result<Self, AvroError> {
        let is_newest = avro::is_newest::<C::Record>(&output.value);
        Ok(Self { is_newest, ..outline(C::of(&output.value)?) })
    }
}

/// A record of a topic.
#[expect(clippy::large_enum_variant, reason = "one at a time, for as long as it is looked at")]
pub(super) enum Record {
    Request(Request),
    Call(CallRecord),
    Lead(Lead),
    LeadEvent(LeadEvent),
    Delivery(Delivery),
    Window(WindowMetrics),
    Audit(Audit),
    DeadLetter(DeadLetter),
}

impl Record {
    pub(super) fn of(output: &Output) -> Result<Option<Self>, AvroError> {
        let bytes = &output.value;
        Ok(Some(match output.topic {
            Topic::Requests => Self::Request(avro::decode(bytes)?),
            Topic::Calls => Self::Call(avro::decode(bytes)?),
            Topic::Leads => Self::Lead(avro::decode(bytes)?),
            Topic::LeadEvents => Self::LeadEvent(avro::decode(bytes)?),
            Topic::Deliveries => Self::Delivery(avro::decode(bytes)?),
            Topic::Metrics => Self::Window(avro::decode(bytes)?),
            Topic::Audit => Self::Audit(avro::decode(bytes)?),
            Topic::DeadLetters => Self::DeadLetter(avro::decode(bytes)?),
            _ => return Ok(None),
        }))
    }

    /// As it would be committed now: under the newest schema, whatever it was written under.
    pub(super) fn output(&self) -> Result<Output, AvroError> {
        let published = match self {
            Self::Request(row) => row.publish(),
            Self::Call(row) => row.publish(),
            Self::Lead(row) => row.publish(),
            Self::LeadEvent(row) => row.publish(),
            Self::Delivery(row) => row.publish(),
            Self::Window(row) => row.publish(),
            Self::Audit(row) => row.publish(),
            Self::DeadLetter(letter) => Some(avro::encode(letter).map(|value| Output {
                topic: Topic::DeadLetters,
                key: letter.id.to_string().into(),
                value: value.into(),
            })),
        };
        published.unwrap_or_else(|| Ok(Output { topic: Topic::State, key: "".into(), value: "".into() }))
    }

    pub(super) fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Request(row) => Some(&row.tenant),
            Self::Call(row) => Some(&row.tenant),
            Self::Lead(row) => Some(&row.tenant),
            Self::LeadEvent(row) => Some(&row.tenant),
            Self::Delivery(row) => Some(&row.tenant),
            Self::Window(row) => Some(&row.tenant),
            Self::Audit(row) => Some(&row.tenant),
            Self::DeadLetter(row) => row.tenant.as_ref(),
        }
    }

    pub(super) fn name(&self) -> String {
        let key = match self {
            Self::Request(row) => row.request_id.to_string(),
            Self::Call(row) => row.call_id.clone(),
            Self::Lead(row) => row.lead_id.to_string(),
            Self::LeadEvent(row) => format!("{} {}", row.lead_id, row.revision),
            Self::Delivery(row) => format!("{} {}", row.integration, row.subject),
            Self::Window(row) => format!("{} {} {}", row.window.name(), row.start, row.slot),
            Self::Audit(row) => row.id.to_string(),
            Self::DeadLetter(row) => row.id.to_string(),
        };
        format!("{} {key}", self.tenant().map_or("-", TenantId::as_str))
    }
}
