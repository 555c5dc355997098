//! WebSocket (RFC 6455): frames and what is in them. Bytes only; what a broken frame means for its sender decides
//! `connection`.

mod close;
#[cfg(feature = "deflate")]
mod deflate;
mod extension;
mod frame;
#[cfg(feature = "websocket")]
pub mod handshake;
mod mask;
mod utf8;

use super::{Kind, Message};

pub use close::{CloseCode, CloseError, CloseFrame, MAX_REASON, fitting};
#[cfg(feature = "deflate")]
pub use deflate::{Contexts, Deflater, InflateError, Inflater, Shared};
pub use extension::{DeflateParams, InvalidAnswer, OFFER, negotiate};
pub use frame::{FrameError, FrameHeader, MAX_CONTROL, MAX_HEADER, Opcode, Sender, begins, header_len};
pub use mask::Mask;
pub use utf8::{InvalidUtf8, Utf8Validator, is_utf8};

/// Appends `message` as one frame of a server.
pub(super) fn encode(message: Message<'_>, out: &mut Vec<u8>) {
    out.reserve(MAX_HEADER + message.len());
    FrameHeader { fin: true, rsv1: false, opcode: opcode_of(message), len: message.len() as u64, mask: None }
        .encode(out);
    out.extend_from_slice(&message);
}

/// The header that a server puts before a message whose kind is known and that has up to 125 bytes, as most have.
#[inline]
pub(super) fn short_header(message: Message<'_>) -> Option<[u8; 2]> {
    let opcode = match message.kind() {
        Kind::Text => Opcode::Text,
        Kind::Binary => Opcode::Binary,
        Kind::Plain => return None,
    };
    frame::short_header(opcode, message.len())
}

/// The opcode of a whole message; one whose wire did not tell is text where it may be.
#[inline]
pub fn opcode_of(message: Message<'_>) -> Opcode {
    match message.kind() {
        Kind::Text => Opcode::Text,
        Kind::Plain if is_utf8(&message) => Opcode::Text,
        Kind::Plain | Kind::Binary => Opcode::Binary,
    }
}
