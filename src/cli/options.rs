//! Every setting of the program, defined once: its name, its spelling of values and its line of help.
//!
//! A key in a file and a variable in the environment are read through the same definition as the flag they spell, so
//! the three cannot drift apart.

use super::configuration::{Configuration, Tls};
use super::hub_options::HubOptions;
use super::sources::Entry;
use super::values::{self, App, OrOff};
use crate::config::{Deflate, HeartbeatForms, Network, Settings};
use crate::net::{ListenOptions, ListenUrl};
use clap::Args;
use log::LevelFilter;
use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

/// What was set, whoever set it; absent where nobody did.
#[derive(Args, Debug, Clone, Default)]
#[allow(rustdoc::bare_urls, reason = "these lines are the help text of a terminal")]
pub(super) struct Options {
    /// Where to listen: auto://HOST:PORT, tcp:// (length prefix), line://, raw://, ws://, wss://, tls:// or
    /// unix:///PATH, with ?proxy at the end behind a proxy that speaks the PROXY protocol; more than one with commas,
    /// or by repeating the flag
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = values::listen_url)]
    listen: Vec<ListenUrl>,
    /// What is done with messages: hub serves channels, echo sends each message back, broadcast sends it to every other
    /// connection
    #[arg(long, value_parser = values::app)]
    app: Option<App>,
    /// Least important lines still logged: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", value_parser = values::log_level)]
    log_level: Option<LevelFilter>,
    /// Connections the kernel holds ready to be accepted
    #[arg(long, value_name = "COUNT", value_parser = values::small_count)]
    backlog: Option<u32>,
    /// Let several processes listen on the same address
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = values::switch)]
    reuse_port: Option<bool>,
    /// Time to look for events without sleeping after something has happened: lower latency for up to a core of CPU time;
    /// off: sleeps at once
    #[arg(long, value_name = "DURATION", value_parser = values::busy_poll)]
    busy_poll: Option<Duration>,
    /// Silence after which a peer is asked for a sign of life; off: dead peers are not looked for
    #[arg(long, value_name = "DURATION", value_parser = values::duration_or_zero)]
    heartbeat_interval: Option<Duration>,
    /// Silence after which a peer is taken for dead; it and heartbeat_interval follow each other
    #[arg(long, value_name = "DURATION", value_parser = values::duration_or_zero)]
    heartbeat_timeout: Option<Duration>,
    /// What is sent on a plain wire to ask for a sign of life
    #[arg(long, value_name = "TEXT", value_parser = values::text_or_off)]
    heartbeat_probe: Option<OrOff<String>>,
    /// Heartbeats of clients that are answered: ping, PING, json and byte with commas between, or all, or none
    #[arg(long, value_name = "FORMS", value_parser = values::heartbeat_answers)]
    heartbeat_answers: Option<HeartbeatForms>,
    /// Time from accept until the wire is known and a first message that has begun is complete
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    handshake_timeout: Option<Duration>,
    /// A peer that takes none of the bytes waiting for it for this long is given up
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    write_timeout: Option<Duration>,
    /// A peer that sends nothing but heartbeats for this long is closed
    #[arg(long, value_name = "DURATION", value_parser = values::duration_or_off)]
    idle_timeout: Option<OrOff<Duration>>,
    /// Time an orderly close may take to flush and to see the peer's end
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    close_timeout: Option<Duration>,
    /// The closes of a shutdown are spread over this time
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    drain_window: Option<Duration>,
    /// Largest message accepted
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    max_message_bytes: Option<usize>,
    /// A connection with more than this waiting to be sent is not read from until it drains
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    write_queue_soft_bytes: Option<usize>,
    /// A connection with more than this waiting to be sent is closed; follows max_message_bytes
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    write_queue_hard_bytes: Option<usize>,
    /// Connections open at once
    #[arg(long, value_name = "COUNT", value_parser = values::count)]
    max_connections: Option<usize>,
    /// Connections open at once from one IPv4 address or one IPv6 /64
    #[arg(long, value_name = "COUNT", value_parser = values::count_or_off)]
    max_connections_per_ip: Option<OrOff<u32>>,
    /// New connections admitted a second
    #[arg(long, value_name = "COUNT", value_parser = values::count_or_off)]
    max_accepts_per_second: Option<OrOff<u32>>,
    /// Messages a second from one connection
    #[arg(long, value_name = "COUNT", value_parser = values::count_or_off)]
    max_messages_per_second: Option<OrOff<u32>>,
    /// Bytes a second from one connection
    #[arg(long, value_name = "SIZE", value_parser = values::size_or_off)]
    max_bytes_per_second: Option<OrOff<u32>>,
    /// Frames of one WebSocket message
    #[arg(long, value_name = "COUNT", value_parser = values::small_count)]
    max_message_fragments: Option<u32>,
    /// Compression of WebSocket messages where the client offers it: off, on (each message by itself) or takeover (with
    /// a context, for up to 400 KiB of memory for each connection that uses it)
    #[arg(long, value_name = "MODE", value_parser = values::deflate)]
    deflate: Option<Deflate>,
    /// Shorter messages are not compressed
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    deflate_min_bytes: Option<usize>,
    /// Origins besides the host itself whose pages may open a WebSocket, such as https://app.example.com or
    /// https://*.example.com, with commas between; * for every one
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',', value_parser = values::origin)]
    allowed_origins: Vec<String>,
    /// Largest body of an HTTP request
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    max_http_body_bytes: Option<usize>,
    /// An HTTP connection waits this long for its next request
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    http_idle_timeout: Option<Duration>,
    /// Addresses and networks of proxies that are believed when they say for whom they speak, with commas between
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',', value_parser = values::network)]
    trusted_proxies: Vec<Network>,
    /// Entries of X-Forwarded-For, counted from its end, that trusted proxies have written; 0: it is not looked at
    #[arg(long, value_name = "COUNT", value_parser = values::small_count)]
    forwarded_hops: Option<u32>,
    /// Certificate chain in PEM; with it TLS is served on auto://, tls:// and wss://
    #[arg(long, value_name = "FILE", value_parser = values::path_or_off)]
    tls_certificate: Option<OrOff<PathBuf>>,
    /// Its private key in PEM
    #[arg(long, value_name = "FILE", value_parser = values::path_or_off)]
    tls_key: Option<OrOff<PathBuf>>,
    /// Certificate authorities in PEM whose clients' certificates are asked for
    #[arg(long, value_name = "FILE", value_parser = values::path_or_off)]
    tls_client_ca: Option<OrOff<PathBuf>>,
    /// Refuse TLS clients without a certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
          value_parser = values::switch)]
    tls_require_client_certificate: Option<bool>,
    #[command(flatten, next_help_heading = "Options of the app hub")]
    hub: HubOptions,
}

