//! The opening handshake (RFC 6455, section 4): the server's check and answer, the client's request and check.
//!
//! Bytes only. Which paths take an upgrade, which subprotocols there are and what an extension means decide others.

mod client;
mod origin;
#[cfg(test)]
mod tests;

use crate::wire::http::{BodyLength, Head, Method, Status, elements, is_token, is_value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

pub use client::{Accepted, HandshakeError, MAX_RESPONSE_BYTES, check_response, write_request};
pub use origin::origin_allowed;

/// Length of a `Sec-WebSocket-Key`: 16 bytes in base64.
pub const KEY_LEN: usize = 24;

/// A request for WebSocket that has passed every check but the origin's.
#[derive(Debug, Clone, Copy)]
pub struct Upgrade<'h, 'b> {
    head: &'h Head<'h, 'b>,
    key: &'b [u8; KEY_LEN],
    origin: Option<&'b [u8]>,
}

/// Checks a request as RFC 6455, section 4.2.1, demands.
///
/// Refuses with 405 what is not GET; with 426 what does not ask for an upgrade or asks for another version than 13;
/// with 400 HTTP/1.0, an upgrade to something else, a body of any framing (its bytes could be taken for frames), and a
/// `Sec-WebSocket-Key` or an `Origin` that is not what it must be. Bytes after the head are frames.
pub fn check<'h, 'b>(head: &'h Head<'h, 'b>) -> Result<Upgrade<'h, 'b>, Status> {
    if head.method != Method::Get {
        return Err(Status::MethodNotAllowed);
    }
    if head.field("upgrade").is_none() {
        return Err(Status::UpgradeRequired);
    }
    if head.is_http_10 || !head.upgrade || head.body != BodyLength::None {
        return Err(Status::BadRequest);
    }
    if at_most_once(head, "sec-websocket-version") != Ok(Some(b"13")) {
        return Err(Status::UpgradeRequired);
    }
    let key = at_most_once(head, "sec-websocket-key")?.and_then(parse_key).ok_or(Status::BadRequest)?;
    Ok(Upgrade { head, key, origin: at_most_once(head, "origin")? })
}

impl<'h, 'b> Upgrade<'h, 'b> {
    /// The client's key, for [`write_101`].
    pub fn key(&self) -> &'b [u8; KEY_LEN] {
        self.key
    }

    /// The page that asks, where a browser does; for [`origin_allowed`].
    pub fn origin(&self) -> Option<&'b [u8]> {
        self.origin
    }

    /// The subprotocols the client offers, in order of preference; what is no token is passed over.
    pub fn protocols(&self) -> impl Iterator<Item = &'b str> + use<'h, 'b> {
        let offered = self.head.fields("sec-websocket-protocol").flat_map(elements).filter(|name| is_token(name));
        offered.filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// The values of all `Sec-WebSocket-Extensions`, which are one list together.
    pub fn extensions(&self) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b> {
        self.head.fields("sec-websocket-extensions")
    }
}

/// The answer to a client's key: base64 of a SHA-1 (RFC 6455, section 4.2.2).
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    STANDARD.encode_slice(sha1.digest().bytes(), &mut accept).expect("20 bytes are 28 characters");
    accept
}

/// Appends the answer that opens the WebSocket.
///
/// `protocol` is one of [`Upgrade::protocols`], `extensions` what was agreed. Where they could end their line they are
/// left out.
pub fn write_101(out: &mut Vec<u8>, key: &[u8; KEY_LEN], protocol: Option<&str>, extensions: Option<&[u8]>) {
    out.reserve(256);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept_key(key));
    add_agreed(out, protocol, extensions);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Ends a line and appends those for the subprotocols and extensions, but for the last line end.
fn add_agreed(out: &mut Vec<u8>, protocol: Option<&str>, extensions: Option<&[u8]>) {
    if let Some(protocol) = protocol.filter(|protocol| is_token(protocol.as_bytes())) {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(protocol.as_bytes());
    }
    if let Some(extensions) = extensions.filter(|value| is_value(value)) {
        out.extend_from_slice(b"\r\nSec-WebSocket-Extensions: ");
        out.extend_from_slice(extensions);
    }
}

/// The value of a field that may stand in a head once.
fn at_most_once<'b>(head: &Head<'_, 'b>, name: &str) -> Result<Option<&'b [u8]>, Status> {
    let mut values = head.fields(name);
    let value = values.next();
    if values.next().is_some() { Err(Status::BadRequest) } else { Ok(value) }
}

/// 16 bytes in base64 are 22 characters and two `=`. The bits that 22 characters have too many are not looked at: the
/// key is only ever used as text.
fn parse_key(value: &[u8]) -> Option<&[u8; KEY_LEN]> {
    let key: &[u8; KEY_LEN] = value.try_into().ok()?;
    let (digits, padding) = key.split_at(22);
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    (padding == b"==" && digits.iter().all(digit)).then_some(key)
}
