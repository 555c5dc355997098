//! permessage-deflate (RFC 7692) on one connection: what was agreed on, and the memory it takes.
//!
//! Without context takeover a connection owns nothing: every message is compressed by the loop's one [`Compressor`] and
//! inflated by its one inflater. With it, a connection that has sent or received a compressed message owns a context.

use crate::wire::Message;
#[cfg(feature = "deflate")]
use crate::wire::websocket::{Contexts, Shared};
use crate::wire::websocket::{DeflateParams, FrameHeader, opcode_of};

/// What was agreed on for one connection, and its contexts where they are kept.
#[derive(Debug, Default)]
pub struct Compression {
    params: Option<DeflateParams>,
    #[cfg(feature = "deflate")]
    contexts: Option<Box<Contexts>>,
}

/// The compressor, the inflater and the memory for one inflated message that all connections of a loop share.
#[derive(Debug, Default)]
pub struct Compressor {
    #[cfg(feature = "deflate")]
    shared: Shared,
    inflated: Vec<u8>,
    #[cfg(feature = "deflate")]
    deflated: Vec<u8>,
}

/// Why a compressed message can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It is no compressed data.
    Invalid,
    /// It inflates to more than the limit.
    TooLarge,
}

/// Memory for an inflated message that is kept for the next.
const MAX_KEPT: usize = 256 << 10;

impl Compression {
    /// Messages may be compressed from here on, as agreed.
    pub fn agree(&mut self, params: DeflateParams) {
        self.params = Some(params);
    }

    /// Whether messages may be compressed.
    #[inline]
    pub fn is_agreed(&self) -> bool {
        self.params.is_some()
    }

    /// Whether a message compressed for one such connection is good for another: neither keeps a context and the
    /// peer's window is the largest.
    pub fn is_shareable(&self) -> bool {
        self.params.is_some_and(|params| params.server_no_context_takeover && params.server_window_bits() == 15)
    }
}

#[cfg(feature = "deflate")]
impl Compressor {
    /// Inflates a message from a client to at most `max` bytes, in memory to be given back with
    /// [`Compressor::recycle`].
    pub fn inflate(&mut self, from: &mut Compression, message: &[u8], max: usize) -> Result<Vec<u8>, Unreadable> {
        use crate::wire::websocket::InflateError;
        let mut out = std::mem::take(&mut self.inflated);
        out.clear();
        let params = from.params.ok_or(Unreadable::Invalid)?;
        let result = if params.client_no_context_takeover {
            self.shared.inflate(message, max, &mut out)
        } else {
            from.contexts.get_or_insert_default().inflate(message, max, &mut out)
        };
        match result {
            Ok(()) => Ok(out),
            Err(error) => {
                self.recycle(out);
                Err(match error {
                    InflateError::TooLarge => Unreadable::TooLarge,
                    InflateError::Invalid => Unreadable::Invalid,
                })
            }
        }
    }

    /// Appends `message` as one frame for a connection that has agreed on compression: compressed, unless that makes it
    /// longer and nobody would miss it in a context.
    pub fn encode(&mut self, to: &mut Compression, message: Message<'_>, out: &mut Vec<u8>) {
        let Some(params) = to.params else {
            return encode(message, &message, false, out);
        };
        self.deflated.clear();
        if params.server_no_context_takeover {
            self.shared.deflate(&message, params.server_window_bits(), &mut self.deflated);
        } else {
            let bits = params.server_window_bits();
            to.contexts.get_or_insert_default().deflate(&message, bits, &mut self.deflated);
        }
        let is_worth_it = !params.server_no_context_takeover || self.deflated.len() < message.len();
        if is_worth_it {
            encode(message, &self.deflated, true, out)
        } else {
            encode(message, &message, false, out)
        }
        if self.deflated.capacity() > MAX_KEPT {
            self.deflated = Vec::new();
        }
    }

    /// The frame that every [shareable](Compression::is_shareable) receiver can read.
    pub fn encode_shared(&mut self, message: Message<'_>) -> Vec<u8> {
        let mut compression = Compression::default();
        compression.agree(DeflateParams { server_no_context_takeover: true, ..DeflateParams::default() });
        let mut out = Vec::new();
        self.encode(&mut compression, message, &mut out);
        out
    }

    /// Bytes of the contexts that all connections share, about.
    pub fn held_bytes(&self) -> usize {
        self.shared.held_bytes() + self.inflated.capacity() + self.deflated.capacity()
    }
}

#[cfg(not(feature = "deflate"))]
impl Compressor {
    /// Nothing is agreed on without the feature `deflate`, so nothing can be inflated.
    pub fn inflate(&mut self, _: &mut Compression, _: &[u8], _: usize) -> Result<Vec<u8>, Unreadable> {
        Err(Unreadable::Invalid)
    }

    /// Appends `message` as one frame.
    pub fn encode(&mut self, _: &mut Compression, message: Message<'_>, out: &mut Vec<u8>) {
        encode(message, &message, false, out);
    }

    /// The message as one frame.
    pub fn encode_shared(&mut self, message: Message<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        encode(message, &message, false, &mut out);
        out
    }

    /// Bytes kept for the next message.
    pub fn held_bytes(&self) -> usize {
        self.inflated.capacity()
    }
}

impl Compressor {
    /// Takes the memory of an inflated message back.
    pub fn recycle(&mut self, inflated: Vec<u8>) {
        if inflated.capacity() <= MAX_KEPT {
            self.inflated = inflated;
        }
    }
}

fn encode(message: Message<'_>, payload: &[u8], rsv1: bool, out: &mut Vec<u8>) {
    let opcode = opcode_of(&message, message.kind());
    FrameHeader { fin: true, rsv1, opcode, len: payload.len() as u64, mask: None }.encode(out);
    out.extend_from_slice(payload);
}
