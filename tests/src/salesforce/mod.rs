//! A strict double of Salesforce over real HTTP: sign-in, leads and tasks by external id, alone, composite and in
//! collections, of one organisation. What Salesforce refuses is refused; so are unknown paths, fields and versions.

mod records;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Map, Value, json};

use crate::crm::{Asked, Reply, Server};

/// The version of its paths.
pub const VERSION: &str = "v66.0";
/// A private key that opens nothing but this double.
pub const JWT_KEY: &str = include_str!("../../fixtures/keys/salesforce_jwt.pem");
const JWT_PUBLIC: &[u8] = include_bytes!("../../fixtures/keys/salesforce_jwt_public.der");

const LEAD_FIELDS: [&str; 11] = [
    "LastName",
    "FirstName",
    "Company",
    "Phone",
    "Email",
    "City",
    "Rating",
    "Description",
    "LeadSource",
    "OwnerId",
    "Status",
];
const TASK_FIELDS: [&str; 9] = [
    "Subject",
    "Status",
    "TaskSubtype",
    "CallType",
    "CallObject",
    "ActivityDate",
    "WhoId",
    "OwnerId",
    "Description",
];

/// The double.
pub type Salesforce = Server<State>;

/// An organisation.
pub struct State {
    /// Where it is reached: what the sign-in answers.
    pub instance: String,
    pub client_id: String,
    pub client_secret: String,
    pub username: String,
    /// Sessions that are good.
    pub sessions: BTreeSet<String>,
    pub logins: usize,
    /// Custom fields of leads and tasks, that are external ids, and unique.
    pub lead_keys: BTreeSet<String>,
    pub task_keys: BTreeSet<String>,
    pub leads: BTreeMap<String, Map<String, Value>>,
    pub tasks: BTreeMap<String, Map<String, Value>>,
    /// Requests of the day.
    pub used: u64,
    pub allowed: u64,
    /// Emails that a duplicate rule knows.
    pub duplicates: BTreeSet<String>,
    /// Fields that the organisation wants filled.
    pub required: Vec<String>,
    next_id: u64,
}

/// Starts one without any field of ours.
pub fn start() -> Salesforce {
    let state = State {
        instance: String::new(),
        client_id: "3MVG9.client".to_owned(),
        client_secret: "s3cr3t-0f-the-tenant".to_owned(),
        username: "leadline@summit.example".to_owned(),
        sessions: BTreeSet::new(),
        logins: 0,
        lead_keys: BTreeSet::new(),
        task_keys: BTreeSet::new(),
        leads: BTreeMap::new(),
        tasks: BTreeMap::new(),
        used: 0,
        allowed: 5_000,
        duplicates: BTreeSet::new(),
        required: vec!["LastName".to_owned(), "Company".to_owned()],
        next_id: 0,
    };
    let server = Server::start(state, answer);
    let base = server.base();
    server.with(|state| state.instance = base);
    server
}

impl State {
    /// What setup makes.
    pub fn with_our_fields(&mut self) {
        self.lead_keys.insert("LeadlineKey__c".to_owned());
        self.task_keys.insert("LeadlineKey__c".to_owned());
    }

    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}{:015}", self.next_id)
    }
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!([{ "message": message, "errorCode": code }]))
}

fn answer(state: &mut State, asked: &Asked) -> Reply {
    if asked.path == "/services/oauth2/token" {
        return sign_in(state, asked);
    }
    let bearer =
        asked.header("authorization").and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
    if !state.sessions.contains(bearer) {
        return error(401, "INVALID_SESSION_ID", "Session expired or invalid");
    }
    let prefix = format!("/services/data/{VERSION}/");
    let Some(path) = asked.path.strip_prefix(&prefix) else {
        return error(404, "NOT_FOUND", "The requested resource does not exist");
    };
    if state.used >= state.allowed {
        return error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    }
    state.used += 1;
    let usage =
        format!("api-usage={}/{}, per-app-api-usage=17/250(appName=leadline)", state.used, state.allowed);
    let path: Vec<&str> = path.split('/').collect();
    records::answer(state, asked, &path).header("sforce-limit-info", usage)
}

fn sign_in(state: &mut State, asked: &Asked) -> Reply {
    let refused =
        |error: &str, why: &str| Reply::json(400, &json!({ "error": error, "error_description": why }));
    if asked.method != "POST" || asked.header("content-type") != Some("application/x-www-form-urlencoded") {
        return refused("invalid_request", "must be a form");
    }
    let form = asked.form();
    let value =
        |name: &str| form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    match value("grant_type") {
        "client_credentials" => {
            if value("client_id") != state.client_id || value("client_secret") != state.client_secret {
                return refused("invalid_client", "invalid client credentials");
            }
        }
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
            if let Err(why) = assertion(state, value("assertion")) {
                return refused("invalid_grant", &why);
            }
        }
        _ => return refused("unsupported_grant_type", "grant type not supported"),
    }
    state.logins += 1;
    let token = format!("00D-s3cr3t-session-{}", state.logins);
    state.sessions.insert(token.clone());
    let body = json!({
        "access_token": token, "instance_url": state.instance, "token_type": "Bearer",
        "id": "https://login.salesforce.com/id/00D/005", "issued_at": "1772640000000", "signature": "x",
    });
    Reply::json(200, &body)
}

fn assertion(state: &State, jwt: &str) -> Result<(), String> {
    let (signed, signature) = jwt.rsplit_once('.').ok_or("no JWT")?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| "no base64")?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, JWT_PUBLIC);
    key.verify(signed.as_bytes(), &signature).map_err(|_| "invalid assertion")?;
    let (header, claims) = signed.split_once('.').ok_or("no JWT")?;
    let part = |text: &str| -> Result<Value, String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| "no base64")?;
        serde_json::from_slice(&bytes).map_err(|_| "no JSON".to_owned())
    };
    let (header, claims) = (part(header)?, part(claims)?);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let exp = claims["exp"].as_u64().unwrap_or(0);
    let good = header["alg"] == "RS256"
        && claims["iss"] == state.client_id.as_str()
        && claims["sub"] == state.username.as_str()
        && claims["aud"] == "https://login.salesforce.com";
    match good && exp > now && exp <= now + 300 {
        true => Ok(()),
        false => Err("invalid assertion".to_owned()),
    }
}

pub(crate) fn fields_of(object: &str) -> &'static [&'static str] {
    match object {
        "Lead" => &LEAD_FIELDS,
        _ => &TASK_FIELDS,
    }
}
