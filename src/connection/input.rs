//! Bytes in: finds the wire, completes what an earlier read began, decodes the rest in place.

use super::machine::{Connection, Phase};
use super::{CloseReason, Compressor, Encryption, ListenWire, PeerReason};
use crate::buffer::Pool;
use crate::config::Settings;
use crate::timer::Time;
use crate::wire::proxy::{self, Proxied};
use crate::wire::{Detected, HTTP_REFUSAL, Kind, TLS_REFUSAL, Wire, detect};
use std::borrow::Cow;
use std::mem;

/// What the front of the received bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// All bytes are used; more are needed.
    NeedMore,
    /// The wire is known: messages can go both ways from here on.
    Opened,
    /// One whole message.
    Message(Payload<'a>, Kind),
    /// A WebSocket ping: its payload goes back in a pong.
    Ping(Payload<'a>),
    /// A WebSocket pong.
    Pong(Payload<'a>),
    /// The head of an HTTP request, its blank line included. Say with `begin_body` or `on_answered` how to go on.
    #[cfg(feature = "websocket")]
    Head(Payload<'a>),
    /// A whole HTTP request: so many bytes of head, the rest its body.
    #[cfg(feature = "websocket")]
    Request(Vec<u8>, usize),
    /// A request whose head or body is refused with this status.
    #[cfg(feature = "websocket")]
    BadRequest(crate::wire::http::Status),
    /// A proxy has told who connects.
    Proxied(Proxied),
    /// From here on the bytes are TLS, and what is inside begins anew.
    Tls,
    /// The stream can't go on. Send `answer`, then close.
    Refused {
        /// Whose fault it is.
        reason: CloseReason,
        /// What a peer of that protocol understands; may be empty.
        answer: Cow<'static, [u8]>,
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
    /// Was inflated, into memory that goes back to the [`Compressor`].
    Inflated(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Payload::InPlace(bytes) => bytes,
            Payload::Reassembled(frame, payload) => &frame[payload.clone()],
            Payload::Inflated(bytes) => bytes,
        }
    }

    /// Gives its memory back.
    #[inline]
    pub fn give_back(self, pool: &mut Pool, compressor: &mut Compressor) {
        match self {
            Payload::InPlace(_) => {}
            Payload::Reassembled(frame, _) => pool.give(frame),
            Payload::Inflated(bytes) => compressor.recycle(bytes),
        }
    }
}

/// What a connection is lent while it reads.
#[derive(Debug)]
pub struct Tools<'t> {
    /// The settings.
    pub settings: &'t Settings,
    /// Memory for what is unfinished.
    pub pool: &'t mut Pool,
    /// Inflates.
    pub compressor: &'t mut Compressor,
    /// The moment of this turn.
    pub now: Time,
}

impl Connection {
    /// Takes the next thing off the front of `bytes`, which a WebSocket's mask is taken off in place.
    ///
    /// Call until it says [`Input::NeedMore`] or [`Input::Refused`]; each call takes at least one byte or says so.
    #[inline]
    pub fn handle_bytes<'a>(&mut self, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        match self.phase() {
            Phase::Open { wire: Wire::WebSocket } | Phase::Entering { wire: Wire::WebSocket, .. } => {
                self.handle_frames(bytes, tools)
            }
            Phase::Detecting { .. } => self.handle_first_bytes(bytes, tools),
            Phase::Entering { wire, .. } | Phase::Opening { wire, .. } | Phase::Open { wire } => {
                let input = self.decode(wire, bytes, tools);
                if matches!(input, Input::Message(..)) {
                    self.on_first_message();
                }
                input
            }
            Phase::Http { .. } => self.handle_http(bytes, tools),
            Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Closed => {
                *bytes = &mut [];
                Input::NeedMore
            }
        }
    }

    /// Bytes of a first message or of a frame whose end has not come.
    pub fn tail_bytes(&self) -> usize {
        self.tail.len() + self.frames.held_bytes()
    }

    fn handle_first_bytes<'a>(&mut self, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        if self.door.proxy {
            return self.handle_proxy_header(bytes, tools.pool);
        }
        let detected = if self.tail.is_empty() { self.detect(bytes) } else { self.detect_with_tail(bytes, tools.pool) };
        match detected {
            None => {
                tools.pool.append(&mut self.tail, bytes);
                *bytes = &mut [];
                Input::NeedMore
            }
            Some(First::Wire(Wire::WebSocket)) => {
                self.on_detected(Wire::WebSocket);
                self.handle_http(bytes, tools)
            }
            Some(First::Wire(wire)) => {
                self.on_detected(wire);
                Input::Opened
            }
            Some(First::Tls) => {
                self.door.encryption = Encryption::None;
                Input::Tls
            }
            Some(First::HttpNotServed) => refused(PeerReason::HttpNotServed, HTTP_REFUSAL),
            Some(First::TlsNotServed) => refused(PeerReason::TlsNotServed, TLS_REFUSAL),
            Some(First::NotTls) => refused(PeerReason::TlsRequired, b""),
        }
    }

    fn detect(&self, bytes: &[u8]) -> Option<First> {
        let first = *bytes.first()?;
        match (self.door.encryption, self.door.wire) {
            (Encryption::Required, _) => Some(if first == TLS_HANDSHAKE { First::Tls } else { First::NotTls }),
            (Encryption::None | Encryption::Offered, ListenWire::Fixed(wire)) => Some(First::Wire(wire)),
            (encryption, ListenWire::Auto) => Some(match detect(bytes)? {
                Detected::Wire(wire) => First::Wire(wire),
                Detected::Http if self.door.http => First::Wire(Wire::WebSocket),
                Detected::Http => First::HttpNotServed,
                Detected::Tls if encryption == Encryption::Offered => First::Tls,
                Detected::Tls => First::TlsNotServed,
            }),
        }
    }

    /// Undecided first bytes are at most a method's length, so moving single bytes over until they decide is cheap.
    /// Any newline decides, so no more than one line ever lies in the tail.
    fn detect_with_tail(&mut self, bytes: &mut &mut [u8], pool: &mut Pool) -> Option<First> {
        while !bytes.is_empty() {
            pool.append(&mut self.tail, take_front(bytes, 1));
            let detected = self.detect(&self.tail);
            if detected.is_some() {
                return detected;
            }
        }
        None
    }

    /// A header lies nearly always whole in the first read. Where it does not, it is completed byte by byte, so that
    /// nothing behind it is taken.
    fn handle_proxy_header<'a>(&mut self, bytes: &mut &'a mut [u8], pool: &mut Pool) -> Input<'a> {
        let mut found = proxy::decode(if self.tail.is_empty() { bytes } else { &self.tail });
        if let (Ok(Some((_, len))), true) = (&found, self.tail.is_empty()) {
            take_front(bytes, *len);
        }
        while matches!(found, Ok(None)) && !bytes.is_empty() {
            pool.append(&mut self.tail, take_front(bytes, 1));
            found = proxy::decode(&self.tail);
        }
        match found {
            Err(_) => refused(PeerReason::BadProxyHeader, b""),
            Ok(None) => Input::NeedMore,
            Ok(Some((proxied, _))) => {
                pool.give(mem::take(&mut self.tail));
                self.door.proxy = false;
                if let Some(wire) = self.door.wire_at_once() {
                    self.on_detected(wire);
                }
                Input::Proxied(proxied)
            }
        }
    }

    fn decode<'a>(&mut self, wire: Wire, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        if !self.tail.is_empty() {
            return self.decode_tail(wire, bytes, tools);
        }
        match wire.decode(bytes, 0, tools.settings.max_message_bytes) {
            Ok(Some(frame)) => {
                let whole: &'a [u8] = take_front(bytes, frame.len);
                Input::Message(Payload::InPlace(&whole[frame.payload]), Kind::Plain)
            }
            Ok(None) => {
                self.keep_tail(bytes, tools);
                Input::NeedMore
            }
            Err(_) => refused(PeerReason::MessageTooLarge, b""),
        }
    }

    /// Adds to the tail just what completes its frame; the rest stays where it can be decoded in place.
    fn decode_tail<'a>(&mut self, wire: Wire, bytes: &mut &'a mut [u8], tools: &mut Tools<'_>) -> Input<'a> {
        let max = tools.settings.max_message_bytes;
        loop {
            match wire.decode(&self.tail, self.scanned as usize, max) {
                Ok(Some(frame)) => {
                    assert_eq!(frame.len, self.tail.len(), "a tail takes only what completes its frame");
                    return Input::Message(Payload::Reassembled(self.take_tail(), frame.payload), Kind::Plain);
                }
                Ok(None) if bytes.is_empty() => {
                    self.on_unfinished(tools.now);
                    return Input::NeedMore;
                }
                Ok(None) => {
                    self.on_unfinished(tools.now);
                    let taken = wire.completes(&self.tail, bytes, max);
                    tools.pool.append(&mut self.tail, take_front(bytes, taken));
                }
                Err(_) => return refused(PeerReason::MessageTooLarge, b""),
            }
        }
    }

    pub(super) fn keep_tail(&mut self, bytes: &mut &mut [u8], tools: &mut Tools<'_>) {
        if !bytes.is_empty() {
            tools.pool.append(&mut self.tail, bytes);
            *bytes = &mut [];
            self.on_unfinished(tools.now);
        }
    }

    /// A part of a message came: nothing in it has to be searched again, and its peer is not idle.
    fn on_unfinished(&mut self, now: Time) {
        self.last_message = now;
        self.set_scanned();
    }

    pub(super) fn set_scanned(&mut self) {
        self.scanned = u32::try_from(self.tail.len()).expect("a tail is at most a message and its frame, under 4 GiB");
    }

    pub(super) fn take_tail(&mut self) -> Vec<u8> {
        self.scanned = 0;
        mem::take(&mut self.tail)
    }
}

#[cfg(not(feature = "websocket"))]
impl Connection {
    fn handle_http<'a>(&mut self, _: &mut &'a mut [u8], _: &mut Tools<'_>) -> Input<'a> {
        refused(PeerReason::HttpNotServed, HTTP_REFUSAL)
    }
}

/// What the first bytes say, as this door takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Wire(Wire),
    Tls,
    HttpNotServed,
    TlsNotServed,
    NotTls,
}

/// The first byte of a TLS handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

pub(super) fn refused<'a>(reason: PeerReason, answer: &'static [u8]) -> Input<'a> {
    Input::Refused { reason: CloseReason::Peer(reason), answer: answer.into() }
}

/// Splits the first `len` bytes off; there are as many.
#[inline]
pub(super) fn take_front<'a>(bytes: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = mem::take(bytes).split_at_mut(len);
    *bytes = rest;
    front
}
