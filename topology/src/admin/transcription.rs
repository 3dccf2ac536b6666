//! Who writes a tenant's calls down.

use leadline_schemas::settings::Policy;

use super::{AdminError, invalid, named};

/// Nobody transcribes.
const NONE: &str = "none";
/// Each may take an hour to fail.
const PROVIDERS_MAX: usize = 8;

/// Sets the chain; nothing given leaves it as it is. Whether there are such providers is known where they are configured
/// ([`super::Services`]); a call says so when one has been taken away since.
pub(super) fn set(providers: &[String], policy: &mut Policy) -> Result<(), AdminError> {
    let Some((first, others)) = providers.split_first() else { return Ok(()) };
    if providers.iter().any(|provider| provider == NONE) {
        if !others.is_empty() {
            return Err(invalid("none transcribes nothing: give it alone, or names"));
        }
        (policy.transcribe_provider, policy.transcribe_fallbacks) = (None, Vec::new());
        return Ok(());
    }
    if providers.len() > PROVIDERS_MAX {
        return Err(invalid(format!(
            "{} providers are too many: use up to {PROVIDERS_MAX}",
            providers.len()
        )));
    }
    policy.transcribe_provider = Some(named("provider of transcripts", first)?);
    policy.transcribe_fallbacks =
        others.iter().map(|other| named("provider of transcripts", other)).collect::<Result<_, _>>()?;
    Ok(())
}

/// A language tag: `en-US`, `es-US`, `pt-BR`, `cmn-Hans-CN`.
pub(super) fn language(tag: &str) -> Result<String, AdminError> {
    let mut parts = tag.split('-');
    let is_first =
        |part: &str| (2..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_other =
        |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_tag =
        parts.next().is_some_and(is_first) && parts.next().is_some_and(is_other) && parts.all(is_other);
    match is_tag {
        true => Ok(tag.to_owned()),
        false => Err(invalid(format!(
            "language {tag:?} is no tag of language and country: use one such as en-US or es-US"
        ))),
    }
}
