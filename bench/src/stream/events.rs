//! Synthetic post-calls. Event i is a function of i alone, so that log, oracle and baseline see the same ones.
//!
//! 1,000 tenants with Zipf(1.1) shares, 5% duplicates byte for byte, at most 20,000 events behind their original,
//! event time in steps of 1.8 ms with 5 s of disorder: the workload that the peers were measured with. The body has
//! the fields of a post-call of today and a transcript that fills it up to 1 KiB.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use leadline_connectors::clock_system::SystemClock;
use leadline_connectors::contract::clock::Clock as _;
use leadline_schemas::Millis;

/// Bytes of a body.
pub(crate) const BODY_BYTES: usize = 1_024;
/// Tenants.
pub(crate) const TENANTS: usize = 1_000;
/// Exponent of the tenants' shares.
const ZIPF: f64 = 1.1;
/// Duplicates in a hundred events.
const DUPLICATES_PERCENT: u64 = 5;
/// How far behind its original a duplicate comes at most, in events.
const DUPLICATE_LAG_MAX: u64 = 20_000;
/// Event time from one event to the next: a million events span half an hour.
pub(crate) const STEP_US: u64 = 1_800;
/// How far event times are out of order.
const DISORDER_MS: u64 = 5_000;

const SOURCES: [&str; 6] = ["Google Ads", "Google Organic", "Bing Ads", "Direct", "Facebook", "Yelp"];
const WORDS: [&str; 24] = [
    "caller",
    "asked",
    "about",
    "pricing",
    "for",
    "a",
    "roof",
    "repair",
    "and",
    "wants",
    "an",
    "estimate",
    "on",
    "tuesday",
    "morning",
    "agent",
    "confirmed",
    "address",
    "thank",
    "you",
    "please",
    "when",
    "the",
    "crew",
];

/// All events of one run.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    /// How many there are, and how many came before them: those are only in the state store.
    pub(crate) count: u64,
    pub(super) earlier: u64,
    /// When the first of them happened.
    pub(super) begins: Millis,
    shares: Vec<f64>,
}

/// What follows from an event's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The number of the original; its own when it is no duplicate.
    pub(super) root: u64,
    pub(crate) tenant: usize,
    pub(super) at: Millis,
    chance: u64,
}

impl Events {
    /// `count` events behind `earlier` ones, the first of which happened at `begins`.
    pub(crate) fn new(count: u64, earlier: u64, begins: Millis) -> Self {
        let mut shares: Vec<f64> = (1..=TENANTS).map(|rank| (rank as f64).powf(-ZIPF)).collect();
        let total: f64 = shares.iter().sum();
        let mut sum = 0.0;
        for share in &mut shares {
            sum += *share / total;
            *share = sum;
        }
        Self { count, earlier, begins, shares }
    }

    /// As `new`, the last of which has just happened: older ones would be backfills.
    pub(crate) fn until_now(count: u64, earlier: u64) -> Result<Self> {
        let span_ms = i64::try_from((earlier + count) * STEP_US / 1_000)?;
        Ok(Self::new(count, earlier, SystemClock.wall().plus(-span_ms - 60_000)))
    }

    /// The numbers of the events.
    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.earlier..self.earlier + self.count
    }

    /// The event of this number.
    pub(crate) fn of(&self, number: u64) -> Event {
        let root = self.root(number);
        let chance = mix(root.wrapping_mul(2));
        let point = (mix(chance) >> 11) as f64 / (1_u64 << 53) as f64;
        let tenant = self.shares.partition_point(|share| *share < point).min(TENANTS - 1);
        let ms = root * STEP_US / 1_000 + mix(chance.wrapping_add(1)) % DISORDER_MS;
        Event { root, tenant, at: self.begins.plus(i64::try_from(ms).unwrap_or(i64::MAX)), chance }
    }

    /// The original of an event. With earlier events, every other duplicate is of one of them, however old.
    fn root(&self, mut number: u64) -> u64 {
        while number >= self.earlier {
            let chance = mix(number.wrapping_mul(2).wrapping_add(1));
            if chance % 100 >= DUPLICATES_PERCENT {
                return number;
            }
            if self.earlier > 0 && chance & 0x1_0000 == 0 {
                return mix(chance) % self.earlier;
            }
            let lag = mix(chance) % DUPLICATE_LAG_MAX + 1;
            if lag > number - self.earlier {
                return number;
            }
            number -= lag;
        }
        number
    }
}

