//! What can be set about a client, and the relations that must hold before it starts.

use super::HeartbeatForm;
use crate::config::{HeartbeatForms, SettingError, Settings};
#[cfg(feature = "websocket")]
use crate::wire::http::{is_token, is_value};
use std::fmt;
use std::time::Duration;

/// Everything that can be set about a client, with defaults that suit a phone behind a home router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// How often the server is asked for a sign of life, on WebSocket by a ping. Default 10 s, which keeps every usual
    /// NAT entry alive; zero turns heartbeats off, and with them the time-out; else at least 10 ms.
    pub heartbeat_interval: Duration,
    /// Time without a byte after which the server is taken for dead. Default 25 s; at least twice
    /// `heartbeat_interval`.
    pub heartbeat_timeout: Duration,
    /// Heartbeats in a row that may stay without an answer: when the next one falls due, the server is taken for dead.
    /// Any byte counts as an answer. Default 2, at least 1.
    pub missed_limit: u32,
    /// What is sent to ask on a plain wire. Default `ping`.
    pub heartbeat_form: HeartbeatForm,
    /// Which heartbeats of the server are answered on a plain wire. Default all but the single byte: its answer is that
    /// byte again, so two sides that both answer it would never stop. On WebSocket it is pings that are answered.
    pub heartbeat_answers: HeartbeatForms,
    /// How long an attempt to connect may take, with the handshakes of TLS and WebSocket. Default 10 s, at least 10 ms.
    pub connect_timeout: Duration,
    /// Longest first wait before a new attempt; it doubles from wait to wait. Default 1 s, at least 1 ms.
    pub backoff_min: Duration,
    /// Where the doubling of waits ends. Default 30 s; at least `backoff_min`, at most a day.
    pub backoff_max: Duration,
    /// Life-time of a connection after which waits and tries are counted from the start again. Default 10 s.
    pub stable_after: Duration,
    /// Attempts in a row, none of which led to a connection that lived for `stable_after`, before the client gives up.
    /// Default unlimited, at least 1.
    pub max_tries: Option<u32>,
    /// Largest message sent or accepted, in bytes of its body. Default 64 KiB, at most 1 GiB.
    ///
    /// A larger one from the server ends the connection; a larger one to send is refused, because a server that ends
    /// the connection over it would do so again each time it is resent.
    pub max_message_bytes: usize,
    /// Messages that may wait to be sent. One more is refused. Default 1,024, at least 1.
    pub max_outbox_messages: usize,
    /// Bytes that may wait to be sent, frames included. A message that does not fit is refused. Default 1 MiB; at least
    /// 4 more than `max_message_bytes`, 14 more on WebSocket.
    pub max_outbox_bytes: usize,
    /// Whether compression is offered to a server on WebSocket (permessage-deflate, each message by itself). Default on,
    /// where the feature `deflate` is. The first message of 1 KiB or more that is sent compressed takes up to 400 KiB of
    /// memory, the first that is received 50 KiB.
    pub deflate: bool,
    /// The subprotocol that a server on WebSocket has to speak. Default none.
    pub subprotocol: Option<String>,
    /// Further fields of the request for a WebSocket, such as `Authorization`: names and values. Default none. Those of
    /// the handshake itself are refused.
    pub request_fields: Vec<(String, String)>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(10),
            heartbeat_timeout: Duration::from_secs(25),
            missed_limit: 2,
            heartbeat_form: HeartbeatForm::Lower,
            heartbeat_answers: HeartbeatForms { byte: false, ..HeartbeatForms::ALL },
            connect_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
            max_tries: None,
            max_message_bytes: 64 << 10,
            max_outbox_messages: 1024,
            max_outbox_bytes: 1 << 20,
            deflate: true,
            subprotocol: None,
            request_fields: Vec::new(),
        }
    }
}

/// Below this a time-out fires on a loaded machine though nothing is wrong.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(24 * 3600);
/// What the longest frame of a plain wire, a length prefix, adds to a message.
const FRAME_BYTES: usize = 4;
/// What the longest frame of a WebSocket adds to one.
#[cfg(feature = "websocket")]
const WEBSOCKET_FRAME_BYTES: usize = crate::wire::websocket::MAX_HEADER;

