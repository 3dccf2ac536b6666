//! What the scorer is given and what it answers: the JSON of `leadline score`, one record per line.
//!
//! Input is read leniently, because it comes from other people's exports: a missing, null or ill-typed field is
//! the same as one never sent, unknown fields are ignored, and a number may arrive as a string. Output is strict.

mod input;
mod output;
mod reply;

pub use input::{CallMeta, ScoreInput, ServiceArea, TenantProfile, Turn};
pub use output::{Evidence, Extracted, Factors, ScoreOutput};
pub use reply::{ScoreJob, ScoreOutcome, ScoreReply, TokenUsage};

use serde::{Deserialize, Serialize};

/// Declares an enum with its wire names in one place, with `as_str` and `parse` beside serde.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $wire:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $wire)] $variant),+ }

        impl $name {
            /// Every value, in the order of `scoring.md`.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $wire),+ }
            }

            /// The value with this wire name, whatever its case.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(name.trim()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_enum! {
    /// How the contact arrived.
    Channel {
        /// A phone call with two sides.
        Call = "call",
        /// A message left on the machine: one side only.
        Voicemail = "voicemail",
        /// A text message or a thread of them.
        Text = "text",
        /// A web form.
        Form = "form",
    }
}

wire_enum! {
    /// How much a salesperson should hurry.
    Band {
        /// 80 and more.
        Hot = "hot",
        /// 60 to 79.
        Warm = "warm",
        /// 40 to 59.
        Nurture = "nurture",
        /// Below 40, and every contact that is no lead.
        Cold = "cold",
    }
}

impl Band {
    /// Score from which a lead is hot.
    pub const HOT_MIN: u8 = 80;
    /// Score from which a lead is warm.
    pub const WARM_MIN: u8 = 60;
    /// Score from which a lead is worth nurturing.
    pub const NURTURE_MIN: u8 = 40;

    /// The band of a score.
    #[must_use]
    pub const fn of(score: u8) -> Self {
        match score {
            Self::HOT_MIN.. => Self::Hot,
            Self::WARM_MIN.. => Self::Warm,
            Self::NURTURE_MIN.. => Self::Nurture,
            _ => Self::Cold,
        }
    }
}

wire_enum! {
    /// What kind of contact this is. Only `Lead` can be anything but cold.
    Class {
        /// Somebody who may buy a project, a past customer with a new one included.
        Lead = "lead",
        /// Automated or deceptive mass contact.
        Spam = "spam",
        /// Somebody who wants to work for the company.
        JobSeeker = "job_seeker",
        /// A person or firm that sells to the company.
        Vendor = "vendor",
        /// Somebody who meant to reach another number.
        WrongNumber = "wrong_number",
        /// Service, payment, warranty or scheduling of work already sold.
        ExistingCustomer = "existing_customer",
        /// A project outside the area the company serves.
        OutOfArea = "out_of_area",
        /// Nothing tells what the contact wants.
        NoConversation = "no_conversation",
    }
}

wire_enum! {
    /// The trade of the project.
    ProjectType {
        /// Kitchen.
        Kitchen = "kitchen",
        /// Bathroom.
        Bath = "bath",
        /// Basement.
        Basement = "basement",
        /// Room addition, accessory dwelling unit, garage conversion.
        AdditionAdu = "addition_adu",
        /// Roof.
        Roof = "roof",
        /// Siding.
        Siding = "siding",
        /// Windows and exterior doors.
        WindowsDoors = "windows_doors",
        /// Deck, patio, porch, pergola, fence.
        DeckOutdoor = "deck_outdoor",
        /// Flooring.
        Flooring = "flooring",
        /// Heating, ventilation, air conditioning.
        Hvac = "hvac",
        /// The whole house, or many rooms at once.
        WholeHome = "whole_home",
        /// Small repairs.
        RepairHandyman = "repair_handyman",
        /// Offices, shops, restaurants.
        Commercial = "commercial",
        /// Anything else.
        Other = "other",
    }
}

wire_enum! {
    /// When the work should start.
    Timeline {
        /// Within 30 days.
        Now0To30Days = "now_0_30d",
        /// In one to three months.
        OneToThreeMonths = "1_3mo",
        /// In three to six months.
        ThreeToSixMonths = "3_6mo",
        /// In more than six months.
        SixMonthsPlus = "6mo_plus",
        /// No date: just looking.
        Researching = "researching",
    }
}

wire_enum! {
    /// Who decides.
    DecisionMaker {
        /// The caller alone.
        Sole = "sole",
        /// The caller with a partner who is on the call or agreed to be there.
        BothPresent = "both_present",
        /// Somebody else has to be asked first.
        SpouseAbsent = "spouse_absent",
        /// The caller rents; the landlord decides.
        RenterLandlord = "renter_landlord",
    }
}

wire_enum! {
    /// How pressing the need is.
    Urgency {
        /// Damage or danger right now: leak, storm, no heat.
        Emergency = "emergency",
        /// Soon, with a reason.
        Urgent = "urgent",
        /// A project that can wait for its date.
        Planned = "planned",
    }
}

wire_enum! {
    /// Who says a turn.
    Speaker {
        /// The company's side.
        Agent = "agent",
        /// The person who called.
        Caller = "caller",
    }
}

#[cfg(test)]
mod tests;
