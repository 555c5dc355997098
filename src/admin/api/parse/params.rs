//! The parameters of each method, by the names they have in Centrifugo's API. What is missing, or `null`, is empty;
//! what nobody knows is passed over.

use crate::hub::command::Since;
use crate::hub::json::read::{self, Body, Text};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// `publish`
#[derive(Deserialize)]
pub(super) struct PublishParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) b64data: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tags: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "read::or_default")]
    pub(super) skip_history: bool,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) idempotency_key: Cow<'a, str>,
}

/// `broadcast`
#[derive(Deserialize)]
pub(super) struct BroadcastParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::or_default")]
    pub(super) channels: Vec<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) b64data: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tags: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "read::or_default")]
    pub(super) skip_history: bool,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) idempotency_key: Cow<'a, str>,
}

/// `subscribe`
#[derive(Deserialize)]
pub(super) struct SubscribeParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) user: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) client: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) session: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub(super) info: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) b64info: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) b64data: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) recover_since: Option<Body<Since<'a>>>,
}

/// `unsubscribe`
#[derive(Deserialize)]
pub(super) struct UnsubscribeParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) user: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) client: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) session: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
}

/// `disconnect`
#[derive(Deserialize)]
pub(super) struct DisconnectParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) user: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) client: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) session: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) whitelist: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) disconnect: Option<Body<Farewell<'a>>>,
}

/// How a connection is told to go.
#[derive(Deserialize)]
pub(super) struct Farewell<'a> {
    #[serde(default, deserialize_with = "read::or_default")]
    pub(super) code: u16,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) reason: Cow<'a, str>,
}

/// `refresh`
#[derive(Deserialize)]
pub(super) struct RefreshParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) user: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) client: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) session: Cow<'a, str>,
    #[serde(default, deserialize_with = "read::or_default")]
    pub(super) expired: bool,
    /// In seconds since 1970.
    #[serde(default, deserialize_with = "read::or_default")]
    pub(super) expire_at: u64,
}

/// `presence`, `presence_stats`, `history_remove`
#[derive(Deserialize)]
pub(super) struct ChannelParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
}

/// `history`
#[derive(Deserialize)]
pub(super) struct HistoryParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
    #[serde(default, deserialize_with = "read::or_default")]
    pub(super) limit: i32,
    #[serde(borrow, default)]
    pub(super) since: Option<Body<Since<'a>>>,
    #[serde(default, deserialize_with = "read::or_default")]
    pub(super) reverse: bool,
}

/// `channels`
#[derive(Deserialize)]
pub(super) struct ChannelsParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) pattern: Cow<'a, str>,
}

/// `info`
#[derive(Deserialize)]
pub(super) struct NoParams {}

/// `connections`
#[derive(Deserialize)]
pub(super) struct ConnectionsParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) user: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) ip: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) state: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) after: Cow<'a, str>,
    #[serde(default, deserialize_with = "read::or_default")]
    pub(super) limit: usize,
    /// A filter in CEL, which is not spoken here.
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) expression: Cow<'a, str>,
}

/// `connection`
#[derive(Deserialize)]
pub(super) struct ClientParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) client: Cow<'a, str>,
}

/// `send`
#[derive(Deserialize)]
pub(super) struct SendParams<'a> {
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) user: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) client: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) session: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "read::json")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "read::text")]
    pub(super) b64data: Cow<'a, str>,
}
