//! What every [`Secrets`] promises.

use leadline_schemas::settings::Sealed;

use crate::contract::secrets::Secrets;

/// Runs the suite against one store of secrets.
pub fn suite(secrets: &dyn Secrets) {
    what_was_sealed_opens_for_the_same_context_only(secrets);
    the_same_secret_never_looks_the_same(secrets);
    any_change_is_noticed_and_no_error_shows_the_secret(secrets);
}

fn what_was_sealed_opens_for_the_same_context_only(secrets: &dyn Secrets) {
    let long = vec![0xA5; 100_000];
    for plain in [&b"whsec_1234"[..], b"", "schlüssel ☎".as_bytes(), &long] {
        let sealed = secrets.seal("tenant/COM1", plain).unwrap();
        assert_eq!(secrets.open("tenant/COM1", &sealed).unwrap(), plain);
        for other in ["tenant/COM2", "tenan/tCOM1", "", "tenant/COM1 "] {
            assert!(secrets.open(other, &sealed).is_err(), "it must not open for {other:?}");
        }
    }
}

fn the_same_secret_never_looks_the_same(secrets: &dyn Secrets) {
    let (one, two) = (secrets.seal("t/c", b"secret").unwrap(), secrets.seal("t/c", b"secret").unwrap());
    assert_ne!(one, two, "equal secrets must not be told by their sealed form");
    assert!(!one.0.contains("secret"));
}

fn any_change_is_noticed_and_no_error_shows_the_secret(secrets: &dyn Secrets) {
    let sealed = secrets.seal("t/c", b"hush-hush").unwrap();
    for position in 0..sealed.0.len() {
        let mut bytes = sealed.0.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let changed = Sealed(String::from_utf8(bytes).unwrap());
        let error = secrets.open("t/c", &changed).expect_err("a changed byte must be noticed");
        assert_eq!(error.context, "t/c");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    for not_sealed in ["", ":", "v1", "v1:", "v1::", "v2:00000000:AAAA", "hush-hush", "☎:☎:☎"] {
        assert!(secrets.open("t/c", &Sealed(not_sealed.to_owned())).is_err(), "{not_sealed:?}");
    }
    for length in 0..sealed.0.len() {
        assert!(secrets.open("t/c", &Sealed(sealed.0[..length].to_owned())).is_err(), "cut to {length}");
    }
}
