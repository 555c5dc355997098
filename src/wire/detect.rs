//! Tells a peer's wire from its first bytes, so that one port takes them all.

use super::Wire;

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// Messages in this framing.
    Wire(Wire),
    /// An HTTP request.
    Http,
    /// A TLS handshake record.
    Tls,
}

/// Longest prefix that decides: a method and its space.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"TRACE "];
const TLS_HANDSHAKE: u8 = 0x16;

/// The wire of a stream that begins with `bytes`, or `None` while they may still become an HTTP method.
///
/// `0x00` is the first byte of any length below 16 MiB; a peer whose very first message is longer needs a listener
/// that is fixed to the length prefix.
pub fn detect(bytes: &[u8]) -> Option<Detected> {
    match bytes.first()? {
        0x00 => Some(Detected::Wire(Wire::Length)),
        &TLS_HANDSHAKE => Some(Detected::Tls),
        _ if METHODS.iter().any(|method| bytes.starts_with(method)) => Some(Detected::Http),
        _ if METHODS.iter().any(|method| method.starts_with(bytes)) => None,
        _ => Some(Detected::Wire(Wire::Line)),
    }
}
