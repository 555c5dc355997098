//! What stands in each command. Every field may be left out; what that means the hub decides.

use crate::hub::json::read::{self, Body, Text};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The first command of a connection.
#[derive(Debug, Deserialize)]
pub struct Connect<'a> {
    /// A JWT.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub token: Cow<'a, str>,
    /// For the application.
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub data: Option<&'a RawValue>,
    /// Server-side subscriptions to recover, by channel, in the client's order.
    #[serde(borrow, default, deserialize_with = "recovers")]
    pub subs: Vec<(Cow<'a, str>, Recover<'a>)>,
    /// The client's program.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub name: Cow<'a, str>,
    /// Its version.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub version: Cow<'a, str>,
    /// The secret of an earlier connect's result: the same session goes on.
    #[serde(borrow, default, deserialize_with = "read::some_text")]
    pub session: Option<Cow<'a, str>>,
}

/// Where a server-side subscription stood.
#[derive(Debug, Deserialize)]
pub struct Recover<'a> {
    /// What was missed is to come.
    #[serde(default, deserialize_with = "read::or_default")]
    pub recover: bool,
    /// The epoch of `offset`.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub epoch: Cow<'a, str>,
    /// The last one that was seen.
    #[serde(default, deserialize_with = "read::or_default")]
    pub offset: u64,
}

/// A channel is to be heard.
#[derive(Debug, Deserialize)]
pub struct Subscribe<'a> {
    /// Which.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub channel: Cow<'a, str>,
    /// A JWT for this channel.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub token: Cow<'a, str>,
    /// What was missed since `offset` is to come.
    #[serde(default, deserialize_with = "read::or_default")]
    pub recover: bool,
    /// The epoch of `offset`; empty agrees with any.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub epoch: Cow<'a, str>,
    /// The last one that was seen.
    #[serde(default, deserialize_with = "read::or_default")]
    pub offset: u64,
    /// Offsets are to be watched for gaps.
    #[serde(default, deserialize_with = "read::or_default")]
    pub positioned: bool,
    /// It is to be recoverable.
    #[serde(default, deserialize_with = "read::or_default")]
    pub recoverable: bool,
    /// Who comes and goes is to be told.
    #[serde(default, deserialize_with = "read::or_default")]
    pub join_leave: bool,
    /// Bit 1: compact channel names. Bit 2: an error in place of `recovered: false`.
    #[serde(default, deserialize_with = "read::or_default")]
    pub flag: u64,
    /// For the application.
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub data: Option<&'a RawValue>,
}

/// What was published.
#[derive(Debug, Deserialize)]
pub struct History<'a> {
    /// Where.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub channel: Cow<'a, str>,
    /// At most so many: 0 for the position alone, negative for all.
    #[serde(default, deserialize_with = "read::or_default")]
    pub limit: i32,
    /// Only what is newer; older, where `reverse`.
    #[serde(borrow, default, deserialize_with = "since")]
    pub since: Option<Since<'a>>,
    /// The newest first.
    #[serde(default, deserialize_with = "read::or_default")]
    pub reverse: bool,
}

/// A place in a history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Since<'a> {
    /// The offset.
    #[serde(default, deserialize_with = "read::or_default")]
    pub offset: u64,
    /// Its epoch.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub epoch: Cow<'a, str>,
}

/// Commands that name just a channel.
#[derive(Deserialize)]
pub(super) struct Channel<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Publish<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "read::some_text")]
    pub(super) idempotency_key: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Rpc<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub(super) data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Payload<'a> {
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub(super) data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct TokenField<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) token: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct SubRefreshFields<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) token: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

fn since<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Since<'de>>, D::Error> {
    Ok(Option::<Body<Since<'de>>>::deserialize(deserializer)?.map(|Body(since)| since))
}

/// Channels in the order they came; one that comes twice is for the hub to judge.
type Recovers<'a> = Vec<(Cow<'a, str>, Recover<'a>)>;

fn recovers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Recovers<'de>, D::Error> {
    struct RecoversVisitor;

    impl<'de> Visitor<'de> for RecoversVisitor {
        type Value = Recovers<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of channels")
        }

        fn visit_unit<E: Error>(self) -> Result<Recovers<'de>, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Recovers<'de>, A::Error> {
            let mut subs = Vec::new();
            while let Some((Text(channel), Body(recover))) = map.next_entry()? {
                subs.push((channel, recover));
            }
            Ok(subs)
        }
    }

    deserializer.deserialize_any(RecoversVisitor)
}
