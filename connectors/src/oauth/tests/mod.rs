//! What connecting and refreshing promise, against a strict double of an authorisation server.

mod scene;

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use leadline_schemas::Millis;
use leadline_tests::crm::{Fault, decoded, pairs};
use leadline_tests::oauth::CLIENT_SECRET;
use tower::ServiceExt as _;

use self::scene::{Scene, summit};
use super::*;
use crate::contract::provider::CallError;
use crate::contract::tokens::Tokens;

const NOW: i64 = 1_772_640_000_000;
const API_TOKEN: &str = "the-tenants-token";
const PUBLIC_URL: &str = "https://leads.example.com";

fn flow() -> Flow {
    Flow::new(&[[7; 32]])
}

/// Status, location, cookie and page of a GET.
async fn get(
    routes: &axum::Router,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, String, String, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let header = |name: header::HeaderName| {
        answer.headers().get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let (status, location, cookie) = (answer.status(), header(header::LOCATION), header(header::SET_COOKIE));
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, location, cookie, String::from_utf8_lossy(&body).into_owned())
}

/// What a browser does at the vendor: where it is sent back to, as a path.
fn allowed(location: &str) -> String {
    let client = reqwest_blocking(location);
    let back = client.strip_prefix(PUBLIC_URL).expect("back to where it came from");
    back.to_owned()
}

/// A GET by hand, for its Location: a client that follows none.
fn reqwest_blocking(url: &str) -> String {
    use std::io::{Read as _, Write as _};
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("location: "));
    line.unwrap_or_else(|| panic!("refused: {text}")).to_owned()
}

