//! CallRail's webhooks, direct events and `process`: path, headers and body.
//!
//! Input: a byte that chooses the address, a byte of switches, headers as lines, an empty line, the body.

use std::cell::OnceCell;

use http::{Method, Request};
use leadline_schemas::inbound::Origin;

use super::router::{Http, TOKEN, add_headers, in_pieces, sign, split_head};
use super::{Target, filled};

pub const TARGET: Target = Target {
    name: "webhook",
    run: webhook,
    tokens: &[
        b"\"resource_id\":\"CAL1\"",
        b"\"company_resource_id\":\"COM338e6107d0eb4712af2d4f2f8a18c900\"",
        b"\"company_id\":155920786",
        b"\"changes\":[\"tags\"]",
        b"\"form_data\":{\"phone\":\"303-555-0142\"}",
        b"\"message_type\":\"sms\",\"source_number\":\"770-555-5555\"",
        b"\"transcription\":\"Agent: a Caller: b\"",
        b"\"type\":\"call\"",
        b"\"transcript\":[{\"speaker\":\"caller\",\"text\":\"x\"}]",
        b"\"call_id\":\"CAL1\"",
        b"\"start_time\":\"2018-02-19T13:41:00.236-05:00\"",
        b"\\ud83d",
        b"\xEF\xBB\xBF",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        b"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
        b"1e400",
        b"-0",
        b"99999999999999999999999999",
        b"content-encoding: gzip\n",
        b"content-length: 18446744073709551616\n",
        b"content-type: text/xml\n",
        b"idempotency-key: \xff\n",
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
        b"\n\n",
        b"\0",
        b"\",\"",
        b"null",
    ],
    memory_bytes_base: 2 << 20,
    memory_bytes_per_byte: 24,
    large: &[
        ("members", || {
            filled(b"\x03\x01\n\n{\"resource_id\":\"CAL1\",\"company_id\":155920786", ",\"a#\":1", b"}")
        }),
        ("numbers", || {
            filled(b"\x03\x01\n\n{\"resource_id\":\"CAL1\",\"company_id\":155920786,\"x\":[0", ",0", b"]}")
        }),
        ("tags", || {
            filled(b"\x03\x01\n\n{\"resource_id\":\"CAL1\",\"company_id\":155920786,\"tags\":[0", ",0", b"]}")
        }),
        ("tags in a text", || {
            filled(
                b"\x03\x01\n\n{\"resource_id\":\"CAL1\",\"company_id\":155920786,\"tags\":\"a",
                ",a",
                b"\"}",
            )
        }),
        ("phrases", || {
            let head = b"\x03\x01\n\n{\"resource_id\":\"CAL1\",\"company_id\":155920786,\"conversational_transcript\":[0";
            filled(head, ",{\"speaker\":\"speaker #\",\"phrase\":\"b\"}", b"]}")
        }),
        ("labels", || {
            let head = b"\x03\x01\n\n{\"resource_id\":\"CAL1\",\"company_id\":155920786,\"transcription\":\"";
            filled(head, "Agent:a Caller:b ", b"\"}")
        }),
        ("form fields", || {
            filled(
                b"\x09\x01\n\n{\"resource_id\":\"F1\",\"company_id\":155920786,\"form_data\":{\"a\":1",
                ",\"a#\":1",
                b"}}",
            )
        }),
        ("control characters", || {
            filled(
                b"\x03\x01\n\n{\"resource_id\":\"CAL1\",\"company_id\":155920786,\"x\":\"",
                "\\u0001",
                b"\"}",
            )
        }),
        ("spaces", || filled(b"\x03\x01\n\n{", " ", b"\"resource_id\":\"CAL1\",\"company_id\":155920786}")),
        ("direct turns", || {
            filled(
                b"\x10\x02\n\n{\"type\":\"call\",\"transcript\":[{\"text\":\"a\"}",
                ",{\"text\":\"a\"}",
                b"]}",
            )
        }),
        ("direct tags", || filled(b"\x10\x02\n\n{\"type\":\"call\",\"tags\":[\"a\"", ",\"a\"", b"]}")),
        ("direct fields", || {
            filled(b"\x10\x02\n\n{\"type\":\"form\",\"fields\":{\"a\":\"b\"", ",\"a#\":\"b\"", b"}}")
        }),
        ("direct unknown numbers", || filled(b"\x10\x02\n\n{\"type\":\"call\",\"x\":[0", ",0", b"]}")),
    ],
};

