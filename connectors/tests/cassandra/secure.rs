//! TLS and passwords.

use leadline_connectors::store_cassandra::{CassandraConfig, CassandraSchema, Tls};

use crate::{fresh, is_unavailable, schema, shared};

#[test]
fn only_who_is_trusted_is_spoken_to_and_only_who_has_the_password_is_let_in() {
    let Some(server) = shared() else { return };
    let config = fresh(server);
    schema(&config);
    let with = |tls: Option<Tls>| CassandraConfig { tls, ..config.clone() };
    let trusted = Some(Tls { authorities: Some(server.certificate()) });
    CassandraSchema::connect(with(trusted.clone())).unwrap();
    // The server's certificate is of no authority that this system knows.
    let why = is_unavailable(CassandraSchema::connect(with(Some(Tls::default()))), "an unknown authority");
    assert!(why.contains("cannot be reached"), "{why}");
    for login in [None, Some(("cassandra".to_owned(), "wrong".to_owned()))] {
        let why = is_unavailable(
            CassandraSchema::connect(CassandraConfig { login, ..with(trusted.clone()) }),
            "no login",
        );
        assert!(!why.contains("wrong"), "a password is in no message: {why}");
    }
}
