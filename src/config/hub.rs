//! What can be set about the hub: who may come, what channels keep, how much there may be of anything.

use super::settings::{SettingError, check};
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
    /// Commands a second of one connection that are answered by an error, with a burst of one second's worth. Default 100.
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

impl HubSettings {
    /// Largest of the settings that bound a table.
    pub const MAX_ENTRIES: usize = 1 << 30;
    /// Largest `max_channels_per_connection`, `recovery_limit` and `history_size`.
    pub const MAX_OF_ONE: usize = 1_000_000;
    /// Largest `max_channel_name_bytes`, and longest name of a namespace.
    pub const MAX_NAME_BYTES: usize = 4096;

    /// Checks every bound and relation; the first that does not hold is named with its value and the mend. Whether the
    /// keys of tokens can be used is told where they are read.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.validate_counts()?;
        self.validate_times()?;
        self.validate_texts()?;
        self.default_namespace.validate()?;
        for (name, namespace) in &self.namespaces {
            Namespace::validate_name(name)?;
            namespace.validate().map_err(|error| error.of_namespace(name))?;
        }
        Ok(())
    }

    fn validate_counts(&self) -> Result<(), SettingError> {
        let of_one = Self::MAX_OF_ONE;
        for (name, value, least, most) in [
            ("max_channels", self.max_channels, 1, Self::MAX_ENTRIES),
            ("max_channels_per_connection", self.max_channels_per_connection, 1, of_one),
            ("max_channel_name_bytes", self.max_channel_name_bytes, 1, Self::MAX_NAME_BYTES),
            ("recovery_limit", self.recovery_limit, 1, of_one),
            ("max_kept_sessions", self.max_kept_sessions, 0, Self::MAX_ENTRIES),
            ("max_idempotency_keys", self.max_idempotency_keys, 0, Self::MAX_ENTRIES),
        ] {
            check((least..=most).contains(&value), name, &value, || format!("choose {least} to {most}"))?;
        }
        for (name, value) in [
            ("max_commands_per_second", self.max_commands_per_second),
            ("max_publications_per_second", self.max_publications_per_second),
            ("max_errors", Some(self.max_errors)),
        ] {
            check(value != Some(0), name, &0, || "choose 1 or more, or leave it out for the default".to_owned())?;
        }
        Ok(())
    }

    fn validate_times(&self) -> Result<(), SettingError> {
        for (name, value, count) in [
            ("session_ttl", self.session_ttl, "max_kept_sessions"),
            ("idempotency_ttl", self.idempotency_ttl, "max_idempotency_keys"),
        ] {
            let mend = || format!("make it 1s or more; to keep none at all set {count} to 0");
            check(value >= Duration::from_secs(1), name, &format_args!("{value:?}"), mend)?;
        }
        Ok(())
    }

    fn validate_texts(&self) -> Result<(), SettingError> {
        let key = self.api_key.as_deref().unwrap_or("none");
        let is_sendable = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        check(is_sendable, "api_key", &"not shown", || {
            "use printable ASCII without spaces, as it is sent in a field of HTTP: openssl rand -hex 32".to_owned()
        })?;
        for (name, value) in [("token_audience", &self.tokens.audience), ("token_issuer", &self.tokens.issuer)] {
            check(value.as_deref() != Some(""), name, &"empty", || "write the name, or leave it out".to_owned())?;
        }
        Ok(())
    }
}

