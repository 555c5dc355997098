//! Messages out of the bytes of one connection, on any wire. Idle, it owns nothing.

use super::End;
use crate::buffer::Pool;
use crate::connection::{Found, FrameReader, FrameRules};
use crate::wire::websocket::{MAX_CONTROL, Sender};
use crate::wire::{DecodeError, Wire};
use std::mem;

/// What is unfinished of one direction of one connection.
#[derive(Debug)]
pub enum Reader {
    /// A plain wire: the frame whose end has not come, and how much of it is known to hold no end.
    Plain {
        /// How messages are framed.
        wire: Wire,
        /// The front of a frame.
        tail: Vec<u8>,
        /// Bytes of the tail known to hold no end of a line.
        scanned: usize,
    },
    /// A stream of which every so many bytes are a message.
    Cut {
        /// Bytes of a message.
        size: usize,
        /// The front of one.
        tail: Vec<u8>,
    },
    /// Frames.
    WebSocket(FrameReader),
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A message.
    Message(Body<'a>),
    /// A ping, with what its pong carries.
    Ping(Control),
    /// A pong.
    Pong,
}

/// A message's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Where they were read.
    InPlace(&'a [u8]),
    /// Put together: pooled memory, to be [given back](Body::give_back), and where in it they lie.
    Pooled(Vec<u8>, std::ops::Range<usize>),
}

/// A control frame's payload.
pub type Control = (u8, [u8; MAX_CONTROL]);

/// Most frames of one message.
const MAX_FRAGMENTS: u32 = 100_000;
/// Largest message from a server, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

const RULES: FrameRules = FrameRules {
    sender: Sender::Server,
    compression: false,
    max_message_bytes: MAX_MESSAGE_BYTES,
    max_fragments: MAX_FRAGMENTS,
};

impl Reader {
    /// For a wire. Raw bytes are messages of `size` bytes, since the wire keeps no boundaries.
    pub fn new(wire: Wire, size: usize) -> Self {
        match wire {
            Wire::WebSocket => Reader::WebSocket(FrameReader::default()),
            Wire::Raw => Reader::Cut { size: size.max(1), tail: Vec::new() },
            Wire::Length | Wire::Line => Reader::Plain { wire, tail: Vec::new(), scanned: 0 },
        }
    }

    /// Whether it holds a part of something.
    pub fn is_unfinished(&self) -> bool {
        match self {
            Reader::Plain { tail, .. } | Reader::Cut { tail, .. } => !tail.is_empty(),
            Reader::WebSocket(frames) => frames.is_unfinished(),
        }
    }

    /// Gives back what it holds.
    pub fn clear(&mut self, pool: &mut Pool) {
        match self {
            Reader::Plain { tail, scanned, .. } => {
                pool.give(mem::take(tail));
                *scanned = 0;
            }
            Reader::Cut { tail, .. } => pool.give(mem::take(tail)),
            Reader::WebSocket(frames) => frames.clear(pool),
        }
    }

    /// Takes the next thing off the front of `bytes`; `None` when all are used. A goodbye is an error: the end.
    #[inline]
    pub fn next<'a>(&mut self, bytes: &mut &'a mut [u8], pool: &mut Pool) -> Result<Option<Heard<'a>>, End> {
        match self {
            Reader::WebSocket(frames) => next_frame(frames, bytes, pool),
            Reader::Cut { size, tail } => Ok(next_cut(*size, tail, bytes, pool).map(Heard::Message)),
            Reader::Plain { wire, tail, scanned } => {
                let body = next_plain(*wire, tail, scanned, bytes, pool);
                body.map(|body| body.map(Heard::Message)).map_err(|DecodeError::TooLarge| too_large())
            }
        }
    }
}

fn too_large() -> End {
    End::Broken(crate::connection::Broken::TooLarge)
}

#[inline]
fn next_frame<'a>(
    frames: &mut FrameReader,
    bytes: &mut &'a mut [u8],
    pool: &mut Pool,
) -> Result<Option<Heard<'a>>, End> {
    use crate::connection::Payload;
    let found = match frames.next(bytes, &RULES, pool).map_err(End::Broken)? {
        None => return Ok(None),
        Some(found) => found,
    };
    Ok(Some(match found {
        Found::Message { payload: Payload::InPlace(bytes), .. } => Heard::Message(Body::InPlace(bytes)),
        Found::Message { payload: Payload::Reassembled(bytes, range), .. } => {
            Heard::Message(Body::Pooled(bytes, range))
        }
        // Nothing is compressed that was not agreed on.
        Found::Message { payload: Payload::Inflated(_), .. } => Heard::Pong,
        Found::Ping(payload) => Heard::Ping(taken(payload, pool)),
        Found::Pong(payload) => {
            taken(payload, pool);
            Heard::Pong
        }
        Found::Close(payload) => {
            let (len, bytes) = taken(payload, pool);
            return Err(End::from_close_frame(&bytes[..usize::from(len)]));
        }
    }))
}

