//! Bearer tokens of the tenants' own API.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use leadline_schemas::TenantId;
use leadline_schemas::settings::Tenant;
use ring::digest::{SHA256, digest};

use super::problem::Problem;
use crate::contract::source::Intake;

/// The tenant that a request speaks for: the path names it and its token proves it.
///
/// A tenant that does not exist, a missing token and another tenant's token are one answer, reached by the same
/// work. New settings are waited for before a refusal, so a tenant that was just added is known.
pub async fn tenant_of(intake: &dyn Intake, path: &str, headers: &HeaderMap) -> Result<Arc<Tenant>, Problem> {
    let (Ok(id), Some(token)) = (TenantId::new(path), bearer(headers)) else {
        return Err(Problem::unauthorized());
    };
    let shown = hex(digest(&SHA256, token).as_ref());
    let find = |settings: &leadline_schemas::settings::Settings| {
        let tenant = settings.tenant(&id);
        let known = tenant.map_or("", |tenant| tenant.api_token_sha256.as_str());
        tenant.filter(|_| is_same(known, &shown)).cloned()
    };
    if let Some(tenant) = find(&intake.settings()) {
        return Ok(tenant);
    }
    find(&*intake.fresh_settings().await).ok_or_else(Problem::unauthorized)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// Compares two texts in a time that depends on their lengths only.
fn is_same(known: &str, shown: &str) -> bool {
    let difference = known.bytes().zip(shown.bytes()).fold(0_u8, |sum, (a, b)| sum | (a ^ b));
    // `black_box` keeps the compiler from leaving early; the length of a hash is no secret.
    known.len() == shown.len() && std::hint::black_box(difference) == 0
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn bearer_tokens_are_read_as_clients_write_them() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some(&b"abc"[..]));
        assert_eq!(of("bearer  abc ").as_deref(), Some(&b"abc"[..]));
        assert_eq!(of("Bearer "), None);
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("Bea"), None);
    }

    #[test]
    fn hashes_are_compared_whole() {
        assert!(is_same("00ff", "00ff"));
        assert!(!is_same("00ff", "00fe"));
        assert!(!is_same("", "00ff"));
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }
}