impl ClientOptions {
    /// Whether the server is asked for signs of life.
    pub fn has_heartbeat(&self) -> bool {
        !self.heartbeat_interval.is_zero()
    }

    /// Checks every bound and relation; the first that does not hold is named with its value and the mend.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.validate_heartbeat()?;
        self.validate_reconnect()?;
        self.validate_sizes()?;
        self.validate_room(FRAME_BYTES)?;
        self.validate_request()
    }

    /// As [`ClientOptions::validate`], and what only WebSocket needs.
    #[cfg(feature = "websocket")]
    pub(super) fn validate_for_websocket(&self) -> Result<(), SettingError> {
        self.validate()?;
        self.validate_room(WEBSOCKET_FRAME_BYTES)
    }

    fn validate_heartbeat(&self) -> Result<(), SettingError> {
        if !self.has_heartbeat() {
            return Ok(());
        }
        let (interval, timeout) = (self.heartbeat_interval, self.heartbeat_timeout);
        check(interval >= SHORTEST_TIMEOUT, "heartbeat_interval", format_args!("{interval:?}"), || {
            "make it 10ms or more, or zero for none".to_owned()
        })?;
        check(timeout >= interval.saturating_mul(2), "heartbeat_timeout", format_args!("{timeout:?}"), || {
            format!("make it at least twice heartbeat_interval ({interval:?})")
        })?;
        check(self.missed_limit > 0, "missed_limit", self.missed_limit, || "choose 1 or more".to_owned())
    }

    fn validate_reconnect(&self) -> Result<(), SettingError> {
        let (min, max) = (self.backoff_min, self.backoff_max);
        check(
            self.connect_timeout >= SHORTEST_TIMEOUT,
            "connect_timeout",
            format_args!("{:?}", self.connect_timeout),
            || "make it 10ms or more".to_owned(),
        )?;
        check(min >= Duration::from_millis(1), "backoff_min", format_args!("{min:?}"), || {
            "make it 1ms or more".to_owned()
        })?;
        check((min..=LONGEST_BACKOFF).contains(&max), "backoff_max", format_args!("{max:?}"), || {
            format!("choose backoff_min ({min:?}) to a day")
        })?;
        check(self.max_tries != Some(0), "max_tries", 0, || "choose 1 or more, or leave it out for no limit".to_owned())
    }

    fn validate_sizes(&self) -> Result<(), SettingError> {
        let message = self.max_message_bytes;
        check((1..=Settings::MAX_MESSAGE_BYTES).contains(&message), "max_message_bytes", message, || {
            "choose 1 byte to 1 GiB".to_owned()
        })?;
        check(self.max_outbox_messages > 0, "max_outbox_messages", self.max_outbox_messages, || {
            "choose 1 or more".to_owned()
        })
    }

    fn validate_room(&self, frame_bytes: usize) -> Result<(), SettingError> {
        let message = self.max_message_bytes;
        let room = message + frame_bytes;
        check(self.max_outbox_bytes >= room, "max_outbox_bytes", self.max_outbox_bytes, || {
            format!("make it at least {room}, so that one message of max_message_bytes ({message}) fits")
        })
    }

    #[cfg(feature = "websocket")]
    fn validate_request(&self) -> Result<(), SettingError> {
        let subprotocol = self.subprotocol.as_deref().unwrap_or("none");
        check(is_token(subprotocol.as_bytes()), "subprotocol", subprotocol, || {
            "use letters, digits and !#$%&'*+-.^_`|~ only".to_owned()
        })?;
        for (name, value) in &self.request_fields {
            check(is_token(name.as_bytes()) && !is_ours(name), "request_fields", name, || {
                "use names of letters, digits and hyphens that the handshake itself does not use".to_owned()
            })?;
            check(is_value(value.as_bytes()), "request_fields", name, || "leave out line ends".to_owned())?;
        }
        Ok(())
    }

    #[cfg(not(feature = "websocket"))]
    fn validate_request(&self) -> Result<(), SettingError> {
        Ok(())
    }
}