/// Paths; those of CallRail's webhooks first.
const PATHS: [&str; 20] = [
    "/v1/callrail/webhook",
    "/v1/callrail/webhook/pre_call",
    "/v1/callrail/webhook/call_routing_complete",
    "/v1/callrail/webhook/post_call",
    "/v1/callrail/webhook/call_modified",
    "/v1/callrail/webhook/outbound_post_call",
    "/v1/callrail/webhook/outbound_call_modified",
    "/v1/callrail/webhook/text_received",
    "/v1/callrail/webhook/text_sent",
    "/v1/callrail/webhook/form_submission",
    "/v1/callrail/webhook/convert_assist_complete",
    "/v1/sources/source/callrail/post_call",
    "/v1/sources/source/callrail/text_sent",
    "/v1/sources/source/callrail/form_submission",
    "/v1/callrail/webhook/no_such_event",
    "/v1/sources/no_such_key/callrail/post_call",
    "/v1/tenants/summit/events",
    "/v1/tenants/summit/process",
    "/v1/tenants/%2e%2e%2fsummit/events",
    "/v1/callrail/webhook/post_call/%00?timestamp=2018-02-19T13%3A41%3A00&x=%zz",
];
/// How many of them are CallRail's.
const HOOKS: usize = 16;

/// Takes a request.
pub fn webhook(input: &[u8]) {
    thread_local!(static HTTP: OnceCell<Http> = const { OnceCell::new() });
    let [which, switches, rest @ ..] = input else { return };
    let which = usize::from(*which) % PATHS.len();
    let (signed, authorised) = (switches & 1 != 0, switches & 2 != 0);
    let (lines, body) = split_head(rest);
    let mut request = Request::new(in_pieces(body, switches >> 5));
    *request.uri_mut() = PATHS[which].parse().unwrap();
    *request.method_mut() = match switches & 0b1_1000 {
        0b0_1000 => Method::GET,
        0b1_0000 => Method::HEAD,
        _ => Method::POST,
    };
    let is_post = request.method() == Method::POST;
    add_headers(&mut request, lines);
    let forged = request.headers().contains_key("signature");
    if signed {
        request.headers_mut().insert("signature", sign(body).parse().unwrap());
    }
    if authorised {
        request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    }
    let encoded = request.headers().contains_key("content-encoding");
    let (answer, events) = HTTP.with(|http| http.get_or_init(Http::new).ask(request));

    let Some(event) = events.first() else {
        // A rightly signed body of a known company that names a call is refused for nothing but its encoding.
        if which < HOOKS && is_post && signed && !encoded && answer.status != 200 {
            let usable = leadline_schemas::callrail::peek(None, body).is_ok_and(|peek| {
                peek.company_ids().any(|id| id == "155920786" || id == "COM338e6107d0eb4712af2d4f2f8a18c900")
            });
            let known_path = which < HOOKS - 2;
            let announced_wrong = lines.to_ascii_lowercase().windows(14).any(|w| w == b"content-length");
            assert!(
                !(usable && known_path) || announced_wrong,
                "{}: a good webhook was refused: {:?}",
                answer.status,
                answer.body
            );
        }
        return;
    };
    assert!(is_post, "only a POST writes");
    assert!(event.content_type.len() < 100);
    if which < HOOKS {
        assert!(signed || (forged && event.body == body), "an unsigned webhook was written");
        assert_eq!(event.origin, Origin::CallrailWebhook);
        assert!(event.body == body, "the raw body is kept, byte for byte");
        assert!(leadline_schemas::callrail::decode(Some(event.kind), &event.body).is_ok());
    } else {
        assert!(authorised || lines.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes()), "without a token");
    }
}