fn taken(payload: crate::connection::Payload<'_>, pool: &mut Pool) -> Control {
    let mut copy = [0; MAX_CONTROL];
    let len = payload.bytes().len().min(MAX_CONTROL);
    copy[..len].copy_from_slice(&payload.bytes()[..len]);
    if let crate::connection::Payload::Reassembled(bytes, _) = payload {
        pool.give(bytes);
    }
    (u8::try_from(len).unwrap_or(0), copy)
}

fn next_cut<'a>(size: usize, tail: &mut Vec<u8>, bytes: &mut &'a mut [u8], pool: &mut Pool) -> Option<Body<'a>> {
    if tail.is_empty() && bytes.len() >= size {
        return Some(Body::InPlace(take_front(bytes, size)));
    }
    let wanted = (size - tail.len()).min(bytes.len());
    pool.append(tail, take_front(bytes, wanted));
    (tail.len() == size && size > 0).then(|| Body::Pooled(mem::take(tail), 0..size))
}

#[inline]
fn next_plain<'a>(
    wire: Wire,
    tail: &mut Vec<u8>,
    scanned: &mut usize,
    bytes: &mut &'a mut [u8],
    pool: &mut Pool,
) -> Result<Option<Body<'a>>, DecodeError> {
    if tail.is_empty() {
        if bytes.is_empty() {
            return Ok(None);
        }
        if let Some(frame) = wire.decode(bytes, 0, MAX_MESSAGE_BYTES)? {
            return Ok(Some(Body::InPlace(&take_front(bytes, frame.len)[frame.payload])));
        }
        pool.append(tail, take_front(bytes, bytes.len()));
        *scanned = tail.len();
    }
    while !bytes.is_empty() {
        let wanted = wire.completes(tail, bytes, MAX_MESSAGE_BYTES);
        pool.append(tail, take_front(bytes, wanted));
        if let Some(frame) = wire.decode(tail, *scanned, MAX_MESSAGE_BYTES)? {
            *scanned = 0;
            return Ok(Some(Body::Pooled(mem::take(tail), frame.payload)));
        }
        *scanned = tail.len();
    }
    Ok(None)
}

impl Body<'_> {
    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::InPlace(bytes) => bytes,
            Body::Pooled(bytes, range) => &bytes[range.clone()],
        }
    }

    /// Gives its memory back.
    #[inline]
    pub fn give_back(self, pool: &mut Pool) {
        if let Body::Pooled(bytes, _) = self {
            pool.give(bytes);
        }
    }
}

/// Splits the first `len` bytes off; there are as many.
#[inline]
fn take_front<'a>(bytes: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = mem::take(bytes).split_at_mut(len);
    *bytes = rest;
    front
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of a stream in chunks of every size, as text: messages as they are, others by name.
    fn check(wire: Wire, size: usize, stream: &[u8], expected: &[&str]) {
        for chunk in 1..=stream.len() {
            let (mut reader, mut pool, mut heard) = (Reader::new(wire, size), Pool::new(0), Vec::new());
            'stream: for bytes in stream.chunks(chunk) {
                let mut copy = bytes.to_vec();
                let mut rest = &mut copy[..];
                loop {
                    match reader.next(&mut rest, &mut pool) {
                        Ok(None) => break,
                        Ok(Some(Heard::Message(body))) => {
                            heard.push(String::from_utf8_lossy(body.bytes()).into_owned());
                            body.give_back(&mut pool);
                        }
                        Ok(Some(Heard::Ping((len, bytes)))) => {
                            heard.push(format!("ping {}", String::from_utf8_lossy(&bytes[..usize::from(len)])));
                        }
                        Ok(Some(Heard::Pong)) => heard.push("pong".to_owned()),
                        Err(end) => {
                            heard.push(end.to_string());
                            break 'stream;
                        }
                    }
                }
            }
            assert_eq!(heard, expected, "in chunks of {chunk}");
            reader.clear(&mut pool);
            assert_eq!(pool.lent_bytes(), 0);
        }
    }

    #[test]
    fn messages_survive_any_split_on_every_wire() {
        check(Wire::Length, 9, b"\0\0\0\x02hi\0\0\0\0\0\0\0\x01!", &["hi", "", "!"]);
        check(Wire::Line, 9, b"hi\r\n\nworld\n", &["hi", "", "world"]);
        check(Wire::Raw, 3, b"abcdefg", &["abc", "def"]);
        check(Wire::WebSocket, 9, b"\x01\x02he\x89\x01?\x80\x01y\x8A\x00\x82\x00", &["ping ?", "hey", "pong", ""]);
    }

    #[test]
    fn a_goodbye_is_the_end_with_its_code_and_words() {
        check(Wire::WebSocket, 9, b"\x81\x01a\x88\x05\x0D\xACbye", &["a", "closed by the server with 3500: bye"]);
    }

    #[test]
    fn what_breaks_the_protocol_is_the_end() {
        check(Wire::WebSocket, 9, b"\x81\x81", &["the server broke the protocol: masked frame from a server"]);
        check(Wire::Length, 9, b"\x7F\0\0\0", &["the server broke the protocol: message too large"]);
    }
}
