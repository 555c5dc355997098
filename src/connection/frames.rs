//! WebSocket messages out of frames (RFC 6455, section 5): in place where a message lies whole in the bytes at hand,
//! put together in pooled memory where it does not. Idle, it owns nothing.

use super::Payload;
use crate::buffer::Pool;
use crate::wire::Kind;
use crate::wire::websocket::{FrameError, FrameHeader, MAX_HEADER, Opcode, Sender, Utf8Validator, begins, is_utf8};
use std::fmt;
use std::mem;

/// What decides whether a peer's frames are in order.
#[derive(Debug, Clone, Copy)]
pub struct FrameRules {
    /// Who sends them.
    pub sender: Sender,
    /// Messages may be compressed.
    pub compression: bool,
    /// Largest message, in bytes of its payload as it is on the wire.
    pub max_message_bytes: usize,
    /// Most frames of one message.
    pub max_fragments: u32,
}

/// What the front of a stream of frames holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A whole message. Text is UTF-8, unless it is compressed and has to be looked at again.
    Message {
        /// Its bytes.
        payload: Payload<'a>,
        /// What it is.
        kind: Kind,
        /// It has to be inflated.
        compressed: bool,
    },
    /// A ping, with what its pong carries back.
    Ping(Payload<'a>),
    /// A pong.
    Pong(Payload<'a>),
    /// A close frame, with its body.
    Close(Payload<'a>),
}

/// Why a stream of frames can't be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A frame breaks the protocol.
    Frame(FrameError),
    /// Text is not UTF-8.
    InvalidText,
    /// A message over the limit was announced.
    TooLarge,
    /// A message has more frames than allowed.
    TooManyFragments,
}

impl From<FrameError> for Broken {
    fn from(error: FrameError) -> Self {
        Broken::Frame(error)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Frame(error) => error.fmt(f),
            Broken::InvalidText => f.write_str("text is not UTF-8"),
            Broken::TooLarge => f.write_str("message too large"),
            Broken::TooManyFragments => f.write_str("too many fragments"),
        }
    }
}

/// Reads the frames of one direction of one connection.
#[derive(Debug, Default)]
pub struct FrameReader {
    unfinished: Option<Box<Unfinished>>,
}

/// A message or a frame whose end has not come.
#[derive(Debug, Default)]
struct Unfinished {
    header: [u8; MAX_HEADER],
    header_len: usize,
    frame: Option<Frame>,
    message: Option<Begun>,
    /// Of the message, unmasked.
    data: Vec<u8>,
    /// Of a control frame, unmasked.
    control: Vec<u8>,
}

/// A frame whose header is known.
#[derive(Debug)]
struct Frame {
    header: FrameHeader,
    remaining: usize,
}

/// A message of which at least one header has come.
#[derive(Debug)]
struct Begun {
    kind: Kind,
    compressed: bool,
    fragments: u32,
    utf8: Utf8Validator,
}

