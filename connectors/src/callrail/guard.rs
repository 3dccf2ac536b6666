//! Guard: which addresses are fetched, because a webhook or an answer named them.
//!
//! An address in a payload is somebody else's word. Without a guard it could have leadline fetch what only leadline can
//! reach: its own admin address, a cloud's metadata service, a neighbour. So a fetch starts at CallRail's two hosts over
//! https, is redirected, one hop at a time, to CallRail's or Amazon's hosts only, never goes to an address of a private
//! network, whatever a name resolves to at the moment of connecting, and shows the API key to the API alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

const API_HOST: &str = "api.callrail.com";
const APP_HOST: &str = "app.callrail.com";
/// Where CallRail keeps recordings.
const STORAGE_SUFFIX: &str = ".amazonaws.com";
const CALLRAIL_SUFFIX: &str = ".callrail.com";
/// Longest address that is looked at; a signed one has some 1,500 bytes.
const URL_BYTES_MAX: usize = 8 << 10;

/// Why an address is not fetched. The address itself may hold a signature and is not told, but for its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// No address at all.
    #[error("the address of the recording is not a URL")]
    NoUrl,
    /// Of a kind that is never fetched.
    #[error("the address at {host:?} is not fetched: {why}")]
    Forbidden {
        /// Its host.
        host: String,
        /// Why not.
        why: &'static str,
    },
}

/// Judges addresses.
#[derive(Clone, Debug)]
pub struct UrlGuard {
    base: Url,
    /// The host of a configured base that is not CallRail's own: it may be anywhere, and without TLS.
    own_host: Option<String>,
}

impl UrlGuard {
    /// For this API: CallRail's own, or one that stands in for it.
    pub fn new(base_url: &str) -> Result<Self, GuardError> {
        let base = Url::parse(base_url).map_err(|_| GuardError::NoUrl)?;
        let host = base.host_str().ok_or(GuardError::NoUrl)?;
        let is_callrails = host == API_HOST || host.ends_with(CALLRAIL_SUFFIX);
        let own_host = (!is_callrails).then(|| host.to_owned());
        Ok(Self { base, own_host })
    }

    /// Where a fetch may start.
    pub fn start(&self, address: &str) -> Result<Url, GuardError> {
        self.judge(parse(address)?, |host| host == API_HOST || host == APP_HOST)
    }

    /// Where what was sent with a text may be fetched: where redirects of recordings lead, too.
    pub fn medium(&self, address: &str) -> Result<Url, GuardError> {
        self.judge(parse(address)?, is_callrails_or_storage)
    }

    /// Where a redirect from `from` leads, if it may be followed.
    pub fn hop(&self, from: &Url, location: &str) -> Result<Url, GuardError> {
        if location.len() > URL_BYTES_MAX {
            return Err(GuardError::NoUrl);
        }
        let next = from.join(location).map_err(|_| GuardError::NoUrl)?;
        self.judge(next, is_callrails_or_storage)
    }

    /// Whether this is an address of the API, which has to be asked with the key.
    pub fn is_api(&self, url: &Url) -> bool {
        is_same_origin(url, &self.base) && url.path().starts_with("/v3/")
    }

    /// The API's own address.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Resolves names for the HTTP client, and refuses those that lead into a private network.
    pub(super) fn resolver(&self) -> PublicOnly {
        PublicOnly { own_host: self.own_host.clone() }
    }

    fn judge(&self, url: Url, is_known: impl Fn(&str) -> bool) -> Result<Url, GuardError> {
        let host = url.host_str().ok_or(GuardError::NoUrl)?;
        let forbidden = |why| Err(GuardError::Forbidden { host: host.chars().take(80).collect(), why });
        if !url.username().is_empty() || url.password().is_some() {
            return forbidden("it carries a name or password");
        }
        if self.own_host.as_deref() == Some(host) {
            return match url.scheme() == self.base.scheme() {
                true => Ok(url),
                false => forbidden("it has another scheme than callrail.base_url"),
            };
        }
        if url.scheme() != "https" {
            return forbidden("it is not https");
        }
        if url.port().is_some() {
            return forbidden("it names a port");
        }
        if url.domain().is_none() {
            return forbidden("it is an IP address");
        }
        if !is_known(host) {
            return forbidden("only CallRail's own hosts are fetched, and the storage that they redirect to");
        }
        Ok(url)
    }
}

fn is_callrails_or_storage(host: &str) -> bool {
    host.ends_with(CALLRAIL_SUFFIX) || host.ends_with(STORAGE_SUFFIX)
}

fn parse(address: &str) -> Result<Url, GuardError> {
    if address.len() > URL_BYTES_MAX {
        return Err(GuardError::NoUrl);
    }
    Url::parse(address).map_err(|_| GuardError::NoUrl)
}

