//! One flat struct of settings: a field is a setting, under the name it has in files, flags and environment.

use super::Network;
use std::fmt;
use std::time::Duration;

/// Everything that can be set about connections, with defaults that suit a public gateway.
///
/// [`Settings::validate`] checks the relations between fields; a gateway refuses to start without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Silence after which a peer is asked for a sign of life. Default 25 s; zero turns heartbeats off.
    pub heartbeat_interval: Duration,
    /// Silence after which a peer is taken for dead. Default 2.5 x `heartbeat_interval`; at least twice of it.
    pub heartbeat_timeout: Duration,
    /// What is sent to ask on a plain wire. Default none: there the deadline alone works. At most 125 bytes.
    pub heartbeat_probe: Option<Vec<u8>>,
    /// Which heartbeats of clients are answered inside the loop. Default all.
    pub heartbeat_answers: HeartbeatForms,
    /// Time from accept until the wire is known and a first message that has begun is complete. Default 10 s.
    pub handshake_timeout: Duration,
    /// Bytes wait and none leaves for this long: the peer is given up. Default 10 s.
    pub write_timeout: Duration,
    /// A peer that sends nothing but heartbeats for this long is closed. Default off.
    pub idle_timeout: Option<Duration>,
    /// How long an orderly close may take to flush and to see the peer's end. Default 5 s.
    pub close_timeout: Duration,
    /// At shutdown the closes of open connections are spread over this time. Default 10 s.
    pub drain_window: Duration,
    /// Largest message accepted, in bytes of its body. Default 64 KiB, at most 1 GiB.
    pub max_message_bytes: usize,
    /// A connection with more than this waiting to be sent is not read from until it drains. Default 256 KiB.
    pub write_queue_soft_bytes: usize,
    /// A connection with more than this waiting to be sent is closed as a slow consumer. Default 1 MiB, or four
    /// times `max_message_bytes` where that is more.
    pub write_queue_hard_bytes: usize,
    /// Connections open at once; further ones are refused. Default 1,000,000, at most 16,777,216.
    pub max_connections: usize,
    /// Connections open at once from one IPv4 address or one IPv6 /64. Default unlimited.
    pub max_connections_per_ip: Option<u32>,
    /// New connections admitted a second, with a burst of one second's worth. Default unlimited.
    pub max_accepts_per_second: Option<u32>,
    /// Messages a second from one connection, with a burst of one second's worth. Default unlimited.
    pub max_messages_per_second: Option<u32>,
    /// Bytes a second from one connection, with a burst of one second's worth. Default unlimited. At least
    /// `max_message_bytes`, or no message of that size could ever pass.
    pub max_bytes_per_second: Option<u32>,
    /// Frames of one WebSocket message. Default 100,000.
    pub max_message_fragments: u32,
    /// Whether WebSocket messages are compressed, where the peer offers it (permessage-deflate). Default on, without
    /// context takeover.
    pub deflate: Deflate,
    /// Shorter messages are not compressed. Default 1 KiB.
    pub deflate_min_bytes: usize,
    /// Origins besides the host itself whose pages may open a WebSocket: `https://app.example.com`,
    /// `https://*.example.com`, or `*` for every one. Default none. A request without an origin is allowed.
    pub allowed_origins: Vec<String>,
    /// Largest body of an HTTP request. Default 1 MiB.
    pub max_http_body_bytes: usize,
    /// An HTTP connection waits this long for its next request. Default 60 s.
    pub http_idle_timeout: Duration,
    /// Proxies that are believed when they say for whom they speak, by the PROXY protocol or `X-Forwarded-For`. Default
    /// this machine.
    pub trusted_proxies: Vec<Network>,
    /// Entries of `X-Forwarded-For`, counted from its end, that trusted proxies have written. Default 0: it is not
    /// looked at.
    pub forwarded_hops: u32,
}

/// Whether WebSocket messages are compressed, where the peer offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deflate {
    /// Never.
    Off,
    /// Each message by itself: costs a connection no memory.
    On,
    /// With what was sent before as context, where the peer allows it: smaller messages, for up to 400 KiB of memory for
    /// each connection that uses it.
    Takeover,
}

