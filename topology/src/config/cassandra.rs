//! The record store on Cassandra or ScyllaDB: its keys.

use std::path::PathBuf;

use super::Config;
use super::values::{name, number, shown, yes_or_no};

/// Where the records lie when `records.store` is `cassandra`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cassandra {
    /// `host:port` of some nodes, more of them with commas.
    pub contact_points: String,
    /// The keyspace; `leadline db apply` makes it.
    pub keyspace: String,
    /// The data centre that is asked; none = that of the first node.
    pub datacenter: Option<String>,
    /// Copies of each row in it.
    pub replication: u32,
    /// Who logs in.
    pub user: Option<String>,
    /// Where the password is.
    pub password_file: Option<PathBuf>,
    /// Whether nodes are spoken to by TLS.
    pub tls: bool,
    /// Authorities of the nodes' certificates, as PEM; none = those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for Cassandra {
    fn default() -> Self {
        Self {
            contact_points: String::new(),
            keyspace: "leadline".to_owned(),
            datacenter: None,
            replication: 3,
            user: None,
            password_file: None,
            tls: false,
            ca_file: None,
        }
    }
}

pub(super) fn contact_points(config: &mut Config, text: &str) -> Result<(), String> {
    let is_point = |point: &str| {
        let named = point.trim().rsplit_once(':');
        named.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if !text.split(',').all(is_point) {
        return Err(format!("{} are no nodes: use host:port, more of them with commas", shown(text)));
    }
    config.cassandra.contact_points = text.to_owned();
    Ok(())
}

pub(super) fn keyspace(config: &mut Config, text: &str) -> Result<(), String> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_first = text.starts_with(|first: char| first.is_ascii_lowercase());
    if !is_first || text.len() > 48 || !text.bytes().all(is_word) {
        let what = "use small letters, digits and underscores, a letter first, at most 48";
        return Err(format!("{} is no keyspace: {what}", shown(text)));
    }
    config.cassandra.keyspace = text.to_owned();
    Ok(())
}

pub(super) fn datacenter(config: &mut Config, text: &str) -> Result<(), String> {
    config.cassandra.datacenter = Some(name(text)?);
    Ok(())
}

pub(super) fn replication(config: &mut Config, text: &str) -> Result<(), String> {
    config.cassandra.replication = number(text, 1, 15)?;
    Ok(())
}

pub(super) fn user(config: &mut Config, text: &str) -> Result<(), String> {
    config.cassandra.user = Some(name(text)?);
    Ok(())
}

pub(super) fn password_file(config: &mut Config, text: &str) -> Result<(), String> {
    config.cassandra.password_file = Some(name(text)?.into());
    Ok(())
}

pub(super) fn tls(config: &mut Config, text: &str) -> Result<(), String> {
    config.cassandra.tls = yes_or_no(text)?;
    Ok(())
}

pub(super) fn ca_file(config: &mut Config, text: &str) -> Result<(), String> {
    config.cassandra.ca_file = Some(name(text)?.into());
    Ok(())
}

/// What is wrong with keys that are right one by one; `is_used` = it is the record store.
pub(super) fn together(cassandra: &Cassandra, is_used: bool) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if is_used && cassandra.contact_points.is_empty() {
        let what = "is missing: give host:port of a node, for records.store is cassandra";
        wrong.push(("cassandra.contact_points", what.to_owned()));
    }
    if cassandra.user.is_some() != cassandra.password_file.is_some() {
        wrong.push((
            "cassandra.user",
            "and cassandra.password_file go together: give both or none".to_owned(),
        ));
    }
    if cassandra.ca_file.is_some() && !cassandra.tls {
        wrong.push(("cassandra.ca_file", "is for TLS: set cassandra.tls = true, or leave it out".to_owned()));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_said() {
        let keys = |cassandra: &Cassandra, is_used| {
            together(cassandra, is_used).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert!(keys(&Cassandra::default(), false).is_empty());
        let half =
            Cassandra { user: Some("u".to_owned()), ca_file: Some("ca".into()), ..Cassandra::default() };
        let wanted = ["cassandra.contact_points", "cassandra.user", "cassandra.ca_file"];
        assert_eq!(keys(&half, true), wanted);
    }

    #[test]
    fn nodes_and_keyspaces_are_looked_at_before_they_are_used() {
        let mut config = Config::default();
        for good in ["127.0.0.1:9042", "a:1, b:2"] {
            assert_eq!(contact_points(&mut config, good), Ok(()));
        }
        for bad in ["127.0.0.1", ":9042", "a:1,", "a:99999"] {
            assert!(contact_points(&mut config, bad).is_err(), "{bad}");
        }
        assert_eq!(keyspace(&mut config, "leads_2"), Ok(()));
        for bad in ["", "Leads", "2l", "a;b", "a-b"] {
            assert!(keyspace(&mut config, bad).is_err(), "{bad}");
        }
    }
}