/// The id of a tenant's company.
pub(crate) fn company_id(tenant: usize) -> String {
    format!("COM{tenant:032x}")
}

/// The name of a tenant.
pub(crate) fn tenant_name(tenant: usize) -> String {
    format!("t{tenant:04}")
}

impl Event {
    /// The call's id.
    pub(super) fn call_id(&self) -> String {
        format!("CAL{:016x}{:016x}", mix(self.root), mix(self.root ^ 0xABCD))
    }

    /// The caller's number: a caller of one tenant, as often as chance has it.
    pub(super) fn caller(&self) -> String {
        format!("+1{}", 2_002_000_000 + mix(self.chance ^ 3) % 7_997_999_999 / 10 * 10)
    }

    /// The body of the webhook.
    pub(crate) fn body(&self) -> Result<Vec<u8>> {
        let mut body = Vec::with_capacity(BODY_BYTES + 32);
        let (id, at, r) = (self.call_id(), local_time(self.at), self.chance);
        write!(
            body,
            r#"{{"resource_id":"{id}","company_id":{},"company_resource_id":"{}","company_name":"Summit Kitchens","#,
            155_000_000 + self.tenant,
            company_id(self.tenant)
        )?;
        write!(
            body,
            r#""answered":{},"voicemail":false,"call_type":"answered","direction":"inbound","duration":"{}","first_call":{},"#,
            r % 5 != 0,
            mix(r ^ 4) % 900,
            r % 3 == 0
        )?;
        write!(
            body,
            r#""customer_name":"DENVER CO","customer_phone_number":"{}","customer_city":"Denver","customer_state":"CO","tracking_phone_number":"+1303555{:04}","agent_email":null,"#,
            self.caller(),
            self.tenant
        )?;
        let source = SOURCES.get(r as usize % SOURCES.len()).copied().unwrap_or_default();
        write!(
            body,
            r#""source_name":"{source}","campaign":"","gclid":"{:016x}","landing_page_url":"https://example.com/lp/{:x}","recording":"https://app.callrail.com/calls/{id}/recording","#,
            mix(r ^ 5),
            r % 4_096
        )?;
        write!(
            body,
            r#""tags":[],"note":"","value":"","lead_status":null,"start_time":"{at}","timestamp":"{at}","transcription":""#
        )?;
        let mut word = r;
        while body.len() < BODY_BYTES - 2 {
            word = mix(word);
            body.extend_from_slice(
                WORDS.get(word as usize % WORDS.len()).copied().unwrap_or_default().as_bytes(),
            );
            body.push(b' ');
        }
        body.truncate(BODY_BYTES - 2);
        body.extend_from_slice(b"\"}");
        let bytes = body.len();
        (bytes == BODY_BYTES).then_some(body).with_context(|| format!("a body came to {bytes} bytes"))
    }
}

/// As CallRail writes times: with the company's offset.
fn local_time(at: Millis) -> String {
    const OFFSET_MS: i64 = -7 * Millis::HOUR;
    let text = at.plus(OFFSET_MS).to_string();
    format!("{}-07:00", text.trim_end_matches('Z'))
}

/// splitmix64.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leadline_schemas::callrail;

    #[test]
    fn bodies_are_webhooks_that_say_what_the_oracle_counts() {
        let events = Events::new(2_000, 0, Millis(1_772_640_000_000));
        for number in events.numbers() {
            let event = events.of(number);
            let (_, decoded) = callrail::decode(None, &event.body().unwrap()).unwrap();
            assert_eq!(decoded.occurred_at(), Some(event.at));
            assert_eq!(decoded.subject_id(), event.call_id());
            assert_eq!(decoded.caller(), Some(event.caller().as_str()));
        }
    }

    #[test]
    fn one_in_twenty_is_a_duplicate_and_half_of_those_are_old_where_there_are_old_ones() {
        let share = |events: &Events, is: &dyn Fn(u64, u64) -> bool| {
            let found = events.numbers().filter(|number| is(*number, events.of(*number).root)).count();
            found as f64 / events.count as f64
        };
        let events = Events::new(50_000, 0, Millis(0));
        assert!((0.04..0.06).contains(&share(&events, &|number, root| number != root)));
        let events = Events::new(50_000, 100_000, Millis(0));
        assert!((0.04..0.06).contains(&share(&events, &|number, root| number != root)));
        assert!((0.02..0.04).contains(&share(&events, &|_, root| root < 100_000)));
    }
}
