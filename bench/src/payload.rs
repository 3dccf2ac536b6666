//! Signed webhooks, made ahead: a post-call whose company, id and caller are holes, and a signature per event.
//!
//! An event is its number: from it follow the three holes, so that of each only the 28 bytes of its signature are
//! kept. A client that had to sign or to build texts would be measured together with the server.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// The key that all companies of a benchmark sign with.
pub(crate) const KEY: &str = "072e77e426f92738a72fe23c4d1953b4";

/// Bytes of a base64 HMAC-SHA1.
const SIGNATURE_BYTES: usize = 28;
/// Digits of the number in a caller's phone number: ten million callers.
const CALLER_DIGITS: usize = 7;
/// What all calls' ids begin with, and hex digits of the number that follows.
const CALL_PREFIX: &str = "CAL00000000000000000000";
const CALL_DIGITS: usize = 12;
/// Hex digits of the number in a company's id.
const COMPANY_DIGITS: usize = 4;

/// The company of tenant `tenant`.
pub(crate) fn company(tenant: usize) -> String {
    format!("COM338e6107d0eb4712af2d4f2f8a18{tenant:0COMPANY_DIGITS$x}")
}

/// The id of call `number`.
pub(crate) fn call_id(number: u64) -> String {
    format!("{CALL_PREFIX}{number:0CALL_DIGITS$x}")
}

/// The number of the call whose id stands in a text.
pub(crate) fn number_of_call(text: &[u8]) -> Option<u64> {
    let prefix = CALL_PREFIX.as_bytes();
    let at = text.windows(prefix.len()).position(|window| window == prefix)? + prefix.len();
    u64::from_str_radix(std::str::from_utf8(text.get(at..at + CALL_DIGITS)?).ok()?, 16).ok()
}

/// Now, as payloads have it.
pub(crate) fn now() -> Result<String> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(leadline_schemas::Millis(i64::try_from(since.as_millis())?).to_string())
}

/// A request with its holes; each connection has one and fills it in place.
#[derive(Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    body_at: usize,
    signature_at: usize,
    company_at: usize,
    call_at: usize,
    caller_at: usize,
    tenants: usize,
}

impl Request {
    /// A post-call of `body_bytes`, padded by its transcript, for `tenants` companies in turn. `started_at` is the
    /// time of the call: what is older than a day is a backfill, of which nobody is told.
    pub(crate) fn post_call(body_bytes: usize, tenants: usize, started_at: &str) -> Result<Self> {
        Self::call(body_bytes, tenants, started_at, ("answered", true))
    }

    /// As [`Request::post_call`], of calls that nobody has answered.
    pub(crate) fn missed_call(body_bytes: usize, tenants: usize, started_at: &str) -> Result<Self> {
        Self::call(body_bytes, tenants, started_at, ("missed", false))
    }

    fn call(
        body_bytes: usize,
        tenants: usize,
        started_at: &str,
        (call_type, answered): (&str, bool),
    ) -> Result<Self> {
        const HOLE: &str = "@@";
        let (company, call) = (company(0), call_id(0));
        let fields = serde_json::json!({
            "resource_id": call, "company_resource_id": company, "company_name": "Summit Kitchens",
            "answered": answered, "voicemail": false, "call_type": call_type, "direction": "inbound",
            "duration": "412", "first_call": true, "customer_name": "DENVER CO",
            "customer_phone_number": "+13030000000", "customer_city": "Denver", "customer_state": "CO",
            "tracking_phone_number": "+17205550100", "recording": null, "tags": [], "transcription": HOLE,
            "start_time": started_at, "timestamp": started_at,
        });
        let plain = fields.to_string();
        let missing = (body_bytes + HOLE.len()).checked_sub(plain.len());
        let missing = missing.with_context(|| format!("a post-call has at least {} bytes", plain.len()))?;
        let talk = "Caller: Hi, we own our home in Denver and want to remodel the kitchen next month, our budget is \
                    about sixty thousand dollars. Agent: Great, can we come by on Tuesday at ten? Caller: Yes. ";
        let talk: String = talk.chars().cycle().take(missing).collect();
        let body = plain.replace(HOLE, &talk);
        let head = format!(
            "POST /v1/callrail/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Signature: {}\r\nContent-Length: {}\r\n\r\n",
            "=".repeat(SIGNATURE_BYTES),
            body.len()
        );
        let text = head + &body;
        let hole = |what: &str| text.find(what).with_context(|| format!("{what} is in the request"));
        let body_at = hole("\r\n\r\n")? + 4;
        Ok(Self {
            body_at,
            signature_at: hole("Signature: ")? + "Signature: ".len(),
            company_at: hole(&company)? + company.len() - COMPANY_DIGITS,
            call_at: hole(&call)? + call.len() - CALL_DIGITS,
            caller_at: hole("+1303")? + "+1303".len(),
            bytes: text.into_bytes(),
            tenants,
        })
    }

