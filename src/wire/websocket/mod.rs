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

use super::{FrameHead, Kind};

pub use close::{CloseCode, CloseError, CloseFrame, MAX_REASON, fitting};
#[cfg(feature = "deflate")]
pub use deflate::{Contexts, Deflater, InflateError, Inflater, Shared};
pub use extension::{DeflateParams, InvalidAnswer, OFFER, negotiate};
pub use frame::{FrameError, FrameHeader, MAX_CONTROL, MAX_HEADER, Opcode, Sender, begins, header_len};
pub use mask::Mask;
pub use utf8::{InvalidUtf8, Utf8Validator, is_utf8};

/// The header that a server puts before a message of this kind.
pub(super) fn head(message: &[u8], kind: Kind) -> FrameHead {
    let opcode = opcode_of(message, kind);
    let header = FrameHeader { fin: true, rsv1: false, opcode, len: message.len() as u64, mask: None };
    let (bytes, len) = header.encoded();
    FrameHead { bytes, len }
}

/// The opcode of a whole message; one whose wire did not tell is text where it may be.
#[inline]
pub fn opcode_of(message: &[u8], kind: Kind) -> Opcode {
    match kind {
        Kind::Text => Opcode::Text,
        Kind::Plain if is_utf8(message) => Opcode::Text,
        Kind::Plain | Kind::Binary => Opcode::Binary,
    }
}