impl FrameReader {
    /// Takes the next thing off the front of `bytes`, which are unmasked in place; `None` when all are used.
    ///
    /// What is refused is refused on the first byte that shows it: a length on its header, text on its first wrong
    /// byte, before the frame or the message has come whole.
    #[inline]
    pub fn next<'a>(
        &mut self,
        bytes: &mut &'a mut [u8],
        rules: &FrameRules,
        pool: &mut Pool,
    ) -> Result<Option<Found<'a>>, Broken> {
        if self.unfinished.is_none() {
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Ok(Some((header, at))) = FrameHeader::decode(bytes, rules.sender, rules.compression)
                && (header.fin && header.len <= (bytes.len() - at) as u64)
            {
                return whole(header, at, bytes, rules).map(Some);
            }
        }
        self.go_on(bytes, rules, pool)
    }

    /// Whether it holds a part of a message or of a frame.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Bytes of an unfinished message, and of an unfinished control frame, that it holds.
    pub fn held_bytes(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| unfinished.data.len() + unfinished.control.len())
    }

    /// Gives back what it holds.
    pub fn clear(&mut self, pool: &mut Pool) {
        if let Some(unfinished) = self.unfinished.take() {
            pool.give(unfinished.data);
            pool.give(unfinished.control);
        }
    }

    fn go_on<'a>(
        &mut self,
        bytes: &mut &'a mut [u8],
        rules: &FrameRules,
        pool: &mut Pool,
    ) -> Result<Option<Found<'a>>, Broken> {
        let unfinished = self.unfinished.get_or_insert_default();
        while !bytes.is_empty() {
            if let Some(found) = unfinished.step(bytes, rules, pool)? {
                if unfinished.is_empty() {
                    self.unfinished = None;
                }
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Takes a header, or what is there of the payload it announced. Each step takes at least a byte.
    fn step<'a>(
        &mut self,
        bytes: &mut &'a mut [u8],
        rules: &FrameRules,
        pool: &mut Pool,
    ) -> Result<Option<Found<'a>>, Broken> {
        if self.frame.is_none() {
            let Some(header) = self.take_header(bytes, rules)? else {
                return Ok(None);
            };
            self.begin(header, rules)?;
        }
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let chunk = take_front(bytes, frame.remaining.min(bytes.len()));
        if let Some(mask) = &mut frame.header.mask {
            mask.apply(chunk);
        }
        frame.remaining -= chunk.len();
        let header = frame.header;
        let is_whole = frame.remaining == 0;
        if is_whole {
            self.frame = None;
        }
        if header.opcode.is_control() {
            Ok(self.take_control(header.opcode, chunk, is_whole, pool))
        } else {
            self.take_data(chunk, is_whole && header.fin, pool)
        }
    }

    fn take_header(&mut self, bytes: &mut &mut [u8], rules: &FrameRules) -> Result<Option<FrameHeader>, FrameError> {
        if self.header_len == 0 {
            self.check_first(bytes, rules)?;
            if let Some((header, at)) = FrameHeader::decode(bytes, rules.sender, rules.compression)? {
                take_front(bytes, at);
                return Ok(Some(header));
            }
        }
        while let Some(byte) = bytes.first().copied() {
            take_front(bytes, 1);
            self.header[self.header_len] = byte;
            self.header_len += 1;
            let so_far = &self.header[..self.header_len];
            if let Some((header, _)) = FrameHeader::decode(so_far, rules.sender, rules.compression)? {
                self.header_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Refuses what the first byte of a frame shows to be wrong, a continuation of nothing and a new message inside
    /// another included, before any later byte is looked at: the same verdict however the frame is cut.
    fn check_first(&self, bytes: &[u8], rules: &FrameRules) -> Result<(), FrameError> {
        let Some(first) = bytes.first() else {
            return Ok(());
        };
        FrameHeader::decode(std::slice::from_ref(first), rules.sender, rules.compression)?;
        match (begins(*first), self.message.is_some()) {
            (Some(false), false) => Err(FrameError::NothingToContinue),
            (Some(true), true) => Err(FrameError::UnfinishedMessage),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, header: FrameHeader, rules: &FrameRules) -> Result<(), Broken> {
        if !header.opcode.is_control() {
            self.message = Some(self.begun(header)?);
            check_size(header.len, self.data.len(), rules)?;
            let fragments = self.message.as_ref().map_or(0, |begun| begun.fragments);
            if fragments > rules.max_fragments {
                return Err(Broken::TooManyFragments);
            }
        }
        let remaining = usize::try_from(header.len).map_err(|_| Broken::TooLarge)?;
        self.frame = Some(Frame { header, remaining });
        Ok(())
    }

    /// The message that this data frame begins or goes on with.
    fn begun(&mut self, header: FrameHeader) -> Result<Begun, FrameError> {
        match (self.message.take(), kind(header.opcode)) {
            (None, None) => Err(FrameError::NothingToContinue),
            (Some(_), Some(_)) => Err(FrameError::UnfinishedMessage),
            (Some(begun), None) => Ok(Begun { fragments: begun.fragments + 1, ..begun }),
            (None, Some(kind)) => {
                Ok(Begun { kind, compressed: header.rsv1, fragments: 1, utf8: Utf8Validator::default() })
            }
        }
    }

    fn take_control<'a>(
        &mut self,
        opcode: Opcode,
        chunk: &'a [u8],
        is_whole: bool,
        pool: &mut Pool,
    ) -> Option<Found<'a>> {
        if is_whole && self.control.is_empty() {
            return Some(control(opcode, Payload::InPlace(chunk)));
        }
        pool.append(&mut self.control, chunk);
        is_whole.then(|| control(opcode, reassembled(mem::take(&mut self.control))))
    }

    fn take_data<'a>(&mut self, chunk: &[u8], is_last: bool, pool: &mut Pool) -> Result<Option<Found<'a>>, Broken> {
        let Some(begun) = &mut self.message else {
            return Ok(None);
        };
        let (kind, compressed) = (begun.kind, begun.compressed);
        let is_text = kind == Kind::Text && !compressed;
        if is_text {
            begun.utf8.push(chunk).map_err(|_| Broken::InvalidText)?;
        }
        if !chunk.is_empty() {
            pool.append(&mut self.data, chunk);
        }
        if !is_last {
            return Ok(None);
        }
        if let Some(begun) = self.message.take().filter(|_| is_text) {
            begun.utf8.finish().map_err(|_| Broken::InvalidText)?;
        }
        Ok(Some(Found::Message { payload: reassembled(mem::take(&mut self.data)), kind, compressed }))
    }
}

/// A frame that lies whole in `bytes` and is a whole message or a control frame.
#[inline]
fn whole<'a>(
    header: FrameHeader,
    at: usize,
    bytes: &mut &'a mut [u8],
    rules: &FrameRules,
) -> Result<Found<'a>, Broken> {
    take_front(bytes, at);
    // It fits into `bytes`, so into a usize.
    let payload = take_front(bytes, usize::try_from(header.len).unwrap_or(usize::MAX));
    if let Some(mut mask) = header.mask {
        mask.apply(payload);
    }
    let payload: &'a [u8] = payload;
    if header.opcode.is_control() {
        return Ok(control(header.opcode, Payload::InPlace(payload)));
    }
    let kind = kind(header.opcode).ok_or(FrameError::NothingToContinue)?;
    check_size(header.len, 0, rules)?;
    if kind == Kind::Text && !header.rsv1 && !is_utf8(payload) {
        return Err(Broken::InvalidText);
    }
    Ok(Found::Message { payload: Payload::InPlace(payload), kind, compressed: header.rsv1 })
}

fn check_size(len: u64, before: usize, rules: &FrameRules) -> Result<(), Broken> {
    let total = len.checked_add(before as u64);
    if total.is_some_and(|total| total <= rules.max_message_bytes as u64) { Ok(()) } else { Err(Broken::TooLarge) }
}

/// What a frame of this opcode begins; a continuation begins nothing.
#[inline]
fn kind(opcode: Opcode) -> Option<Kind> {
    match opcode {
        Opcode::Text => Some(Kind::Text),
        Opcode::Binary => Some(Kind::Binary),
        Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => None,
    }
}

fn control(opcode: Opcode, payload: Payload<'_>) -> Found<'_> {
    match opcode {
        Opcode::Ping => Found::Ping(payload),
        Opcode::Pong => Found::Pong(payload),
        _ => Found::Close(payload),
    }
}

fn reassembled<'a>(bytes: Vec<u8>) -> Payload<'a> {
    let len = bytes.len();
    Payload::Reassembled(bytes, 0..len)
}

/// Splits the first `len` bytes off; there are as many.
#[inline]
fn take_front<'a>(bytes: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (front, rest) = mem::take(bytes).split_at_mut(len);
    *bytes = rest;
    front
}

#[cfg(test)]
mod tests;
