//! Messages that lie whole in what was read, which nearly all do: taken off its front with nothing kept between calls.
//! Whatever is out of the ordinary, or wrong, is left where it lies, for `input` to judge.

use super::input::take_front;
use super::machine::{Asker, Connection, Phase};
use crate::wire::websocket::{Mask, is_utf8};
use crate::wire::{Kind, Message, Wire};

impl Connection {
    /// The wire, where a message that lies whole in what was read can be handled without a look at anything else of the
    /// connection: it is open, not held, neither limited in its rate nor awaited to answer, in the middle of no message,
    /// and nothing waits to be sent to it or has to be compressed.
    #[inline]
    pub fn easy_wire(&self) -> Option<Wire> {
        let Phase::Open { wire } = self.phase else {
            return None;
        };
        let is_awaited = self.asker == Asker::Awaiting && wire != Wire::WebSocket;
        let is_within = !self.tail.is_empty() || self.frames.is_unfinished();
        let is_easy = !self.is_held() && self.rate.is_none() && self.queued_bytes() == 0;
        (is_easy && !is_awaited && !is_within && !self.compression.is_agreed()).then_some(wire)
    }
}

/// The message at the front of `bytes`, where it is whole and of at most `max` bytes; a WebSocket's also has to come in
/// one frame, uncompressed, and its text to be UTF-8. Its mask is taken off in place.
#[inline(always)]
pub fn take_whole<'a>(wire: Wire, bytes: &mut &'a mut [u8], max: usize) -> Option<Message<'a>> {
    match wire {
        Wire::WebSocket => take_client_frame(bytes, max),
        Wire::Length => take_length_frame(bytes, max),
        Wire::Line | Wire::Raw => take_plain(wire, bytes, max),
    }
}

#[inline(always)]
fn take_length_frame<'a>(bytes: &mut &'a mut [u8], max: usize) -> Option<Message<'a>> {
    let (header, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let len = u32::from_be_bytes(*header) as usize;
    if len > max || len > rest.len() {
        return None;
    }
    let whole: &'a [u8] = take_front(bytes, LENGTH + len);
    Some(Message::framed(whole, (LENGTH as u8, 0), Kind::Plain, Wire::Length))
}

#[inline(always)]
fn take_plain<'a>(wire: Wire, bytes: &mut &'a mut [u8], max: usize) -> Option<Message<'a>> {
    let frame = wire.decode(bytes, 0, max).ok()??;
    let whole: &'a [u8] = take_front(bytes, frame.len);
    // A line that ended in `\r\n` is not sent so.
    Some(match (wire, frame.len - frame.payload.end) {
        (Wire::Line, 1) => Message::framed(whole, (0, 1), Kind::Plain, Wire::Line),
        _ => Message::new(&whole[frame.payload], Kind::Plain),
    })
}

/// Bytes of a length before a message.
const LENGTH: usize = 4;
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
/// Payloads up to this length say so in the second byte; longer ones put two bytes behind it, or eight.
const SHORT: usize = 125;
const MEDIUM: u8 = MASKED | 126;
/// Bytes of a key, by which a client's header is longer than a server's.
const KEY: usize = 4;

#[inline(always)]
fn take_client_frame<'a>(bytes: &mut &'a mut [u8], max: usize) -> Option<Message<'a>> {
    let (&[first, second, a, b, c, d], rest) = bytes.split_first_chunk::<6>()?;
    let len = usize::from(second.wrapping_sub(MASKED));
    if len <= SHORT && len <= rest.len() && len <= max {
        return take_frame(bytes, first, 6, len, [a, b, c, d]);
    }
    if second == MEDIUM { take_longer(bytes, max) } else { None }
}

/// A frame of a client with 126 bytes or more, but under 64 KiB: more is never read at once.
#[inline(never)]
fn take_longer<'a>(bytes: &mut &'a mut [u8], max: usize) -> Option<Message<'a>> {
    let (&[first, _, high, low, a, b, c, d], rest) = bytes.split_first_chunk::<8>()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let is_whole = len > SHORT && len <= rest.len() && len <= max;
    if is_whole { take_frame(bytes, first, 8, len, [a, b, c, d]) } else { None }
}

/// A frame with a header of `header` bytes and a payload of `len`, all of which are there.
#[inline(always)]
fn take_frame<'a>(bytes: &mut &'a mut [u8], first: u8, header: usize, len: usize, key: [u8; 4]) -> Option<Message<'a>> {
    let kind = match first {
        BINARY => Kind::Binary,
        TEXT => Kind::Text,
        _ => return None,
    };
    let payload = &mut bytes[header..][..len];
    if kind == Kind::Binary {
        Mask::new(key).apply_whole(payload);
    } else if !Mask::new(key).apply_whole_text(payload) && !is_utf8(payload) {
        // As it was, for who refuses it on the first byte that is wrong.
        Mask::new(key).apply_whole(payload);
        return None;
    }
    // Where the mask was, a server's header fits: it says the same, without one.
    if header == 6 {
        bytes[KEY..6].copy_from_slice(&[first, len as u8]);
    } else {
        let [high, low] = (len as u16).to_be_bytes();
        bytes[KEY..8].copy_from_slice(&[first, MEDIUM - MASKED, high, low]);
    }
    let whole: &'a [u8] = take_front(bytes, header + len);
    Some(Message::framed(&whole[KEY..], ((header - KEY) as u8, 0), kind, Wire::WebSocket))
}
