//! Leads into a CRM, on the real binary and strict doubles of HubSpot and of its authorisation server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use leadline_tests::hubspot::{self, HubSpot};
use leadline_tests::oauth::{self, AuthServer, CLIENT_ID, CLIENT_SECRET};
use leadline_tests::{COMPANY, Instance, call, until};

const PATIENT: Duration = Duration::from_secs(30);
/// The first token that the authorisation server gives out.
const FIRST_TOKEN: &str = "s3cr3t-access-1";

fn cli(leadline: &Instance, args: &[&str]) -> String {
    let done = leadline.cli(args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{args:?}: {}{}", text(&done.stdout), text(&done.stderr));
    text(&done.stdout)
}

/// An instance that knows an application at the authorisation server.
fn configured(server: &AuthServer) -> Instance {
    let leadline = Instance::new();
    let secret = leadline.data.path().join("hubspot-secret");
    std::fs::write(&secret, CLIENT_SECRET).unwrap();
    let toml = format!(
        "[http]\npublic_url = \"http://127.0.0.1:{}\"\n[oauth.hubspot]\nclient_id = \"{CLIENT_ID}\"\nclient_secret_file = \"{}\"\nauthorize_url = \"{}/authorize\"\ntoken_url = \"{}/token\"\n",
        leadline.port,
        secret.display(),
        server.base(),
        server.base()
    );
    std::fs::write(leadline.data.path().join("leadline.toml"), toml).unwrap();
    leadline
}

/// A GET as a browser sends it: status, headers and page.
fn browse(url: &str, cookie: &str) -> (u16, String, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, page) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), page.to_owned())
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))[name.len() + 2..].to_owned()
}

/// A person opens the link, and allows it.
fn connect(leadline: &Instance) {
    let printed = cli(leadline, &["integration", "connect", "summit", "crm", "--kind", "hubspot"]);
    let link = printed.lines().find(|line| line.starts_with("http")).unwrap();
    let (status, head, _) = browse(link, "");
    assert_eq!(status, 303, "{head}");
    let cookie = header(&head, "set-cookie").split(';').next().unwrap().to_owned();
    let (status, head, _) = browse(&header(&head, "location"), "");
    assert_eq!(status, 302, "{head}");
    let (status, _, page) = browse(&header(&head, "location"), &cookie);
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("hubspot is connected"), "{page}");
}

fn counts(double: &HubSpot) -> (usize, usize, usize) {
    double.with(|state| (state.contacts.len(), state.notes.len(), state.calls.len()))
}

#[test]
fn a_person_connects_hubspot_and_a_callers_calls_become_one_contact_through_a_restart() {
    let (server, double) = (oauth::start(), hubspot::start(FIRST_TOKEN));
    let mut leadline = configured(&server);
    leadline.start();
    leadline.tenant("summit", COMPANY, &[]);
    connect(&leadline);
    let url = double.base();
    cli(&leadline, &["integration", "add", "summit", "crm", "--url", &url, "--field", "city=-"]);
    let wrong = leadline.cli(&["integration", "add", "summit", "crm", "--field", "city=citi"]);
    let why = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && why.contains("did you mean \"city\""), "{why}");

    let looked = cli(&leadline, &["integration", "setup", "summit", "crm"]);
    assert!(looked.contains("leadline_key") && looked.contains("nothing was changed"), "{looked}");
    cli(&leadline, &["integration", "setup", "summit", "crm", "--apply"]);
    let tried = cli(&leadline, &["integration", "test", "summit", "crm"]);
    assert!(tried.contains("contacts/batch/upsert") && tried.contains("authorization: ***"), "{tried}");
    assert_eq!(counts(&double), (0, 0, 0), "a trial sends nothing");

    assert_eq!(leadline.hook(&call(COMPANY, 1)), Some(200));
    until("the lead is in HubSpot", PATIENT, || counts(&double) == (1, 1, 1));
    leadline.kill();
    leadline.start();
    // The same person calls again: the grant was kept, and so were the ids.
    let again = call(COMPANY, 1).replace(&format!("CAL{:032x}", 1), "CAL00000000000000000000000000009999");
    assert_eq!(leadline.hook(&again), Some(200));
    until("the second call is in HubSpot", PATIENT, || counts(&double).2 == 2);
    assert_eq!(counts(&double), (1, 1, 2));
    let contact = double.with(|state| state.contacts.values().next().unwrap().clone());
    assert!(contact["leadline_key"].as_str().unwrap().starts_with("summit:+1"), "{contact:?}");
    assert!(!contact.contains_key("city"), "it was left out: {contact:?}");
    assert_eq!(server.with(|state| state.refreshes), 0);
    let log = leadline.log_text();
    assert!(!log.contains(FIRST_TOKEN) && !log.contains(CLIENT_SECRET), "a secret in the log");
}
