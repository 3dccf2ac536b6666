//! hours: a tenant's own time of day: when somebody is there, and when an integration is not to be disturbed.
//!
//! Zones come from the database inside the binary, never from the machine's files: every process, and every replay,
//! reads the same clock.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use leadline_schemas::Millis;
use leadline_schemas::settings::{Integration, Profile};

const DAY_MIN: i32 = 24 * 60;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The tenant's zone; UTC where its name is not known, for a wrong hour is better than no delivery.
fn zone(profile: &Profile) -> TimeZone {
    ZONES.get(&profile.time_zone).unwrap_or(TimeZone::UTC)
}

fn local(profile: &Profile, at: Millis) -> Option<Zoned> {
    Some(Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone(profile)))
}

fn minute_of_day(at: DateTime) -> i32 {
    i32::from(at.hour()) * 60 + i32::from(at.minute())
}

/// Whether somebody is there at `at`. Without hours somebody always is.
pub fn is_open(profile: &Profile, at: Millis) -> bool {
    if profile.hours.is_empty() {
        return true;
    }
    let Some(local) = local(profile, at) else { return true };
    let (weekday, minute) =
        (i32::from(local.weekday().to_monday_one_offset()), minute_of_day(local.datetime()));
    profile
        .hours
        .iter()
        .any(|hours| hours.weekday == weekday && (hours.opens_min..hours.closes_min).contains(&minute))
}

/// When the quiet hours end that an integration is in at `at`; none when it may be disturbed.
pub fn quiet_until(profile: &Profile, integration: &Integration, at: Millis) -> Option<Millis> {
    let (from, to) = (integration.quiet_from_min?, integration.quiet_to_min?);
    let (from, to) = (from.rem_euclid(DAY_MIN), to.rem_euclid(DAY_MIN));
    let local = local(profile, at)?;
    let minute = minute_of_day(local.datetime());
    let is_quiet = if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to };
    if !is_quiet {
        return None;
    }
    let date = if minute < to { local.date() } else { local.date().tomorrow().ok()? };
    let hour_min = (i8::try_from(to / 60).ok()?, i8::try_from(to % 60).ok()?);
    let end = date.at(hour_min.0, hour_min.1, 0, 0).to_zoned(zone(profile)).ok()?;
    // Where a clock is set back the end may lie behind the moment that it is asked for.
    Some(Millis(end.timestamp().as_millisecond()).max(at.plus(Millis::MINUTE)))
}

/// Kinds of integrations that can be told of leads by digests: what is read, and not what is worked on.
pub const GATHERED: [&str; 1] = ["email"];

/// How long an integration's leads are gathered: its option `digest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gathering {
    /// Until the next full hour.
    Hourly,
    /// Until this minute of the tenant's day.
    Daily(i32),
}

impl Gathering {
    /// Reads `hourly` or `daily 07:30`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        match (words.next()?, words.next(), words.next()) {
            ("hourly", None, None) => Some(Self::Hourly),
            ("daily", Some(clock), None) => {
                let (hour, minute) = clock.split_once(':')?;
                let is_number =
                    |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
                let (hour, minute) = Some((hour, minute)).filter(|(h, m)| is_number(h) && is_number(m))?;
                let (hour, minute) = (hour.parse::<i32>().ok()?, minute.parse::<i32>().ok()?);
                (hour < 24 && minute < 60).then_some(Self::Daily(hour * 60 + minute))
            }
            _ => None,
        }
    }
}

/// How an integration gathers its leads; none when it is told of each at once.
pub fn gathering(integration: &Integration) -> Option<Gathering> {
    let text = integration.options.get("digest").filter(|_| GATHERED.contains(&integration.kind.as_str()))?;
    Gathering::parse(text)
}

/// When what is gathered at `at` goes out: after it, by the tenant's clock.
pub fn gathered_until(profile: &Profile, gathering: Gathering, at: Millis) -> Millis {
    let next = match gathering {
        Gathering::Hourly => next_hour(profile, at),
        Gathering::Daily(minute) => next_daily(profile, minute, at),
    };
    next.unwrap_or_else(|| at.plus(Millis::HOUR))
}

fn next_hour(profile: &Profile, at: Millis) -> Option<Millis> {
    let local = local(profile, at)?;
    let of_hour_ms = i64::from(local.minute()) * Millis::MINUTE
        + i64::from(local.second()) * Millis::SECOND
        + i64::from(local.millisecond());
    Some(at.plus(Millis::HOUR - of_hour_ms))
}

fn next_daily(profile: &Profile, minute: i32, at: Millis) -> Option<Millis> {
    let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
    let mut date = local(profile, at)?.date();
    // Where a clock is set back the time comes twice, and the first counts: it may be over while the clock says it is not.
    loop {
        let next = date.at(hour, minute, 0, 0).to_zoned(zone(profile)).ok()?;
        let next = Millis(next.timestamp().as_millisecond());
        if next > at {
            return Some(next);
        }
        date = date.tomorrow().ok()?;
    }
}

/// The tenant's time of day, for people: `08:00`.
pub fn clock(profile: &Profile, at: Millis) -> String {
    match local(profile, at) {
        Some(local) => format!("{:02}:{:02}", local.hour(), local.minute()),
        None => at.to_string(),
    }
}
