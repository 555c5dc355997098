//! Which messages are heartbeats, and what answers them.

use super::machine::Connection;
use crate::config::{HeartbeatForms, Settings};
use crate::wire::Wire;

/// The message that answers a heartbeat.
pub type Answer = &'static [u8];

impl Connection {
    /// Whether this is what peers answer to the probe, where that is one of the known forms. A WebSocket peer answers
    /// with a pong.
    pub(super) fn is_answer(&self, message: &[u8], settings: &Settings) -> bool {
        if self.wire() == Some(Wire::WebSocket) {
            return false;
        }
        let probe = settings.heartbeat_probe.as_deref().unwrap_or_default();
        answer(probe, HeartbeatForms::ALL) == Some(message)
    }
}

/// The answer to a client's heartbeat, or `None` where `message` is none of the forms switched on.
///
/// A heartbeat is a whole message that is exactly one of them; only the JSON form may hold white space.
#[inline]
pub fn answer(message: &[u8], forms: HeartbeatForms) -> Option<Answer> {
    // Nearly every message shows by its first byte, or its length, that it is none.
    match message.first() {
        Some(b'p' | b'P' | 0x01 | b'{' | b' ' | b'\t' | b'\r' | b'\n') if message.len() <= MAX_JSON => {
            answer_exactly(message, forms)
        }
        _ => None,
    }
}

fn answer_exactly(message: &[u8], forms: HeartbeatForms) -> Option<Answer> {
    match message {
        b"ping" if forms.lower => Some(b"pong"),
        b"PING" if forms.upper => Some(b"PONG"),
        [0x01] if forms.byte => Some(&[0x01]),
        _ if forms.json && is_json_ping(message) => Some(br#"{"type":"pong"}"#),
        _ => None,
    }
}

/// Longest message looked at as a JSON heartbeat, so that a large message of white space costs nothing.
const MAX_JSON: usize = 64;

fn is_json_ping(message: &[u8]) -> bool {
    let mut rest = message;
    [&b"{"[..], b"\"type\"", b":", b"\"ping\"", b"}"].into_iter().all(|token| {
        rest = trim_start(rest);
        rest.strip_prefix(token).map(|after| rest = after).is_some()
    }) && trim_start(rest).is_empty()
}

/// Drops what JSON takes for white space (RFC 8259, section 2).
fn trim_start(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    &bytes[blank..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], expected: Option<&[u8]>) {
        assert_eq!(answer(message, HeartbeatForms::ALL), expected, "{}", message.escape_ascii());
        assert_eq!(answer(message, HeartbeatForms::NONE), None);
    }

    #[test]
    fn exact_forms_are_answered_in_kind() {
        check(b"ping", Some(b"pong"));
        check(b"PING", Some(b"PONG"));
        check(b"\x01", Some(b"\x01"));
        check(br#"{"type":"ping"}"#, Some(br#"{"type":"pong"}"#));
    }

    #[test]
    fn json_may_hold_white_space_between_tokens_only() {
        check(b" {\t\"type\" : \"ping\"\r\n}\n", Some(br#"{"type":"pong"}"#));
        check(br#"{"ty pe":"ping"}"#, None);
        check(br#"{"type":"ping","id":1}"#, None);
        check(br#"{"type":"ping"}}"#, None);
        check(br#"{"type":"pong"}"#, None);
    }

    #[test]
    fn near_misses_are_messages() {
        for message in [&b""[..], b"Ping", b"ping ", b" ping", b"pingping", b"\x01\x01", b"{}", b"{"] {
            check(message, None);
        }
        check(&[b' '; 100], None);
    }
}
