//! The messages that an echo load sends, framed once and for all, and how they have to come back.

use crate::timer::Jitter;
use crate::wire::websocket::{FrameHeader, Mask, Opcode};
use crate::wire::{Message, Wire};
use bytes::Bytes;

/// Framed messages of one length, twice in a row, so that any stretch up to [`Ring::size`] bytes is in one piece.
#[derive(Debug, Clone)]
pub struct Ring {
    bytes: Bytes,
    len: usize,
    frame: usize,
    header: usize,
}

/// What is sent, and what comes back.
#[derive(Debug, Clone)]
pub struct Rings {
    /// As a client frames it.
    pub requests: Ring,
    /// As a server does.
    pub answers: Ring,
    /// How they are framed.
    pub wire: Wire,
}

/// Bytes of a ring, if its messages are short. What the caches hold costs least.
const RING_BYTES: usize = 32 << 10;
/// Messages of a ring, if so many fit: a prime number, so that lanes that begin at different ones stay apart.
const MESSAGES: usize = 61;

impl Rings {
    /// Messages of `size` bytes, at least `least` of them. On WebSocket they are text if `text`, and masked by keys that
    /// differ.
    pub fn new(wire: Wire, size: usize, text: bool, least: usize, jitter: &mut Jitter) -> Self {
        let messages = (RING_BYTES / (size + 16)).min(MESSAGES).max(least).max(1);
        let payloads: Vec<Vec<u8>> = (0..messages).map(|number| payload(number, size)).collect();
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        for payload in &payloads {
            match wire {
                Wire::WebSocket => {
                    encode_frame(opcode, Some(key(jitter)), payload, &mut requests);
                    encode_frame(opcode, None, payload, &mut answers);
                }
                Wire::Length | Wire::Line | Wire::Raw => {
                    wire.encode(Message::from(payload), &mut requests);
                    wire.encode(Message::from(payload), &mut answers);
                }
            }
        }
        let end = usize::from(wire == Wire::Line);
        Self {
            requests: Ring::new(&requests, messages, size + end),
            answers: Ring::new(&answers, messages, size + end),
            wire,
        }
    }
}

impl Ring {
    fn new(once: &[u8], messages: usize, behind_header: usize) -> Self {
        let frame = once.len() / messages;
        Self { bytes: [once, once].concat().into(), len: once.len(), frame, header: frame - behind_header }
    }

    /// Bytes of all messages.
    #[inline]
    pub fn size(&self) -> usize {
        self.len
    }

    /// Bytes of one, framed.
    #[inline]
    pub fn frame(&self) -> usize {
        self.frame
    }

    /// How many there are.
    pub fn messages(&self) -> usize {
        self.len / self.frame
    }

    /// All of it, twice.
    #[inline]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The payload of the message that begins at `at`, of a ring of answers.
    pub fn payload(&self, at: usize, wire: Wire) -> &[u8] {
        let end = usize::from(wire == Wire::Line);
        &self.bytes[at + self.header..at + self.frame - end]
    }

    /// The place `count` bytes, at most [`Ring::size`], behind `at`.
    #[inline]
    pub fn step(&self, at: usize, count: usize) -> usize {
        let to = at + count;
        if to >= self.len { to - self.len } else { to }
    }
}

/// Message number `number`: the number as far as it fits, then one letter again and again. It is text, and no line ends
/// in it.
fn payload(number: usize, size: usize) -> Vec<u8> {
    let letter = b'a' + u8::try_from(number % 26).unwrap_or_default();
    let mut payload = number.to_string().into_bytes();
    payload.resize(size, letter);
    payload
}

/// A key whose bytes differ from each other and from zero, so that a server can't be right by chance.
fn key(jitter: &mut Jitter) -> Mask {
    loop {
        let [a, b, c, d, ..] = jitter.next_u64().to_le_bytes();
        let pairs = [(a, b), (a, c), (a, d), (b, c), (b, d), (c, d)];
        if ![a, b, c, d].contains(&0) && pairs.iter().all(|(one, other)| one != other) {
            return Mask::new([a, b, c, d]);
        }
    }
}

/// Appends a whole message, or a control frame, of one frame.
pub(super) fn encode_frame(opcode: Opcode, mask: Option<Mask>, payload: &[u8], out: &mut Vec<u8>) {
    FrameHeader { fin: true, rsv1: false, opcode, len: payload.len() as u64, mask }.encode(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mut mask) = mask {
        mask.apply(&mut out[start..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Pool;
    use crate::connection::{Found, FrameReader, FrameRules};
    use crate::wire::websocket::Sender;

    fn rings(wire: Wire, size: usize, least: usize) -> Rings {
        Rings::new(wire, size, false, least, &mut Jitter::new(1))
    }

    #[test]
    fn every_stretch_is_in_one_piece_and_messages_differ() {
        for wire in [Wire::Length, Wire::Line, Wire::Raw, Wire::WebSocket] {
            let Rings { answers, .. } = rings(wire, 64, 1);
            assert_eq!(answers.bytes().len(), 2 * answers.size());
            assert_eq!(answers.size(), MESSAGES * answers.frame());
            let payloads: Vec<&[u8]> = (0..MESSAGES).map(|n| answers.payload(n * answers.frame(), wire)).collect();
            assert!(payloads.iter().all(|payload| payload.len() == 64));
            assert!((1..MESSAGES).all(|n| payloads[n] != payloads[n - 1]));
        }
    }

    #[test]
    fn a_deep_ring_holds_as_many_messages_as_are_under_way() {
        assert_eq!(rings(Wire::Line, 16 << 10, 16).requests.messages(), 16);
        assert_eq!(rings(Wire::Line, 0, 100).requests.messages(), 100);
    }

    #[test]
    fn requests_on_websocket_are_masked_by_keys_that_differ_and_hold_what_answers_hold() {
        let Rings { requests, answers, wire } = rings(Wire::WebSocket, 200, 1);
        let mut bytes = requests.bytes()[..requests.size()].to_vec();
        let masks: std::collections::HashSet<&[u8]> =
            bytes.chunks(requests.frame()).map(|frame| &frame[4..8]).collect();
        assert!(masks.len() > MESSAGES / 2);
        let rules =
            FrameRules { sender: Sender::Client, compression: false, max_message_bytes: 1000, max_fragments: 1 };
        let (mut reader, mut pool, mut rest, mut at) = (FrameReader::default(), Pool::new(0), &mut bytes[..], 0);
        while let Some(Found::Message { payload, .. }) = reader.next(&mut rest, &rules, &mut pool).unwrap() {
            assert_eq!(payload.bytes(), answers.payload(at, wire));
            at += answers.frame();
        }
        assert_eq!(at, answers.size());
    }
}
