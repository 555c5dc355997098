//! What can be set about the hub: who may come, what channels keep, how much there may be of anything.

use std::collections::BTreeMap;
use std::time::Duration;

/// The hub's settings. The defaults are safe to serve the internet with, and let nobody in before a key is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Nobody is asked for tokens or keys, and clients may publish: for development alone. Default off.
    pub insecure: bool,
    /// Clients without a token may connect, as nobody. Default off.
    pub allow_anonymous: bool,
    /// What tokens are verified with.
    pub tokens: TokenKeys,
    /// What callers of the HTTP API have to show. Default none: then only callers on this machine are answered.
    pub api_key: Option<String>,
    /// Channels without a prefix.
    pub default_namespace: Namespace,
    /// Channels with a prefix: `chat:room1` is of `chat`. Those of a prefix that is not here are refused.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Channels of one connection. Default 128.
    pub max_channels_per_connection: usize,
    /// Bytes of a channel's name. Default 255.
    pub max_channel_name_bytes: usize,
    /// Channels with a subscriber. Default 1,000,000.
    pub max_channels: usize,
    /// Publications that one recovery brings. Default 300.
    pub recovery_limit: usize,
    /// How long a session is kept after its connection is gone. Default 60 s.
    pub session_ttl: Duration,
    /// Sessions kept without a connection. The oldest go first. Default 100,000.
    pub max_kept_sessions: usize,
    /// How long the result of an idempotent publication is kept. Default 5 minutes.
    pub idempotency_ttl: Duration,
    /// Results kept of idempotent publications. The oldest go first. Default 100,000.
    pub max_idempotency_keys: usize,
    /// How long after the end of its token a client may take to bring the next. Default 25 s.
    pub refresh_grace: Duration,
    /// Commands a second from one connection, with a burst of one second's worth. Default unlimited.
    pub max_commands_per_second: Option<u32>,
    /// Publications a second from one connection, with a burst of one second's worth. Default unlimited.
    pub max_publications_per_second: Option<u32>,
    /// Commands of one connection answered by an error, with one forgiven a second. Default 100.
    pub max_errors: u32,
}

/// What tokens are verified with. Everything empty: no token is valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenKeys {
    /// Secrets of HS256; more than one while they rotate.
    pub hmac_secrets: Vec<String>,
    /// Public keys in PEM, for RS256, ES256 or EdDSA; more than one while they rotate.
    pub public_keys: Vec<String>,
    /// The text of a JSON Web Key Set (RFC 7517).
    pub jwks: Option<String>,
    /// What `aud` must name.
    pub audience: Option<String>,
    /// What `iss` must be.
    pub issuer: Option<String>,
}

/// What holds for the channels of one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Publications that a channel keeps; 0: no history, so no offsets and no recovery. Default 100.
    pub history_size: usize,
    /// How long it keeps them after the last one. Default 300 s.
    pub history_ttl: Duration,
    /// Every subscription is positioned and recoverable, asked for or not. Default on.
    pub force_recovery: bool,
    /// Who is here can be asked. Default on.
    pub presence: bool,
    /// Subscribers hear who comes and goes. Default off.
    pub join_leave: bool,
    /// Who may subscribe without a token for the channel. Default authenticated clients.
    pub allow_subscribe: Audience,
    /// Which clients may publish. Default none.
    pub allow_publish: Publishers,
    /// Subscribers of one channel. Default unlimited.
    pub max_subscribers: Option<usize>,
    /// What happens to a subscriber that takes less than is published. Default [`Slow::Lag`].
    pub slow: Slow,
}

/// Who may subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Only who has a token for the channel.
    Nobody,
    /// Clients with a user.
    Clients,
    /// Anonymous ones as well.
    Anyone,
}

/// Which clients may publish. The HTTP API always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publishers {
    /// None.
    Nobody,
    /// Subscribers of the channel.
    Subscribers,
    /// All that are connected.
    Clients,
}

/// What happens to a subscriber over `write_queue_soft_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// It keeps its position and is served from the history when it drains. Without a history: as `Disconnect`.
    Lag,
    /// It gets copies until `write_queue_hard_bytes`, and is closed then.
    Disconnect,
    /// What is published meanwhile is not sent to it; gaps in the offsets tell, where there are offsets.
    Drop,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            insecure: false,
            allow_anonymous: false,
            tokens: TokenKeys::default(),
            api_key: None,
            default_namespace: Namespace::default(),
            namespaces: BTreeMap::new(),
            max_channels_per_connection: 128,
            max_channel_name_bytes: 255,
            max_channels: 1_000_000,
            recovery_limit: 300,
            session_ttl: Duration::from_secs(60),
            max_kept_sessions: 100_000,
            idempotency_ttl: Duration::from_secs(300),
            max_idempotency_keys: 100_000,
            refresh_grace: Duration::from_secs(25),
            max_commands_per_second: None,
            max_publications_per_second: None,
            max_errors: 100,
        }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self {
            history_size: 100,
            history_ttl: Duration::from_secs(300),
            force_recovery: true,
            presence: true,
            join_leave: false,
            allow_subscribe: Audience::Clients,
            allow_publish: Publishers::Nobody,
            max_subscribers: None,
            slow: Slow::Lag,
        }
    }
}