impl Default for Settings {
    fn default() -> Self {
        let heartbeat_interval = Duration::from_secs(25);
        Self {
            heartbeat_interval,
            heartbeat_timeout: Self::timeout_for(heartbeat_interval),
            heartbeat_probe: None,
            heartbeat_answers: HeartbeatForms::ALL,
            handshake_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle_timeout: None,
            close_timeout: Duration::from_secs(5),
            drain_window: Duration::from_secs(10),
            max_message_bytes: 64 << 10,
            write_queue_soft_bytes: 256 << 10,
            write_queue_hard_bytes: Self::hard_bytes_for(64 << 10),
            max_connections: 1_000_000,
            max_connections_per_ip: None,
            max_accepts_per_second: None,
            max_messages_per_second: None,
            max_bytes_per_second: None,
            max_message_fragments: 100_000,
            deflate: Deflate::On,
            deflate_min_bytes: 1024,
            allowed_origins: Vec::new(),
            max_http_body_bytes: 1 << 20,
            http_idle_timeout: Duration::from_secs(60),
            trusted_proxies: Network::loopback(),
            forwarded_hops: 0,
        }
    }
}

impl Settings {
    /// Largest `max_connections`: a slot number has 24 bits in a connection id.
    pub const MAX_CONNECTIONS: usize = 1 << 24;
    /// Largest `max_message_bytes`.
    pub const MAX_MESSAGE_BYTES: usize = 1 << 30;

    /// Longest `heartbeat_probe`: what a WebSocket control frame can carry (RFC 6455, section 5.5).
    pub const MAX_PROBE_BYTES: usize = 125;

    /// The `heartbeat_timeout` that follows an interval set alone.
    pub fn timeout_for(interval: Duration) -> Duration {
        interval.saturating_mul(5) / 2
    }

    /// The `heartbeat_interval` that follows a timeout set alone.
    pub fn interval_for(timeout: Duration) -> Duration {
        timeout.saturating_mul(2) / 5
    }

    /// The `write_queue_hard_bytes` that follows a message limit set alone.
    pub fn hard_bytes_for(max_message_bytes: usize) -> usize {
        max_message_bytes.saturating_mul(4).max(1 << 20)
    }

    /// Whether quiet peers are asked and dead ones found.
    pub fn has_heartbeat(&self) -> bool {
        !self.heartbeat_interval.is_zero()
    }

    /// Checks every bound and relation; the first that does not hold is named with its value and the mend.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.validate_times()?;
        self.validate_sizes()?;
        self.validate_rates()
    }

    fn validate_times(&self) -> Result<(), SettingError> {
        let (interval, timeout) = (self.heartbeat_interval, self.heartbeat_timeout);
        check(
            !self.has_heartbeat() || timeout >= interval.saturating_mul(2),
            "heartbeat_timeout",
            &format_args!("{timeout:?}"),
            || format!("make it at least twice heartbeat_interval ({interval:?}), or leave one of the two out"),
        )?;
        let least = Duration::from_millis(10);
        for (name, value) in [
            ("handshake_timeout", self.handshake_timeout),
            ("write_timeout", self.write_timeout),
            ("close_timeout", self.close_timeout),
            ("http_idle_timeout", self.http_idle_timeout),
            ("idle_timeout", self.idle_timeout.unwrap_or(least)),
            ("heartbeat_interval", if self.has_heartbeat() { interval } else { least }),
        ] {
            check(value >= least, name, &format_args!("{value:?}"), || "make it 10ms or more".to_owned())?;
        }
        Ok(())
    }

    fn validate_sizes(&self) -> Result<(), SettingError> {
        let message = self.max_message_bytes;
        check((1..=Self::MAX_MESSAGE_BYTES).contains(&message), "max_message_bytes", &message, || {
            "choose 1 byte to 1 GiB".to_owned()
        })?;
        let (soft, hard) = (self.write_queue_soft_bytes, self.write_queue_hard_bytes);
        let room = message.max(Self::MAX_PROBE_BYTES) + 16;
        check(hard >= room, "write_queue_hard_bytes", &hard, || {
            format!("make it at least {room}, so that a message of max_message_bytes ({message}) and a probe fit")
        })?;
        check(soft > 0 && soft <= hard, "write_queue_soft_bytes", &soft, || {
            format!("choose 1 byte to write_queue_hard_bytes ({hard})")
        })?;
        let body = self.max_http_body_bytes;
        check((1..=Self::MAX_MESSAGE_BYTES).contains(&body), "max_http_body_bytes", &body, || {
            "choose 1 byte to 1 GiB".to_owned()
        })?;
        let probe = self.heartbeat_probe.as_deref().unwrap_or(b"ping");
        check((1..=Self::MAX_PROBE_BYTES).contains(&probe.len()), "heartbeat_probe", &probe.len(), || {
            "use 1 to 125 bytes, or leave it out".to_owned()
        })
    }

    fn validate_rates(&self) -> Result<(), SettingError> {
        check(
            (1..=Self::MAX_CONNECTIONS).contains(&self.max_connections),
            "max_connections",
            &self.max_connections,
            || format!("choose 1 to {}", Self::MAX_CONNECTIONS),
        )?;
        for (name, value) in [
            ("max_connections_per_ip", self.max_connections_per_ip),
            ("max_accepts_per_second", self.max_accepts_per_second),
            ("max_messages_per_second", self.max_messages_per_second),
            ("max_message_fragments", Some(self.max_message_fragments)),
        ] {
            check(value != Some(0), name, &0, || "choose 1 or more, or leave it out for the default".to_owned())?;
        }
        let bytes = self.max_bytes_per_second.unwrap_or(u32::MAX);
        check(bytes as usize >= self.max_message_bytes, "max_bytes_per_second", &bytes, || {
            format!("make it at least max_message_bytes ({})", self.max_message_bytes)
        })
    }
}

