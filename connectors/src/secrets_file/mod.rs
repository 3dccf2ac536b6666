//! Secrets sealed with a key file: AES-256-GCM, one file of mode 0600 in the data folder.
//!
//! A sealed secret reads `v1:<key id>:<base64 of nonce, ciphertext, tag>`. The context is authenticated with it, so
//! a secret copied to another tenant or company does not open. Whoever reads both the key file and the log reads
//! the secrets: back the key file up apart from the data.

mod key_file;
#[cfg(test)]
mod tests;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use leadline_schemas::settings::Sealed;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::contract::secrets::{SecretError, Secrets};
pub use key_file::KeyFileError;

/// The first part of what this version seals.
const VERSION: &str = "v1";

/// Seals with the newest key of a key file; opens with any of them.
pub struct FileSecrets {
    /// Oldest first; never empty.
    keys: Vec<NamedKey>,
    random: SystemRandom,
}

struct NamedKey {
    id: String,
    key: LessSafeKey,
    derive: hmac::Key,
}

impl FileSecrets {
    /// Reads the key file; where there is none, it is made, with one random key, before this returns.
    ///
    /// A file that others than its owner may read is refused: the key would have to be taken as known to them.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let keys = key_file::read_or_create(path)?;
        Self::with_keys(path, &keys)
    }

    /// Adds a random key to the file. What is sealed from now on uses it, what was sealed before still opens;
    /// running processes take it up when they open the file again.
    pub fn rotate(path: &Path) -> Result<Self, KeyFileError> {
        let keys = key_file::add_key(path)?;
        Self::with_keys(path, &keys)
    }

    fn with_keys(path: &Path, keys: &[[u8; key_file::KEY_BYTES]]) -> Result<Self, KeyFileError> {
        let mut named = Vec::with_capacity(keys.len());
        for bytes in keys {
            let unbound = UnboundKey::new(&AES_256_GCM, bytes)
                .map_err(|_| key_file::unusable(path, "it holds no AES-256 key"))?;
            let derive = hmac::Key::new(hmac::HMAC_SHA256, bytes);
            named.push(NamedKey { id: key_file::key_id(bytes), key: LessSafeKey::new(unbound), derive });
        }
        Ok(Self { keys: named, random: SystemRandom::new() })
    }

    /// Keys for a purpose other than sealing, one of each key of the file in its order: HMAC-SHA256 of the purpose.
    /// They tell nothing of the file's keys or of those of another purpose.
    pub fn derived(&self, purpose: &str) -> Vec<[u8; 32]> {
        let of = |named: &NamedKey| {
            let tag = hmac::sign(&named.derive, format!("leadline {VERSION} {purpose}").as_bytes());
            let mut key = [0; 32];
            key.iter_mut().zip(tag.as_ref()).for_each(|(byte, from)| *byte = *from);
            key
        };
        self.keys.iter().map(of).collect()
    }
}

/// The authenticated part: version and key id too, so that neither can be exchanged.
fn associated(key_id: &str, context: &str) -> Vec<u8> {
    format!("leadline {VERSION} {key_id} {context}").into_bytes()
}

fn refusal(context: &str, why: impl Into<String>) -> SecretError {
    SecretError { context: context.to_owned(), why: why.into() }
}

impl Secrets for FileSecrets {
    fn seal(&self, context: &str, plain: &[u8]) -> Result<Sealed, SecretError> {
        let newest = self.keys.last().ok_or_else(|| refusal(context, "there is no key"))?;
        // Random nonces are safe for 2^32 secrets a key (NIST SP 800-38D, 8.3); there are a handful a tenant.
        let mut nonce = [0_u8; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| refusal(context, "the system has no randomness"))?;
        let mut sealed = nonce.to_vec();
        let mut body = plain.to_vec();
        newest
            .key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated(&newest.id, context)),
                &mut body,
            )
            .map_err(|_| refusal(context, "it is too long to seal"))?;
        sealed.append(&mut body);
        Ok(Sealed(format!("{VERSION}:{}:{}", newest.id, STANDARD_NO_PAD.encode(sealed))))
    }

    fn open(&self, context: &str, sealed: &Sealed) -> Result<Vec<u8>, SecretError> {
        let malformed = || refusal(context, "it is not a sealed secret (v1:<key id>:<base64>)");
        let (version, rest) = sealed.0.split_once(':').ok_or_else(malformed)?;
        if version != VERSION {
            return Err(refusal(context, "it was sealed by a newer leadline"));
        }
        let (key_id, encoded) = rest.split_once(':').ok_or_else(malformed)?;
        let known = self.keys.iter().find(|key| key.id == key_id).ok_or_else(|| {
            let short: String = key_id.chars().take(16).collect();
            refusal(context, format!("its key {short:?} is not in the key file; restore the file's backup"))
        })?;
        let mut bytes = STANDARD_NO_PAD.decode(encoded).map_err(|_| malformed())?;
        let (nonce, body) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| malformed())?;
        let plain =
            known.key.open_in_place(nonce, Aad::from(associated(key_id, context)), body).map_err(|_| {
                refusal(context, "it does not open: it was changed, or sealed for another tenant or company")
            })?;
        Ok(plain.to_vec())
    }
}
