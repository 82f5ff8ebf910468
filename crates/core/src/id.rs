//! Ids: sixteen bytes, time-ordered, shown with a prefix that says what they name (`req_`, `cus_`, `key_`).

use std::{fmt, str::FromStr};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {kind} id: expected `{prefix}` and 32 hexadecimal digits")]
pub struct ParseIdError {
    text: String,
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

        impl $name {
            /// Makes an id whose first 48 bits are `unix_ms`, so that ids sort by time (UUID version 7).
            #[must_use]
            pub fn new(unix_ms: u64, random: &[u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, random).into_uuid().into_bytes())
            }

            /// From the sixteen bytes of [`Self::bytes`].
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes, as stored.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                uuid::Uuid::from_bytes(self.0).simple().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let refuse = || ParseIdError { text: text.to_owned(), kind: $kind, prefix: $prefix };
                let hex = text.strip_prefix($prefix).filter(|hex| hex.len() == 32).ok_or_else(refuse)?;
                uuid::Uuid::try_parse(hex).map(|id| Self(id.into_bytes())).map_err(|_| refuse())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// One request of a client; the gateway may make several attempts for it.
    RequestId, "req_", "a request"
);
id!(
    /// Who pays.
    CustomerId, "cus_", "a customer"
);
id!(
    /// A key of a customer.
    KeyId, "key_", "a key"
);
id!(
    /// A training run: a fixed cost to be earned back.
    TrainingRunId, "trn_", "a training run"
);
id!(
    /// What a customer keeps at a provider: a file, a batch, a response, a conversation.
    ObjectId, "obj_", "an object"
);
id!(
    /// One life of a gateway process; owns one folder of the journal.
    BootId, "boot_", "a boot"
);

/// One attempt of a request at one target: the unit of the books. Shown as `req_….0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct AttemptId {
    /// The request.
    #[n(0)]
    pub request_id: RequestId,
    /// 0 for the first attempt.
    #[n(1)]
    pub attempt: u16,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.request_id, self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_by_time() {
        let early = RequestId::new(1, &[255; 10]);
        let late = RequestId::new(2, &[0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let id = CustomerId::new(1, &[0; 10]);
        assert!(id.to_string().parse::<KeyId>().is_err());
    }
}