/// The exact messages that count as a client's heartbeat and are answered before any handler sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatForms {
    /// `ping`, answered by `pong`.
    pub lower: bool,
    /// `PING`, answered by `PONG`.
    pub upper: bool,
    /// `{"type":"ping"}` with any JSON white space, answered by `{"type":"pong"}`.
    pub json: bool,
    /// One byte `0x01`, answered by the same.
    pub byte: bool,
}

impl HeartbeatForms {
    /// Every form.
    pub const ALL: Self = Self { lower: true, upper: true, json: true, byte: true };
    /// No form: heartbeats reach the handler like any message.
    pub const NONE: Self = Self { lower: false, upper: false, json: false, byte: false };
}

/// A setting out of its bounds or at odds with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The setting's name.
    pub setting: &'static str,
    /// The value it has.
    pub value: String,
    /// What to change.
    pub mend: String,
}

impl SettingError {
    pub(super) fn of_namespace(self, name: &str) -> Self {
        Self { value: format!("{} (namespace {name})", self.value), ..self }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.setting, self.value, self.mend)
    }
}

impl std::error::Error for SettingError {}

pub(super) fn check(
    holds: bool,
    setting: &'static str,
    value: &dyn fmt::Display,
    mend: impl FnOnce() -> String,
) -> Result<(), SettingError> {
    if holds { Ok(()) } else { Err(SettingError { setting, value: value.to_string(), mend: mend() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(change: impl FnOnce(&mut Settings)) -> Option<&'static str> {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.validate().err().map(|error| error.setting)
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(blamed(|_| ()), None);
    }

    #[test]
    fn each_broken_relation_names_its_setting() {
        assert_eq!(blamed(|s| s.heartbeat_timeout = Duration::from_secs(49)), Some("heartbeat_timeout"));
        assert_eq!(blamed(|s| s.write_timeout = Duration::ZERO), Some("write_timeout"));
        assert_eq!(blamed(|s| s.idle_timeout = Some(Duration::ZERO)), Some("idle_timeout"));
        assert_eq!(blamed(|s| s.max_message_bytes = 2 << 20), Some("write_queue_hard_bytes"));
        assert_eq!(blamed(|s| s.write_queue_soft_bytes = 2 << 20), Some("write_queue_soft_bytes"));
        assert_eq!(blamed(|s| s.heartbeat_probe = Some(vec![])), Some("heartbeat_probe"));
        assert_eq!(blamed(|s| s.max_connections = 0), Some("max_connections"));
        assert_eq!(blamed(|s| s.max_connections_per_ip = Some(0)), Some("max_connections_per_ip"));
        assert_eq!(blamed(|s| s.max_bytes_per_second = Some(1)), Some("max_bytes_per_second"));
    }

    #[test]
    fn heartbeats_can_be_off() {
        assert_eq!(blamed(|s| s.heartbeat_interval = Duration::ZERO), None);
    }
}
