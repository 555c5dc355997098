//! The settings of the hub: names, spellings of values and lines of help, as `options` has them for all others.
//!
//! Secrets go in and are never shown: not in help, not in reports, not in refusals.

use super::values::{self, HIDDEN, KeyFile, OrOff};
use crate::config::{Audience, HubSettings, Namespace, Publishers, Slow, TokenKeys};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// What was set of the hub, whoever set it; absent where nobody did. No value of a secret is refused here, since a
/// refusal would show it.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct HubOptions {
    /// For development alone: nobody is asked for a token or a key, and clients may publish
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = values::switch)]
    insecure: Option<bool>,
    /// Clients without a token may connect, as nobody
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = values::switch)]
    allow_anonymous: Option<bool>,
    /// Secret that tokens are signed with (HS256); more than one with commas while they rotate. Others on this machine
    /// can read flags: better in the environment or the file
    #[arg(long, value_name = "SECRET", value_delimiter = ',', value_parser = values::text_or_off)]
    token_hmac_secret: Vec<OrOff<String>>,
    /// Files with public keys in PEM of who signs tokens (RS256, ES256, EdDSA), with commas between
    #[arg(long, value_name = "FILES", value_delimiter = ',', value_parser = values::key_file_or_off)]
    token_public_key: Vec<OrOff<KeyFile>>,
    /// File with a JSON Web Key Set of who signs tokens
    #[arg(long, value_name = "FILE", value_parser = values::key_file_or_off)]
    token_jwks: Option<OrOff<KeyFile>>,
    /// What tokens must name as their audience (aud)
    #[arg(long, value_name = "TEXT", value_parser = values::text_or_off)]
    token_audience: Option<OrOff<String>>,
    /// What tokens must name as their issuer (iss)
    #[arg(long, value_name = "TEXT", value_parser = values::text_or_off)]
    token_issuer: Option<OrOff<String>>,
    /// What callers of the HTTP API have to show as X-API-Key; without it only callers on this machine are answered
    #[arg(long, value_name = "KEY", value_parser = values::text_or_off)]
    api_key: Option<OrOff<String>>,
    /// Channels of one connection
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    max_channels_per_connection: Option<usize>,
    /// Bytes of a channel's name
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    max_channel_name_bytes: Option<usize>,
    /// Channels with a subscriber
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    max_channels: Option<usize>,
    /// Publications that one recovery brings
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    recovery_limit: Option<usize>,
    /// How long a session is kept after its connection is gone
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    session_ttl: Option<Duration>,
    /// Sessions kept without a connection; the oldest go first
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    max_kept_sessions: Option<usize>,
    /// How long the result of an idempotent publication is kept
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    idempotency_ttl: Option<Duration>,
    /// Results kept of idempotent publications; the oldest go first
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    max_idempotency_keys: Option<usize>,
    /// How long after the end of its token a client may take to bring the next
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    refresh_grace: Option<Duration>,
    /// Commands a second from one connection
    #[arg(long, value_name = "COUNT", value_parser = values::count_or_off)]
    max_commands_per_second: Option<OrOff<u32>>,
    /// Publications a second from one connection
    #[arg(long, value_name = "COUNT", value_parser = values::count_or_off)]
    max_publications_per_second: Option<OrOff<u32>>,
    /// Commands a second of one connection that are answered by an error
    #[arg(long, value_name = "COUNT", value_parser = values::small_count)]
    max_errors: Option<u32>,
}

/// Where the keys of tokens were read from.
#[derive(Debug, Default)]
pub(super) struct KeyFiles {
    public_keys: Vec<PathBuf>,
    jwks: Option<PathBuf>,
}

