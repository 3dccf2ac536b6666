//! A backfill with and without `--deliver`, on the real binary and strict doubles of CallRail, HubSpot and Slack.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leadline_schemas::Millis;
use leadline_tests::callrail::{CallRail, Limits};
use leadline_tests::crm::Fault;
use leadline_tests::hubspot::{self, HubSpot};
use leadline_tests::slack::{self, Slack};
use leadline_tests::{COMPANY, Instance, Receiver, until};
use serde_json::{Value, json};

const ACCOUNT: &str = "ACC8154748ae6bd4e278a7cddd38a662f4f";
const API_KEY: &str = "the-key-of-the-api-0123456789";
const CRM_TOKEN: &str = "pat-na1-of-a-test";
const PATIENT: Duration = Duration::from_secs(90);
/// Callers of each of the two ranges.
const CALLERS: usize = 40;
const TALK: &str = "Agent: Summit Kitchens. Caller: Hi, we own our home in Denver and want to remodel the kitchen next \
                    month, our budget is sixty thousand dollars.";

/// Where old leads may go, and where they may not.
struct Scene {
    callrail: CallRail,
    crm: HubSpot,
    slack: Slack,
    receiver: Receiver,
    leadline: Instance,
    token: String,
    began_ms: i64,
}

impl Scene {
    /// A tenant that is connected with CallRail, and tells a CRM, a receiver of plain HTTP and a channel of leads.
    fn start() -> Self {
        let (callrail, crm) = (CallRail::start(), hubspot::start(CRM_TOKEN));
        let (slack, receiver) = (Slack::start(), Receiver::start(false));
        callrail.account(ACCOUNT, API_KEY);
        callrail.company(ACCOUNT, COMPANY, "Summit Kitchens");
        callrail.limits(ACCOUNT, Limits { hour: 100_000, day: 100_000 });
        crm.with(|state| {
            state.with_our_properties();
            state.limit = 100_000;
        });
        slack.unlimited();
        let limits = "per_minute = 100000\nper_hour = 100000\nper_day = 1000000\npull_interval_s = 1\n";
        let leadline = Instance::configured(&format!("{}{limits}", callrail.toml()));
        let mut scene =
            Self { callrail, crm, slack, receiver, leadline, token: String::new(), began_ms: now_ms() };
        let key = scene.leadline.data.path().join("api.key");
        std::fs::write(&key, API_KEY).unwrap();
        let added =
            scene.json(&["tenant", "add", "summit", "--integration", &scene.receiver.address.clone()]);
        scene.token = added["api_token"].as_str().unwrap().to_owned();
        let url = format!("http://127.0.0.1:{}", scene.leadline.port);
        let key = key.to_str().unwrap();
        let connect = ["tenant", "connect-callrail", "summit", "--api-key-file", key, "--company", COMPANY];
        scene.cli(&[&connect[..], &["--public-url", &url, "--apply"]].concat());
        let (crm, slack) = (scene.crm.base(), scene.slack.api());
        let add = ["integration", "add", "summit"];
        let of_crm = ["crm", "--kind", "hubspot", "--url", &crm, "--secret", CRM_TOKEN, "--band-min", "cold"];
        scene.cli(&[&add[..], &of_crm].concat());
        let of_slack = ["sales", "--kind", "slack", "--url", &slack, "--secret", slack::TOKEN];
        scene.cli(&[&add[..], &of_slack, &["--option", "channel=C0LEADS", "--band-min", "cold"]].concat());
        scene
    }

    fn cli(&self, args: &[&str]) -> String {
        let done = self.leadline.cli(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(done.status.success(), "{args:?}: {}{}", text(&done.stdout), text(&done.stderr));
        text(&done.stdout)
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.cli(args)).unwrap()
    }

    /// Callers of so many hours ago; a third of them was missed.
    fn add_calls(&self, from: usize, hours_ago: i64) {
        for n in from..from + CALLERS {
            let mut call = json!({
                "start_time": Millis(self.began_ms - hours_ago * Millis::HOUR + n as i64).to_string(),
                "customer_phone_number": format!("+1303555{n:04}"),
                "transcription": TALK,
            });
            if n % 3 == 0 {
                call["answered"] = json!(false);
                call["call_type"] = json!("missed");
                call["transcription"] = Value::Null;
            }
            self.callrail.call(COMPANY, &format!("CAL{n:032x}"), call);
        }
    }