#[tokio::test]
async fn a_person_connects_an_account_of_every_kind_by_a_link() {
    for kind in KINDS {
        let scene = Scene::new(kind);
        let routes = scene.routes();
        let link = flow().link(&summit(), "crm", kind, Millis(NOW)).unwrap();
        let (status, location, cookie, _) =
            get(&routes, &format!("/oauth/{kind}/start?link={link}"), &[]).await;
        assert_eq!(status, StatusCode::SEE_OTHER);
        assert!(cookie.contains("HttpOnly") && cookie.contains("Secure") && cookie.contains("SameSite=Lax"));
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let back = allowed(&location);
        let (status, _, _, page) = get(&routes, &back, &[("cookie", &format!("other=1; {cookie}"))]).await;
        assert_eq!(status, StatusCode::OK, "{kind}: {page}");
        let one = scene.integration();
        let grant = one.grant.unwrap();
        assert_eq!(
            (one.kind.as_str(), grant.access_token.unwrap().0),
            (kind, "summit/integration/crm/grant|s3cr3t-access-1".into())
        );
        let ends = grant.expires_at < Millis(i64::MAX);
        assert_eq!(ends, ["hubspot", "pipedrive"].contains(&kind), "{kind}: {:?}", grant.expires_at);
        let api_url = match kind {
            "pipedrive" => Some("https://summit.pipedrive.com"),
            "salesforce" => Some("https://summit.my.salesforce.com"),
            _ => None,
        };
        assert_eq!(grant.api_url.as_deref(), api_url);
        // The same way back again finds the code used.
        let (status, _, _, page) = get(&routes, &back, &[("cookie", &cookie)]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(page.contains("invalid_code") && !page.contains(CLIENT_SECRET), "{page}");
    }
}

#[tokio::test]
async fn nobody_connects_anything_without_a_link_a_token_and_the_browser_that_began() {
    let scene = Scene::new("salesforce");
    let routes = scene.routes();
    let start = "/oauth/salesforce/start?tenant=summit&integration=crm";
    assert_eq!(get(&routes, start, &[]).await.0, StatusCode::UNAUTHORIZED);
    let bearer = format!("Bearer {API_TOKEN}");
    let (status, location, cookie, _) = get(&routes, start, &[("authorization", &bearer)]).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let back = allowed(&location);

    // Another browser, a state that was changed or has ended, and no code.
    assert_eq!(get(&routes, &back, &[]).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(get(&routes, &back, &[("cookie", "leadline_oauth=guessed")]).await.0, StatusCode::BAD_REQUEST);
    let changed = back.replace("state=", "state=x");
    assert_eq!(get(&routes, &changed, &[("cookie", &cookie)]).await.0, StatusCode::BAD_REQUEST);
    let denied = back.replace("code=code-0", "error=access_denied&error_description=%3Cb%3Eno");
    let (_, _, _, page) = get(&routes, &denied, &[("cookie", &cookie)]).await;
    assert!(page.contains("access_denied &lt;b&gt;no"), "{page}");
    scene.clock.0.store(NOW + 11 * 60_000, Ordering::SeqCst);
    assert_eq!(get(&routes, &back, &[("cookie", &cookie)]).await.0, StatusCode::BAD_REQUEST);
    assert!(scene.shared.integration.lock().unwrap().is_none(), "something was connected");
    scene.clock.0.store(NOW, Ordering::SeqCst);

    // A code of somebody else's way cannot be used: its challenge is another.
    let (_, other, ..) = get(&routes, start, &[("authorization", &bearer)]).await;
    let other = allowed(&other);
    let code = |back: &str| pairs(back.split_once('?').unwrap().1)[0].1.clone();
    let swapped = back.replace(&code(&back), &code(&other));
    let (status, _, _, page) = get(&routes, &swapped, &[("cookie", &cookie)]).await;
    assert!(status == StatusCode::BAD_REQUEST && page.contains("invalid_grant"), "{page}");

    // Links: of another kind, ended, of a state.
    let link = flow().link(&summit(), "crm", "hubspot", Millis(NOW)).unwrap();
    let asked = |link: &str| format!("/oauth/salesforce/start?link={link}");
    assert_eq!(get(&routes, &asked(&link), &[]).await.0, StatusCode::FORBIDDEN);
    let old = flow().link(&summit(), "crm", "salesforce", Millis(NOW - LINK_MAX_MS - 1)).unwrap();
    assert_eq!(get(&routes, &asked(&old), &[]).await.0, StatusCode::FORBIDDEN);
    let state =
        pairs(location.split_once('?').unwrap().1).into_iter().find(|(name, _)| name == "state").unwrap();
    assert_eq!(get(&routes, &asked(&decoded(&state.1)), &[]).await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        get(&routes, "/oauth/hubspot/start?tenant=summit&integration=crm", &[]).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_token_is_refreshed_ahead_of_its_end_and_committed_before_it_is_used() {
    let scene = Scene::new("hubspot");
    scene.granted(NOW + 20 * 60_000);
    let process = scene.process(true);
    assert_eq!(scene.token(&process).await, Ok("access-0".to_owned()));
    process.refresh_ahead(&summit(), &scene.integration()).await.unwrap();
    assert_eq!(scene.generation(), 7, "there is time");
    scene.clock.0.store(NOW + 16 * 60_000, Ordering::SeqCst);
    process.refresh_ahead(&summit(), &scene.integration()).await.unwrap();
    let grant = scene.integration().grant.unwrap();
    assert_eq!((grant.generation, grant.expires_at), (8, Millis(NOW + 46 * 60_000)));
    assert_eq!(grant.api_url.as_deref(), Some("https://summit.example"), "what is not told stays");
    assert_eq!(scene.token(&process).await, Ok("s3cr3t-access-1".to_owned()));

    // What cannot be committed is used by nobody, and its refresh token, which is the only good one, is not lost.
    scene.clock.0.store(NOW + 46 * 60_000, Ordering::SeqCst);
    scene.shared.is_full.store(true, Ordering::SeqCst);
    let answer = scene.token(&process).await;
    assert!(matches!(answer, Err(CallError::Retry { .. })), "{answer:?}");
    assert!(matches!(scene.token(&process).await, Err(CallError::Retry { .. })));
    scene.shared.is_full.store(false, Ordering::SeqCst);
    assert_eq!(scene.token(&process).await, Ok("s3cr3t-access-2".to_owned()));
    assert_eq!(scene.server.with(|state| state.refreshes), 2);
}

#[tokio::test]
async fn a_token_that_was_refused_is_not_handed_out_again() {
    let scene = Scene::new("salesforce");
    scene.granted(i64::MAX);
    let process = scene.process(true);
    let token = process.access(&summit(), &scene.integration()).await.unwrap();
    process.refused(&summit(), &scene.integration(), &token);
    assert_eq!(scene.token(&process).await, Ok("s3cr3t-access-1".to_owned()));
    process.refused(&summit(), &scene.integration(), &token);
    assert_eq!(scene.token(&process).await, Ok("s3cr3t-access-1".to_owned()), "an old refusal");
    assert_eq!(scene.server.with(|state| state.refreshes), 1);
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_refreshes() {
    let scene = Scene::new("pipedrive");
    scene.granted(NOW);
    let process = scene.process(true);
    let answers = futures_util::future::join_all((0..20).map(|_| scene.token(&process))).await;
    assert!(answers.iter().all(|answer| *answer == Ok("s3cr3t-access-1".to_owned())), "{answers:?}");
    assert_eq!((scene.server.with(|state| state.refreshes), scene.generation()), (1, 8));
}

/// Two processes that both take themselves for the owner, as after a hand-over that one has not heard of: the server takes
/// a refresh token once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_race_both_end_with_the_first_ones_token() {
    for _ in 0..10 {
        let scene = Scene::new("hubspot");
        scene.granted(NOW);
        let (one, other) = (scene.process(true), scene.process(true));
        let (first, second) = tokio::join!(scene.token(&one), scene.token(&other));
        assert_eq!((first, second), (Ok("s3cr3t-access-1".to_owned()), Ok("s3cr3t-access-1".to_owned())));
        assert_eq!((scene.server.with(|state| state.refreshes), scene.generation()), (1, 8));
    }
}

#[tokio::test]
async fn who_is_not_the_owner_waits_for_the_owners_token() {
    let scene = Scene::new("hubspot");
    scene.granted(NOW);
    let (owner, other) = (scene.process(true), scene.process(false));
    let (waited, _) = tokio::join!(scene.token(&other), async {
        tokio::task::yield_now().await;
        scene.token(&owner).await
    });
    assert_eq!(waited, Ok("s3cr3t-access-1".to_owned()));
    assert_eq!(scene.server.with(|state| state.refreshes), 1);
}

#[tokio::test]
async fn a_grant_that_was_taken_back_is_a_persons_to_give_again_and_a_busy_server_is_asked_again() {
    let scene = Scene::new("slack");
    scene.granted(NOW);
    let process = scene.process(true);
    scene.server.fail("/token", Fault::answer(503, "<html>"));
    assert!(matches!(scene.token(&process).await, Err(CallError::Retry { .. })));
    scene.server.fail("/token", Fault::answer(200, r#"{"ok":false,"error":"ratelimited"}"#));
    assert!(matches!(scene.token(&process).await, Err(CallError::Retry { .. })));
    scene.server.with(|state| state.refresh = "another".to_owned());
    let before = scene.server.count("/token");
    for _ in 0..3 {
        let Err(CallError::Reject { why }) = scene.token(&process).await else { panic!() };
        assert!(
            why.contains("leadline integration connect summit crm") && why.contains("invalid_grant"),
            "{why}"
        );
        assert!(!why.contains("refresh-0") && !why.contains(CLIENT_SECRET), "{why}");
    }
    assert_eq!(scene.server.count("/token") - before, 1, "a refused grant is asked for again and again");
}