impl HubOptions {
    /// What these options make of the defaults; namespaces are not theirs.
    pub(super) fn settings(&self) -> HubSettings {
        let base = HubSettings::default();
        HubSettings {
            insecure: self.insecure.unwrap_or(base.insecure),
            allow_anonymous: self.allow_anonymous.unwrap_or(base.allow_anonymous),
            tokens: self.tokens(),
            api_key: text(self.api_key.as_ref()),
            default_namespace: base.default_namespace,
            namespaces: base.namespaces,
            max_channels_per_connection: self.max_channels_per_connection.unwrap_or(base.max_channels_per_connection),
            max_channel_name_bytes: self.max_channel_name_bytes.unwrap_or(base.max_channel_name_bytes),
            max_channels: self.max_channels.unwrap_or(base.max_channels),
            recovery_limit: self.recovery_limit.unwrap_or(base.recovery_limit),
            session_ttl: self.session_ttl.unwrap_or(base.session_ttl),
            max_kept_sessions: self.max_kept_sessions.unwrap_or(base.max_kept_sessions),
            idempotency_ttl: self.idempotency_ttl.unwrap_or(base.idempotency_ttl),
            max_idempotency_keys: self.max_idempotency_keys.unwrap_or(base.max_idempotency_keys),
            refresh_grace: self.refresh_grace.unwrap_or(base.refresh_grace),
            max_commands_per_second: self.max_commands_per_second.map_or(base.max_commands_per_second, |value| value.0),
            max_publications_per_second: self
                .max_publications_per_second
                .map_or(base.max_publications_per_second, |value| value.0),
            max_errors: self.max_errors.unwrap_or(base.max_errors),
        }
    }

    fn tokens(&self) -> TokenKeys {
        let file_text = |file: &OrOff<KeyFile>| file.0.as_ref().map(|file| file.text.clone());
        TokenKeys {
            hmac_secrets: self.token_hmac_secret.iter().filter_map(|secret| secret.0.clone()).collect(),
            public_keys: self.token_public_key.iter().filter_map(file_text).collect(),
            jwks: self.token_jwks.as_ref().and_then(file_text),
            audience: text(self.token_audience.as_ref()),
            issuer: text(self.token_issuer.as_ref()),
        }
    }

    pub(super) fn key_files(&self) -> KeyFiles {
        let path = |file: &OrOff<KeyFile>| file.0.as_ref().map(|file| file.path.clone());
        KeyFiles {
            public_keys: self.token_public_key.iter().filter_map(path).collect(),
            jwks: self.token_jwks.as_ref().and_then(path),
        }
    }
}

fn text(value: Option<&OrOff<String>>) -> Option<String> {
    value.and_then(|value| value.0.clone())
}

/// Names every field that a flag can set, so that a new one does not compile before it can be shown.
pub(super) fn shown(settings: &HubSettings, files: &KeyFiles) -> Vec<(&'static str, String)> {
    let HubSettings {
        insecure,
        allow_anonymous,
        tokens: TokenKeys { hmac_secrets, public_keys: _, jwks: _, audience, issuer },
        api_key,
        default_namespace: _,
        namespaces: _,
        max_channels_per_connection,
        max_channel_name_bytes,
        max_channels,
        recovery_limit,
        session_ttl,
        max_kept_sessions,
        idempotency_ttl,
        max_idempotency_keys,
        refresh_grace,
        max_commands_per_second,
        max_publications_per_second,
        max_errors,
    } = settings;
    let paths: Vec<String> = files.public_keys.iter().map(|path| path.display().to_string()).collect();
    let text_or_off = |value: &Option<String>| values::show_or_off(value.clone(), |text| text);
    let secret_or_off = |is_set: bool| values::show_or_off(is_set.then_some(HIDDEN), str::to_owned);
    let count_or_off = |value: &Option<u32>| values::show_or_off(*value, |count| count.to_string());
    vec![
        ("insecure", insecure.to_string()),
        ("allow_anonymous", allow_anonymous.to_string()),
        ("token_hmac_secret", secret_or_off(!hmac_secrets.is_empty())),
        ("token_public_key", values::show_or_off((!paths.is_empty()).then_some(paths), |paths| paths.join(","))),
        ("token_jwks", values::show_or_off(files.jwks.as_ref(), |path| path.display().to_string())),
        ("token_audience", text_or_off(audience)),
        ("token_issuer", text_or_off(issuer)),
        ("api_key", secret_or_off(api_key.is_some())),
        ("max_channels_per_connection", max_channels_per_connection.to_string()),
        ("max_channel_name_bytes", max_channel_name_bytes.to_string()),
        ("max_channels", max_channels.to_string()),
        ("recovery_limit", recovery_limit.to_string()),
        ("session_ttl", values::show_duration(*session_ttl)),
        ("max_kept_sessions", max_kept_sessions.to_string()),
        ("idempotency_ttl", values::show_duration(*idempotency_ttl)),
        ("max_idempotency_keys", max_idempotency_keys.to_string()),
        ("refresh_grace", values::show_duration(*refresh_grace)),
        ("max_commands_per_second", count_or_off(max_commands_per_second)),
        ("max_publications_per_second", count_or_off(max_publications_per_second)),
        ("max_errors", max_errors.to_string()),
    ]
}