/// Whether a field of this name is the handshake's own, or would say that a body follows.
#[cfg(feature = "websocket")]
fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("sec-websocket-")
        || matches!(name.as_str(), "host" | "upgrade" | "connection" | "content-length" | "transfer-encoding")
}

fn check(
    holds: bool,
    setting: &'static str,
    value: impl fmt::Display,
    mend: impl FnOnce() -> String,
) -> Result<(), SettingError> {
    if holds { Ok(()) } else { Err(SettingError { setting, value: value.to_string(), mend: mend() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(change: impl FnOnce(&mut ClientOptions)) -> Option<&'static str> {
        let mut options = ClientOptions::default();
        change(&mut options);
        options.validate().err().map(|error| error.setting)
    }

    #[test]
    fn defaults_are_valid() {
        assert_eq!(blamed(|_| ()), None);
    }

    #[test]
    fn each_broken_relation_names_its_setting() {
        assert_eq!(blamed(|o| o.heartbeat_interval = Duration::from_millis(9)), Some("heartbeat_interval"));
        assert_eq!(blamed(|o| o.heartbeat_timeout = Duration::from_secs(19)), Some("heartbeat_timeout"));
        assert_eq!(blamed(|o| o.heartbeat_interval = Duration::MAX), Some("heartbeat_timeout"));
        assert_eq!(blamed(|o| o.missed_limit = 0), Some("missed_limit"));
        assert_eq!(blamed(|o| o.connect_timeout = Duration::ZERO), Some("connect_timeout"));
        assert_eq!(blamed(|o| o.backoff_min = Duration::ZERO), Some("backoff_min"));
        assert_eq!(blamed(|o| o.backoff_max = Duration::from_millis(999)), Some("backoff_max"));
        assert_eq!(blamed(|o| o.backoff_max = Duration::MAX), Some("backoff_max"));
        assert_eq!(blamed(|o| o.max_tries = Some(0)), Some("max_tries"));
        assert_eq!(blamed(|o| o.max_message_bytes = 0), Some("max_message_bytes"));
        assert_eq!(blamed(|o| o.max_outbox_messages = 0), Some("max_outbox_messages"));
        assert_eq!(blamed(|o| o.max_outbox_bytes = (64 << 10) + 3), Some("max_outbox_bytes"));
    }

    #[test]
    fn without_heartbeats_their_other_settings_do_not_matter() {
        let off = |o: &mut ClientOptions| (o.heartbeat_interval, o.missed_limit) = (Duration::ZERO, 0);
        assert_eq!(blamed(off), None);
    }

    #[cfg(feature = "websocket")]
    #[test]
    fn a_request_for_a_websocket_says_nothing_twice_and_ends_no_line() {
        let field = |name: &str, value: &str| {
            let field = (name.to_owned(), value.to_owned());
            blamed(|o| o.request_fields = vec![("X-First".to_owned(), String::new()), field])
        };
        assert_eq!(field("Authorization", "Bearer a.b=="), None);
        for name in
            ["host", "Upgrade", "CONNECTION", "sec-websocket-key", "Content-Length", "Transfer-Encoding", "a b", ""]
        {
            assert_eq!(field(name, "x"), Some("request_fields"), "{name}");
        }
        assert_eq!(field("X", "a\r\nHost: b"), Some("request_fields"));
        assert_eq!(blamed(|o| o.subprotocol = Some("a, b".to_owned())), Some("subprotocol"));
        assert_eq!(blamed(|o| o.subprotocol = Some("chat".to_owned())), None);
    }

    #[cfg(feature = "websocket")]
    #[test]
    fn the_largest_message_fits_with_the_largest_frame() {
        let options = |bytes: usize| ClientOptions { max_outbox_bytes: (64 << 10) + bytes, ..ClientOptions::default() };
        assert_eq!(options(4).validate(), Ok(()));
        assert_eq!(options(13).validate_for_websocket().unwrap_err().setting, "max_outbox_bytes");
        assert_eq!(options(14).validate_for_websocket(), Ok(()));
    }
}
