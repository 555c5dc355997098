//! Pure codecs: bytes to messages and back, no sockets, no clock, nothing kept between calls.
//!
//! [`Wire`] is one way to frame messages on a byte stream; [`detect`] tells which one a peer speaks from its first
//! bytes. Decoders know bytes only; whose fault a broken stream is decides `connection`.

mod detect;
#[cfg(feature = "websocket")]
pub mod http;
mod length;
mod line;
mod message;
mod prepared;
pub mod proxy;
mod refusal;
#[cfg(test)]
mod tests;
pub mod websocket;

use std::fmt;
use std::ops::{Deref, Range};

pub use detect::{Detected, detect};
pub(crate) use message::Place;
pub use message::{Kind, Message, OwnedMessage};
pub use prepared::Prepared;
pub use refusal::{HTTP_REFUSAL, TLS_REFUSAL};

/// How messages are framed on a byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// A 4-byte big-endian length, then the body. Zero is a legal empty message.
    Length,
    /// Bytes up to `\n`; one `\r` before it is dropped. A `\n` inside a message that is sent arrives as a boundary.
    Line,
    /// What one read returned is one message; boundaries are not kept.
    Raw,
    /// WebSocket (RFC 6455). Its messages may span frames, so what comes in is read by `connection`; what a server
    /// sends is encoded here.
    WebSocket,
}

/// A complete frame at the front of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where the message lies.
    pub payload: Range<usize>,
    /// Length of the whole frame.
    pub len: usize,
}

/// What goes before a message on its wire: a few bytes, or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameHead {
    bytes: [u8; websocket::MAX_HEADER],
    len: usize,
}

impl FrameHead {
    fn of(bytes: &[u8]) -> Self {
        let mut head = Self { len: bytes.len(), ..Self::default() };
        head.bytes[..bytes.len()].copy_from_slice(bytes);
        head
    }
}

impl Deref for FrameHead {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Why a stream can't be decoded any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// A message over the limit was announced, or is under way without an end in sight.
    TooLarge,
}

impl Wire {
    /// The frame at the front of `bytes`, or `None` while its tail is on the way.
    ///
    /// `scanned` bytes at the front were seen by an earlier call that said `None`: they are not searched again, which
    /// keeps the cost of a dripping stream linear. A length over `max` bytes is refused on sight of the header.
    ///
    /// # Panics
    /// For WebSocket, whose frames are not messages.
    pub fn decode(self, bytes: &[u8], scanned: usize, max: usize) -> Result<Option<Frame>, DecodeError> {
        match self {
            Wire::Length => length::decode(bytes, max),
            Wire::Line => line::decode(bytes, scanned, max),
            Wire::Raw => Ok(raw(bytes)),
            Wire::WebSocket => unreachable!("{NOT_HERE}"),
        }
    }

    /// How many bytes of `fresh`, at least one and at most all, complete the frame that `tail` began, as far as can
    /// be told: for a length prefix first the header, then the body. Never more than `decode` needs to refuse a
    /// message over `max`.
    ///
    /// # Panics
    /// For WebSocket, whose frames are not messages.
    pub fn completes(self, tail: &[u8], fresh: &[u8], max: usize) -> usize {
        let wanted = match self {
            Wire::Length => length::missing(tail),
            Wire::Line => {
                line::find_newline(fresh).map_or(fresh.len(), |at| at + 1).min((max + 2).saturating_sub(tail.len()))
            }
            Wire::Raw => fresh.len(),
            Wire::WebSocket => unreachable!("{NOT_HERE}"),
        };
        wanted.max(1).min(fresh.len())
    }

    /// Appends `message` in this wire's framing, as a server sends it.
    ///
    /// The length prefix carries at most `u32::MAX` bytes; `Settings` keeps every message far below.
    #[inline]
    pub fn encode(self, message: Message<'_>, out: &mut Vec<u8>) {
        match message.frame_for(self) {
            Some(frame) => out.extend_from_slice(frame),
            None => self.encode_anew(message.bytes(), message.kind(), out),
        }
    }

    fn encode_anew(self, bytes: &[u8], kind: Kind, out: &mut Vec<u8>) {
        let (head, tail) = self.frame(bytes, kind);
        out.reserve(head.len() + bytes.len() + tail.len());
        out.extend_from_slice(&head);
        out.extend_from_slice(bytes);
        out.extend_from_slice(tail);
    }

    /// What goes before a message of this kind and behind it, for whoever sends it from where it lies.
    pub fn frame(self, message: &[u8], kind: Kind) -> (FrameHead, &'static [u8]) {
        match self {
            Wire::Length => (FrameHead::of(&length::header(message.len())), b""),
            Wire::Line => (FrameHead::default(), b"\n"),
            Wire::Raw => (FrameHead::default(), b""),
            Wire::WebSocket => (websocket::head(message, kind), b""),
        }
    }

    /// Bytes that [`Wire::encode`] appends for a message of `len` bytes.
    pub fn encoded_len(self, len: usize) -> usize {
        match self {
            Wire::Length => len + 4,
            Wire::Line => len + 1,
            Wire::Raw => len,
            Wire::WebSocket => websocket::header_len(len) + len,
        }
    }
}

const NOT_HERE: &str = "WebSocket frames are read by connection::FrameReader";

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wire::Length => "length prefix",
            Wire::Line => "line",
            Wire::Raw => "raw",
            Wire::WebSocket => "WebSocket",
        })
    }
}

fn raw(bytes: &[u8]) -> Option<Frame> {
    (!bytes.is_empty()).then_some(Frame { payload: 0..bytes.len(), len: bytes.len() })
}