/// What was set of one namespace, by fields of the file alone.
#[derive(Args, Debug, Default)]
pub(super) struct NamespaceOptions {
    #[arg(long, value_parser = values::count)]
    history_size: Option<usize>,
    #[arg(long, value_parser = values::duration)]
    history_ttl: Option<Duration>,
    #[arg(long, value_parser = values::switch)]
    force_recovery: Option<bool>,
    #[arg(long, value_parser = values::switch)]
    presence: Option<bool>,
    #[arg(long, value_parser = values::switch)]
    join_leave: Option<bool>,
    #[arg(long, value_parser = values::audience)]
    allow_subscribe: Option<Audience>,
    #[arg(long, value_parser = values::publishers)]
    allow_publish: Option<Publishers>,
    #[arg(long, value_parser = values::large_count_or_off)]
    max_subscribers: Option<OrOff<usize>>,
    #[arg(long, value_parser = values::slow)]
    slow: Option<Slow>,
}

impl NamespaceOptions {
    /// The namespace that these options make of the defaults.
    pub(super) fn namespace(&self) -> Namespace {
        let base = Namespace::default();
        Namespace {
            history_size: self.history_size.unwrap_or(base.history_size),
            history_ttl: self.history_ttl.unwrap_or(base.history_ttl),
            force_recovery: self.force_recovery.unwrap_or(base.force_recovery),
            presence: self.presence.unwrap_or(base.presence),
            join_leave: self.join_leave.unwrap_or(base.join_leave),
            allow_subscribe: self.allow_subscribe.unwrap_or(base.allow_subscribe),
            allow_publish: self.allow_publish.unwrap_or(base.allow_publish),
            max_subscribers: self.max_subscribers.map_or(base.max_subscribers, |value| value.0),
            slow: self.slow.unwrap_or(base.slow),
        }
    }
}

/// Each field of a namespace and its value, as it would be written.
pub(super) fn shown_namespace(namespace: &Namespace) -> Vec<(&'static str, String)> {
    let Namespace {
        history_size,
        history_ttl,
        force_recovery,
        presence,
        join_leave,
        allow_subscribe,
        allow_publish,
        max_subscribers,
        slow,
    } = namespace;
    vec![
        ("history_size", history_size.to_string()),
        ("history_ttl", values::show_duration(*history_ttl)),
        ("force_recovery", force_recovery.to_string()),
        ("presence", presence.to_string()),
        ("join_leave", join_leave.to_string()),
        ("allow_subscribe", values::show_one_of(&values::AUDIENCES, allow_subscribe)),
        ("allow_publish", values::show_one_of(&values::PUBLISHERS, allow_publish)),
        ("max_subscribers", values::show_or_off(*max_subscribers, |count| count.to_string())),
        ("slow", values::show_one_of(&values::SLOW, slow)),
    ]
}
