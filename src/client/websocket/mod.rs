//! The client's half of WebSocket (RFC 6455): what it asks for, how its messages become masked frames, and how it reads
//! the server's. It knows no socket and no time; when to ask and what an end means decides `machine`.

mod frames;
mod keys;
mod upgrade;

use super::outbox::Content;
use super::speech::Speech;
use super::{Client, ClientOptions};
use crate::config::SettingError;
use crate::timer::{Jitter, Time};
use crate::wire::Message;
#[cfg(feature = "deflate")]
use crate::wire::websocket::Shared;
use crate::wire::websocket::{CloseCode, CloseFrame, DeflateParams, FrameHeader, OFFER, Opcode, opcode_of};

pub(super) use keys::Keys;

pub(super) use frames::FrameStream;
pub(super) use upgrade::{Agreed, Upgrade};

impl Client {
    /// A client on WebSocket that makes its first attempt at once: it asks `host` (with its port, unless it is the
    /// default one) for `path` (with its query).
    ///
    /// Its waits, its keys and its masks follow from `seed`, so each client needs one of its own that nobody can guess:
    /// 64 bits from the system, or a fixed one in a test.
    pub fn websocket(
        host: &str,
        path: &str,
        options: ClientOptions,
        seed: u64,
        now: Time,
    ) -> Result<Self, SettingError> {
        options.validate_for_websocket()?;
        let mut keys = Keys::new(seed);
        if Upgrade::new(host, path, keys.nonce(), &options).is_err() {
            let mend = "give a name or an address, and a port unless it is the default one".to_owned();
            return Err(SettingError { setting: "host", value: host.to_owned(), mend });
        }
        // Waits can be seen from outside, and must not give the masks away.
        let jitter = Jitter::new(keys.number());
        Ok(Self::begin(Speech::WebSocket(Box::new(WebSocket::new(host, path, keys))), options, jitter, now))
    }
}

/// What a client on WebSocket has besides that of any client.
#[derive(Debug)]
pub(super) struct WebSocket {
    /// Host with its port, as it stands in the request.
    host: String,
    path: String,
    keys: Keys,
    /// What was agreed on for the present connection.
    deflate: Option<DeflateParams>,
    #[cfg(feature = "deflate")]
    compressor: Shared,
}

/// Shorter messages are not compressed: they would hardly shrink.
#[cfg(feature = "deflate")]
const MIN_COMPRESSED: usize = 1024;

impl WebSocket {
    /// For a server at `host` that can be asked for `path`; the caller has tried with [`Upgrade::new`].
    pub(super) fn new(host: &str, path: &str, keys: Keys) -> Self {
        Self {
            host: host.to_owned(),
            path: path.to_owned(),
            keys,
            deflate: None,
            #[cfg(feature = "deflate")]
            compressor: Shared::default(),
        }
    }

    /// The request for a connection of its own, with a key of its own (RFC 6455, section 4.1).
    pub(super) fn ask(&mut self, options: &ClientOptions) -> Upgrade {
        let key = self.keys.nonce();
        Upgrade::new(&self.host, &self.path, key, options).expect("the host was asked for before, at the start")
    }

    pub(super) fn on_agreed(&mut self, agreed: &Agreed) {
        self.deflate = agreed.deflate;
    }

    pub(super) fn reader(&self, options: &ClientOptions) -> FrameStream {
        FrameStream::new(self.deflate, options.max_message_bytes)
    }

    /// Appends one masked frame; a message is compressed where that was agreed on and makes it shorter.
    pub(super) fn encode(&mut self, content: &Content, out: &mut Vec<u8>) {
        match content {
            Content::Message(message) => self.encode_message(message.as_message(), out),
            Content::Ask(_) => self.encode_frame(Opcode::Ping, false, &[], out),
            Content::Answer(payload) => self.encode_frame(Opcode::Pong, false, payload, out),
        }
    }

    /// A close frame; without a code it has no body.
    pub(super) fn close_frame(&mut self, code: Option<CloseCode>, words: &str) -> Vec<u8> {
        let (mut payload, mut frame) = (Vec::new(), Vec::new());
        if let Some(code) = code {
            CloseFrame { code, reason: words }.encode(&mut payload);
        }
        self.encode_frame(Opcode::Close, false, &payload, &mut frame);
        frame
    }

    fn encode_message(&mut self, message: Message<'_>, out: &mut Vec<u8>) {
        let opcode = opcode_of(&message, message.kind());
        match self.compressed(&message) {
            Some(compressed) => self.encode_frame(opcode, true, &compressed, out),
            None => self.encode_frame(opcode, false, &message, out),
        }
    }

    fn encode_frame(&mut self, opcode: Opcode, rsv1: bool, payload: &[u8], out: &mut Vec<u8>) {
        let mut mask = self.keys.mask();
        FrameHeader { fin: true, rsv1, opcode, len: payload.len() as u64, mask: Some(mask) }.encode(out);
        let start = out.len();
        out.extend_from_slice(payload);
        mask.apply(&mut out[start..]);
    }

    /// Each message by itself: the offer promises it.
    #[cfg(feature = "deflate")]
    fn compressed(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let params = self.deflate.filter(|_| message.len() >= MIN_COMPRESSED)?;
        let mut compressed = Vec::new();
        self.compressor.deflate(message, params.client_window_bits(), &mut compressed);
        (compressed.len() < message.len()).then_some(compressed)
    }

    #[cfg(not(feature = "deflate"))]
    fn compressed(&mut self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// What is offered to the server.
fn offer(options: &ClientOptions) -> Option<&'static str> {
    (options.deflate && cfg!(feature = "deflate")).then_some(OFFER)
}