/// Whether what is shown to one may be shown to the other.
pub(super) fn is_same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// A resolver of public addresses. A name is resolved where the connection is made, so none can change its mind between
/// a check and its use.
#[derive(Clone, Debug)]
pub(super) struct PublicOnly {
    own_host: Option<String>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let is_own = self.own_host.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !is_own && let Some(private) = found.iter().find(|address| !is_public(address.ip())) {
                let why = format!("{} resolves to {}, which is not public", name.as_str(), private.ip());
                return Err(why.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

impl PublicOnly {
    /// For the HTTP client.
    pub(super) fn shared(self) -> Arc<dyn Resolve> {
        Arc::new(self)
    }
}

/// Whether an address is one of the public internet (IANA's special-purpose registries, RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        || (a, b, c) == (192, 0, 0);
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(ip) = ip.to_ipv4_mapped() {
        return is_public_v4(ip);
    }
    let [a, b, c, d, e, f, g, h] = ip.segments();
    if (a, b) == (0x64, 0xff9b) && (c, d, e, f) == (0, 0, 0, 0) {
        // NAT64: the address that it stands for is in its last 32 bits.
        let [[g, g2], [h, h2]] = [g.to_be_bytes(), h.to_be_bytes()];
        return is_public_v4(Ipv4Addr::new(g, g2, h, h2));
    }
    // Only 2000::/3 is given out; of it 2001::/23 and 2002::/16 are for tunnels and tests, 2001:db8::/32 for texts.
    let is_global = a & 0xe000 == 0x2000;
    let is_special = a == 0x2002 || (a == 0x2001 && (b < 0x200 || b == 0xdb8));
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIRECT: &str = "https://app.callrail.com/calls/CAL1/recording/redirect?access_key=a";

    fn guard() -> UrlGuard {
        UrlGuard::new(super::super::BASE_URL).unwrap()
    }

    #[test]
    fn a_fetch_starts_at_callrail_and_nowhere_else() {
        let guard = guard();
        for good in [
            REDIRECT,
            "https://api.callrail.com/v3/a/ACC1/calls/CAL1/recording.json",
            "HTTPS://APP.CallRail.com/x",
        ] {
            assert!(guard.start(good).is_ok(), "{good}");
        }
        for bad in [
            "http://app.callrail.com/x",
            "https://app.callrail.com:8443/x",
            "https://app.callrail.com@evil.example/x",
            "https://u:p@app.callrail.com/x",
            "https://app.callrail.com.evil.example/x",
            "https://evilcallrail.com/x",
            "https://app.callrail.com./x",
            "https://s3.amazonaws.com/x",
            "https://127.0.0.1/x",
            "https://2130706433/x",
            "https://[::1]/x",
            "https://localhost/x",
            "https://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "gopher://app.callrail.com/x",
            "//app.callrail.com/x",
            "",
            "no url",
        ] {
            let why = guard.start(bad).unwrap_err().to_string();
            assert!(!why.contains("access_key"), "{why}");
        }
    }

    #[test]
    fn a_redirect_leads_to_callrail_or_its_storage() {
        let guard = guard();
        let from = guard.start(REDIRECT).unwrap();
        for good in [
            "/other",
            "https://recordings.s3.us-east-1.amazonaws.com/a.mp3?X-Amz-Signature=b",
            "https://media.callrail.com/a",
        ] {
            assert!(guard.hop(&from, good).is_ok(), "{good}");
        }
        for bad in [
            "http://s3.amazonaws.com/a",
            "https://amazonaws.com.evil.example/a",
            "https://evilamazonaws.com/a",
            "https://10.0.0.1/a",
            "https://[::ffff:127.0.0.1]/a",
            "//127.0.0.1/a",
            "https://evil.example/a",
        ] {
            assert!(guard.hop(&from, bad).is_err(), "{bad}");
        }
        assert!(guard.medium("https://s3.amazonaws.com/a.jpg").is_ok() && guard.medium(REDIRECT).is_ok());
        for bad in
            ["https://evil.example/a.jpg", "http://s3.amazonaws.com/a", "https://10.0.0.1/a", "blob:summit/a"]
        {
            assert!(guard.medium(bad).is_err(), "{bad}");
        }
        let storage = guard.hop(&from, "https://s3.amazonaws.com/a").unwrap();
        assert!(!is_same_origin(&from, &storage) && !guard.is_api(&storage) && !guard.is_api(&from));
    }

    #[test]
    fn a_configured_base_is_fetched_under_its_own_scheme_and_nothing_else_is_loosened() {
        let guard = UrlGuard::new("http://127.0.0.1:9000").unwrap();
        let from = guard.start("http://127.0.0.1:9000/calls/CAL1/recording/redirect").unwrap();
        assert!(guard.hop(&from, "http://127.0.0.1:9001/a.mp3").is_ok(), "the host counts");
        assert!(guard.start("https://127.0.0.1:9000/x").is_err());
        assert!(
            guard.start("http://127.0.0.2:9000/x").is_err()
                && guard.start("http://localhost:9000/x").is_err()
        );
        assert!(guard.start(REDIRECT).is_ok(), "webhooks of CallRail's own stay what they are");
        assert!(guard.is_api(&guard.start("http://127.0.0.1:9000/v3/a.json").unwrap()));
        assert!(UrlGuard::new("not a url").is_err() && UrlGuard::new("data:x").is_err());
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_connected_to() {
        let public = |text: &str| is_public(text.parse().unwrap());
        for good in [
            "8.8.8.8",
            "52.216.1.1",
            "100.63.0.1",
            "192.0.1.1",
            "2600:1f18::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(public(good), "{good}");
        }
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001::1",
        ] {
            assert!(!public(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused_where_it_is_resolved() {
        let resolve = |guard: UrlGuard| async move {
            guard.resolver().resolve("localhost".parse().unwrap()).await.map(|addresses| addresses.count())
        };
        assert!(resolve(guard()).await.is_err());
        assert!(resolve(UrlGuard::new("http://localhost:1").unwrap()).await.is_ok_and(|count| count > 0));
    }
}
