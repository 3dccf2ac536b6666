//! Forms as sites send them.

use super::*;

fn decode_pairs(pairs: &[(&str, &str)], map: &[(&str, &str)]) -> FormEvent {
    let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    event("f-1", pairs.iter().map(owned), &map.iter().map(owned).collect()).unwrap()
}

#[test]
fn names_of_form_builders_are_known() {
    for (pairs, name) in [
        (&[("your-name", "Ana Ruiz")][..], Some("Ana Ruiz")),
        (&[("First Name", "Ana"), ("Last Name", "Ruiz")], Some("Ana Ruiz")),
        (&[("fname", "Ana")], Some("Ana")),
        (&[("company_name", "Acme"), ("homeowner_name", "Ana Ruiz")], Some("Ana Ruiz")),
        (&[("company_name", "Acme")], None),
        (&[("input_1_name", "Ana Ruiz"), ("input_2", "ana@example.com")], Some("Ana Ruiz")),
    ] {
        assert_eq!(decode_pairs(pairs, &[]).name.as_deref(), name, "{pairs:?}");
    }
}

#[test]
fn phone_and_email_are_found_by_name_and_then_by_value() {
    let form = decode_pairs(
        &[
            ("fax", "303-555-0100"),
            ("Telephone", "303 555 0142"),
            ("E-Mail", "Ana@Example.COM"),
            ("zip", "80202"),
        ],
        &[],
    );
    assert_eq!(form.phone.as_deref(), Some("+13035550142"));
    assert_eq!(form.email.as_deref(), Some("ana@example.com"));
    let form = decode_pairs(&[("input_3", "(303) 555-0142"), ("input_4", "ana@example.com")], &[]);
    assert_eq!(form.phone.as_deref(), Some("+13035550142"));
    assert_eq!(form.email.as_deref(), Some("ana@example.com"));
    let form = decode_pairs(&[("order", "3035550142"), ("email", "call me"), ("phone", "later")], &[]);
    assert_eq!((form.phone, form.email), (None, None));
}

#[test]
fn the_tenant_knows_better() {
    let map = [("name", "x1"), ("phone", "x2"), ("message", "x3"), ("email", "absent")];
    let form = decode_pairs(
        &[
            ("name", "Acme"),
            ("x1", "Ana"),
            ("phone", "303-555-0100"),
            ("x2", "303-555-0142"),
            ("x3", "roof"),
            ("message", "no"),
            ("mail", "a@b.example"),
        ],
        &map,
    );
    assert_eq!(form.name.as_deref(), Some("Ana"));
    assert_eq!(form.phone.as_deref(), Some("+13035550142"));
    assert_eq!(form.message.as_deref(), Some("roof"));
    assert_eq!(form.email.as_deref(), Some("a@b.example"));
}

#[test]
fn the_message_is_what_somebody_wrote() {
    let form =
        decode_pairs(&[("service", "Roofing"), ("How can we help?", "leak"), ("q", "a b c d e f g")], &[]);
    assert_eq!(form.message.as_deref(), Some("leak"));
    let form = decode_pairs(&[("service", "Roofing"), ("field_9", "we need a new roof by May")], &[]);
    assert_eq!(form.message.as_deref(), Some("we need a new roof by May"));
    assert_eq!(decode_pairs(&[("service", "Roofing")], &[]).message, None);
}

#[test]
fn both_encodings_give_the_same_form() {
    let json = br#"{"name":"Ana","phone":3035550142,"rooms":["bath","kitchen"],"agree":true,"empty":"","none":null}"#;
    let urlencoded = b"name=Ana&phone=3035550142&rooms=bath&rooms=kitchen&agree=true&empty=";
    let map = BTreeMap::new();
    let a = decode("application/json; charset=utf-8", json, "f", &map).unwrap();
    let b = decode("application/x-www-form-urlencoded", urlencoded, "f", &map).unwrap();
    assert_eq!(a, b);
    assert_eq!(a.fields["rooms"], "bath, kitchen");
    assert_eq!(a.fields.len(), 4);
}

#[test]
fn what_is_no_form_is_refused_in_words() {
    let map = BTreeMap::new();
    let refusal = |content_type, body| decode(content_type, body, "f", &map).unwrap_err();
    assert!(matches!(refusal("text/plain", b"a=b"), FormError::MediaType { .. }));
    assert!(matches!(refusal("application/json", b"[1]"), FormError::Malformed { .. }));
    assert!(matches!(refusal("application/json", b"{\"a\""), FormError::Malformed { .. }));
    assert_eq!(refusal("application/json", b"{\"a\":\"\"}"), FormError::Empty);
    assert_eq!(refusal("application/x-www-form-urlencoded", b""), FormError::Empty);
}

#[test]
fn attribution_comes_from_the_usual_hidden_fields() {
    let form = decode_pairs(
        &[
            ("utm_source", "google"),
            ("utm_medium", "cpc"),
            ("utm_campaign", "k"),
            ("utm_term", "kitchen remodel"),
            ("gclid", "g"),
            ("landing_page", "https://a.example/l"),
            ("page_url", "https://a.example/contact"),
        ],
        &[],
    );
    assert_eq!(form.attribution.source.as_deref(), Some("google"));
    assert_eq!(form.attribution.keywords.as_deref(), Some("kitchen remodel"));
    assert_eq!(form.form_url.as_deref(), Some("https://a.example/contact"));
    assert_eq!(form.message, None);
}
