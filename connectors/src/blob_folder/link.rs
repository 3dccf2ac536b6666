//! Links that expire: what our own API lets in without a token.

use leadline_schemas::Millis;
use ring::hmac;

/// The path of the route that answers links; behind it comes the object's name.
pub const LINK_PATH: &str = "/v1/blobs/";

/// What keys of links are derived for.
pub const LINK_PURPOSE: &str = "links to blobs";

/// Signs links, and knows its own: HMAC-SHA256 over the name and the time at which it ends.
#[derive(Clone)]
pub struct LinkSigner {
    /// The newest signs, each is known.
    keys: Vec<hmac::Key>,
    base: String,
}

impl LinkSigner {
    /// Signs with the last of the keys. `base` is the address of the API as others see it, or nothing for links
    /// that are paths.
    pub fn new(keys: &[[u8; 32]], base: &str) -> Self {
        let keys = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect();
        Self { keys, base: base.trim_end_matches('/').to_owned() }
    }

    /// The link; none without a key.
    pub(super) fn link(&self, name: &str, until: Millis) -> Option<String> {
        let until_s = until.0.div_euclid(1_000);
        let tag = hmac::sign(self.keys.last()?, &signed(name, until_s));
        let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("{}{LINK_PATH}{name}?expires={until_s}&signature={signature}", self.base))
    }

    /// Whether a link with these is one of ours, and has not ended.
    pub fn admits(&self, name: &str, expires_s: i64, signature: &str, now: Millis) -> bool {
        let Some(tag) = from_hex(signature) else { return false };
        let content = signed(name, expires_s);
        let is_ours = self.keys.iter().any(|key| hmac::verify(key, &content, &tag).is_ok());
        is_ours && now.0 < expires_s.saturating_mul(1_000)
    }
}

/// Names have no newline, so there is one reading.
fn signed(name: &str, until_s: i64) -> Vec<u8> {
    format!("GET\n{name}\n{until_s}").into_bytes()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(link: &str) -> (&str, i64, &str) {
        let (name, query) = link.split_once(LINK_PATH).unwrap().1.split_once('?').unwrap();
        let (expires, signature) = query.split_once('&').unwrap();
        let expires = expires.strip_prefix("expires=").unwrap().parse().unwrap();
        (name, expires, signature.strip_prefix("signature=").unwrap())
    }

    #[test]
    fn a_link_opens_one_object_until_its_end() {
        let signer = LinkSigner::new(&[[1; 32], [2; 32]], "https://leads.example/");
        let link = signer.link("summit/2026/03/CAL1", Millis(5_000)).unwrap();
        assert!(link.starts_with("https://leads.example/v1/blobs/summit/2026/03/CAL1?expires=5&"), "{link}");
        let (name, expires_s, signature) = parts(&link);
        assert!(signer.admits(name, expires_s, signature, Millis(4_999)));
        assert!(!signer.admits(name, expires_s, signature, Millis(5_000)), "it has ended");
        assert!(!signer.admits("summit/2026/03/CAL2", expires_s, signature, Millis(0)));
        assert!(!signer.admits(name, expires_s + 1, signature, Millis(0)));
        for wrong in ["", "00", "zz", &signature[1..], &signature.replace(&signature[..2], "00")] {
            assert!(!signer.admits(name, expires_s, wrong, Millis(0)), "{wrong:?}");
        }
        let (old, other) = (LinkSigner::new(&[[2; 32], [3; 32]], ""), LinkSigner::new(&[[1; 32]], ""));
        assert!(old.admits(name, expires_s, signature, Millis(0)), "the key that signed is still there");
        assert!(!other.admits(name, expires_s, signature, Millis(0)));
    }
}
