//! What the double knows, and who asked what.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use leadline_schemas::Millis;
use serde_json::{Map, Value, json};

use super::Asking;

/// An account's limits: requests in a clock hour and in a day.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub hour: usize,
    pub day: usize,
}

/// How a request fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// With this status and body.
    Answer(u16, String),
    /// With nothing, for ever.
    Hang,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: String,
    pub authorization: Option<String>,
    pub status: u16,
}

pub(crate) struct Account {
    pub keys: Vec<String>,
    pub is_hipaa: bool,
    pub limits: Limits,
    /// Times of requests, in milliseconds.
    pub requests: Vec<i64>,
}

pub(crate) struct Company {
    pub account: String,
    pub name: String,
    pub status: &'static str,
    /// Webhooks of the older generation carry this.
    pub numeric_id: Option<u64>,
    pub integration: Option<Integration>,
    pub filters: Vec<Value>,
    /// Deliveries that failed in a row.
    pub failures: u32,
}

pub(crate) struct Integration {
    pub id: u64,
    pub state: String,
    pub config: Map<String, Value>,
    pub signing_key: String,
}

pub(crate) struct Call {
    pub id: String,
    pub company: String,
    /// Everything that the API could tell.
    pub members: Map<String, Value>,
    pub audio: Option<Vec<u8>>,
}

pub(crate) struct State {
    pub api: SocketAddr,
    pub storage: SocketAddr,
    pub accounts: BTreeMap<String, Account>,
    pub companies: BTreeMap<String, Company>,
    pub calls: Vec<Call>,
    /// Forms and conversations: company, name of the list, row.
    pub listed: Vec<(String, &'static str, Value)>,
    /// Keys of links, and the calls that they are of.
    pub links: HashMap<String, String>,
    pub redirect_to: Option<String>,
    pub refuses_good_leads: bool,
    pub forgotten_fields: Vec<String>,
    pub faults: Vec<(String, Fault)>,
    pub asked: Vec<Asked>,
    /// Write-backs whose webhook is still to be sent.
    pub echoes: Vec<(String, Vec<String>)>,
    pub now_ms: Option<i64>,
    numbers: u64,
}

/// A query's pairs.
pub(crate) fn links_of(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(a, b)| (decoded(a), decoded(b)))
        .collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.replace('+', " ").into_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl State {
    pub(crate) fn new(api: SocketAddr, storage: SocketAddr) -> Self {
        Self {
            api,
            storage,
            accounts: BTreeMap::new(),
            companies: BTreeMap::new(),
            calls: Vec::new(),
            listed: Vec::new(),
            links: HashMap::new(),
            redirect_to: None,
            refuses_good_leads: false,
            forgotten_fields: Vec::new(),
            faults: Vec::new(),
            asked: Vec::new(),
            echoes: Vec::new(),
            now_ms: None,
            numbers: 0,
        }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.api)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn now(&self) -> i64 {
        self.now_ms.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            i64::try_from(now.as_millis()).unwrap()
        })
    }

    pub(crate) fn account(&mut self, id: &str, key: &str) {
        let account = Account {
            keys: vec![key.to_owned()],
            is_hipaa: false,
            limits: Limits { hour: 1_000, day: 10_000 },
            requests: Vec::new(),
        };
        self.accounts.insert(id.to_owned(), account);
    }

    pub(crate) fn company(&mut self, account: &str, id: &str, name: &str) {
        assert!(self.accounts.contains_key(account), "no account {account}");
        let company = Company {
            account: account.to_owned(),
            name: name.to_owned(),
            status: "active",
            numeric_id: None,
            integration: None,
            filters: Vec::new(),
            failures: 0,
        };
        self.companies.insert(id.to_owned(), company);
    }

    pub(crate) fn company_mut(&mut self, id: &str) -> &mut Company {
        self.companies.get_mut(id).unwrap_or_else(|| panic!("no company {id}"))
    }

    pub(crate) fn add_call(&mut self, company: &str, id: &str, call: Value) {
        let now = Millis(self.now()).to_string();
        let (account, name) = {
            let company = self.company_mut(company);
            (company.account.clone(), company.name.clone())
        };
        let mut members = json!({
            "id": id, "company_id": company, "company_name": name, "answered": true, "voicemail": false,
            "call_type": "answered", "direction": "inbound", "duration": 60, "first_call": true, "prior_calls": 0,
            "total_calls": 1, "customer_name": "DENVER CO", "customer_phone_number": "+13035550142",
            "customer_city": "Denver", "customer_state": "CO", "customer_country": "US", "agent_email": null,
            "tracking_phone_number": "+13035550100", "business_phone_number": "+13035550111", "recording": null,
            "recording_duration": null, "recording_player": null, "start_time": now, "created_at": now, "tags": [],
            "note": "", "value": null, "lead_status": null, "source": "Google Ads", "source_name": "PPC",
            "person_id": "PERb122fc301ec45f5aa021d4cc180c1a79", "tracker_id": "TRK8154748ae6bd4e278a7cddd38a662f4f",
            "transcription": null, "conversational_transcript": null, "company_time_zone": "America/Denver",
        })
        .as_object()
        .unwrap()
        .clone();
        members.extend(call.as_object().unwrap().clone());
        members.insert("account_id".to_owned(), json!(account));
        self.calls.push(Call { id: id.to_owned(), company: company.to_owned(), members, audio: None });
    }

    pub(crate) fn change(&mut self, id: &str, changes: &Value) {
        let call = self.find_mut(id).unwrap_or_else(|| panic!("no call {id}"));
        call.members.extend(changes.as_object().unwrap().clone());
    }

    pub(crate) fn record(&mut self, id: &str, audio: Vec<u8>) {
        let base = self.base();
        let call = self.find_mut(id).unwrap_or_else(|| panic!("no call {id}"));
        let account = call.members["account_id"].as_str().unwrap().to_owned();
        let address = format!("{base}/v3/a/{account}/calls/{id}/recording.json");
        call.members.insert("recording".to_owned(), json!(address));
        // A string in the API, a number in webhooks.
        call.members.insert("recording_duration".to_owned(), json!("57"));
        call.audio = Some(audio);
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Call> {
        self.calls.iter().find(|call| call.id == id)
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.id == id)
    }

    pub(crate) fn fault(&mut self, path: &str) -> Option<Fault> {
        let at = self.faults.iter().position(|(part, _)| path.contains(part.as_str()))?;
        Some(self.faults.remove(at).1)
    }

    pub(crate) fn note(&mut self, asking: &Asking, path: &str, status: u16) {
        let authorization = asking.headers.get("authorization").and_then(|value| value.to_str().ok());
        self.asked.push(Asked {
            method: asking.method.to_string(),
            path: path.to_owned(),
            query: asking.query.clone(),
            body: String::from_utf8_lossy(&asking.body).into_owned(),
            authorization: authorization.map(str::to_owned),
            status,
        });
    }
}
