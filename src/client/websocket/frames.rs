//! What a server sends on one WebSocket connection: messages put together and inflated, pings, and its goodbye.

use crate::buffer::Pool;
use crate::client::speech::Heard;
use crate::connection::{Broken, Compression, Compressor, Found, FrameReader, FrameRules, Payload, Unreadable};
use crate::wire::websocket::{CloseCode, CloseError, CloseFrame, DeflateParams, FrameError, Sender, is_utf8};
use crate::wire::{Kind, OwnedMessage};

/// Holds the message whose end has not come, at most `max_message_bytes` of it, and the memory to inflate one.
#[derive(Debug)]
pub(in crate::client) struct FrameStream {
    frames: FrameReader,
    rules: FrameRules,
    pool: Pool,
    compression: Compression,
    compressor: Compressor,
}

/// Most frames of one message, as a gateway has it by default.
const MAX_FRAGMENTS: u32 = 100_000;

impl FrameStream {
    pub(in crate::client) fn new(deflate: Option<DeflateParams>, max_message_bytes: usize) -> Self {
        let mut compression = Compression::default();
        if let Some(params) = deflate {
            compression.agree(from_server(params));
        }
        Self {
            frames: FrameReader::default(),
            rules: FrameRules {
                sender: Sender::Server,
                compression: deflate.is_some(),
                max_message_bytes,
                max_fragments: MAX_FRAGMENTS,
            },
            pool: Pool::new(0),
            compression,
            compressor: Compressor::default(),
        }
    }

    /// Appends what is whole with these bytes to `heard`, up to a goodbye or what breaks the protocol.
    pub(in crate::client) fn read(&mut self, bytes: &[u8], heard: &mut Vec<Heard>) -> Result<(), Broken> {
        let mut copy = bytes.to_vec();
        let mut rest = &mut copy[..];
        while let Some(found) = self.frames.next(&mut rest, &self.rules, &mut self.pool)? {
            match found {
                Found::Message { payload, kind, compressed } => {
                    heard.push(Heard::Message(self.message(payload, kind, compressed)?));
                }
                Found::Ping(payload) => heard.push(Heard::Ping(self.take(payload))),
                Found::Pong(payload) => drop(self.take(payload)),
                Found::Close(payload) => {
                    heard.push(Heard::Closed(goodbye(payload.bytes())?));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, payload: Payload<'_>, kind: Kind, compressed: bool) -> Result<OwnedMessage, Broken> {
        if !compressed {
            return Ok(OwnedMessage::new(self.take(payload), kind));
        }
        let max = self.rules.max_message_bytes;
        let inflated = self.compressor.inflate(&mut self.compression, payload.bytes(), max);
        payload.give_back(&mut self.pool, &mut self.compressor);
        let message = inflated.map_err(|unreadable| match unreadable {
            Unreadable::TooLarge => Broken::TooLarge,
            Unreadable::Invalid => Broken::Frame(FrameError::BadCompression),
        })?;
        if kind == Kind::Text && !is_utf8(&message) {
            return Err(Broken::InvalidText);
        }
        let copy = OwnedMessage::new(message.to_vec(), kind);
        self.compressor.recycle(message);
        Ok(copy)
    }

    /// The bytes of a payload, whose memory goes back.
    fn take(&mut self, payload: Payload<'_>) -> Vec<u8> {
        let bytes = payload.bytes().to_vec();
        payload.give_back(&mut self.pool, &mut self.compressor);
        bytes
    }
}

fn goodbye(payload: &[u8]) -> Result<Option<(CloseCode, String)>, Broken> {
    match CloseFrame::parse(payload) {
        Ok(close) => Ok(close.map(|close| (close.code, close.reason.to_owned()))),
        Err(CloseError::Code) => Err(Broken::Frame(FrameError::BadClose)),
        Err(CloseError::Reason) => Err(Broken::InvalidText),
    }
}

/// What was agreed on, as it is seen by whoever reads what a server sends: [`Compressor`] takes what a client sends.
fn from_server(params: DeflateParams) -> DeflateParams {
    DeflateParams {
        server_no_context_takeover: params.client_no_context_takeover,
        client_no_context_takeover: params.server_no_context_takeover,
        server_max_window_bits: params.client_max_window_bits,
        client_max_window_bits: params.server_max_window_bits,
    }
}
