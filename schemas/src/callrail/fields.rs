//! The fields of one payload: known ones in slots, the others as they came.

use std::borrow::Cow;

use super::raw::Raw;
use super::{DecodeError, extra, scan};

/// Lists the fields that are known: `Variant = b"name"`, each in a slot of its own.
macro_rules! fields {
    ($($field:ident = $name:literal,)+) => {
        /// A field that decode knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Field {
            $($field,)+
        }

        impl Field {
            pub(super) const COUNT: usize = [$(Self::$field),+].len();
            pub(super) const ALL: [Self; Self::COUNT] = [$(Self::$field),+];

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$field => const {
                        match std::str::from_utf8($name) {
                            Ok(name) => name,
                            Err(_) => unreachable!(),
                        }
                    },)+
                }
            }

            /// The field of this name. Matched as bytes: that compiles to a tree of comparisons, not to a list.
            pub(super) fn of(name: &str) -> Option<Self> {
                match name.as_bytes() {
                    $($name => Some(Self::$field),)+
                    _ => None,
                }
            }
        }
    };
}

fields! {
    // Who, which one, what kind: what `peek` reads.
    ResourceId = b"resource_id",
    Id = b"id",
    MaskedId = b"masked_id",
    CallResourceId = b"call_resource_id",
    CallId = b"call_id",
    CompanyResourceId = b"company_resource_id",
    CompanyId = b"company_id",
    CustomerPhoneNumber = b"customer_phone_number",
    Callernum = b"callernum",
    CustomerEmail = b"customer_email",
    SourceNumber = b"source_number",
    DestinationNumber = b"destination_number",
    MessageType = b"message_type",
    ConversationId = b"conversation_id",
    Agent = b"agent",
    FormData = b"form_data",
    FormUrl = b"form_url",
    Changes = b"changes",
    Answers = b"answers",
    Direction = b"direction",
    Answered = b"answered",
    CallType = b"call_type",
    Duration = b"duration",
    Voicemail = b"voicemail",
    Recording = b"recording",
    TrackingPhoneNumber = b"tracking_phone_number",
    StartTime = b"start_time",
    // What else the event is made of.
    CustomerName = b"customer_name",
    CustomerCity = b"customer_city",
    CustomerState = b"customer_state",
    FirstCall = b"first_call",
    RecordingDuration = b"recording_duration",
    ConversationalTranscript = b"conversational_transcript",
    Transcription = b"transcription",
    AgentEmail = b"agent_email",
    Tags = b"tags",
    Note = b"note",
    Value = b"value",
    LeadStatus = b"lead_status",
    SourceName = b"source_name",
    Source = b"source",
    Medium = b"medium",
    UtmMedium = b"utm_medium",
    Campaign = b"campaign",
    UtmCampaign = b"utm_campaign",
    Keywords = b"keywords",
    Gclid = b"gclid",
    LandingPageUrl = b"landing_page_url",
    Content = b"content",
    MediaUrls = b"media_urls",
    SubmittedAt = b"submitted_at",
    CreatedAt = b"created_at",
    // Copies of other fields under the names of an older generation, beginning with `Timestamp`.
    Timestamp = b"timestamp",
    Datetime = b"datetime",
    Callername = b"callername",
    Callercity = b"callercity",
    Callerstate = b"callerstate",
    Callercountry = b"callercountry",
    Trackingnum = b"trackingnum",
    Destinationnum = b"destinationnum",
    Landingpage = b"landingpage",
    Tag = b"tag",
}

impl Field {
    /// Whether it says in other words what another field says.
    fn is_copy(self) -> bool {
        self >= Self::Timestamp || self == Self::Callernum
    }
}

/// The fields of one payload. What is taken leaves; the rest becomes `extra`.
pub(super) struct Fields<'a> {
    slots: [Raw<'a>; Field::COUNT],
    unknown: Vec<(Cow<'a, str>, Raw<'a>)>,
}

impl<'a> Fields<'a> {
    /// No fields. They are read in place: the slots are too many bytes to be handed on by value for every body.
    pub(super) const fn none() -> Self {
        Self { slots: [Raw::NONE; Field::COUNT], unknown: Vec::new() }
    }

    /// Reads all fields of a body.
    pub(super) fn read(&mut self, body: &'a str) -> Result<(), DecodeError> {
        let put = |name: Cow<'a, str>, value: Raw<'a>| {
            if !self.put_known(&name, value) && !value.is_empty() && !name.starts_with("formatted_") {
                self.unknown.push((name, value));
            }
        };
        scan::members(body, put).ok_or_else(|| DecodeError::of_no_object(body))
    }

    /// Reads the known fields of a body.
    pub(super) fn read_known(&mut self, body: &'a str) -> Result<(), DecodeError> {
        let put = |name: Cow<'a, str>, value| _ = self.put_known(&name, value);
        scan::members(body, put).ok_or_else(|| DecodeError::of_no_object(body))
    }

    /// Whether there is a field of this name, which then has this value.
    fn put_known(&mut self, name: &str, value: Raw<'a>) -> bool {
        match Field::of(name).and_then(|field| self.slots.get_mut(field as usize)) {
            // The last of two members with one name counts, as in every JSON library.
            // What says nothing is put down as such at once: a slot is looked at several times.
            Some(slot) => *slot = if value.is_empty() { Raw::NONE } else { value },
            None => return false,
        }
        true
    }

    /// The value of a field; empty when the payload has none.
    pub(super) fn get(&self, field: Field) -> Raw<'a> {
        self.slots.get(field as usize).copied().unwrap_or(Raw::NONE)
    }

    /// Whether the payload has a value for it.
    pub(super) fn has(&self, field: Field) -> bool {
        !self.get(field).text.is_empty()
    }

    /// Reads a field by `read`; a value that it cannot make sense of stays, for `extra`.
    pub(super) fn take<T>(&mut self, field: Field, read: impl FnOnce(Raw<'a>) -> Option<T>) -> Option<T> {
        let slot = self.slots.get_mut(field as usize)?;
        if slot.text.is_empty() {
            return None;
        }
        let value = read(*slot)?;
        *slot = Raw::NONE;
        Some(value)
    }

    /// The text of a field.
    pub(super) fn take_text(&mut self, field: Field) -> Option<String> {
        self.take(field, |raw| raw.text().map(Cow::into_owned))
    }

    /// The text of the first of two fields that has one; the second stays when the first has one.
    pub(super) fn take_text_of(&mut self, first: Field, second: Field) -> Option<String> {
        self.take_text(first).or_else(|| self.take_text(second))
    }

    /// All that was not taken, as a JSON object: unknown fields, values that could not be read. Fields without a
    /// value and copies of others are left out.
    pub(super) fn extra(&self) -> String {
        let left = Field::ALL.iter().zip(&self.slots).filter(|(_, value)| !value.text.is_empty());
        let known = left.filter(|(field, _)| !field.is_copy()).map(|(field, value)| (field.name(), *value));
        extra::object(known.chain(self.unknown.iter().map(|(name, value)| (&**name, *value))))
    }
}
