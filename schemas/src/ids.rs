//! Newtypes for what must not be mixed up.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A company that uses leadline. Cheap to clone; valid by construction.
///
/// 1 to 63 characters of `a-z 0-9 - _`, starting with a letter or digit: it stands in URLs, file names and
/// metric labels, and sorts bytewise in every key.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TenantId(Arc<str>);

/// Why a text is not a tenant id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "tenant id {value:?} is not valid: use 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit"
)]
pub struct InvalidTenantId {
    value: String,
}

impl TenantId {
    /// The longest tenant id, in bytes: a DNS label, so that a tenant can have a host name one day.
    pub const LENGTH_BYTES_MAX: usize = 63;

    /// Checks and wraps `value`.
    pub fn new(value: &str) -> Result<Self, InvalidTenantId> {
        let head = value.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest =
            value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if head && rest && value.len() <= Self::LENGTH_BYTES_MAX {
            Ok(Self(Arc::from(value)))
        } else {
            Err(InvalidTenantId { value: value.chars().take(80).collect() })
        }
    }

    /// The key of its records in the log.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.as_bytes())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({})", self.0)
    }
}

impl std::str::FromStr for TenantId {
    type Err = InvalidTenantId;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::new(value)
    }
}

impl<'de> Deserialize<'de> for TenantId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text { expecting: "a tenant id", parse: Self::new })
    }
}

/// Reads an id out of a text that nobody needs afterwards, without a copy of it: ids are in every record.
struct Text<T, E> {
    expecting: &'static str,
    parse: fn(&str) -> Result<T, E>,
}

impl<T, P: fmt::Display> serde::de::Visitor<'_> for Text<T, P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one that follows; the space is never used up (2^64 at a million a second is 500,000 years).
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "uuid_text")] pub Uuid);

        impl $name {
            /// A UUIDv8 of the SHA-256 of `parts`, each with its length: the same parts give the same id after
            /// any replay, and no two lists of parts run together.
            pub fn of(parts: &[&[u8]]) -> Self {
                Self(hashed_uuid(stringify!($name), parts))
            }

            /// The id's 16 bytes, big endian.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

text_id! {
    /// A phone call as CallRail knows it: `CAL` and 32 hex digits, or the older decimal number as text.
    CallId
}

number_id! {
    /// One of the P partitions of every co-partitioned topic.
    Partition(u16)
}
number_id! {
    /// A record's place in one partition of one topic, from 0, without gaps.
    Offset(u64)
}
number_id! {
    /// The commits of one partition, from 1, contiguous. 0 stands for "nothing committed yet".
    CommitNumber(u64)
}
number_id! {
    /// One of 1,024 slices of the key space, the unit that moves between partitions.
    KeyGroup(u16)
}
number_id! {
    /// One of 256 slices of a tenant's callers.
    Bucket(u8)
}

hash_id! {
    /// One accepted event: the id of its envelope, and of its row in `requests`.
    EventId
}
hash_id! {
    /// One remote call that an operator asked for; also its idempotency key.
    JobId
}
hash_id! {
    /// One lead: a caller's contacts within the tenant's merge window.
    LeadId
}

fn hashed_uuid(kind: &str, parts: &[&[u8]]) -> Uuid {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in std::iter::once(&kind.as_bytes()).chain(parts.iter()) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Ids are text in JSON and Avro (`"logicalType": "uuid"`), so that any Kafka client can read them.
mod uuid_text {
    use serde::{Deserializer, Serializer};
    use uuid::Uuid;

    use super::Text;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        deserializer.deserialize_str(Text { expecting: "a UUID", parse: Uuid::parse_str })
    }
}
