//! The names of the phrase lists in `data/*.toml`. Which phrases belong to them is data; what they mean is code.

use serde::Deserialize;

/// A list of phrases that mean the same to the scorer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cue {
    // Both sides
    Injection,
    Yes,
    No,
    Correction,
    Negator,
    // What only the company says
    Greeting,
    BudgetQuestion,
    TimeQuestion,
    OwnerQuestion,
    DecisionQuestion,
    CityQuestion,
    NameQuestion,
    PhoneQuestion,
    AppointmentOffer,
    AppointmentConfirmed,
    AreaRefusal,
    TradeRefusal,
    PriceStatement,
    AgentOther,
    // Money
    #[serde(rename = "budget_cue")]
    BudgetWord,
    BudgetNamed,
    BudgetHave,
    NotBudget,
    BudgetNone,
    BudgetWithheld,
    PriceAccepted,
    PriceRefused,
    MoneyNoObject,
    NoMoney,
    MonthlyPayment,
    PriceQuestion,
    CeilingBefore,
    CeilingAfter,
    FloorBefore,
    FloorAfter,
    // Time
    Now,
    OneToThreeMonths,
    ThreeToSixMonths,
    SixMonthsPlus,
    Researching,
    NoHurry,
    Conditional,
    FixedDate,
    Past,
    Emergency,
    Urgent,
    NotEmergency,
    // Who decides
    Owner,
    Sole,
    BothPresent,
    SpouseAbsent,
    Renter,
    NotOwner,
    OthersDecide,
    // Engagement
    CallerOpening,
    Wish,
    Agreed,
    Declined,
    OffersTimes,
    ReadyToBook,
    CallBack,
    Hostile,
    Withdrawn,
    Project,
    Property,
    // Facts
    NameIntro,
    Lives,
    Elsewhere,
    PropertyIn,
    Hoa,
    NoHoa,
    Insurance,
    InsuranceApproved,
    NoInsurance,
    Financing,
    NoFinancing,
    CompetingBids,
    NoCompetingBids,
    BuiltIn,
    NotHouseYear,
}

impl Cue {
    /// The embedded lists.
    pub(super) const FILES: &[&str] = &[
        include_str!("data/talk.toml"),
        include_str!("data/money.toml"),
        include_str!("data/time.toml"),
        include_str!("data/people.toml"),
        include_str!("data/facts.toml"),
    ];

    /// What only the company says; tells sides apart where the input does not.
    pub(super) const AGENT_TALK: &[Cue] = &[
        Cue::Greeting,
        Cue::BudgetQuestion,
        Cue::TimeQuestion,
        Cue::OwnerQuestion,
        Cue::DecisionQuestion,
        Cue::CityQuestion,
        Cue::NameQuestion,
        Cue::PhoneQuestion,
        Cue::AppointmentOffer,
        Cue::AreaRefusal,
        Cue::TradeRefusal,
        Cue::AgentOther,
    ];

    /// What an answer begins with, where nothing else parts it from the question.
    pub(super) const ANSWERS: &[Cue] = &[
        Cue::Yes,
        Cue::No,
        Cue::CallerOpening,
        Cue::NameIntro,
        Cue::Now,
        Cue::OneToThreeMonths,
        Cue::ThreeToSixMonths,
        Cue::SixMonthsPlus,
        Cue::Researching,
        Cue::BudgetNone,
        Cue::BudgetHave,
        Cue::Sole,
        Cue::BothPresent,
        Cue::SpouseAbsent,
        Cue::Agreed,
    ];

    /// What only a caller says.
    pub(super) const CALLER_TALK: &[Cue] = &[Cue::CallerOpening];
}