/// The names of all settings, as files write them.
pub(super) fn known_keys() -> Vec<String> {
    keys_of::<Options>()
}

/// The names of the settings that a struct of options defines.
pub(super) fn keys_of<T: Args>() -> Vec<String> {
    definition::<T>().get_arguments().map(|arg| arg.get_id().to_string()).collect()
}

/// Adds a flag for each setting, its help ending with the default in force.
pub(super) fn augment(command: clap::Command) -> clap::Command {
    Configuration::default().shown().into_iter().fold(Options::augment_args(command), |command, (key, default)| {
        command.mut_arg(key, |arg| {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            arg.help(format!("{help} [default: {default}]"))
        })
    })
}

fn definition<T: Args>() -> clap::Command {
    T::augment_args(clap::Command::new("settings").no_binary_name(true).disable_help_flag(true))
}

/// Reads entries, at most one for each setting, as the flags they spell; a refusal is the mend alone.
pub(super) fn parse<'a, T: Args>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<T, String> {
    let flags = entries.into_iter().map(|entry| format!("--{}={}", entry.key.replace('_', "-"), entry.text));
    definition::<T>()
        .try_get_matches_from(flags)
        .and_then(|matches| T::from_arg_matches(&matches))
        .map_err(|refusal| refusal.source().map_or_else(|| refusal.kind().to_string(), ToString::to_string))
}

