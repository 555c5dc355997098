//! The client's side of the handshake (RFC 6455, section 4.1).

use super::{STANDARD, accept_key, add_agreed};
use crate::wire::http::{MAX_FIELDS, elements, find_end, split_host_port};
use base64::Engine;
use httparse::{EMPTY_HEADER, Header};
use std::fmt;

/// Longest head of a server's answer, in bytes.
pub const MAX_RESPONSE_BYTES: usize = 16 << 10;

/// What the server agreed to. It may only be what was offered; the caller compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The subprotocol, if any.
    pub protocol: Option<String>,
    /// The value of `Sec-WebSocket-Extensions`, if any.
    pub extensions: Option<Vec<u8>>,
}

/// Why there will be no WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// What was to be asked for has no host that can be asked.
    InvalidHost,
    /// The server answers with this status instead of 101.
    Refused(u16),
    /// The answer is not HTTP/1.1, or says a thing twice that must be said once.
    Malformed,
    /// The answer's head is longer than [`MAX_RESPONSE_BYTES`].
    TooLarge,
    /// 101, but not to WebSocket.
    NotUpgraded,
    /// The answer is to somebody else's key: a cache, or a server that does not speak WebSocket.
    WrongAccept,
}

/// Appends the request for `path` (with its query) on `host` (with its port, unless it is the default one).
///
/// `key` is 16 random bytes, new for each connection; give the same to [`check_response`]. Characters that can't stand
/// in a path are percent-encoded; a protocol or extensions that could end their line are left out.
pub fn write_request(
    out: &mut Vec<u8>,
    host: &str,
    path: &str,
    key: &[u8; 16],
    protocol: Option<&str>,
    extensions: Option<&[u8]>,
) -> Result<(), HandshakeError> {
    split_host_port(host).ok_or(HandshakeError::InvalidHost)?;
    out.extend_from_slice(if path.starts_with('/') { b"GET " } else { b"GET /" });
    path.bytes().for_each(|byte| add_encoded(out, byte));
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n");
    out.extend_from_slice(b"Sec-WebSocket-Key: ");
    out.extend_from_slice(&encode_key(key));
    add_agreed(out, protocol, extensions);
    out.extend_from_slice(b"\r\n\r\n");
    Ok(())
}

/// What the server says to the request with `key`, and how long its head is: what follows are frames. `None` while the
/// head is under way.
///
/// `scanned` bytes were seen by an earlier call that said `None` and are not searched again.
pub fn check_response(
    bytes: &[u8],
    scanned: usize,
    key: &[u8; 16],
) -> Result<Option<(Accepted, usize)>, HandshakeError> {
    match find_end(bytes, scanned) {
        Some(len) if len <= MAX_RESPONSE_BYTES => {
            let head = bytes.get(..len).unwrap_or_default();
            Ok(Some((parse_response(head, &encode_key(key))?, len)))
        }
        None if bytes.len() < MAX_RESPONSE_BYTES => Ok(None),
        Some(_) | None => Err(HandshakeError::TooLarge),
    }
}

fn parse_response(head: &[u8], key: &[u8; super::KEY_LEN]) -> Result<Accepted, HandshakeError> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(head).map_err(|_| HandshakeError::Malformed)?;
    if !head.ends_with(b"\r\n\r\n") || parsed.is_partial() || response.version != Some(1) {
        return Err(HandshakeError::Malformed);
    }
    match response.code {
        Some(101) => check_101(response.headers, key),
        code => Err(HandshakeError::Refused(code.unwrap_or_default())),
    }
}

fn check_101(fields: &[Header<'_>], key: &[u8; super::KEY_LEN]) -> Result<Accepted, HandshakeError> {
    let upgrade = once(fields, "upgrade")?.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    let mut options = named(fields, "connection").flat_map(elements);
    if !upgrade || !options.any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
        return Err(HandshakeError::NotUpgraded);
    }
    if once(fields, "sec-websocket-accept")? != Some(&accept_key(key)) {
        return Err(HandshakeError::WrongAccept);
    }
    let protocol = once(fields, "sec-websocket-protocol")?.map(|value| String::from_utf8(value.to_vec()));
    Ok(Accepted {
        protocol: protocol.transpose().map_err(|_| HandshakeError::Malformed)?,
        extensions: once(fields, "sec-websocket-extensions")?.map(<[u8]>::to_vec),
    })
}

/// The value of a field that an answer may hold once (RFC 6455, sections 11.3.2 to 11.3.4).
fn once<'b>(fields: &[Header<'b>], name: &str) -> Result<Option<&'b [u8]>, HandshakeError> {
    let mut values = named(fields, name);
    let value = values.next();
    if values.next().is_some() { Err(HandshakeError::Malformed) } else { Ok(value) }
}

fn named<'b>(fields: &[Header<'b>], name: &str) -> impl Iterator<Item = &'b [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

fn encode_key(key: &[u8; 16]) -> [u8; super::KEY_LEN] {
    let mut text = [0; super::KEY_LEN];
    STANDARD.encode_slice(key, &mut text).expect("16 bytes are 24 characters");
    text
}

/// A path's percent signs stay: it is taken to be encoded already.
fn add_encoded(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\') {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidHost => f.write_str("the host can't be asked for: give a name or an address, and a port"),
            Self::Refused(status) => write!(f, "the server answers with HTTP status {status}"),
            Self::Malformed => f.write_str("the server's answer is not well-formed HTTP/1.1"),
            Self::TooLarge => write!(f, "the head of the server's answer is over {MAX_RESPONSE_BYTES} bytes"),
            Self::NotUpgraded => f.write_str("the server switches to something other than WebSocket"),
            Self::WrongAccept => f.write_str("the server's Sec-WebSocket-Accept does not belong to our key"),
        }
    }
}

impl std::error::Error for HandshakeError {}