    /// The request of event `number`, unsigned.
    fn fill(&mut self, number: u64) {
        let tenant = number % self.tenants.max(1) as u64;
        self.digits(self.company_at, COMPANY_DIGITS, 16, tenant);
        self.digits(self.call_at, CALL_DIGITS, 16, number);
        self.digits(self.caller_at, CALLER_DIGITS, 10, number);
    }

    fn digits(&mut self, at: usize, count: usize, base: u64, mut value: u64) {
        for place in self.bytes.iter_mut().skip(at).take(count).rev() {
            *place = b"0123456789abcdef".get((value % base) as usize).copied().unwrap_or(b'0');
            value /= base;
        }
    }

    /// The request of event `number` of `events`, ready to be written.
    pub(crate) fn of(&mut self, events: &Events, number: u64) -> Option<&[u8]> {
        let signature = events.signature(number)?;
        self.fill(number);
        self.bytes
            .get_mut(self.signature_at..self.signature_at + SIGNATURE_BYTES)?
            .copy_from_slice(signature);
        Some(&self.bytes)
    }

    fn body(&self) -> &[u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }
}

/// Events `first..first + count`, signed.
pub(crate) struct Events {
    first: u64,
    signatures: Vec<[u8; SIGNATURE_BYTES]>,
}

impl Events {
    /// Signs them, on all cores.
    pub(crate) fn sign(request: &Request, first: u64, count: u64) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let share = count.div_ceil(threads).max(1);
        let parts = std::thread::scope(|scope| {
            let part = |index: u64| {
                let mut request = request.clone();
                let (from, to) = (first + index * share, first + ((index + 1) * share).min(count));
                scope.spawn(move || {
                    (from..to).map(|number| signature(&mut request, number)).collect::<Vec<_>>()
                })
            };
            let running: Vec<_> = (0..threads).map(part).collect();
            running.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        let mut signatures = Vec::with_capacity(count as usize);
        for part in parts {
            signatures.extend(part.map_err(|_| anyhow::anyhow!("a thread that signs ended badly"))?);
        }
        Ok(Self { first, signatures })
    }

    /// The numbers of the events.
    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.signatures.len() as u64
    }

    fn signature(&self, number: u64) -> Option<&[u8; SIGNATURE_BYTES]> {
        self.signatures.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

fn signature(request: &mut Request, number: u64) -> [u8; SIGNATURE_BYTES] {
    request.fill(number);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, KEY.as_bytes());
    let mut text = [b'='; SIGNATURE_BYTES];
    // 20 bytes are always 28 characters, so there is room.
    let _ = STANDARD.encode_slice(hmac::sign(&key, request.body()), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_a_body_of_its_own_that_its_signature_fits() {
        let mut request = Request::post_call(1_024, 16, "2026-03-04T16:12:33Z").unwrap();
        let events = Events::sign(&request, 7, 100).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, KEY.as_bytes());
        for number in events.numbers() {
            let text = String::from_utf8(request.of(&events, number).unwrap().to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.len(), 1_024);
            let given = head.split("Signature: ").nth(1).unwrap().lines().next().unwrap();
            let mac = STANDARD.decode(given).unwrap();
            assert!(hmac::verify(&key, body.as_bytes(), &mac).is_ok());
            let fields: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(fields["resource_id"], call_id(number).as_str());
            assert_eq!(fields["company_resource_id"], company(number as usize % 16).as_str());
            assert_eq!(call_id(number).len(), 35);
            assert_eq!(number_of_call(body.as_bytes()), Some(number));
        }
        assert!(request.of(&events, 107).is_none() && request.of(&events, 6).is_none());
    }
}