impl Options {
    /// The configuration that these options make of the defaults.
    pub(super) fn configuration(self) -> Configuration {
        let listening = ListenOptions::default();
        Configuration {
            settings: self.settings(),
            hub: self.hub.settings(),
            key_files: self.hub.key_files(),
            listen: if self.listen.is_empty() { vec![default_url()] } else { self.listen },
            app: self.app.unwrap_or(App::Hub),
            log_level: self.log_level.unwrap_or(LevelFilter::Info),
            backlog: self.backlog.unwrap_or(listening.backlog),
            tls: Tls {
                certificate: self.tls_certificate.and_then(|value| value.0),
                key: self.tls_key.and_then(|value| value.0),
                client_ca: self.tls_client_ca.and_then(|value| value.0),
                require_client_certificate: self.tls_require_client_certificate.unwrap_or(false),
            },
            reuse_port: self.reuse_port.unwrap_or(listening.reuse_port),
            busy_poll: self.busy_poll.unwrap_or_default(),
        }
    }

    fn settings(&self) -> Settings {
        let base = Settings::default();
        let (heartbeat_interval, heartbeat_timeout) = self.heartbeat(&base);
        let max_message_bytes = self.max_message_bytes.unwrap_or(base.max_message_bytes);
        let hard = self.write_queue_hard_bytes.unwrap_or_else(|| Settings::hard_bytes_for(max_message_bytes));
        Settings {
            heartbeat_interval,
            heartbeat_timeout,
            heartbeat_probe: self
                .heartbeat_probe
                .clone()
                .map_or(base.heartbeat_probe, |text| text.0.map(String::into_bytes)),
            heartbeat_answers: self.heartbeat_answers.unwrap_or(base.heartbeat_answers),
            handshake_timeout: self.handshake_timeout.unwrap_or(base.handshake_timeout),
            write_timeout: self.write_timeout.unwrap_or(base.write_timeout),
            idle_timeout: self.idle_timeout.map_or(base.idle_timeout, |value| value.0),
            close_timeout: self.close_timeout.unwrap_or(base.close_timeout),
            drain_window: self.drain_window.unwrap_or(base.drain_window),
            max_message_bytes,
            write_queue_soft_bytes: self.write_queue_soft_bytes.unwrap_or(base.write_queue_soft_bytes.min(hard)),
            write_queue_hard_bytes: hard,
            max_connections: self.max_connections.unwrap_or(base.max_connections),
            max_connections_per_ip: self.max_connections_per_ip.map_or(base.max_connections_per_ip, |value| value.0),
            max_accepts_per_second: self.max_accepts_per_second.map_or(base.max_accepts_per_second, |value| value.0),
            max_messages_per_second: self.max_messages_per_second.map_or(base.max_messages_per_second, |value| value.0),
            max_bytes_per_second: self.max_bytes_per_second.map_or(base.max_bytes_per_second, |value| value.0),
            max_message_fragments: self.max_message_fragments.unwrap_or(base.max_message_fragments),
            deflate: self.deflate.unwrap_or(base.deflate),
            deflate_min_bytes: self.deflate_min_bytes.unwrap_or(base.deflate_min_bytes),
            allowed_origins: self.allowed_origins.iter().filter(|origin| *origin != "none").cloned().collect(),
            max_http_body_bytes: self.max_http_body_bytes.unwrap_or(base.max_http_body_bytes),
            http_idle_timeout: self.http_idle_timeout.unwrap_or(base.http_idle_timeout),
            trusted_proxies: Some(self.trusted_proxies.clone())
                .filter(|networks| !networks.is_empty())
                .unwrap_or(base.trusted_proxies),
            forwarded_hops: self.forwarded_hops.unwrap_or(base.forwarded_hops),
        }
    }

    /// Interval and timeout: the one that nobody set follows the other.
    fn heartbeat(&self, base: &Settings) -> (Duration, Duration) {
        match (self.heartbeat_interval, self.heartbeat_timeout) {
            (None, None) => (base.heartbeat_interval, base.heartbeat_timeout),
            (Some(interval), None) => (interval, Settings::timeout_for(interval)),
            (None, Some(timeout)) => (Settings::interval_for(timeout), timeout),
            (Some(interval), Some(timeout)) => (interval, timeout),
        }
    }
}

fn default_url() -> ListenUrl {
    values::listen_url("auto://127.0.0.1:8000").expect("a URL with wire, host and port")
}