impl Namespace {
    /// Checks the prefix of a namespace's channels.
    pub fn validate_name(name: &str) -> Result<(), SettingError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = (1..=HubSettings::MAX_NAME_BYTES).contains(&name.len());
        check(fits && name.bytes().all(is_plain), "namespace", &format_args!("{name:?}"), || {
            "name it with letters, digits, - _ and .".to_owned()
        })
    }

    /// Checks every bound and relation; the first that does not hold is named with its value and the mend.
    pub fn validate(&self) -> Result<(), SettingError> {
        let (size, most) = (self.history_size, HubSettings::MAX_OF_ONE);
        check(size <= most, "history_size", &size, || format!("choose 0 to {most}"))?;
        let ttl = self.history_ttl;
        check(size == 0 || !ttl.is_zero(), "history_ttl", &format_args!("{ttl:?}"), || {
            "make it longer; to keep no history set history_size to 0".to_owned()
        })?;
        check(self.max_subscribers != Some(0), "max_subscribers", &0, || {
            "choose 1 or more, or leave it out for no limit".to_owned()
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(change: impl FnOnce(&mut HubSettings)) -> Option<SettingError> {
        let mut settings = HubSettings::default();
        change(&mut settings);
        settings.validate().err()
    }

    #[track_caller]
    fn check(setting: &str, change: impl FnOnce(&mut HubSettings)) {
        assert_eq!(error(change).expect("a value out of bounds").setting, setting);
    }

    #[test]
    fn defaults_are_valid_and_let_nobody_in() {
        assert_eq!(error(|_| ()), None);
        let settings = HubSettings::default();
        assert!(!settings.insecure && !settings.allow_anonymous && settings.tokens == TokenKeys::default());
    }

    #[test]
    fn each_broken_relation_names_its_setting() {
        check("max_channels", |s| s.max_channels = 0);
        check("max_channels_per_connection", |s| s.max_channels_per_connection = 0);
        check("max_channels_per_connection", |s| s.max_channels_per_connection = 1_000_001);
        check("max_channel_name_bytes", |s| s.max_channel_name_bytes = 4097);
        check("recovery_limit", |s| s.recovery_limit = 0);
        check("max_kept_sessions", |s| s.max_kept_sessions = usize::MAX);
        check("session_ttl", |s| s.session_ttl = Duration::from_millis(999));
        check("idempotency_ttl", |s| s.idempotency_ttl = Duration::ZERO);
        check("max_commands_per_second", |s| s.max_commands_per_second = Some(0));
        check("max_publications_per_second", |s| s.max_publications_per_second = Some(0));
        check("max_errors", |s| s.max_errors = 0);
        check("token_audience", |s| s.tokens.audience = Some(String::new()));
        check("history_size", |s| s.default_namespace.history_size = 1_000_001);
        check("history_ttl", |s| s.default_namespace.history_ttl = Duration::ZERO);
        check("max_subscribers", |s| s.default_namespace.max_subscribers = Some(0));
    }

    #[test]
    fn nothing_kept_needs_no_time_to_be_kept_for() {
        let bare = Namespace { history_size: 0, history_ttl: Duration::ZERO, ..Namespace::default() };
        assert_eq!(error(|s| s.namespaces.extend([("live".to_owned(), bare)])), None);
        assert_eq!(error(|s| (s.max_kept_sessions, s.max_idempotency_keys) = (0, 0)), None);
        assert_eq!(error(|s| s.refresh_grace = Duration::ZERO), None);
    }

    #[test]
    fn a_namespace_is_named_plainly_and_its_faults_tell_its_name() {
        for name in ["chat", "a-b_c.9"] {
            assert_eq!(error(|s| s.namespaces.extend([(name.to_owned(), Namespace::default())])), None);
        }
        for name in ["", "a b", "a:b", "a#b", "\u{e9}", "a\n"] {
            check("namespace", |s| s.namespaces.extend([(name.to_owned(), Namespace::default())]));
        }
        let broken = Namespace { max_subscribers: Some(0), ..Namespace::default() };
        let told = error(|s| s.namespaces.extend([("chat".to_owned(), broken)])).expect("a fault").to_string();
        assert!(told.starts_with("max_subscribers is 0 (namespace chat): "), "{told}");
    }

    #[test]
    fn a_key_that_no_field_of_http_can_carry_is_refused_and_not_shown() {
        for key in ["", "two words", "line\nbreak", "k\u{e9}y"] {
            let told = error(|s| s.api_key = Some(key.to_owned())).expect("a fault").to_string();
            assert!(told.starts_with("api_key is not shown: use printable"), "{told}");
        }
    }
}
