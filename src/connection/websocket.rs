//! A connection that speaks WebSocket: what its peer's frames mean, and which close frame answers what breaks them.

use super::input::{Input, Payload, Tools};
use super::machine::Connection;
use super::{Broken, CloseReason, Found, FrameRules, PeerReason, Unreadable};
use crate::wire::Kind;
use crate::wire::websocket::{CloseCode, CloseError, CloseFrame, FrameError, FrameHeader, Opcode, Sender, is_utf8};

impl Connection {
    #[inline]
    pub(super) fn handle_frames<'a>(&mut self, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        let rules = FrameRules {
            sender: Sender::Client,
            compression: self.compression.is_agreed(),
            max_message_bytes: tools.settings.max_message_bytes,
            max_fragments: tools.settings.max_message_fragments,
        };
        let found = self.frames.next(bytes, &rules, tools.pool);
        // Control frames may stand between the parts of a message; its peer is not idle.
        if self.frames.is_unfinished() {
            self.last_message = tools.now;
        }
        match found {
            Ok(Some(Found::Message { payload, kind, compressed: false })) => Input::Message(payload, kind),
            Ok(None) => Input::NeedMore,
            Ok(Some(Found::Message { payload, kind, compressed: true })) => self.inflate(payload, kind, tools),
            Ok(Some(Found::Ping(payload))) => Input::Ping(payload),
            Ok(Some(Found::Pong(payload))) => Input::Pong(payload),
            Ok(Some(Found::Close(payload))) => {
                let answer = answer_close(payload.bytes());
                payload.give_back(tools.pool, tools.compressor);
                answer
            }
            Err(broken) => refuse(broken),
        }
    }

    fn inflate<'a>(&mut self, payload: Payload<'a>, kind: Kind, tools: &mut Tools<'_>) -> Input<'a> {
        let max = tools.settings.max_message_bytes;
        let inflated = tools.compressor.inflate(&mut self.compression, payload.bytes(), max);
        payload.give_back(tools.pool, tools.compressor);
        match inflated {
            Ok(message) if kind == Kind::Text && !is_utf8(&message) => {
                tools.compressor.recycle(message);
                refuse(Broken::InvalidText)
            }
            Ok(message) => Input::Message(Payload::Inflated(message), kind),
            Err(Unreadable::TooLarge) => refuse(Broken::TooLarge),
            Err(Unreadable::Invalid) => refuse(Broken::Frame(FrameError::BadCompression)),
        }
    }
}

/// A close frame of ours with this code and as many of these words as fit. A code that must not be sent (RFC 6455,
/// section 7.4) is left out, and the words with it.
pub fn close_frame(code: u16, words: &str) -> Vec<u8> {
    encode_close(CloseCode::new(code), words)
}

/// A close frame is answered with its own code (RFC 6455, section 5.5.1).
fn answer_close<'a>(payload: &[u8]) -> Input<'a> {
    match CloseFrame::parse(payload) {
        Ok(close) => Input::Refused {
            reason: CloseReason::Peer(PeerReason::Closed),
            answer: encode_close(close.map(|close| close.code), "").into(),
        },
        Err(CloseError::Code) => refuse(Broken::Frame(FrameError::BadClose)),
        Err(CloseError::Reason) => refuse(Broken::InvalidText),
    }
}

impl Broken {
    /// What its sender did.
    pub fn blame(self) -> PeerReason {
        match self {
            Broken::Frame(FrameError::BadCompression) => PeerReason::InvalidData,
            Broken::Frame(_) => PeerReason::ProtocolError,
            Broken::InvalidText => PeerReason::InvalidText,
            Broken::TooLarge => PeerReason::MessageTooLarge,
            Broken::TooManyFragments => PeerReason::TooManyFragments,
        }
    }
}

fn refuse<'a>(broken: Broken) -> Input<'a> {
    let reason = CloseReason::Peer(broken.blame());
    let answer = encode_close(CloseCode::new(reason.advice().code), &broken.to_string());
    Input::Refused { reason, answer: answer.into() }
}

/// A server's close frame; without a code it has no body.
fn encode_close(code: Option<CloseCode>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        CloseFrame { code, reason }.encode(&mut payload);
    }
    let mut frame = Vec::new();
    let len = payload.len() as u64;
    FrameHeader { fin: true, rsv1: false, opcode: Opcode::Close, len, mask: None }.encode(&mut frame);
    frame.extend_from_slice(&payload);
    frame
}
