//! Bytes in: finds the wire, completes what an earlier read began, decodes the rest in place.

use super::machine::{Connection, Phase};
use super::{CloseReason, PeerReason};
use crate::buffer::Pool;
use crate::wire::{Detected, HTTP_REFUSAL, TLS_REFUSAL, Wire, detect};

/// What the front of the received bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// All bytes are used; more are needed.
    NeedMore,
    /// The wire is known: messages can go both ways from here on.
    Opened,
    /// One whole message.
    Message(Payload<'a>),
    /// The stream can't go on. Send `answer`, then close.
    Refused {
        /// Whose fault it is.
        reason: CloseReason,
        /// What a peer of that protocol understands; may be empty.
        answer: &'static [u8],
    },
}

/// A message's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Lies whole in the receive buffer.
    InPlace(&'a [u8]),
    /// Was put together over several reads: a frame in a pooled buffer, which goes back to the pool, and where in it
    /// the message lies.
    Reassembled(Vec<u8>, std::ops::Range<usize>),
}

impl Connection {
    /// Takes the next thing off the front of `bytes`.
    ///
    /// Call until it says [`Input::NeedMore`] or [`Input::Refused`]; each call takes at least one byte or says so.
    pub fn handle_bytes<'a>(&mut self, bytes: &mut &'a [u8], max_message_bytes: usize, pool: &mut Pool) -> Input<'a> {
        match self.phase() {
            Phase::Detecting { .. } => self.handle_first_bytes(bytes, pool),
            Phase::Opening { wire, .. } | Phase::Open { wire } => {
                let input = self.decode(wire, bytes, max_message_bytes, pool);
                if matches!(input, Input::Message(_)) {
                    self.on_first_message();
                }
                input
            }
            Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Closed => {
                *bytes = &[];
                Input::NeedMore
            }
        }
    }

    /// Bytes of a first message or of a frame whose end has not come.
    pub fn tail_bytes(&self) -> usize {
        self.tail.len()
    }

    fn handle_first_bytes<'a>(&mut self, bytes: &mut &'a [u8], pool: &mut Pool) -> Input<'a> {
        let detected = if self.tail.is_empty() { detect(bytes) } else { self.detect_with_tail(bytes, pool) };
        match detected {
            None => {
                pool.append(&mut self.tail, bytes);
                *bytes = &[];
                Input::NeedMore
            }
            Some(Detected::Wire(wire)) => {
                self.on_detected(wire);
                Input::Opened
            }
            Some(Detected::Http) => refused(PeerReason::HttpNotServed, HTTP_REFUSAL),
            Some(Detected::Tls) => refused(PeerReason::TlsNotServed, TLS_REFUSAL),
        }
    }

    /// Undecided first bytes are at most a method's length, so moving single bytes over until they decide is cheap.
    /// Any newline decides, so no more than one line ever lies in the tail.
    fn detect_with_tail(&mut self, bytes: &mut &[u8], pool: &mut Pool) -> Option<Detected> {
        while let Some((byte, rest)) = bytes.split_first() {
            pool.append(&mut self.tail, std::slice::from_ref(byte));
            *bytes = rest;
            let detected = detect(&self.tail);
            if detected.is_some() {
                return detected;
            }
        }
        None
    }

    fn decode<'a>(&mut self, wire: Wire, bytes: &mut &'a [u8], max: usize, pool: &mut Pool) -> Input<'a> {
        if !self.tail.is_empty() {
            return self.decode_tail(wire, bytes, max, pool);
        }
        match wire.decode(bytes, 0, max) {
            Ok(Some(frame)) => {
                let whole = *bytes;
                *bytes = &whole[frame.len..];
                Input::Message(Payload::InPlace(&whole[frame.payload]))
            }
            Ok(None) => {
                self.keep_tail(bytes, pool);
                Input::NeedMore
            }
            Err(_) => refused(PeerReason::MessageTooLarge, b""),
        }
    }

    /// Adds to the tail just what completes its frame; the rest stays where it can be decoded in place.
    fn decode_tail<'a>(&mut self, wire: Wire, bytes: &mut &'a [u8], max: usize, pool: &mut Pool) -> Input<'a> {
        loop {
            match wire.decode(&self.tail, self.scanned as usize, max) {
                Ok(Some(frame)) => {
                    assert_eq!(frame.len, self.tail.len(), "a tail takes only what completes its frame");
                    return Input::Message(Payload::Reassembled(self.take_tail(), frame.payload));
                }
                Ok(None) if bytes.is_empty() => {
                    self.set_scanned();
                    return Input::NeedMore;
                }
                Ok(None) => {
                    self.set_scanned();
                    let taken = wire.completes(&self.tail, bytes, max);
                    pool.append(&mut self.tail, &bytes[..taken]);
                    *bytes = &bytes[taken..];
                }
                Err(_) => return refused(PeerReason::MessageTooLarge, b""),
            }
        }
    }

    fn keep_tail(&mut self, bytes: &mut &[u8], pool: &mut Pool) {
        if !bytes.is_empty() {
            pool.append(&mut self.tail, bytes);
            *bytes = &[];
            self.set_scanned();
        }
    }

    fn set_scanned(&mut self) {
        self.scanned = u32::try_from(self.tail.len()).expect("a tail is at most a message and its frame, under 4 GiB");
    }

    fn take_tail(&mut self) -> Vec<u8> {
        self.scanned = 0;
        std::mem::take(&mut self.tail)
    }
}

fn refused<'a>(reason: PeerReason, answer: &'static [u8]) -> Input<'a> {
    Input::Refused { reason: CloseReason::Peer(reason), answer }
}
