//! Web forms: JSON, urlencoded and multipart.
//!
//! Input: a byte that chooses the content type, a byte of switches, headers as lines, an empty line, the body.

use std::cell::OnceCell;

use http::{Method, Request};
use leadline_schemas::inbound::Origin;

use super::router::{Http, add_headers, in_pieces, split_head};
use super::{Target, filled};

pub const TARGET: Target = Target {
    name: "forms",
    run: forms,
    tokens: &[
        b"------leadline\r\n",
        b"------leadline--\r\n",
        b"Content-Disposition: form-data; name=\"phone\"\r\n\r\n303-555-0142\r\n",
        b"Content-Disposition: form-data; name=\"photo\"; filename=\"a.jpg\"\r\n",
        b"Content-Type: text/plain; charset=utf-16\r\n\r\n",
        b"Content-Type: text/plain; charset=shift_jis\r\n\r\n",
        b"Content-Disposition: form-data; name*=utf-8''%e2%82%ac\r\n\r\n",
        b"\r\n\r\n",
        b"--",
        b"&phone=303-555-0142",
        b"&email=ana%40example.com",
        b"&a=&a=&a=&a=&a=&a=&a=",
        b"&website=robot",
        b"%00%ff%zz%",
        b"+",
        b"{\"a\":[1,[2,{\"b\":null}]]}",
        b"\"phone\":\"303-555-0142\"",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        b"[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]",
        b"origin: https://summit.example\n",
        b"\n\n",
    ],
    memory_bytes_base: 2 << 20,
    memory_bytes_per_byte: 24,
    large: &[
        ("pairs", || filled(b"\x01\x00\n\nx=y", "&a=", b"")),
        ("filled pairs", || filled(b"\x01\x00\n\nx=y", "&a#=b", b"")),
        ("numbers", || filled(b"\x00\x00\n\n{\"a\":[0", ",0", b"]}")),
        ("members", || filled(b"\x00\x00\n\n{\"a\":1", ",\"a#\":1", b"}")),
        ("one name", || filled(b"\x00\x00\n\n{\"a\":1", ",\"a\":[[]]", b"}")),
        ("control characters", || filled(b"\x00\x00\n\n{\"a\":\"", "\\u0001", b"\"}")),
        ("percent signs", || filled(b"\x01\x00\n\na=", "%01", b"")),
        ("parts", || {
            filled(
                b"\x02\x00\n\n",
                "------leadline\r\nContent-Disposition: form-data; name=\"a#\"\r\n\r\nb\r\n",
                b"------leadline--\r\n",
            )
        }),
        ("words", || filled(b"\x00\x00\n\n{\"a\":\"", "a ", b"\"}")),
    ],
};

const CONTENT_TYPES: [&str; 8] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=----leadline",
    "multipart/form-data; boundary=\"----leadline\"; charset=utf-8",
    "multipart/form-data; boundary=",
    "multipart/form-data",
    "text/plain",
    "",
];

/// Takes a form.
pub fn forms(input: &[u8]) {
    thread_local!(static HTTP: OnceCell<Http> = const { OnceCell::new() });
    let [which, switches, rest @ ..] = input else { return };
    let content_type = CONTENT_TYPES[usize::from(*which) % CONTENT_TYPES.len()];
    let (lines, body) = split_head(rest);
    let mut request = Request::new(in_pieces(body, switches >> 5));
    let path = if switches & 1 == 0 { "/v1/forms/form" } else { "/v1/forms/no_such_form" };
    *request.uri_mut() = path.parse().unwrap();
    *request.method_mut() = if switches & 2 == 0 { Method::POST } else { Method::OPTIONS };
    add_headers(&mut request, lines);
    if !content_type.is_empty() {
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
    }
    let origin = request.headers().get("origin").cloned();
    let (answer, events) = HTTP.with(|http| http.get_or_init(Http::new).ask(request));

    if let Some(allowed) = answer.headers.get("access-control-allow-origin") {
        assert_eq!(Some(allowed), origin.as_ref(), "another origin than the one that asks");
        assert!(allowed.as_bytes().eq_ignore_ascii_case(b"https://summit.example"), "{allowed:?}");
    }
    for event in &events {
        assert_eq!(event.origin, Origin::Form);
        assert_eq!(switches & 3, 0, "only a POST to a form of ours writes");
        if event.body_ref.is_some() {
            continue; // Escaped, it has grown beyond what a record takes.
        }
        let fields: std::collections::BTreeMap<String, String> = serde_json::from_slice(&event.body).unwrap();
        assert!(fields.values().any(|value| !value.trim().is_empty()), "an empty form was written");
        assert!(fields.get("website").is_none_or(|value| value.trim().is_empty()), "a robot was let in");
    }
}