    /// Goes from so many hours ago to so many, of when the scene began: the same range is the same backfill.
    fn backfill(&self, hours_ago: (i64, i64), more: &[&str]) -> Value {
        let at = |hours: i64| Millis(self.began_ms - hours * Millis::HOUR).to_string();
        let (from, to) = (at(hours_ago.0), at(hours_ago.1));
        let range = ["backfill", "--tenant", "summit", "--from", &from, "--to", &to, "--json"];
        self.json(&[&range[..], more].concat())
    }

    fn listing(&self, what: &str) -> Vec<Value> {
        self.leadline.listing("summit", what, &self.token)
    }

    /// Contacts, notes and calls that the CRM has.
    fn in_crm(&self) -> (usize, usize, usize) {
        self.crm.with(|state| (state.contacts.len(), state.notes.len(), state.calls.len()))
    }

    /// What the receiver was told: the keys of each lead's revision, and nothing but leads.
    fn received(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (key, body) in self.receiver.seen.lock().unwrap().iter() {
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["type"], "lead", "nobody is alerted of old calls: {body}");
            keys.entry(format!("{} {}", body["lead_id"], body["revision"])).or_default().insert(key.clone());
        }
        keys
    }

    /// All that is to be delivered is.
    fn wait_delivered(&self, count: usize) {
        let mut lines = Vec::new();
        until("every line of the ledger is done", PATIENT, || {
            lines = self.listing("deliveries");
            lines.len() >= count && lines.iter().all(|line| line["status"] == "done")
        });
        assert_eq!(lines.len(), count);
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

#[test]
fn a_backfill_delivers_nothing_and_with_deliver_each_lead_once_to_machines_alone_through_kill_9() {
    let mut scene = Scene::start();
    // Too young to be old by their age alone.
    scene.add_calls(0, 3);
    scene.add_calls(CALLERS, 6);
    scene.leadline.start();

    let done = scene.backfill((4, 2), &[]);
    assert_eq!(done["status"], "done", "{done}");
    until("the leads of the first range", PATIENT, || scene.listing("leads").len() == CALLERS);
    assert_eq!(scene.listing("deliveries"), [Value::Null; 0]);

    // Of the second the CRM takes one note whose answer is lost, and hangs on a call: leadline dies with both under way.
    scene.crm.fail("/notes", Fault::Lose);
    scene.crm.fail("POST /crm/objects/2026-03/calls", Fault::Hang);
    let begun = scene.backfill((7, 5), &["--deliver", "--no-wait"]);
    until("a call that hangs", PATIENT, || {
        scene.crm.asked().iter().any(|asked| asked.path.ends_with("/calls") && asked.status.is_none())
    });
    scene.leadline.kill();
    scene.leadline.start();
    until("half of it", PATIENT, || scene.in_crm().1 >= CALLERS / 2);
    scene.leadline.kill();
    scene.leadline.start();
    let done = scene.backfill((7, 5), &["--deliver"]);
    assert_eq!((&done["backfill"], &done["status"]), (&begun["backfill"], &json!("done")), "{done}");
    scene.wait_delivered(2 * CALLERS);
    assert_eq!(scene.in_crm(), (CALLERS, CALLERS, CALLERS), "{}", scene.leadline.log_text());
    let received = scene.received();
    assert_eq!(received.len(), CALLERS, "{received:?}");
    assert!(received.values().all(|keys| keys.len() == 1), "one key for each lead: {received:?}");

    // The same again changes nothing; a call of today is told to everybody, and behind it nothing old.
    assert_eq!(scene.backfill((7, 5), &["--deliver"])["status"], "done");
    let today = "CAL000000000000000000000000000fffff";
    let start = Millis(now_ms() - 120_000).to_string();
    let call = json!({"start_time": start, "customer_phone_number": "+13035559999", "transcription": TALK});
    scene.callrail.call(COMPANY, today, call);
    assert!(scene.callrail.post_call(today).iter().all(|sent| sent.status == Some(200)));
    scene.wait_delivered(2 * CALLERS + 3);
    assert_eq!(scene.in_crm(), (CALLERS + 1, CALLERS + 1, CALLERS + 1));
    let posted = scene.slack.messages();
    assert!(
        posted.len() == 1 && posted[0].blocks.to_string().contains("(303) 555-9999"),
        "people hear of today's alone: {posted:?}"
    );
    assert_eq!(scene.slack.complaints(), [""; 0]);
}
